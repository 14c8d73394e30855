"""Every error of the project, as one tree split by the reader's next step.

    HomelabError
    ├── Refused                 the input is not acceptable: a list of problems, each with its place
    │   ├── SettingsRefused     fix the stack file
    │   └── TreeRefused         fix a file under apps/ or environments/
    ├── MachineNotReady         fix this machine: something is missing or too old
    │   ├── ProgramMissing      an external program is not on the PATH
    │   ├── BuildFailed         a pinned tool did not compile
    │   └── DownloadRefused     a release of a pinned tool is not the file that was pinned
    ├── TryAgain                nothing is broken for good: run the same command again
    │   ├── ProgramFailed       an external program failed
    │   ├── HardwareRefused     Proxmox or a node refused a request; in a rehearsal, the rack did
    │   ├── RunFailed           a run of the engine failed; the next one continues from there
    │   ├── ApiFailed           the Kubernetes API refused a request, or did not answer
    │   ├── DownloadFailed      a release of a pinned tool did not arrive
    │   └── TookTooLong         a timeout expired
    ├── Declined                the command protects something, and its message explains how to proceed
    ├── OriginalRefused         a fetched chart or remote base is refused
    │   └── OriginalChanged     it differs from the first one that was fetched
    └── Bug                     a mistake of this project: report it

Everything below `HomelabError` reaches the operator as its text alone, without a traceback and with exit code 1; the
verbs of `ops/` and `__main__.py` are the two places that turn it into that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

# Characters that move a terminal's cursor, or reverse the direction of the text after them.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def printable(text: str) -> str:
    """Return a text with control characters as escapes: a name in a checkout must not control a terminal."""
    return UNSEEN.sub(lambda found: "\\n" if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


@dataclass(frozen=True, order=True)
class Problem:
    """One problem in a file that a person wrote."""

    file: str
    line: int
    key: str
    value: str
    rule: str
    fix: str
    check: str

    def __str__(self) -> str:
        """Return it as one line: place, value, rule, fix."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        subject = " = ".join(part for part in (self.key, self.value) if part)
        return printable(f"{place}: {subject}{': ' if subject else ''}{self.rule}; {self.fix} [{self.check}]")

    def as_dict(self) -> dict[str, str | int]:
        """Return the same parts for machines."""
        return asdict(self)


class HomelabError(Exception):
    """An error that the operator can read and act upon."""

    def as_dict(self) -> dict[str, Any]:
        """Return the text for machines."""
        return {"error": str(self)}


class Refused(HomelabError):
    """The input is not acceptable; all problems are reported at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Store the problems in the order of their places."""
        self.problems: Sequence[Problem] = sorted(problems)
        count = len(self.problems)
        listing = "\n".join(str(problem) for problem in self.problems)
        super().__init__(f"{listing}\n{count} {'problem' if count == 1 else 'problems'}")

    def as_dict(self) -> dict[str, Any]:
        """Return every problem in its parts, as `check` does."""
        return {"problems": [problem.as_dict() for problem in self.problems]}


class SettingsRefused(Refused):
    """The stack file must be changed."""


class TreeRefused(Refused):
    """A file under apps/ or environments/ must be changed."""


class MachineNotReady(HomelabError):
    """Something on this machine is missing or too old."""


class ProgramMissing(MachineNotReady):
    """An external program is not on the PATH."""


class BuildFailed(MachineNotReady):
    """A pinned tool did not compile."""


class DownloadRefused(MachineNotReady):
    """A release of a pinned tool is not the file that was pinned."""


class TryAgain(HomelabError):
    """A temporary failure."""


class ProgramFailed(TryAgain):
    """An external program failed."""

    def __init__(self, message: str, *, exit_code: int, output: str) -> None:
        """Store the program's output for callers that interpret it."""
        self.exit_code = exit_code
        self.output = output
        super().__init__(message)


class HardwareRefused(TryAgain):
    """Proxmox or a node refused a request."""


class RunFailed(TryAgain):
    """A run of the engine failed."""


class ApiFailed(TryAgain):
    """The Kubernetes API refused a request, or did not answer."""

    def __init__(self, message: str, *, code: int) -> None:
        """Store the status for callers that interpret it; 0 means no answer."""
        self.code = code
        super().__init__(message)


class DownloadFailed(TryAgain):
    """A release of a pinned tool did not arrive."""


class TookTooLong(TryAgain):
    """A timeout expired."""


class Declined(HomelabError):
    """The command protects something, and its message explains how to proceed."""


class OriginalRefused(HomelabError):
    """A fetched chart or remote base is refused."""

    def __init__(self, rule: str, fix: str) -> None:
        """Store both for a problem that adds the place."""
        self.rule = rule
        self.fix = fix
        super().__init__(f"{rule}; {fix}")


class OriginalChanged(OriginalRefused):
    """A chart or remote base differs from the first one that was fetched."""


class Bug(HomelabError):
    """A mistake of this project."""
