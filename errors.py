"""Every error of the project, as one tree split by the reader's next step.

    HomelabError
    ├── Refused                 files are not acceptable: a list of problems, each with file and line
    │   ├── SettingsRefused     fix the stack file
    │   └── TreeRefused         fix a file under apps/
    ├── MachineNotReady         fix this machine: something is missing or too old
    │   ├── ProgramMissing      an external program is not on the PATH
    │   ├── BuildFailed         a pinned tool did not compile
    │   └── DownloadRefused     a release of a pinned tool is not the file that was pinned
    ├── TryAgain                nothing is broken for good: run the same command again
    │   ├── ProgramFailed       an external program failed
    │   ├── HardwareRefused     Proxmox or a node refused a request; in a rehearsal, the rack did
    │   ├── RunFailed           a run of the engine did not reach its end; the next one goes on from there
    │   ├── ApiFailed           the Kubernetes API, or a forge, refused a request or did not answer
    │   ├── DownloadFailed      a release of a pinned tool did not arrive
    │   └── TookTooLong         a wait reached its timeout
    ├── Declined                the command would do harm or cannot run like this; the message has the way on
    ├── RenderFailed            Argo CD does not render an app: fix a file under apps/
    ├── OriginalRefused         a fetched chart or remote base breaks a rule
    │   └── OriginalChanged     its content differs from that of the first fetch
    └── Bug                     our own mistake: report it

An error reaches the operator as its text alone, without a traceback and with the exit code of its class. `ops.__main__`
does that for verbs; `__main__.py` for the program that Pulumi runs, which has one code, that of a reported error.
docs/reference/exit-codes.md has the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, ClassVar

# Characters that move a terminal's cursor, or change the direction of the text behind them.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class ExitCode(IntEnum):
    """Every exit code of the project."""

    DONE = 0
    NOT_GOOD = 1
    USAGE = 2
    CHANGES = 2  # of a drift report, as other tools have it; a wrong command line has no report
    REPORTED_TO_PULUMI = 32
    BUG = 70
    TRY_AGAIN = 75
    INTERRUPTED = 130
    PIPE_CLOSED = 141


def printable(text: str) -> str:
    """Return a text with control characters as escapes: a name in a checkout must not control a terminal."""
    return UNSEEN.sub(lambda found: "\\n" if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


@dataclass(frozen=True, order=True)
class Problem:
    """One thing in a file or on the command line that the project does not accept."""

    file: str
    line: int
    key: str
    value: str
    rule: str
    fix: str
    check: str

    def __str__(self) -> str:
        """Return one line: where, which value, which rule, how to mend it."""
        subject = self.subject
        return printable(f"{self.place}: {subject}{': ' if subject else ''}{self.rule}; {self.fix} [{self.check}]")

    @property
    def place(self) -> str:
        """Return the file, with the line where there is one."""
        return f"{self.file}:{self.line}" if self.line else self.file

    @property
    def subject(self) -> str:
        """Return the key and its value, or the one of them that there is."""
        return " = ".join(part for part in (self.key, self.value) if part)

    def as_dict(self) -> dict[str, str | int]:
        """Return the same parts for machines."""
        return asdict(self)


class HomelabError(Exception):
    """An error that the operator can read and act upon."""

    exit_code: ClassVar[ExitCode] = ExitCode.NOT_GOOD

    def as_dict(self) -> dict[str, Any]:
        """Return the message for machines."""
        return {"error": str(self)}


class Refused(HomelabError):
    """Files are not acceptable; all problems are reported at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Store the problems in the order of files and lines."""
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
    """A file under apps/ must be changed."""


class MachineNotReady(HomelabError):
    """Something on this machine is missing or too old."""


class ProgramMissing(MachineNotReady):
    """An external program is not on the PATH."""


class BuildFailed(MachineNotReady):
    """A pinned tool did not compile."""


class DownloadRefused(MachineNotReady):
    """A release of a pinned tool is not the file that was pinned."""


class TryAgain(HomelabError):
    """Nothing is broken for good: the same command can succeed later."""

    exit_code = ExitCode.TRY_AGAIN


class ProgramFailed(TryAgain):
    """An external program failed."""

    def __init__(self, message: str, *, status: int, output: str) -> None:
        """Store the program's exit status and its output for callers that read them."""
        self.status = status
        self.output = output
        super().__init__(message)


class HardwareRefused(TryAgain):
    """Proxmox or a node refused a request."""


class RunFailed(TryAgain):
    """A run of the engine failed."""


class ApiFailed(TryAgain):
    """The Kubernetes API, or the API of a forge, refused a request, or did not answer."""

    def __init__(self, message: str, *, code: int) -> None:
        """Store the HTTP status for callers that handle one; 0 where there was no answer."""
        self.code = code
        super().__init__(message)


class DownloadFailed(TryAgain):
    """A release of a pinned tool did not arrive."""


class TookTooLong(TryAgain):
    """A wait reached its timeout."""


class Declined(HomelabError):
    """The command would do harm or cannot run like this; the message has the way on."""


class RenderFailed(HomelabError):
    """Argo CD does not render an app; the text is its message."""


class OriginalRefused(HomelabError):
    """A fetched chart or remote base breaks a rule."""

    def __init__(self, rule: str, fix: str) -> None:
        """Store both for a problem, which adds file and line."""
        self.rule = rule
        self.fix = fix
        super().__init__(f"{rule}; {fix}")


class OriginalChanged(OriginalRefused):
    """The content of a chart or remote base differs from that of the first fetch."""


class Bug(HomelabError):
    """Our own mistake."""

    exit_code = ExitCode.BUG
