"""Where a rehearsal keeps its things: one folder a stack, `.lab/<stack>/`, and a name for everything in it.

What flows in is the folder, from a verb or from the environment that a verb gave to its children; what flows out are
paths. Everything in `lab` continues from here, so that nothing else spells a path and whatever `down` removes is whole.
Machine secrets lie in clear under this folder: it is readable by its owner alone.
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
# What Pulumi takes for a stack's name, and never a way out of `.lab`.
STACK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


@dataclass(frozen=True)
class Lab:
    """The folder of one stack's rehearsal."""

    root: Path

    def __post_init__(self) -> None:
        """Refuse what would mean another place in another process."""
        if not self.root.is_absolute():
            raise Bug(f"{self.root}: the folder of a rehearsal has to be absolute")

    @classmethod
    def of(cls, checkout: Path, stack: str) -> Lab:
        """Give the place of a stack's rehearsal in a checkout."""
        if not STACK.match(stack):
            raise Declined(f"--stack {stack!r}: is no stack's name; Pulumi.NAME.yaml is the file of stack NAME")
        return cls(checkout.resolve() / ".lab" / stack)

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> Lab:
        """Give the place that whoever started us works in."""
        place = (os.environ if env is None else env).get(VARIABLE, "")
        if not place:
            raise MachineNotReady(f"{VARIABLE}: not set; this stand-in works in a rehearsal only: ./homelab rehearse")
        return cls(Path(place))

    def require_no_link(self) -> None:
        """Refuse a folder that is a link: what lies there is another owner's."""
        for folder in (self.root.parent, self.root):
            if folder.is_symlink():
                rule = "is a link, and a rehearsal writes and removes its own folder alone"
                raise Declined(f"{folder}: {rule}; remove the link")

    @property
    def is_ours(self) -> bool:
        """Whether a rehearsal made the folder; one of before the marker is known by its folders."""
        return self.marker.is_file() or all(folder.is_dir() for folder in (self.run, self.state, self.logs))

    def require_ours(self) -> None:
        """Refuse a folder that no rehearsal has made."""
        self.require_no_link()
        if self.root.exists() and not self.is_ours:
            raise Declined(f"{self.root}: holds no {MARKER}, so that no rehearsal has made it; move it away")

    def make(self) -> None:
        """Make the folders that others write into."""
        self.require_no_link()
        self.root.parent.mkdir(parents=True, exist_ok=True)
        private_folder(self.root)
        self.marker.touch(mode=0o600)
        for folder in (self.root, self.state, self.pulumi_home, self.run, self.logs, self.pki, self.control_plane):
            private_folder(folder)
        private_folder(self.bin)

    @property
    def environment(self) -> dict[str, str]:
        """What children need in order to find this place."""
        return {VARIABLE: str(self.root)}

    @property
    def marker(self) -> Path:
        """The file that says that a rehearsal made this folder."""
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
    def logs(self) -> Path:
        """What the servers say."""
        return self.root / "logs"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's way into the rehearsed cluster."""
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
        """The ports that the servers keep over restarts."""
        return self.root / "ports.json"
