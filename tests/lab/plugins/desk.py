"""A small Pulumi project in a folder of its own, run by the real engine with our plugins on the PATH."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import programs

CHECKOUT = Path(__file__).parents[3]
PLUGINS = CHECKOUT / "lab" / "plugins" / "bin"


@dataclass(frozen=True)
class Run:
    """The output of the engine."""

    exit_code: int
    text: str

    def counts(self) -> dict[str, int]:
        """Return the summary: the numbers of resources that were created, updated, replaced, deleted, left."""
        summary = self.text.rpartition("Resources:")[2]
        found = re.findall(r"(\d+) (created|updated|replaced|deleted|unchanged|errored)\b", summary)
        return {what: int(count) for count, what in found}


class Desk:
    """One project, one stack."""

    def __init__(self, folder: Path, env: Mapping[str, str], project: str = "desk") -> None:
        """Write an empty project."""
        self.folder, self.project = folder, project
        self.env = {
            **env,
            "PATH": os.pathsep.join((str(PLUGINS), str(Path(sys.executable).parent), env["PATH"])),
            "HOMELAB_PYTHON": sys.executable,
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_HOME": str(folder / "pulumi"),
            "PULUMI_CONFIG_PASSPHRASE": "desk",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        (folder / "state").mkdir(parents=True)
        (folder / "Pulumi.yaml").write_text(f"name: {project}\nruntime: python\n")
        assert self._pulumi("stack", "init", "dev").exit_code == 0

    def up(self, program: str = "", *options: str) -> Run:
        """Run a program, or the last one again."""
        return self._run("up", program, "--yes", "--skip-preview", *options)

    def preview(self, program: str = "", *options: str) -> Run:
        """Preview a program."""
        return self._run("preview", program, "--diff", *options)

    def refresh(self) -> Run:
        """Refresh the state."""
        return self._run("refresh", "", "--yes", "--skip-preview")

    def destroy(self) -> Run:
        """Delete everything."""
        return self._run("destroy", "", "--yes", "--skip-preview")

    def raw_state(self) -> str:
        """Return the state file as it is on the disk."""
        return self._state.read_text()

    def write_state(self, text: str) -> None:
        """Replace the state file."""
        self._state.write_text(text)

    @property
    def _state(self) -> Path:
        return self.folder / "state" / ".pulumi" / "stacks" / self.project / "dev.json"

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return the resources of the state, by logical name."""
        latest = json.loads(self.raw_state())["checkpoint"]["latest"] or {}
        return {item["urn"].rsplit("::", 1)[-1]: item for item in latest.get("resources", [])}

    def outputs(self) -> dict[str, Any]:
        """Return the outputs of the program."""
        found: dict[str, Any] = self.resources()[f"{self.project}-dev"].get("outputs", {})
        return found

    def _run(self, verb: str, program: str, *options: str) -> Run:
        if program:
            (self.folder / "__main__.py").write_text(textwrap.dedent(program))
        return self._pulumi(verb, "--stack", "dev", "--color", "never", *options)

    def _pulumi(self, *arguments: str) -> Run:
        command = ("pulumi", *arguments, "--non-interactive")
        said = programs.converse(command, cwd=self.folder, env=self.env)
        return Run(said.exit_code, said.together)
