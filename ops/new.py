"""Write a new app like the others of the tree: it passes the checks, and its folder is all that Argo CD needs.

`ops.scaffold` makes the texts; this module checks the options first. It reports all problems at once and writes nothing
then. A host is a label: the settings of each environment complete it with the domain of the stack.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.app_settings import DOMAIN
from config.explain import nearest
from config.load import read_stack
from config.rules import rule
from config.source import read
from config.startpage import PAGE
from config.tree import APPS, BASE, LONGEST_NAME, SETTINGS, Tree, read_tree
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
PORTS = range(1024, 65536)
GATEWAYS = ("internal", "public")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("app", metavar="CATEGORY/APP", help="the folder below apps/, such as media/jellyseerr")
    for name, value, required, text in (
        ("image", "IMAGE:TAG", True, "the image, with a whole version or a digest"),
        ("port", "PORT", True, "the port that it listens on, 1024 or higher"),
        ("gateway", "NAME", False, f"the gateway, one of {', '.join(GATEWAYS)} (default: {GATEWAYS[0]})"),
        ("health", "PATH", False, "the HTTP path of its health check (default: a connection to the port)"),
        ("volume", "PATH:SIZE", False, "a volume, such as /config:5Gi; backed up every night"),
        ("host", "NAME", False, "its host name, with or without the domain of a stack (default: the name of the app)"),
        ("environment", "NAME", False, "an environment that runs it, may be repeated (default: all)"),
        ("secret", "NAME", False, "an environment variable from the secret store, may be repeated"),
    ):
        # Every flag collects its values, so that a repeated one is reported together with all other problems.
        parser.add_argument(f"--{name}", action="append", default=[], required=required, metavar=value, help=text)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> Result:
    """Refuse with all problems, or write the folder and report the next steps."""
    root: Path = options.root
    checkout = Checkout(root, read_tree(root), _domains(chosen_files(root)))
    if problems := sorted(set(refusals(options, checkout))):
        raise TreeRefused(problems)
    category, _, name = options.app.partition("/")
    folder = next(one for one in checkout.tree.categories if one.name == category)
    one = {flag: values[0] for flag in ONCE if (values := getattr(options, flag))}
    volume = None
    if "volume" in one:
        path, _, size = one["volume"].rpartition(":")
        volume = Volume(path, size, backup_time(name, _backup_times(root)))
    app = NewApp(
        name=name,
        namespace=folder.namespaces[0],
        image=one["image"],
        port=int(one["port"]),
        host=label_of(one.get("host", name), checkout.domains),
        gateway=one.get("gateway", GATEWAYS[0]),
        environments=tuple(dict.fromkeys(options.environment)) or checkout.tree.environments,
        health=one.get("health", ""),
        volume=volume,
        secrets=tuple(dict.fromkeys(options.secret)),
    )
    lines = _write(root, category, app)
    about = {"folder": f"{APPS}/{category}/{name}", "host": app.host, "environments": app.environments}
    return Result("\n".join(lines), about)


def _domains(paths: Iterable[Path]) -> tuple[str, ...]:
    """Return every stack's domain."""
    found = [read_stack(path).require() for path in paths]
    return tuple(dict.fromkeys(one.network.domain for one in found))


def _backup_times(root: Path) -> set[str]:
    """Return the times at which volumes of the tree are backed up."""
    files = (*root.glob(f"{APPS}/**/volume.yaml"), *root.glob(f"{APPS}/**/backup.yaml"))
    return {time for file in files for time in BACKED_UP.findall(file.read_text(encoding="utf-8"))}


def _write(root: Path, category: str, app: NewApp) -> list[str]:
    """Write the app's folder and the line of the start page; return lines that report it."""
    folder, written = f"{APPS}/{category}/{app.name}", files(app)
    for file, text in written.items():
        (root / folder / file).parent.mkdir(parents=True, exist_ok=True)
        (root / folder / file).write_text(text, encoding="utf-8")
    page = root / PAGE
    text = listed(page.read_text(encoding="utf-8"), category, app) if page.is_file() else ""
    if text:
        page.write_text(text, encoding="utf-8")
    if problems := [one for one in read_tree(root).problems if f"{one.file}/".startswith(f"{folder}/")]:
        raise Bug(f"wrote an app that is not accepted: {'; '.join(map(str, problems))}")
    lines = [f"wrote {folder}: {', '.join(written)}"]
    if page.is_file():
        lines.append(
            f"added it to {PAGE}" if text else f"next: add it to {PAGE}, whose form this command does not know"
        )
    lines.append(f"its host name: {app.host}.<domain of the stack> (gateway {app.gateway})")
    lines.append(
        f"it runs as user 1000, without privileges, with {MEMORY_LIMIT} of memory at most: see {BASE}/deployment.yaml"
    )
    if app.secrets:
        lines.append(f"next: put {', '.join(map(app.key, app.secrets))} into the secret store")
    return [
        *lines,
        "next: ./homelab check, commit, push: Argo CD finds its folders without `up` (docs/how-to/add-an-app.md)",
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
    yield from _named(options.app, checkout)
    for flag in ONCE:
        if len(values := getattr(options, flag)) > 1:
            yield _refused(f"--{flag}", ", ".join(values), "is given more than once", "give it once", "flag-twice")
    for flag, check in CHECKS.items():
        for value in getattr(options, flag):
            yield from check(value)
    yield from _hosts(options.host, options.app, checkout)
    yield from _environments(options.environment, checkout.tree.environments)
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
    taken = {one.full_name: one.folder for one in checkout.tree.apps}
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
ONCE = (*CHECKS, "host")


def label_of(host: str, domains: Collection[str]) -> str:
    """Return the label of a host that is a label, or lies right below a domain; certificates reach no deeper."""
    label, dot, domain = host.partition(".")
    return label if LABEL.match(label) and (not dot or domain in domains) else ""


def _hosts(asked: Sequence[str], app: str, checkout: Checkout) -> Iterator[Problem]:
    domains = checkout.domains
    for host in asked:
        if not label_of(host, domains):
            label = host.partition(".")[0].lower()
            fix = f"write it as {label if LABEL.match(label) else 'jellyseerr'}"
            broken = f"is neither a DNS label nor one below a stack's network.domain ({', '.join(domains)})"
            yield _refused("--host", host, broken, fix, "host-foreign")
    taken = dict(taken_hosts(checkout.root, domains))
    for label in dict.fromkeys(label_of(host, domains) for host in asked or [app.rpartition("/")[2]]):
        if (owner := taken.get(label, f"{APPS}/{app}")) != f"{APPS}/{app}":
            yield _refused("--host", label, f"belongs to {owner} already", "give each its own host", "host-twice")


def taken_hosts(root: Path, domains: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the label of every host of a route with its app's folder; routes that charts make are left to `check`."""
    for path in sorted((root / APPS).rglob("*.yaml")):
        if b"hostnames:" not in path.read_bytes():
            continue
        file = path.relative_to(root)
        for document in read(path, str(file)).documents:
            spec = document.value.get("spec") if isinstance(document.value, dict) else None
            for host in (spec.get("hostnames") if isinstance(spec, dict) else None) or ():
                if label := label_of(str(host), (DOMAIN, *domains)):
                    yield label, "/".join(file.parts[:3])


def _environments(asked: Sequence[str], known: Sequence[str]) -> Iterator[Problem]:
    folder = f"{APPS}/{SETTINGS}"
    if not known:
        fix = "./homelab settings writes those of every stack"
        yield _refused("--environment", "", f"has no choice: {folder} has no environment", fix, "environment-unknown")
        return
    for name in dict.fromkeys(asked):
        if name not in known:
            fix = nearest(name, known, f"the environments are {', '.join(known)}")
            yield _refused("--environment", name, f"has no folder in {folder}", fix, "environment-unknown")
