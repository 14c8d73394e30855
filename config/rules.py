"""The register of checks: each id with its reason, its scopes and the functions that report it.

`@rule` registers a check, on a function that reports it, or that calls such a function, also through others.
docs/reference/checks.md is made from the register, `config.checks` and `manifests.rules.register` run the rules of
their scopes, and `check --changed-since` reads in it which problems a change elsewhere can cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar

Scope: TypeAlias = Literal["file", "settings", "stacks", "tree", "app", "stack", "program"]
SCOPES: Mapping[Scope, str] = MappingProxyType(
    {
        "file": "one file alone, when it is read",
        "settings": "the settings of one stack, with the tree",
        "stacks": "the settings of several stacks with the tree, or of two versions of one",
        "tree": "the folders of `apps/`",
        "app": "the files of one app and the settings",
        "stack": "all objects of one stack",
        "program": "another program or a server",
    }
)
# A change elsewhere cannot cause these, so `check --changed-since` reports them of changed apps only.
LOCAL: tuple[Scope, ...] = ("file", "app")

Acceptance: TypeAlias = Literal["object", "kustomization"]

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class Check:
    """One id, its reason, and each function that reports it, with its scope.

    `accepted_by` is the file or object whose annotation can accept a finding, None if no annotation can.
    """

    id: str
    why: str = ""
    functions: list[tuple[Callable[..., Any], Scope]] = field(default_factory=list)
    accepted_by: Acceptance | None = None

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Return the scopes in which it is reported, in the order of `SCOPES`."""
        found = {scope for _, scope in self.functions}
        return tuple(scope for scope in SCOPES if scope in found)

    @property
    def is_local(self) -> bool:
        """Return whether an app's own files and the settings decide it, independent of all other apps."""
        return set(self.scopes) <= set(LOCAL)

    def is_of(self, package: str) -> bool:
        """Return whether a function of a package reports it."""
        return any(f"{function.__module__}.".startswith(f"{package}.") for function, _ in self.functions)


_REGISTER: dict[str, Check] = {}
REGISTER: Mapping[str, Check] = MappingProxyType(_REGISTER)
"""Every check of the modules that are imported."""


def rule(
    check: str, *, scope: Scope, why: str = "", accepted_by: Acceptance | None = None
) -> Callable[[Function], Function]:
    """Register a function as one that reports a check; one of a check's functions gives the reason.

    An object's annotation can accept a finding in it: `manifests.rules.register` reads it for each `ObjectFinding`.
    mypy holds a function to its return type, so the register reads there which checks these are; a function that
    reads another annotation itself states that with `accepted_by`.
    """

    def register(function: Function) -> Function:
        known = _REGISTER.setdefault(check, Check(check))
        if why and known.why:
            raise ValueError(f"{check} has two reasons: {known.why!r} and {why!r}")
        if scope not in SCOPES:
            raise ValueError(f"{check} has the unknown scope {scope}; the scopes are {', '.join(SCOPES)}")
        known.why = known.why or why
        known.functions.append((function, scope))
        known.accepted_by = known.accepted_by or accepted_by
        if "ObjectFinding" in str(function.__annotations__.get("return")):
            known.accepted_by = "object"
        return function

    return register


def rules_of(*scopes: Scope) -> Iterator[Callable[..., Any]]:
    """Yield each registered function of some scopes once, in the order of their registration."""
    found = [function for check in _REGISTER.values() for function, scope in check.functions if scope in scopes]
    yield from dict.fromkeys(found)
