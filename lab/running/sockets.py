"""The folder of a rehearsal's Unix sockets: in the lab, or a short one outside where the checkout lies too deep.

The name of a socket comes in, its path goes out; operating systems limit its length. A folder outside is private, and a
link in the lab finds it again. `lab.delivery.argocd` passes the path on; `lab.running.servers` removes the folder.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from errors import MachineNotReady
from lab.layout import Lab
from lab.running.locks import lock
from local.files import private_folder

LONGEST = 103  # bytes of a path on macOS; Linux takes four more
PREFIX = "homelab-"


def path(lab: Lab, name: str) -> Path:
    """Return the path of a socket in a private folder, the same one for as long as that folder exists."""
    if _fits(lab.sockets / name):
        private_folder(lab.sockets)
        return lab.sockets / name
    with lock(lab, "sockets"):
        # A restart of the machine removes temporary folders, and then the name is free for another user.
        if not _is_ours(lab.sockets):
            lab.sockets.unlink(missing_ok=True)
            lab.sockets.symlink_to(tempfile.mkdtemp(prefix=PREFIX))
        found = lab.sockets.readlink() / name
    if not _fits(found):
        raise MachineNotReady(
            f"{found}: has {len(os.fsencode(found))} bytes, and the path of a Unix socket has {LONGEST} at most;"
            " set TMPDIR to a shorter folder, or move the checkout to one"
        )
    return found


def remove(lab: Lab) -> None:
    """Remove the folder outside of the lab with its sockets, if there is one."""
    if _is_ours(lab.sockets):
        folder = lab.sockets.readlink()
        for file in folder.iterdir():
            if file.is_socket():
                file.unlink()
        with suppress(OSError):  # a file of another owner stays
            folder.rmdir()
        lab.sockets.unlink()


def _fits(file: Path) -> bool:
    return len(os.fsencode(file)) <= LONGEST


def _is_ours(link: Path) -> bool:
    """Report whether a link leads to a folder for sockets that only this user can open."""
    try:
        about = link.readlink().lstat()
    except OSError:
        return False
    private = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o077
    return private and link.readlink().name.startswith(PREFIX)
