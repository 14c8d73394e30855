"""Write namespaces and handover as files for kubectl apply, and with --manifests the rendered objects of every app.

The files depend only on the stack. Each layer is a folder with one file for `kubectl apply` and beside it the same
objects one by one; README.md in the output has the order.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.handover.application_defaults import LAYERS
from components.handover.application_sets import GitSource, application_set
from components.handover.guard import guards
from components.handover.projects import project
from components.platform.namespace_manifest import namespace_manifest
from config.load import Stack
from config.model import Settings
from config.tree import Tree, namespaces_of
from errors import Declined
from manifests.checkout import CheckoutReader
from manifests.fetch import Wants
from manifests.object_text import as_yaml
from manifests.objects import Object
from manifests.pinned import PinnedTrees
from manifests.redact import redacted
from ops import terminal
from ops.checking.validation import Validation
from ops.result import Result
from ops.stack import checked, stack_argument
from ops.terminal import coloured, count
from ops.toolchain.lookup import ensure
from ops.upstream import offline
from ops.upstream.originals import LONG_LIMIT, fetch

ENTRY = "application-set.yaml"
OUTPUT = "rendered"
HEAD = "# Made by ./homelab render"
PAGE = """\
{head} --stack {stack}: the objects that `./homelab up` makes for the handover, as files.

Namespaces come before the objects in them:

    kubectl apply --server-side --filename namespaces.yaml

CRDs, the network, secrets and Argo CD must exist. Then, each after the one before is Healthy:

    kubectl apply --server-side --filename guard.yaml
{steps}
A later `./homelab up` makes the same objects: it takes these over.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    stack_argument(parser)
    parser.add_argument("--output", type=terminal.path, metavar="DIR", help=f"the folder (default: {OUTPUT}/<stack>)")
    parser.add_argument(
        "--manifests", action="store_true", help="include every app's objects, Secrets without their values"
    )
    parser.add_argument("--fetch", action="store_true", help="first fetch charts and remote bases into the cache")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> Result:
    """Write the files and report the folder."""
    root: Path = options.root
    stack, settings, tree = checked(root, options.stack)
    if options.fetch:
        offline.require_online(options, "--fetch")
        fetch_all(root, tree)
    files = handed_over(settings, tree, stack.name)
    stand_ins: Sequence[str] = ()
    if options.manifests:
        validation = Validation(root, [stack], tree, pinned=PinnedTrees(root))
        files |= rendered(validation, stack)
        stand_ins = validation.stand_ins
    output = options.output or root / OUTPUT / stack.name
    if not options.output and (root / OUTPUT).is_symlink():
        raise Declined(f"{root / OUTPUT}: is a link; remove it, or choose a folder with --output")
    write(output, files)
    lines = [f"wrote {count(len(files), 'file')} to {output}; README.md there has the order to apply them in"]
    if stand_ins:
        lines.append(coloured(f"stand-ins: {', '.join(stand_ins)}; --fetch fetches the real ones", "yellow"))
    return Result("\n".join(lines), {"output": str(output), "files": sorted(files), "standIns": stand_ins})


def handed_over(settings: Settings, tree: Tree, stack: str) -> dict[str, str]:
    """Return the files of the handover by their names."""
    source, chosen = GitSource.of(settings), tree.chosen(settings.delivery.environment)
    spaces = [namespace_manifest(name, *of) for name, of in namespaces_of(tree).items()]
    files = {name: text(items, name) for name, items in (("namespaces.yaml", spaces), ("guard.yaml", guards()))}
    steps = ""
    for layer in LAYERS:
        categories = [one for one in chosen if one.settings.layer == layer]
        projects = {one.name: project(one, source.repository, *source.beside, gates=source.gates) for one in categories}
        sets = {one.name: application_set(one, source) for one in categories}
        files |= _files(f"{layer}/project", projects) | _files(f"{layer}/appset", sets)
        if categories:
            name = f"{layer}/{ENTRY}"
            files[name] = text([*projects.values(), *sets.values()], name)
            steps += f"    kubectl apply --server-side --filename {name}\n"
    return {"README.md": PAGE.format(head=HEAD.removeprefix("# "), stack=stack, steps=steps), **files}


def _files(prefix: str, objects: Mapping[str, Object]) -> dict[str, str]:
    """Return a file for each category's object."""
    names = {category: f"{prefix}-{category}.yaml" for category in objects}
    return {names[category]: text([item], names[category]) for category, item in objects.items()}


def text(items: Sequence[Mapping[str, Any]], name: str, note: str = "") -> str:
    """Return objects as the text of one file."""
    apply = "" if name.startswith("manifests/") else f": kubectl apply --server-side --filename {name}"
    return f"{HEAD}{apply}\n{note}" + "---\n".join(as_yaml(dict(item)) for item in items)


def rendered(validation: Validation, stack: Stack) -> dict[str, str]:
    """Return a file for each app of the stack, with its rendered objects."""
    files = {}
    for one, objects in validation.objects_by_app(stack):
        items = [redacted(item) for item in objects]
        charts = {f"chart {each.chart.name} {each.chart.version}" for each in validation.contents[one.app.path].charts}
        stand_ins = [name for name in validation.stand_ins if name in charts]
        note = "".join(f"# {name} is not on this machine: a stand-in was used\n" for name in stand_ins)
        name = f"manifests/{one.app.label}.yaml"
        files[name] = text(items, name, f"# of {one.app.path}\n{note}")
    return files


def write(output: Path, files: Mapping[str, str]) -> None:
    """Write the files to a folder that holds only our output, and delete stale ones."""
    readme = output / "README.md"
    try:
        links = [one for one in (output, *output.rglob("*")) if one.is_symlink()]
        if links:
            raise Declined(f"{links[0]}: is a link, and writing through it would change another file; remove it")
        ours = readme.is_file() and readme.read_bytes().startswith(HEAD.removeprefix("# ").encode())
        if output.exists() and not ours and (not output.is_dir() or any(output.iterdir())):
            raise Declined(
                f"{output}: holds files that ./homelab render has not written; choose an empty folder with --output"
            )
        _clear(output)
        for name, content in files.items():
            file = output / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
    except OSError as error:
        raise Declined(f"--output = {output}: {error.strerror}: {error.filename}; choose another folder") from None


def _clear(output: Path) -> None:
    """Remove the files that begin with our own line, and folders that are empty then; other files stay."""
    for path in sorted(output.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
        elif path.is_file() and path.read_bytes().startswith((HEAD.encode(), HEAD.removeprefix("# ").encode())):
            path.unlink()


def fetch_all(root: Path, tree: Tree) -> None:
    """Fetch every chart and remote base of every environment, with a timeout for slow networks."""
    env = ensure(("kustomize", "helm")).env()
    folders = sorted(app.path for app in tree.apps)
    fetch(Wants(CheckoutReader(root)), folders, env, limit=LONG_LIMIT).require(everything=True)
