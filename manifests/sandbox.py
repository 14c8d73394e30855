"""A sandbox for programs that read untrusted files: without a network, and with a checkout that is read-only.

A command goes in, the command that runs it in namespaces of its own comes out. Linux allows them without root, unless
an administrator has forbidden it; elsewhere the command comes back unchanged, and only the checks of
`manifests.boundary` protect the machine. `available` lets `doctor` report which of the two applies.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import programs
from errors import HomelabError

NAMESPACES = ("--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child")
# A working folder below a fresh mount has to be entered anew: the old one is still the one that can be written.
SCRIPT = """\
set -e
for place in "$1" "$2"; do
    mount --bind "$place" "$place"
    mount -o remount,bind,ro,nosuid,nodev,noexec "$place"
done
cd "$3"
shift 3
exec "$@"
"""


@cache
def available() -> bool:
    """Report whether this machine allows namespaces."""
    if sys.platform != "linux":
        return False
    with tempfile.TemporaryDirectory(prefix="homelab-sandbox-") as place:
        try:
            programs.run(*_command(Path(place), Path(place), Path(place), ["true"]), timeout=10)
        except HomelabError:
            return False
    return True


def confined(command: Sequence[str], root: Path, place: Path, cwd: Path) -> tuple[str, ...]:
    """Return the command that runs another one in a sandbox, from `cwd`, with `root` and `place` closed for writing."""
    return tuple(_command(root, place, cwd, command)) if available() else tuple(command)


def _command(root: Path, place: Path, cwd: Path, command: Sequence[str]) -> list[str]:
    return ["unshare", *NAMESPACES, "sh", "-c", SCRIPT, "sh", str(root), str(place), str(cwd), *command]
