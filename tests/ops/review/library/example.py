"""An example: one change to a small checkout as a commit, and everything that the report must contain.

`examples/` has one YAML file an example, found by glob. `change` edits the checkout, `base` edits it before that, on
the main branch. The settings of the apps and the locks of charts are written anew after each edit, except with
`byHand`. A part of the report without a key in `expect` must be empty.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import programs
from ops.review.report import Report
from tests.config import scenario
from tests.manifests.rules.scenario import prepare
from tests.ops.review.library.charts import lock
from tests.repository import AUTHOR, commit_all

HERE = Path(__file__).parent
EXAMPLES = sorted((HERE / "examples").glob("*.yaml"))
CHECKOUT = HERE / "checkout"


@dataclass(frozen=True)
class Example:
    """One change, and the report of it."""

    name: str
    subject: str
    base: dict[str, Any]
    change: dict[str, Any]
    by_hand: bool
    expect: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Example:
        """Read the file of an example."""
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        unknown = set(told) - {"subject", "base", "change", "byHand", "expect"}
        assert not unknown, f"{path.name}: unknown keys {unknown}"
        return cls(
            path.stem,
            told.get("subject", path.stem.replace("-", " ").capitalize()),
            told.get("base", {}),
            told["change"],
            told.get("byHand", False),
            told["expect"],
        )

    def lay(self, template: Path, root: Path) -> Path:
        """Copy the repository, and commit the change to a branch of it."""
        copied(template, root)
        if self.base:
            edit(root, self.base, by_hand=self.by_hand)
            commit(root, "Change the base")
        branch(root)
        edit(root, self.change, by_hand=self.by_hand)
        commit(root, self.subject)
        return root


def lay_template(root: Path) -> Path:
    """Write the checkout of all examples as a repository with one commit."""
    files = {str(file.relative_to(CHECKOUT)): file for file in sorted(CHECKOUT.rglob("*")) if file.is_file()}
    prepare({"write": {name: file.read_text(encoding="utf-8") for name, file in files.items()}}, root)
    lock(root)
    commit_all(root)
    return root


def copied(template: Path, root: Path) -> Path:
    """Copy a repository."""
    return Path(shutil.copytree(template, root, symlinks=True))


def branch(root: Path) -> None:
    """Leave the main branch for a new one."""
    programs.run("git", "-C", root, "checkout", "--quiet", "-b", "change")


def edit(root: Path, change: dict[str, Any], *, by_hand: bool = False) -> None:
    """Change files: moves and copies come first, and a copy can replace text in each of its files."""
    for old, new in change.get("move", {}).items():
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)
    for copy in change.get("copy", ()):
        for place in sorted(root.glob(copy["from"])):
            _copy(place, place.with_name(copy["to"]), copy["text"])
    scenario.change({name: part for name, part in change.items() if name not in ("move", "copy")}, root)
    if not by_hand:
        scenario.write_settings(root)
        lock(root)


def _copy(old: Path, new: Path, replaced: dict[str, str]) -> None:
    files = [file for file in old.rglob("*") if file.is_file()] if old.is_dir() else [old]
    for file in files:
        text = file.read_text(encoding="utf-8")
        for before, after in replaced.items():
            text = text.replace(before, after)
        made = new / file.relative_to(old) if old.is_dir() else new
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text, encoding="utf-8")


def commit(root: Path, subject: str) -> None:
    """Commit everything; an example may change no file."""
    git = ("git", "-C", root, *AUTHOR)
    programs.run(*git, "add", "--all")
    programs.run(*git, "commit", "--quiet", "--allow-empty", "--message", subject)


def told(report: Report) -> dict[str, Any]:
    """Return the parts of a report in short sentences, without those that are empty."""
    objects = Counter(one.operation for app in report.manifests for one in app.objects if one.difference)
    found = {
        "verdict": report.verdict,
        "dangers": sorted({danger.rule for danger in report.dangers}),
        "apps": sorted(
            f"{one.operation} {one.app} in {', '.join(one.stacks)}: +{one.added} ~{one.changed} -{one.removed}"
            for one in report.applications
        ),
        "sync": sorted({f"{one.app}: {one.sync}" for one in report.applications if "→" in one.sync}),
        "removed": sorted(
            {f"{one.app} {item.object}: {item.fate}" for one in report.applications for item in one.removed_objects}
        ),
        "versions": sorted(
            f"{one.kind} {one.name} {one.before} → {one.after} ({one.jump}) in {', '.join(one.stacks)}"
            for one in report.versions
        ),
        "objects": dict(objects),
        "notCompared": {one.app: one.not_compared for one in report.manifests if one.error},
        "nodes": sorted(f"{one.stack} {one.node}: {one.cost}" for one in report.machines),
        "broken": sorted({one.check for one in report.checks.broken}),
        "mended": sorted({one.check for one in report.checks.mended}),
        "notes": list(report.notes),
    }
    return {name: value for name, value in found.items() if value}
