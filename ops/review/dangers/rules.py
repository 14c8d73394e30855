"""The register of dangers: each id with its reason, its subject and the function that reports it.

`@rule` registers a generator of dangers. A function that reports several ids has one decorator for each of them.
docs/reference/dangers.md is made from the register, and `ops.review.dangers.register` runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar

from ops.review.report import Danger

Reads: TypeAlias = Literal["object", "settings", "category", "version", "plan", "change", "verdict"]
SUBJECTS: Mapping[Reads, str] = MappingProxyType(
    {
        "object": "one object of an app, before and after",
        "settings": "the settings of one stack, before and after",
        "category": "one category.yaml, before and after",
        "version": "one image, chart or remote base that moved",
        "plan": "the engine's preview of one stack",
        "change": "the whole change",
        "verdict": "the answer of an API server to a dry run",
    }
)
Function = TypeVar("Function", bound=Callable[..., Iterator[Danger]])


@dataclass(frozen=True)
class DangerRule:
    """One id, its reason, its subject, and the function that reports it."""

    id: str
    why: str
    reads: Reads
    function: Callable[..., Iterator[Danger]]


_REGISTER: dict[str, DangerRule] = {}
REGISTER: Mapping[str, DangerRule] = MappingProxyType(_REGISTER)
"""Every rule of the modules that are imported."""


def rule(name: str, *, reads: Reads, why: str) -> Callable[[Function], Function]:
    """Register a function as the one that reports a danger."""

    def register(function: Function) -> Function:
        if name in _REGISTER:
            raise ValueError(f"the danger {name} is registered twice")
        _REGISTER[name] = DangerRule(name, why, reads, function)
        return function

    return register


def rules_of(reads: Reads) -> Iterator[Callable[[Any], Iterator[Danger]]]:
    """Yield each registered function of a subject once, in the order of their registration."""
    yield from dict.fromkeys(one.function for one in _REGISTER.values() if one.reads == reads)
