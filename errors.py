"""Every error of the project, as one tree split by what the reader can do about it.

    HomelabError
    ├── Refused                 what was written is not acceptable: a list of problems, each with its place
    │   ├── SettingsRefused     fix the stack file
    │   └── TreeRefused         fix a file under apps/ or environments/
    ├── MachineNotReady         fix this machine: something is missing or too old
    │   ├── ProgramMissing      an external program is not on the PATH
    │   ├── BuildFailed         a pinned tool did not compile
    │   └── DownloadRefused     a release of a pinned tool is not the file that was pinned
    ├── TryAgain                nothing is broken for good: run the same command again
    │   ├── ProgramFailed       an external program said no
    │   ├── HardwareRefused     Proxmox or a node said no; in a rehearsal, the rack in their place
    │   ├── RunFailed           a run of the engine did not reach its end; the next one goes on from there
    │   ├── ApiFailed           the Kubernetes API said no, or did not answer
    │   ├── DownloadFailed      a release of a pinned tool did not arrive
    │   └── TookTooLong         what was waited for did not come
    ├── Declined                the command protects something and says how to go on
    ├── OriginalRefused         a chart or remote base that was fetched is not taken: its rule and its fix say why
    │   └── OriginalChanged     it is not what it was when it was first fetched
    └── Bug                     our own mistake: report it

Everything below `HomelabError` reaches the operator as its text alone, without a traceback and with exit code 1; the
verbs of `ops/` and `__main__.py` are the two places that turn it into that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

# Signs that move a terminal's cursor, or turn the direction of what follows.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def printable(text: str) -> str:
    """Write control characters as escapes: a name in a checkout must not decide what a terminal shows."""
    return UNSEEN.sub(lambda found: "\\n" if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that a person wrote and the project does not accept."""

    file: str
    line: int
    key: str
    value: str
    rule: str
    fix: str
    check: str

    def __str__(self) -> str:
        """Say it in one line: where, what value, which rule, what to do."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        subject = " = ".join(part for part in (self.key, self.value) if part)
        return printable(f"{place}: {subject}{': ' if subject else ''}{self.rule}; {self.fix} [{self.check}]")

    def as_dict(self) -> dict[str, str | int]:
        """Give machines the same parts."""
        return asdict(self)


class HomelabError(Exception):
    """Whatever the operator can read and act upon."""

    def as_dict(self) -> dict[str, Any]:
        """Give machines what a person reads."""
        return {"error": str(self)}


class Refused(HomelabError):
    """What was written is not acceptable; all problems are told at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep the problems in the order of their places."""
        self.problems: Sequence[Problem] = sorted(problems)
        count = len(self.problems)
        listing = "\n".join(str(problem) for problem in self.problems)
        super().__init__(f"{listing}\n{count} {'problem' if count == 1 else 'problems'}")

    def as_dict(self) -> dict[str, Any]:
        """Give machines every problem in its parts, as `check` does."""
        return {"problems": [problem.as_dict() for problem in self.problems]}


class SettingsRefused(Refused):
    """The stack file has to be changed."""


class TreeRefused(Refused):
    """A file under apps/ or environments/ has to be changed."""


class MachineNotReady(HomelabError):
    """Something on this machine is missing or too old."""


class ProgramMissing(MachineNotReady):
    """An external program is not on the PATH."""


class BuildFailed(MachineNotReady):
    """A pinned tool did not compile."""


class DownloadRefused(MachineNotReady):
    """A release of a pinned tool is not the file that was pinned."""


class TryAgain(HomelabError):
    """Nothing is broken for good."""


class ProgramFailed(TryAgain):
    """An external program said no."""

    def __init__(self, message: str, *, exit_code: int, output: str) -> None:
        """Keep what the program said for those who look closer."""
        self.exit_code = exit_code
        self.output = output
        super().__init__(message)


class HardwareRefused(TryAgain):
    """Proxmox or a node said no."""


class RunFailed(TryAgain):
    """A run of the engine did not reach its end."""


class ApiFailed(TryAgain):
    """The Kubernetes API said no, or did not answer."""

    def __init__(self, message: str, *, code: int) -> None:
        """Keep the status for those who know what to do about one; 0 where there was no answer."""
        self.code = code
        super().__init__(message)


class DownloadFailed(TryAgain):
    """A release of a pinned tool did not arrive."""


class TookTooLong(TryAgain):
    """What was waited for did not come in time."""


class Declined(HomelabError):
    """The command protects something and says how to go on."""


class OriginalRefused(HomelabError):
    """A chart or remote base that was fetched is not taken."""

    def __init__(self, rule: str, fix: str) -> None:
        """Keep both for a problem that names the place as well."""
        self.rule = rule
        self.fix = fix
        super().__init__(f"{rule}; {fix}")


class OriginalChanged(OriginalRefused):
    """A chart or remote base is not what it was when it was first fetched."""


class Bug(HomelabError):
    """Our own mistake."""
