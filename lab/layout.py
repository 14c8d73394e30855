"""The files of a rehearsal: one folder a stack, `.lab/<stack>/`, and names for the paths that several modules share.

The folder comes in, from a verb or from the environment that a verb gave to its children; paths go out. All of `lab`
continues from here: a file that one module alone uses has its name there, below the same folder, which `down` removes.
Machine secrets are stored in clear in this folder: only its owner can read it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from errors import Bug, Declined, MachineNotReady
from local.files import private_folder

VARIABLE = "HOMELAB_LAB"
MARKER = ".made-by-rehearse"
# A stack's name as Pulumi accepts it, without a way out of `.lab`.
STACK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


@dataclass(frozen=True)
class Lab:
    """The folder of one stack's rehearsal."""

    root: Path

    def __post_init__(self) -> None:
        """Refuse a path that another process would resolve to another folder."""
        if not self.root.is_absolute():
            raise Bug(f"{self.root}: the folder of a rehearsal has to be absolute")

    @classmethod
    def of(cls, checkout: Path, stack: str) -> Lab:
        """Return the folder of a stack's rehearsal in a checkout."""
        if not STACK.match(stack):
            raise Declined(f"--stack {stack!r}: is no stack's name; Pulumi.NAME.yaml is the file of stack NAME")
        return cls(checkout.resolve() / ".lab" / stack)

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> Lab:
        """Return the folder that the parent process passed on."""
        folder = (os.environ if env is None else env).get(VARIABLE, "")
        if not folder:
            raise MachineNotReady(f"{VARIABLE}: not set; this stand-in works in a rehearsal only: ./homelab rehearse")
        return cls(Path(folder))

    def require_no_link(self) -> None:
        """Refuse a folder that is a link: its content has another owner."""
        for folder in (self.root.parent, self.root):
            if folder.is_symlink():
                rule = "is a link, and a rehearsal writes and removes its own folder alone"
                raise Declined(f"{folder}: {rule}; remove the link")

    @property
    def is_ours(self) -> bool:
        """Report whether a rehearsal made the folder; one older than the marker is recognized by its folders."""
        return self.marker.is_file() or all(folder.is_dir() for folder in (self.run, self.state, self.logs))

    def require_ours(self) -> None:
        """Refuse a folder that no rehearsal has made."""
        self.require_no_link()
        if self.root.exists() and not self.is_ours:
            raise Declined(f"{self.root}: holds no {MARKER}, so that no rehearsal has made it; move it away")

    def make(self) -> None:
        """Make the folders that others write to."""
        self.require_no_link()
        self.root.parent.mkdir(parents=True, exist_ok=True)
        private_folder(self.root)
        self.marker.touch(mode=0o600)
        for folder in (self.root, self.state, self.pulumi_home, self.run, self.logs, self.pki, self.control_plane):
            private_folder(folder)
        private_folder(self.bin)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which children find this folder."""
        return {VARIABLE: str(self.root)}

    @property
    def marker(self) -> Path:
        """The file that marks the folder as one of a rehearsal."""
        return self.root / MARKER

    @property
    def tree(self) -> Path:
        """The prepared tree that Pulumi runs from."""
        return self.root / "tree"

    @property
    def state(self) -> Path:
        """Pulumi's file backend."""
        return self.root / "state"

    @property
    def pulumi_home(self) -> Path:
        """Pulumi's own settings and plugins, apart from the user's."""
        return self.root / "pulumi"

    @property
    def rack(self) -> Path:
        """The database of the simulated hardware."""
        return self.root / "rack.db"

    @property
    def run(self) -> Path:
        """Records and locks of the servers."""
        return self.root / "run"

    @property
    def sockets(self) -> Path:
        """The folder of Unix sockets, or a link to it where its path would be too long: see `lab.running.sockets`."""
        return self.root / "sockets"

    @property
    def logs(self) -> Path:
        """The output of the servers."""
        return self.root / "logs"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig of the rehearsed cluster."""
        return self.root / "kubeconfig"

    @property
    def control_plane(self) -> Path:
        """Configuration files and data of the control plane."""
        return self.root / "control-plane"

    @property
    def bin(self) -> Path:
        """Programs that come first on the PATH of the rehearsal."""
        return self.root / "bin"

    @property
    def ports(self) -> Path:
        """The ports that the servers retain over restarts."""
        return self.root / "ports.json"
