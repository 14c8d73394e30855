"""Lines of the tree that repeat a setting: each has a mark, and its value is compared.

A line of `apps/` or `environments/` that ends with `# = network.loadBalancerRange` has the value of that setting, or
with `# = tunnel.{network.domain}` a text around it. The files and the settings of a stack come in; each line that
differs goes out, and each line of the base that an overlay leaves with the value of another environment.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from config.load import Stack
from config.model import NetworkSettings
from config.rules import rule
from config.tree import MANIFESTS
from errors import Problem
from manifests.checkout import CheckoutReader
from manifests.contents import Contents
from manifests.rules.stack_objects import AppFolder, StackObjects

MARK = re.compile(r"^(?P<before>.*\S)\s+# = (?P<mark>\S.*?)\s*$", re.MULTILINE)
WITHIN = r"(?:[\w-]+\.)*"  # a host below a domain
KEY = re.compile(r"""^(?:"[^"]*"|'[^']*'|[^\s:]+):\s+""")
SETTING = re.compile(r"\{([\w.]+)\}")


@dataclass(frozen=True)
class Mark:
    """One marked line."""

    file: str
    line: int
    value: str
    setting: str


@rule("mark-differs", scope="app", why="Settings and tree would contradict each other.")
@rule("mark-missing", scope="app", why="The environment would run with another one's value.")
@rule("mark-unknown", scope="app", why="A mark that names no setting compares nothing.")
def compared(objects: StackObjects) -> Iterator[Problem]:
    """Compare the marks of each app, as a stack runs it, with the stack's settings."""
    for folder in objects.folders:
        yield from _compared(folder)


def _compared(folder: AppFolder) -> Iterator[Problem]:
    reader, stack, app = folder.reader, folder.stack, folder.app
    own: list[Mark] = []
    below: list[Mark] = []
    for file in _used(reader, folder.contents):
        if file.startswith((f"{app.path}/", f"{folder.base.path}/")):
            (own if file.startswith(f"{app.path}/") else below).extend(marks(reader, file))
    for mark in own:
        try:
            value = stated(stack, mark.setting)
        except LookupError as error:
            yield _problem(mark, str(error), "name a key of docs/reference/settings.md", "mark-unknown")
            continue
        if value != mark.value:
            yield _problem(mark, f"is {value} in {stack.places.file}", "write the same value in both", "mark-differs")
    again = {mark.setting for mark in own}
    for mark in below:
        try:
            value = stated(stack, mark.setting)
        except LookupError:
            continue  # another environment's matter: the base is compared where it runs
        if mark.setting not in again and value != mark.value:
            rule = f"stays {mark.value} of {mark.file}:{mark.line}, and {stack.places.file} has {value}"
            fix = "patch it here, with the same mark beside it"
            yield Problem(app.path, 0, mark.setting, "", rule, fix, "mark-missing")


@rule(
    "mark-forgotten",
    scope="app",
    why="The setting would change and the line would keep the old value, without a message.",
)
def forgotten(objects: StackObjects) -> Iterator[Problem]:
    """Report lines that hold a setting's value without a mark; hosts of routes have rules of their own."""
    for folder in objects.folders:
        yield from _forgotten(folder.reader, folder.stack, objects.domains, folder.contents)


def _forgotten(reader: CheckoutReader, stack: Stack, domains: Sequence[str], contents: Contents) -> Iterator[Problem]:
    known = {f"network.{key}": str(value) for key, value in _telling(stack.require().network) if value is not None}
    for file in _used(reader, contents):
        text = reader.text(file)
        present = {key: value for key, value in known.items() if value in text}
        if "hostnames:" in text or all(domain in text for domain in domains):
            present.pop("network.domain", None)
        if not present:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for key, value in present.items():
                if _holds(line, key, value):
                    whole = _value(line.partition(" #")[0])
                    setting = key if whole == value else whole.replace(value, f"{{{key}}}")
                    rule, fix = f"is {key} of {stack.places.file}, and nothing compares the two", f"add: # = {setting}"
                    yield Problem(file, number, key, value, rule, fix, "mark-forgotten")


def _holds(line: str, key: str, value: str) -> bool:
    """Report whether a line without a mark has a value as a whole, or a host below a domain."""
    if MARK.match(line) or line.lstrip().startswith("#"):
        return False
    within = WITHIN if key == "network.domain" else ""
    return bool(re.search(rf"(?<![\w.-]){within}{re.escape(value)}(?![\w.-])", line.partition(" #")[0]))


def _telling(network: NetworkSettings) -> Iterator[tuple[str, object]]:
    """Yield the settings whose values are too specific to occur by accident."""
    yield "domain", network.domain
    yield "loadBalancerRange", network.load_balancer_range
    yield "subnet", network.subnet
    yield "podCidr", network.pod_cidr
    yield "serviceCidr", network.service_cidr
    yield "vip", network.vip
    yield from ((f"loadBalancers.{name}", address) for name, address in network.load_balancers)


def marks(reader: CheckoutReader, file: str) -> Iterator[Mark]:
    """Read the marks of a file."""
    text = reader.text(file)
    if "# = " not in text:
        return
    for found in MARK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Mark(file, line, _value(found["before"]), found["mark"])


def _used(reader: CheckoutReader, contents: Contents) -> Iterator[str]:
    """Yield the manifests in use; an unused component has no effect on any stack."""
    for file in contents.files:
        folder = posixpath.dirname(file)
        while folder and folder not in contents.kustomizations and reader.kustomization(folder) is None:
            folder = posixpath.dirname(folder)
        if file.endswith(MANIFESTS) and (not folder or folder in contents.kustomizations):
            yield file


def _value(text: str) -> str:
    """Return the scalar of a line: after dashes and a key, without quotes."""
    text = KEY.sub("", re.sub(r"^\s*(?:-\s+)*", "", text)).strip()
    return text[1:-1] if text[:1] in "\"'" and text[-1:] == text[:1] else text


def stated(stack: Stack, setting: str) -> str:
    """Return the value of a mark in a stack's settings."""
    if "{" not in setting:
        return _setting(stack, setting)
    return SETTING.sub(lambda found: _setting(stack, found[1]), setting)


def _setting(stack: Stack, path: str) -> str:
    value: Any = stack.settings
    for part in path.split("."):
        fields = type(value).model_fields if isinstance(value, BaseModel) else {}
        name = next((name for name, field in fields.items() if part in (field.alias, name)), None)
        value = getattr(value, name) if name else None
        if value is None:
            raise LookupError(f"is no setting of {stack.places.file}, or not set there")
    if isinstance(value, (BaseModel, tuple, dict)):
        raise LookupError(f"is more than one value in {stack.places.file}")  # noqa: TRY004 - the key is wrong, not a type
    return str(value)


def _problem(mark: Mark, rule: str, fix: str, check: str) -> Problem:
    return Problem(mark.file, mark.line, mark.setting, mark.value, rule, fix, check)
