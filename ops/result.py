"""The result of a verb: data for machines, text for people, an exit code.

Every verb's `run` returns one; `ops.__main__` prints the text, or with `--json` the data, and exits with the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from errors import ExitCode


@dataclass(frozen=True)
class Result:
    """The outcome of one verb."""

    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    good: bool = True
    """Whether everything that the verb reports is as it must be."""
    changes: bool = False
    """Whether a drift report has found changes, and nothing failed."""

    @property
    def code(self) -> ExitCode:
        """The exit code."""
        if not self.good:
            return ExitCode.NOT_GOOD
        return ExitCode.CHANGES if self.changes else ExitCode.DONE

    def as_dict(self) -> dict[str, Any]:
        """Return the data for machines."""
        return dict(self.data)
