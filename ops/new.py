"""Write a new app like the others of the tree: it passes the checks, and its folder is all that Argo CD needs.

`ops.scaffold` writes the texts; this module checks the options first. All problems are reported at once, and nothing is
written then. A host that is given for one stack is derived for the others.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.explain import nearest
from config.load import read_stack
from config.rules import rule
from config.source import read
from config.startpage import PAGE
from config.tree import APPS, ENVIRONMENTS, LONGEST_NAME, Tree, read_tree
from config.values import LABEL
from errors import Bug, Problem, TreeRefused
from manifests import kubernetes_yaml
from manifests.rules.workloads import refused
from ops.checking.settings import chosen_files
from ops.result import Result
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


class Once(argparse.Action):
    """Store a value, and record a second one, which is reported with all other problems."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store the value of the option's first occurrence."""
        before = getattr(namespace, self.dest)
        if before is None:
            setattr(namespace, self.dest, values)
            return
        rule, fix = "is given more than once", "give it once"
        namespace.repeated.append(_refused(f"--{self.dest}", f"{before}, {values}", rule, fix, "flag-twice"))


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("app", metavar="CATEGORY/APP", help="the folder below apps/, such as media/jellyseerr")
    for name, value, required, text in (
        ("image", "IMAGE:TAG", True, "the image, with a whole version or a digest"),
        ("port", "PORT", True, "the port that it listens on, 1024 or higher"),
        ("gateway", "NAME", False, f"the gateway, one of {', '.join(GATEWAYS)} (default: {GATEWAYS[0]})"),
        ("health", "PATH", False, "the HTTP path of its health check (default: a connection to the port)"),
        ("volume", "PATH:SIZE", False, "a volume, such as /config:5Gi; backed up every night"),
    ):
        parser.add_argument(f"--{name}", action=Once, required=required, metavar=value, help=text)
    for name, text in (
        ("host", "its host name on one stack, may be repeated (default: <app>.<domain>)"),
        ("secret", "an environment variable from the secret store, may be repeated"),
    ):
        parser.add_argument(f"--{name}", action="append", default=[], metavar="NAME", help=text)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)
    parser.set_defaults(repeated=[])


def run(options: argparse.Namespace) -> Result:
    """Refuse with all problems, or write the folder and report the next steps."""
    root: Path = options.root
    domains = _domains(chosen_files(root))
    checkout = Checkout(root, read_tree(root), domains)
    if problems := sorted(set(refusals(options, checkout))):
        raise TreeRefused(problems)
    category, _, name = options.app.partition("/")
    folder = next(one for one in checkout.tree.categories if one.name == category)
    volume = None
    if options.volume:
        path, _, size = options.volume.rpartition(":")
        volume = Volume(path, size, backup_time(name, _backup_times(root)))
    app = NewApp(
        name=name,
        namespace=folder.namespaces[0],
        image=options.image,
        port=int(options.port),
        hosts=hosts(options.host, name, checkout.domains),
        gateway=options.gateway or GATEWAYS[0],
        health=options.health or "",
        volume=volume,
        secrets=tuple(dict.fromkeys(options.secret)),
    )
    lines = _write(root, category, app)
    return Result("\n".join(lines), {"folder": f"{APPS}/{category}/{name}", "hosts": app.hosts})


def _domains(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return every stack's domain, that of production first."""
    found = [read_stack(path).require() for path in paths]
    found.sort(key=lambda one: (*ORDER, one.delivery.environment).index(one.delivery.environment))
    return tuple(dict.fromkeys(one.network.domain for one in found))


def _backup_times(root: Path) -> set[str]:
    """Return the times at which volumes of the tree are backed up."""
    files = (*root.glob(f"{APPS}/**/volume.yaml"), *root.glob(f"{APPS}/**/backup.yaml"))
    return {time for file in files for time in BACKED_UP.findall(file.read_text(encoding="utf-8"))}


def _write(root: Path, category: str, app: NewApp) -> list[str]:
    """Write the folder and the line of the start page; return lines that report it."""
    folder, written = f"{APPS}/{category}/{app.name}", files(app)
    (root / folder).mkdir()
    for file, text in written.items():
        (root / folder / file).write_text(text, encoding="utf-8")
    page = root / PAGE
    text = listed(page.read_text(encoding="utf-8"), category, app) if page.is_file() else ""
    if text:
        page.write_text(text, encoding="utf-8")
    if problems := [one for one in read_tree(root).problems if one.file.startswith(folder)]:
        raise Bug(f"wrote an app that is not accepted: {'; '.join(map(str, problems))}")
    lines = [f"wrote {folder}: {', '.join(written)}"]
    if page.is_file():
        lines.append(
            f"added it to {PAGE}" if text else f"next: add it to {PAGE}, whose form this command does not know"
        )
    lines.append(f"its host names: {', '.join(app.hosts)} (gateway {app.gateway})")
    lines.append(
        f"it runs as user 1000, without privileges, with {MEMORY_LIMIT} of memory at most: see deployment.yaml"
    )
    if app.secrets:
        lines.append(f"next: put {', '.join(map(app.key, app.secrets))} into the secret store")
    return [
        *lines,
        "next: ./homelab check, commit, push: Argo CD finds the folder without `up` (docs/how-to/add-an-app.md)",
    ]


@dataclass(frozen=True)
class Checkout:
    """The checkout that the app is added to."""

    root: Path
    tree: Tree
    domains: tuple[str, ...]


@rule("flag-twice", scope="program", why="Of two contradicting values one would be ignored without a message.")
def refusals(options: argparse.Namespace, checkout: Checkout) -> Iterator[Problem]:
    """Yield every problem of the options."""
    yield from options.repeated
    yield from _named(options.app, checkout)
    yield from _hosts(options.host, options.app, checkout)
    for flag, check in CHECKS.items():
        if (value := getattr(options, flag)) is not None:
            yield from check(value)
    for name in options.secret:
        yield from _secret(name)


def _refused(key: str, value: str, rule: str, fix: str, check: str) -> Problem:
    return Problem(COMMAND, 0, key, value, rule, fix, check)


def _named(app: str, checkout: Checkout) -> Iterator[Problem]:
    category, slash, name = app.partition("/")
    layers = {one.name: one.settings.layer for one in checkout.tree.categories}
    known = [name for name, layer in layers.items() if layer != "crds"]
    if not slash or "/" in name:
        fix = f"write it as media/jellyseerr; the categories are {', '.join(known)}"
        yield _refused("CATEGORY/APP", app, "is not a category and an app", fix, "name-malformed")
        return
    if category in checkout.tree.refused:
        rule, fix = "has a category.yaml that is not accepted", "./homelab check reports the reason"
        yield _refused("CATEGORY", category, rule, fix, "category-unknown")
    elif category in layers and category not in known:
        rule = "is of the layer crds, which runs no workloads"
        yield _refused("CATEGORY", category, rule, f"choose one of {', '.join(known)}", "workload-among-crds")
    elif category not in known:
        fix = nearest(category, known, f"the categories are {', '.join(known)}")
        rule = "is no category: there is no apps/*/category.yaml of this name"
        yield _refused("CATEGORY", category, rule, fix, "category-unknown")
    if not LABEL.match(name) or not STARTS_WITH_A_LETTER.match(name):
        yield _refused(
            "APP", name, "is not a DNS label that begins with a letter (RFC 1123)", _label(name), "name-malformed"
        )
        return
    if kubernetes_yaml.document(name) != name:
        rule = f"is {json.dumps(kubernetes_yaml.document(name))} to YAML, and not a text"
        yield _refused("APP", name, rule, f"choose another name, such as {name}-app", "name-malformed")
    if len(f"{category}-{name}") > LONGEST_NAME:
        rule = f"makes an Application's name of more than {LONGEST_NAME} characters"
        yield _refused("APP", f"{category}-{name}", rule, "choose a shorter name", "name-malformed")
    taken = {one.full_name: one.path for one in checkout.tree.apps}
    folder = taken.get(f"{category}-{name}", f"{APPS}/{category}/{name}")
    if (checkout.root / folder).exists():
        yield _refused(
            "APP", name, f"exists already: {folder}", "choose another name, or change that one", "app-name-twice"
        )


def _label(name: str) -> str:
    """Return the nearest name that is accepted."""
    near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-").lstrip("-0123456789")
    if len(near) > LONGEST_NAME:
        return f"choose one of {LONGEST_NAME} characters at most"
    return f"did you mean {near}?" if near else "use small letters, digits and hyphens"


def _image(value: str) -> Iterator[Problem]:
    for check, broken, fix in refused(value):
        yield _refused("--image", value, broken, fix, check)


def _port(value: str) -> Iterator[Problem]:
    if not (value.isascii() and value.isdigit() and int(value) in PORTS):
        rule = f"must be {PORTS.start} to {PORTS.stop - 1}: apps do not run as root"
        yield _refused("--port", value, rule, "configure the program to listen on another port", "out-of-range")


def _gateway(value: str) -> Iterator[Problem]:
    if value not in GATEWAYS:
        fix = nearest(value, GATEWAYS, "choose one of them")
        yield _refused("--gateway", value, f"is none of {', '.join(GATEWAYS)}", fix, "choice-unknown")


def _health(value: str) -> Iterator[Problem]:
    if not PATH.match(value):
        yield _refused("--health", value, "is not a path", "write it as /health", "path-malformed")


def _volume(value: str) -> Iterator[Problem]:
    path, colon, size = value.rpartition(":")
    if not colon or not PATH.match(path) or path == "/":
        rule, fix = "is not a path in the container and a size", "write it as /config:5Gi"
        yield _refused("--volume", value, rule, fix, "path-malformed")
    elif not SIZE.match(size):
        yield _refused("--volume", size, "is not a size in Mi, Gi or Ti", "write it as 5Gi", "size-malformed")


def _secret(value: str) -> Iterator[Problem]:
    if not VARIABLE.match(value):
        near = re.sub(r"[^A-Za-z0-9]+", "_", value).strip("_").lstrip("_0123456789").upper()
        rule, fix = "is not the name of an environment variable", f"write it as {near or 'API_KEY'}"
        yield _refused("--secret", value, rule, fix, "name-malformed")


# The check of each option's value.
CHECKS: Mapping[str, Callable[[str], Iterator[Problem]]] = {
    "image": _image,
    "port": _port,
    "gateway": _gateway,
    "health": _health,
    "volume": _volume,
}


def hosts(asked: Sequence[str], name: str, domains: Sequence[str]) -> tuple[str, ...]:
    """Return a host for every stack: the given one, else one with the label of the first given host."""
    given = {domain: host for host in asked if (domain := _domain(host, domains))}
    first = next(iter(given.items()), None)
    label = first[1].removesuffix(f".{first[0]}") if first else name
    return tuple(given.get(domain, f"{label}.{domain}") for domain in domains)


def _domain(host: str, domains: Sequence[str]) -> str:
    """Return the stack's domain that a host lies one label below; wildcard certificates reach no deeper."""
    label, _, domain = host.partition(".")
    return domain if LABEL.match(label) and domain in domains else ""


def _hosts(asked: Sequence[str], app: str, checkout: Checkout) -> Iterator[Problem]:
    for host in asked:
        if not _domain(host, checkout.domains):
            label = host.partition(".")[0].lower()
            fix = f"write it as {label if LABEL.match(label) else '<app>'}.{checkout.domains[0]}"
            rule = f"is not one label below a stack's network.domain ({', '.join(checkout.domains)})"
            yield _refused("--host", host, rule, fix, "host-foreign")
    for domain in checkout.domains:
        if len(same := [host for host in asked if _domain(host, checkout.domains) == domain]) > 1:
            rule = f"are several names below {domain}, and an app has one for each domain"
            yield _refused("--host", ", ".join(same), rule, "give one of them", "flag-twice")
    taken = dict(taken_hosts(checkout.root))
    wanted = [host for host in hosts(asked, app.rpartition("/")[2], checkout.domains) if host in taken]
    for owner in dict.fromkeys(map(taken.__getitem__, wanted)):
        if owner != f"{APPS}/{app}":
            theirs = ", ".join(host for host in wanted if taken[host] == owner)
            yield _refused("--host", theirs, f"belongs to {owner} already", "give each its own host", "host-twice")


def taken_hosts(root: Path) -> Iterator[tuple[str, str]]:
    """Yield every host of a route with its folder; routes that charts make are left to `check`."""
    for folder in (APPS, ENVIRONMENTS):
        for path in sorted((root / folder).rglob("*.yaml")):
            if b"hostnames:" not in path.read_bytes():
                continue
            for document in read(path, str(path.relative_to(root))).documents:
                spec = document.value.get("spec") if isinstance(document.value, dict) else None
                for host in (spec.get("hostnames") if isinstance(spec, dict) else None) or ():
                    yield str(host), "/".join(path.relative_to(root).parts[: 4 if folder == ENVIRONMENTS else 3])
