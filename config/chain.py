"""The chain of environments, in the order in which they get a change: `apps/environments.yaml`.

A checkout comes in; the chain with its soak times, and the file's problems, go out. Without the file there is no chain:
every environment follows its branch. `ops.promotion` moves changes along it, `ops.versions` shows how far they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from config.explain import Places, explain, nearest
from config.rules import rule
from config.section import Section
from config.source import alone, parse, read
from config.tree import APPS, CHAIN_FILE, App, Tree
from config.values import Duration, Environment, Span, Text
from errors import Problem

FILE = f"{APPS}/{CHAIN_FILE}"
# A soak of the first environment, and of the others.
FIRST_SOAK, LATER_SOAK = Duration(3600), Duration(4 * 3600)


class EnvironmentChain(Section):
    """The content of apps/environments.yaml."""

    chain: tuple[Environment, ...] = Field(
        min_length=1, description="the environments in order: the first follows the branch, each later one its pins"
    )
    soak: dict[Environment, Span] = Field(
        default_factory=dict,
        description="the time that a version must be Healthy in an environment before the next one takes it"
        " (default: 1h in the first, 4h in others)",
    )
    app_soak: dict[Text, dict[Environment, Span]] = Field(
        default_factory=dict, description="other times of single apps, by category/app and environment"
    )


@dataclass(frozen=True)
class Chain:
    """The environments in order; empty where none is declared."""

    declared: EnvironmentChain | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def environments(self) -> tuple[str, ...]:
        """Return the environments in order."""
        return self.declared.chain if self.declared else ()

    def before(self, environment: str) -> str:
        """Return the environment that this one takes changes from; nothing for the first."""
        index = self.environments.index(environment) if environment in self.environments else 0
        return self.environments[index - 1] if index else ""

    def is_last(self, environment: str) -> bool:
        """Return whether an environment is the last one, and takes changes from another."""
        return bool(self.before(environment)) and self.environments[-1] == environment

    def soak_of(self, environment: str, label: str = "") -> Duration:
        """Return the soak of an environment, or of one app there."""
        if self.declared is None:
            return FIRST_SOAK
        is_first = self.environments[:1] == (environment,)
        whole = self.declared.soak.get(environment, FIRST_SOAK if is_first else LATER_SOAK)
        return self.declared.app_soak.get(label, {}).get(environment, whole)


@rule("chain-repeats", scope="tree", why="A promotion goes from one environment to the next, and never back.")
@rule("environment-unknown", scope="tree")
@rule(
    "pin-in-first", scope="tree", why="The first environment shows what the branch does: a pinned app would be stale."
)
def read_chain(root: Path, tree: Tree) -> Chain:
    """Read the chain of a checkout and compare it with the tree."""
    if not (root / FILE).is_file():
        return Chain()
    source = read(root / FILE, FILE)
    problems = [*source.problems, *alone(source)]
    places = Places(FILE, source.first)
    if source.problems or not source.documents:
        if not source.problems:
            problems.append(
                Problem(FILE, 0, "", "", "is empty", "begin with `chain: [...]`, or delete it", "file-empty")
            )
        return Chain(None, tuple(problems))
    try:
        declared = EnvironmentChain.model_validate(source.first.value)
    except ValidationError as error:
        return Chain(None, (*problems, *explain(error, EnvironmentChain, places)))
    problems += _unknown(declared, places, tree)
    chain = Chain(declared)
    problems += [pinned for app in tree.apps_in(chain.environments[0]) if (pinned := _pinned_first(app))]
    return Chain(declared, tuple(problems))


def _pinned_first(app: App) -> Problem | None:
    if not app.revision and not app.hold:
        return None
    rule, fix = f"pins an app of {app.environment}, the first of the chain", "remove both annotations"
    return Problem(app.file, 0, "homelab.dev/revision", app.revision, rule, fix, "pin-in-first")


def _unknown(declared: EnvironmentChain, places: Places, tree: Tree) -> list[Problem]:
    """Return names of environments and apps that do not exist, and those that are twice in the chain."""
    problems = []
    chain = declared.chain

    def unknown(path: tuple[str | int, ...], name: str, known: Sequence[str], rule: str) -> None:
        fix = nearest(name, known, f"choose one of {', '.join(known)}")
        problems.append(places.problem("environment-unknown", path, name, rule, fix))

    for index, name in enumerate(chain):
        if name in chain[:index]:
            rule, fix = "is in the chain twice", "remove one of the two"
            problems.append(places.problem("chain-repeats", ("chain", index), name, rule, fix))
        elif name not in tree.environments:
            unknown(("chain", index), name, tree.environments, f"has no folder in {APPS}/_settings")
    soaks = [(("soak",), declared.soak), *((("appSoak", app), one) for app, one in declared.app_soak.items())]
    for path, times in soaks:
        for name in times:
            if name not in chain:
                unknown((*path, name), name, chain, "is no environment of the chain")
    labels = sorted({app.label for app in tree.apps})
    for label in declared.app_soak:
        if label not in labels:
            fix = nearest(label, labels, "write category/app")
            problems.append(places.problem("environment-unknown", ("appSoak", label), label, "is no app", fix))
    return problems


def with_environment(text: str, like: str, environment: str, gone: Sequence[str]) -> str | None:
    """Return the file with one more environment, behind the one that it copies, and without others.

    None where the result would have another meaning: only lists and maps on one line are edited.
    """
    before = parse(text.encode(), FILE).first.value
    chain = names_with(before["chain"], like, environment, gone)
    after = {**before, "chain": chain}
    lines = [_line(line, "chain", f"[{', '.join(chain)}]") for line in text.splitlines(keepends=True)]
    if "soak" in before:
        times = {name: time for name, time in before["soak"].items() if name not in gone}
        after["soak"] = times
        lines = [_line(line, "soak", f"{{{', '.join(f'{a}: {b}' for a, b in times.items())}}}") for line in lines]
    result = "".join(lines)
    return result if parse(result.encode(), FILE).first.value == after else None


def names_with(names: Sequence[str], like: str, environment: str, gone: Sequence[str]) -> list[str]:
    """Return the names of a chain with one more, behind the one that it copies, and without others."""
    chain = list(names)
    if environment not in chain and like in chain:
        chain.insert(chain.index(like) + 1, environment)
    return [name for name in chain if name not in gone] or [environment]


def _line(line: str, key: str, value: str) -> str:
    return re.sub(rf"^{key}: (?:\[[^\[\]]*\]|\{{[^{{}}]*\}})(?=\s*(?:#|$))", lambda _: f"{key}: {value}", line)
