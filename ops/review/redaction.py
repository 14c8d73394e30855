"""A report without secrets in its other texts: names, messages, subjects of commits.

A report comes in, a copy goes out. Differences are redacted object by object before they become part of a report
(`manifests.comparison.difference`), and are left as they are. A token in the name of a file is in Git for every reader,
but the report is a comment that is sent to many more.
"""

from __future__ import annotations

from typing import Any, TypeVar

from config import secret_patterns
from ops.review.report import Part, Report

DONE = ("difference",)
Kind = TypeVar("Kind", bound=Part)


def without_secrets(report: Report) -> Report:
    """Return a report in which each text is covered that looks like a credential beyond doubt."""
    return _part(report)


def _part(part: Kind) -> Kind:
    found = {name: _covered(value) for name, value in part if name not in DONE}
    changed = {name: value for name, value in found.items() if value is not getattr(part, name)}
    return part.model_copy(update=changed) if changed else part


def _covered(value: Any) -> Any:
    """Return a value itself where nothing in it is secret."""
    if isinstance(value, str):
        shown = secret_patterns.hide(value, lambda secret: "(redacted)", in_doubt=False)
        return value if shown == value else shown
    if isinstance(value, Part):
        return _part(value)
    if isinstance(value, tuple):
        items = tuple(map(_covered, value))
        return value if all(one is other for one, other in zip(items, value, strict=True)) else items
    return value
