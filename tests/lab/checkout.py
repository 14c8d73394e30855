"""A copy of this checkout to rehearse in: tests edit its files and run its verbs as a user does.

Every verb runs in a process of its own, from the files alone, so that a test can kill it at any moment.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.api import Api
from lab.hardware.rack import Rack
from lab.layout import Lab
from lab.running import servers
from tests.repository import commit_all

ROOT = Path(__file__).parents[2]
SHORT = ("--until", "cluster")


@dataclass
class Ran:
    """The output and exit code of a verb."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass
class Checkout:
    """One checkout with one stack, and the stage of its rehearsal."""

    root: Path
    stack: str = "dev"
    until: str = "cluster"
    said: list[Ran] = field(default_factory=list)
    timeout: float = 600  # seconds a verb may take

    @classmethod
    def make(cls, root: Path, stack: str = "dev") -> Checkout:
        """Copy the files that Git tracks or would track, and make a repository of them."""
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        (root / ".venv").symlink_to(Path(sys.executable).parent.parent)
        commit_all(root)
        return cls(root, stack)

    @property
    def lab(self) -> Lab:
        return Lab.of(self.root, self.stack)

    @property
    def pulumi_home(self) -> Path:
        """The user's PULUMI_HOME: empty, regardless of the plugins on this machine."""
        return self.root.with_name(f"{self.root.name}-pulumi")

    @property
    def rack(self) -> Rack:
        return Rack(self.lab.rack)

    @property
    def api(self) -> Api:
        return Api.of(self.lab)

    def start(self, verb: str, *options: str) -> subprocess.Popen[str]:
        """Start a verb in a process group of its own."""
        command = [sys.executable, "-m", "ops", verb, "--stack", self.stack, *options]
        environment = {"HOMELAB_OFFLINE": "1", **os.environ}
        environment |= {"PYTHONPATH": str(self.root), "PULUMI_HOME": str(self.pulumi_home)}
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, verb: str, *options: str) -> Ran:
        """Run a verb to its end."""
        process = self.start(verb, *options)
        try:
            out, err = process.communicate(timeout=self.timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"{verb} does not end; it said:\n{process.communicate()[1]}") from None
        self.said.append(Ran(process.returncode, out, err))
        return self.said[-1]

    def rehearse(self, *options: str) -> dict[str, Any]:
        """Rehearse a part, require success and return the result."""
        return self.whole("--until", self.until, *options)

    def whole(self, *options: str) -> dict[str, Any]:
        """Rehearse everything, require success and return the result."""
        ran = self.run("rehearse", "--json", *options)
        assert ran.code == 0, ran.err
        return ran.result

    def edit(self, old: str, new: str, file: str = "") -> None:
        """Replace a text that occurs once in a file, the stack's by default."""
        path = self.root / (file or f"Pulumi.{self.stack}.yaml")
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path.name}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return the Nodes of the rehearsed cluster."""
        return {node["metadata"]["name"]: node for node in self.api.list("v1", "Node")}

    def ready(self) -> set[str]:
        """Return the names of the Nodes that are Ready."""
        return {
            name
            for name, node in self.nodes().items()
            for condition in node["status"].get("conditions", [])
            if condition["type"] == "Ready" and condition["status"] == "True"
        }

    def cordoned(self) -> set[str]:
        """Return the names of the cordoned Nodes."""
        return {name for name, node in self.nodes().items() if node["spec"].get("unschedulable")}

    def logged(self, *words: str, seconds: float = 60) -> bool:
        """Report whether the audit log, which is written in batches, has a line with all of these words."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lines = (self.lab.logs / "audit.log").read_text(encoding="utf-8").splitlines()
            if any(all(word in line for word in words) for line in lines):
                return True
            time.sleep(1)
        return False

    def state(self) -> dict[str, Any]:
        """Return the recorded state from the disk."""
        file = self.lab.state / ".pulumi" / "stacks" / "homelab" / f"{self.stack}.json"
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def places(self) -> Iterator[tuple[str, str]]:
        """Return the output of verbs and the files on disk; require that only the owner can read private ones."""
        yield from ((f"what {number} said", ran.out + ran.err) for number, ran in enumerate(self.said))
        for folder, folders, files in os.walk(self.lab.root):
            folders[:] = [name for name in folders if name != ".venv"]
            for path in (Path(folder, name) for name in files):
                top = path.relative_to(self.lab.root).parts[0]
                with suppress(FileNotFoundError):  # servers write meanwhile
                    if top in ("control-plane", "pki") or path.name.startswith("rack.db") or "kubeconfig" in path.name:
                        assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0, path
                    elif path.is_file() and not path.is_symlink():
                        yield str(path), path.read_bytes().decode(errors="replace")

    def end(self) -> None:
        """Stop everything and delete all files."""
        self.run("down")
        servers.stop_all(self.lab)


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a verb and all its children."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(0.2)


def kill_children(pattern: str, under: int) -> int:
    """Kill the descendants of a process whose command line contains a text; return their number."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(stat[1])
    killed = 0
    for pid in parents:
        above = pid
        while above in parents and above != under:
            above = parents[above]
        if above != under or pid == under:
            continue
        try:
            command = (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if pattern in command:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed
