"""All dangers of a change: every rule on every subject, the same danger of several stacks once.

A `Context` comes in, the dangers of a report go out. Importing this module registers all rules. A new rule is a
generator with `@rule` in a module of this package, and a scenario in tests/ops/review/dangers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ops.review.dangers import (  # noqa: F401 - each import registers the module's rules
    categories,
    gates,
    immutable,
    machines,
    network,
    plans,
    removals,
    rights,
    routes,
    secrets,
    settings,
    verdicts,
    versions,
    workloads,
)
from ops.review.dangers.context import Context
from ops.review.dangers.rules import REGISTER, SUBJECTS, Reads, rules_of
from ops.review.dangers.texts import place_of, reason_of
from ops.review.report import Danger, joined

PATH = "docs/reference/dangers.md"


def dangers(context: Context) -> tuple[Danger, ...]:
    """Return each danger once, with all stacks that it concerns, in the order of the register."""
    order = list(REGISTER)
    found = joined((_covered(danger), danger.stacks) for danger in _found(context))
    return tuple(sorted(found, key=lambda one: (order.index(one.rule), one.where, one.reason, one.stacks)))


def _covered(danger: Danger) -> Danger:
    return danger.model_copy(update={"where": place_of(danger.where), "reason": reason_of(danger.reason)})


def _found(context: Context) -> Iterator[Danger]:
    for version in context.versions:
        yield from (one for run in rules_of("version") for one in run(version))
    for plan in context.infrastructure:
        yield from (one for run in rules_of("plan") for one in run(plan))
    yield from (one for run in rules_of("change") for one in run(context))
    subjects: tuple[tuple[Reads, Iterable[tuple[str, Any]]], ...] = (
        ("object", context.objects),
        ("settings", context.settings),
        ("category", context.categories),
    )
    for reads, found in subjects:
        for stack, subject in found:
            yield from (one.model_copy(update={"stacks": (stack,)}) for run in rules_of(reads) for one in run(subject))


def page() -> str:
    """Return the page of every danger with its subject and its reason."""
    lines = [
        "# Dangers",
        "",
        "Made from the register of `ops/review/dangers/` by `./homelab test --update`. `./homelab preview` reports",
        "each of them with its place, its reason and its stacks; one of them makes the verdict `dangerous`. A danger",
        "is **certain**, **guessed** from a table of this project, or **judged by the API server** in a dry run.",
        "",
        *(f"* **{subject}**: {meaning}" for subject, meaning in SUBJECTS.items()),
        "",
        "| id | read from | why |",
        "| --- | --- | --- |",
        *(f"| {name} | {one.reads} | {one.why} |" for name, one in sorted(REGISTER.items())),
    ]
    return "\n".join(lines) + "\n"
