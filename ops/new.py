"""Write a new app as all others are: it passes the checks and syncs, and its folder is all that Argo CD needs.

`ops.scaffold` writes the texts; here is decided whether they may be written. Everything that is wrong is told at once,
and then nothing is written. A host is asked for on one stack and given on all.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.explain import nearest
from config.load import read_stack, stack_files
from config.rules import rule
from config.source import read
from config.startpage import PAGE
from config.tree import APPS, ENVIRONMENTS, LONGEST_NAME, Tree, read_tree
from config.values import LABEL
from errors import Bug, Problem, Refused, TreeRefused
from manifests import kubernetes_yaml
from manifests.rules.workloads import refused
from ops.scaffold import MEMORY_LIMIT, NewApp, Volume, backup_time, files, listed

COMMAND = "./homelab new"
STARTS_WITH_A_LETTER = re.compile(r"[a-z]")
PATH = re.compile(r"/[\w./-]*\Z")
SIZE = re.compile(r"[1-9]\d*[MGT]i\Z")
VARIABLE = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
BACKED_UP = re.compile(r"""^\s*(?:homelab\.dev/backup|schedule): ["']?([\d/*, -]+)""", re.MULTILINE)
ORDER = ("production", "staging", "dev")
PORTS = range(1024, 65536)
GATEWAYS = ("internal", "public")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take what the app is."""
    parser.add_argument("app", metavar="CATEGORY/APP", help="the folder below apps/, such as media/jellyseerr")
    about = {
        "image": ("IMAGE:TAG", "what runs, by a whole version or a digest"),
        "port": ("PORT", "where it listens, 1024 or higher"),
        "gateway": ("NAME", "who can reach it: internal, which is the default, or public"),
        "health": ("PATH", "where it says that it is well (default: the port)"),
        "volume": ("PATH:SIZE", "what it keeps, such as /config:5Gi; backed up every night"),
    }
    for name, (value, said) in about.items():  # each once: `refusals` tells a second one
        needed = name in ("image", "port")
        parser.add_argument(f"--{name}", required=needed, action="append", default=[], metavar=value, help=said)
    parser.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="its name on one stack (default: <app>.<domain>)"
    )
    parser.add_argument(
        "--secret",
        action="append",
        default=[],
        metavar="NAME",
        help="a variable out of the secret store; may be repeated",
    )
    parser.add_argument("--root", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Refuse with everything that is wrong, or write the folder and say what comes next."""
    root: Path = options.root
    if not stack_files(root):
        rule, fix = "there is no stack file (Pulumi.<stack>.yaml)", "./homelab init writes one"
        raise Refused([Problem(str(root), 0, "", "", rule, fix, "stack-missing")])
    ground = Ground(root, read_tree(root), _domains(root))
    if problems := sorted(set(refusals(options, ground))):
        raise TreeRefused(problems)
    category, _, name = options.app.partition("/")
    folder = next(one for one in ground.tree.categories if one.name == category)
    path, _, size = "".join(options.volume).rpartition(":")
    app = NewApp(
        name=name,
        namespace=folder.namespaces[0],
        image=options.image[0],
        port=int(options.port[0]),
        hosts=hosts(options.host, name, ground.domains),
        gateway="".join(options.gateway) or GATEWAYS[0],
        health="".join(options.health),
        volume=Volume(path, size, backup_time(name, _backup_times(root))) if options.volume else None,
        secrets=tuple(dict.fromkeys(options.secret)),
    )
    _write(root, category, app)
    return 0


def _domains(root: Path) -> tuple[str, ...]:
    """Give every stack's domain, production's first."""
    found = [read_stack(path).require() for path in stack_files(root).values()]
    found.sort(key=lambda one: (*ORDER, one.delivery.environment).index(one.delivery.environment))
    return tuple(dict.fromkeys(one.network.domain for one in found))


def _backup_times(root: Path) -> set[str]:
    """Return the times at which volumes of the tree are backed up."""
    files = (*root.glob(f"{APPS}/**/volume.yaml"), *root.glob(f"{APPS}/**/backup.yaml"))
    return {time for file in files for time in BACKED_UP.findall(file.read_text(encoding="utf-8"))}


def _write(root: Path, category: str, app: NewApp) -> None:
    place, written = f"{APPS}/{category}/{app.name}", files(app)
    (root / place).mkdir()
    for file, text in written.items():
        (root / place / file).write_text(text, encoding="utf-8")
    page = root / PAGE
    text = listed(page.read_text(encoding="utf-8"), category, app) if page.is_file() else ""
    if text:
        page.write_text(text, encoding="utf-8")
    if problems := [one for one in read_tree(root).problems if one.file.startswith(place)]:
        raise Bug(f"wrote what is not accepted: {'; '.join(map(str, problems))}")
    print(f"wrote {place}: {', '.join(written)}")
    if page.is_file():
        print(f"listed it in {PAGE}" if text else f"next: list it in {PAGE}, which is not written as it was here")
    print(f"it will answer as {', '.join(app.hosts)} (gateway {app.gateway})")
    print(f"it runs as user 1000, without privileges, with {MEMORY_LIMIT} of memory at most: see deployment.yaml")
    if app.secrets:
        print(f"next: put {', '.join(map(app.key, app.secrets))} into the secret store")
    print("next: ./homelab check, commit, push: Argo CD finds the folder without `up` (docs/how-to/add-an-app.md)")


@dataclass(frozen=True)
class Ground:
    """What is there already."""

    root: Path
    tree: Tree
    domains: tuple[str, ...]


@rule("flag-twice", scope="program", why="Of two contradicting values one would be ignored without a message.")
def refusals(options: argparse.Namespace, ground: Ground) -> Iterator[Problem]:
    """Find everything that speaks against the app."""
    yield from _named(options.app, ground)
    yield from _hosts(options.host, options.app, ground)
    for flag, refuse in FLAGS.items():
        said = getattr(options, flag)
        if said[1:] and flag != "secret":
            yield _refused(f"--{flag}", ", ".join(said), "is said more than once", "say it once", "flag-twice")
        for one in said:
            yield from refuse(one)


def _refused(key: str, value: str, rule: str, fix: str, check: str) -> Problem:
    return Problem(COMMAND, 0, key, value, rule, fix, check)


def _named(said: str, ground: Ground) -> Iterator[Problem]:
    category, slash, name = said.partition("/")
    layers = {one.name: one.settings.layer for one in ground.tree.categories}
    known = [name for name, layer in layers.items() if layer != "crds"]
    if not slash or "/" in name:
        fix = f"write it as media/jellyseerr; the categories are {', '.join(known)}"
        yield _refused("CATEGORY/APP", said, "is not a category and an app", fix, "name-malformed")
        return
    if category in ground.tree.refused:
        rule, fix = "has a category.yaml that is not accepted", "./homelab check says why"
        yield _refused("CATEGORY", category, rule, fix, "category-unknown")
    elif category in layers and category not in known:
        rule = "is of the layer crds, where nothing runs"
        yield _refused("CATEGORY", category, rule, f"choose one of {', '.join(known)}", "workload-among-crds")
    elif category not in known:
        fix = nearest(category, known, f"the categories are {', '.join(known)}")
        rule = "is no category: there is no apps/*/category.yaml of that name"
        yield _refused("CATEGORY", category, rule, fix, "category-unknown")
    if not LABEL.match(name) or not STARTS_WITH_A_LETTER.match(name):
        yield _refused(
            "APP", name, "is not a DNS label that begins with a letter (RFC 1123)", _label(name), "name-malformed"
        )
        return
    if kubernetes_yaml.document(name) != name:
        rule = f"is {json.dumps(kubernetes_yaml.document(name))} to YAML, and no text"
        yield _refused("APP", name, rule, f"choose another name, such as {name}-app", "name-malformed")
    if len(f"{category}-{name}") > LONGEST_NAME:
        rule = f"makes an Application's name of more than {LONGEST_NAME} characters"
        yield _refused("APP", f"{category}-{name}", rule, "choose a shorter name", "name-malformed")
    taken = {one.full_name: one.path for one in ground.tree.apps}
    place = taken.get(f"{category}-{name}", f"{APPS}/{category}/{name}")
    if (ground.root / place).exists():
        yield _refused(
            "APP", name, f"is there already: {place}", "choose another name, or change that one", "app-name-twice"
        )


def _label(name: str) -> str:
    """Propose the nearest name that would do."""
    near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-").lstrip("-0123456789")
    if len(near) > LONGEST_NAME:
        return f"choose one of {LONGEST_NAME} characters at most"
    return f"did you mean {near}?" if near else "use small letters, digits and hyphens"


def _image(said: str) -> Iterator[Problem]:
    for check, broken, fix in refused(said):
        yield _refused("--image", said, broken, fix, check)


def _port(said: str) -> Iterator[Problem]:
    if not (said.isascii() and said.isdigit() and int(said) in PORTS):
        rule = f"has to be {PORTS.start} to {PORTS.stop - 1}: nothing here runs as root"
        yield _refused("--port", said, rule, "tell the program to listen on another port", "out-of-range")


def _gateway(said: str) -> Iterator[Problem]:
    if said not in GATEWAYS:
        fix = nearest(said, GATEWAYS, "choose one of them")
        yield _refused("--gateway", said, f"is none of {', '.join(GATEWAYS)}", fix, "choice-unknown")


def _health(said: str) -> Iterator[Problem]:
    if not PATH.match(said):
        yield _refused("--health", said, "is not a path", "write it as /health", "path-malformed")


def _volume(said: str) -> Iterator[Problem]:
    path, colon, size = said.rpartition(":")
    if not colon or not PATH.match(path) or path == "/":
        rule, fix = "is not a path in the container and a size", "write it as /config:5Gi"
        yield _refused("--volume", said, rule, fix, "path-malformed")
    elif not SIZE.match(size):
        yield _refused("--volume", size, "is not a size in Mi, Gi or Ti", "write it as 5Gi", "size-malformed")


def _secret(said: str) -> Iterator[Problem]:
    if not VARIABLE.match(said):
        near = re.sub(r"[^A-Za-z0-9]+", "_", said).strip("_").lstrip("_0123456789").upper()
        rule, fix = "is not the name of an environment variable", f"write it as {near or 'API_KEY'}"
        yield _refused("--secret", said, rule, fix, "name-malformed")


# Each flag, and what speaks against a value of it; all but secrets are said once.
FLAGS: Mapping[str, Callable[[str], Iterator[Problem]]] = {
    "image": _image,
    "port": _port,
    "gateway": _gateway,
    "health": _health,
    "volume": _volume,
    "secret": _secret,
}


def hosts(asked: Sequence[str], name: str, domains: Sequence[str]) -> tuple[str, ...]:
    """Give a host for every stack: what was asked for, and the first one's name where nothing was."""
    given = {domain: host for host in asked if (domain := _domain(host, domains))}
    first = next(iter(given.items()), None)
    label = first[1].removesuffix(f".{first[0]}") if first else name
    return tuple(given.get(domain, f"{label}.{domain}") for domain in domains)


def _domain(host: str, domains: Sequence[str]) -> str:
    """Name the stack's domain that a host lies one label below; wildcard certificates reach no deeper."""
    label, _, domain = host.partition(".")
    return domain if LABEL.match(label) and domain in domains else ""


def _hosts(asked: Sequence[str], said: str, ground: Ground) -> Iterator[Problem]:
    for host in asked:
        if not _domain(host, ground.domains):
            label = host.partition(".")[0].lower()
            fix = f"write it as {label if LABEL.match(label) else '<app>'}.{ground.domains[0]}"
            rule = f"is no name right below a stack's network.domain ({', '.join(ground.domains)})"
            yield _refused("--host", host, rule, fix, "host-foreign")
    for domain in ground.domains:
        if len(same := [host for host in asked if _domain(host, ground.domains) == domain]) > 1:
            rule = f"are several names below {domain}, and an app has one there"
            yield _refused("--host", ", ".join(same), rule, "say one of them", "flag-twice")
    taken = dict(taken_hosts(ground.root))
    wanted = [host for host in hosts(asked, said.rpartition("/")[2], ground.domains) if host in taken]
    for owner in dict.fromkeys(map(taken.__getitem__, wanted)):
        if owner != f"{APPS}/{said}":
            theirs = ", ".join(host for host in wanted if taken[host] == owner)
            yield _refused("--host", theirs, f"leads to {owner} already", "give each its own host", "host-twice")


def taken_hosts(root: Path) -> Iterator[tuple[str, str]]:
    """Find every host that a route names; charts that make routes of their values are left to `check`."""
    for folder in (APPS, ENVIRONMENTS):
        for path in sorted((root / folder).rglob("*.yaml")):
            if b"hostnames:" not in path.read_bytes():
                continue
            for document in read(path, str(path.relative_to(root))).documents:
                spec = document.value.get("spec") if isinstance(document.value, dict) else None
                for host in (spec.get("hostnames") if isinstance(spec, dict) else None) or ():
                    yield str(host), "/".join(path.relative_to(root).parts[: 4 if folder == ENVIRONMENTS else 3])
