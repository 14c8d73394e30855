"""All rules of rendered objects: findings become problems with a file and a line.

A stack's objects come in, problems go out. A rule is one generator with `@rule` in a module of this package, and one
scenario in `tests/manifests/rules`; importing this module registers them all. `ops.checking.validation` continues.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from config.rules import rules_of
from errors import Problem
from manifests.rules import (  # noqa: F401 - each import registers the module's rules
    access,
    base_pins,
    chart_values,
    conformance,
    entries,
    generators,
    network,
    orphans,
    ownership,
    references,
    render_paths,
    routes,
    security,
    setting_values,
    signatures,
    storage,
    wiring,
    workloads,
)
from manifests.rules.locate import Locator
from manifests.rules.stack_objects import ObjectFinding, StackObjects

Found: TypeAlias = ObjectFinding | Problem


def check(locator: Locator, stacks: Iterable[StackObjects]) -> list[Problem]:
    """Run every rule on every stack."""
    return problems(locator, (found for objects in stacks for found in findings(objects)))


def findings(objects: StackObjects) -> Iterator[Found]:
    """Run every rule on one stack."""
    return (found for run in rules_of("app", "stack") for found in run(objects))


def problems(locator: Locator, found: Iterable[Found]) -> list[Problem]:
    """Return findings with their places, each once, without those that their object accepts with a reason."""
    known = {one if isinstance(one, Problem) else locator.problem(one) for one in found if not _is_accepted(one)}
    return sorted(known)


def _is_accepted(found: Found) -> bool:
    return not isinstance(found, Problem) and bool(str(found.obj.accepted.get(found.check, "")).strip())
