"""Write namespaces and handover as files that kubectl applies, and with --manifests what every app renders to.

The same stack gives the same files, letter for letter. Each layer is a folder with one file for `kubectl apply`, its
entry point, and beside it the same objects one by one; README.md in the output says in which order.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.handover.application_defaults import LAYERS
from components.handover.application_sets import Source, application_set
from components.handover.guard import guards
from components.handover.projects import project
from components.platform.namespace_manifest import namespace_manifest
from config.load import Stack, read_stack, stack_files
from config.model import Settings
from config.tree import CategoryFolder, Tree, namespaces_of, read_tree
from errors import Declined, TreeRefused
from manifests.checkout import CheckoutReader
from manifests.fetch import Wants
from manifests.object_text import as_yaml
from manifests.objects import Object
from manifests.redact import redacted
from ops import terminal
from ops.checking.validation import Validation, places_of
from ops.stack import checked, stack_arguments
from ops.terminal import coloured, count
from ops.toolchain.lookup import ensure
from ops.upstream import offline
from ops.upstream.originals import LONG_LIMIT, bring

ENTRY = "application-set.yaml"
OUTPUT = "rendered"
HEAD = "# Made by ./homelab render"
PAGE = """\
{head} --stack {stack}: what `./homelab up` makes of the handover, as files.

Namespaces come before all that lives in them:

    kubectl apply --server-side --filename namespaces.yaml

CRDs, the network, secrets and Argo CD have to be there. Then, each after the one before is Healthy:

    kubectl apply --server-side --filename guard.yaml
{steps}
Whoever goes on with `./homelab up` afterwards finds the same objects: they are taken over, not made anew.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the stack, where to write, and whether what apps render to is wanted too."""
    stack_arguments(parser)
    parser.add_argument(
        "--output", type=terminal.path, metavar="DIR", help=f"where to write (default: {OUTPUT}/<stack>)"
    )
    parser.add_argument(
        "--manifests", action="store_true", help="every app's objects too, Secrets without their values"
    )
    parser.add_argument("--fetch", action="store_true", help="first bring charts and remote bases into the cache")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Write the files and say where they are."""
    root: Path = options.root
    stack, settings = checked(root, options.stack)
    tree = read_tree(root)
    if options.fetch:
        offline.require(options, "--fetch")
        fetch(root, tree)
    files = handed_over(settings, tree, stack.name)
    stand_ins: Sequence[str] = ()
    if options.manifests:
        every = [read_stack(path) for path in stack_files(root).values()]
        validation = Validation(root, [stack], tree, every)
        files |= rendered(validation, stack)
        stand_ins = validation.stand_ins
    output = options.output or root / OUTPUT / stack.name
    if not options.output and (root / OUTPUT).is_symlink():
        raise Declined(f"{root / OUTPUT}: is a link; remove it, or name a folder with --output")
    write(output, files)
    if options.json:
        print(json.dumps({"output": str(output), "files": sorted(files), "standIns": stand_ins}, indent=2))
        return 0
    print(f"wrote {count(len(files), 'file')} to {output}; README.md there says in which order they are applied")
    if stand_ins:
        print(coloured(f"stand-ins: {', '.join(stand_ins)}; --fetch brings the real ones", "yellow"))
    return 0


def handed_over(settings: Settings, tree: Tree, stack: str) -> dict[str, str]:
    """Give the files of the handover by their names."""
    source, chosen = Source.of(settings), tree.chosen(settings.delivery.categories, settings.delivery.exclude)
    spaces = [namespace_manifest(name, *of) for name, of in namespaces_of(tree).items()]
    files = {name: text(items, name) for name, items in (("namespaces.yaml", spaces), ("guard.yaml", guards()))}
    steps = ""
    for layer in LAYERS:
        members = [one for one in chosen if one.settings.layer == layer]
        known = source.repository, *source.beside
        pairs = [(one, project(one, *known), application_set(one, source)) for one in members]
        files |= {name: text([item], name) for one, *items in pairs for name, item in _named(layer, one, items)}
        if pairs:
            name = f"{layer}/{ENTRY}"
            files[name] = text([*(owner for _, owner, _ in pairs), *(one for *_, one in pairs)], name)
            steps += f"    kubectl apply --server-side --filename {name}\n"
    return {"README.md": PAGE.format(head=HEAD.removeprefix("# "), stack=stack, steps=steps), **files}


def _named(layer: str, category: CategoryFolder, items: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    yield from zip(
        (f"{layer}/project-{category.name}.yaml", f"{layer}/appset-{category.name}.yaml"), items, strict=True
    )


def text(items: Sequence[Mapping[str, Any]], name: str, note: str = "") -> str:
    """Write objects as one file."""
    apply = "" if name.startswith("manifests/") else f": kubectl apply --server-side --filename {name}"
    return f"{HEAD}{apply}\n{note}" + "---\n".join(as_yaml(dict(item)) for item in items)


def rendered(validation: Validation, stack: Stack) -> dict[str, str]:
    """Give every app's objects as the stack would run them, each app a file."""
    validation.render()
    if validation.problems:
        raise TreeRefused(validation.problems)
    files = {}
    for place in places_of(stack, validation.tree):
        items = [redacted(one) for one in validation.objects_of(stack, place.app.path)]
        charts = sorted(str(one.chart) for one in validation.contents[place.app.path].charts)
        made_up = [
            one
            for one in validation.stand_ins
            if any(one == f"chart {chart.rpartition(' of ')[0]}" for chart in charts)
        ]
        note = "".join(f"# {one} is not on this machine: a stand-in took its place\n" for one in made_up)
        name = f"manifests/{place.base.category}/{place.base.name}.yaml"
        files[name] = text(items, name, f"# of {place.app.path}\n{note}")
    return files


def write(output: Path, files: Mapping[str, str]) -> None:
    """Put the files where only we have written before, and take away what we wrote and write no more."""
    page = output / "README.md"
    try:
        links = [one for one in (output, *output.rglob("*")) if one.is_symlink()]
        if links:
            raise Declined(f"{links[0]}: is a link, and a file written through it would change another; remove it")
        ours = page.is_file() and page.read_bytes().startswith(HEAD.removeprefix("# ").encode())
        if output.exists() and not ours and (not output.is_dir() or any(output.iterdir())):
            raise Declined(f"{output}: holds what ./homelab render has not written; name an empty folder with --output")
        _clear(output)
        for name, content in files.items():
            file = output / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
    except OSError as error:
        raise Declined(f"--output = {output}: {error.strerror}: {error.filename}; name another folder") from None


def _clear(output: Path) -> None:
    """Remove what begins with our own line, and the folders that are empty then; what a person put there stays."""
    for place in sorted(output.rglob("*"), reverse=True):
        if place.is_dir() and not place.is_symlink() and not any(place.iterdir()):
            place.rmdir()
        elif place.is_file() and place.read_bytes().startswith((HEAD.encode(), HEAD.removeprefix("# ").encode())):
            place.unlink()


def fetch(root: Path, tree: Tree) -> None:
    """Fetch every chart and remote base of every environment, with time for a slow network."""
    env = ensure(("kustomize", "helm")).env()
    folders = {app.path for app in tree.apps} | {
        app.path for found in tree.environments.values() for app in found.values()
    }
    bring(Wants(CheckoutReader(root)), sorted(folders), env, limit=LONG_LIMIT).require(everything=True)
