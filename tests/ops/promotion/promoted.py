"""A checkout with three environments in a chain and real commits: what `versions` and the rules of pins read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import programs
from config.chain import read_chain
from config.load import read_stacks
from config.promotion import HOLD, REVISION, edited
from config.tree import read_tree
from ops.promotion.git_objects import git_objects
from ops.promotion.matrix import EnvironmentHealth, VersionSources, matrix_of
from ops.promotion.report import MatrixCell, VersionMatrix
from tests.repository import AUTHOR

STACK = (Path(__file__).parents[2] / "config" / "checkout" / "Pulumi.base.yaml").read_text(encoding="utf-8")
ENVIRONMENTS = ("dev", "staging", "production")
BEGIN = datetime(2026, 3, 1, 8, tzinfo=UTC)
NOW = BEGIN + timedelta(days=100)
SERVER, DATABASE, CILIUM = "media/immich", "media/postgres", "kube-system/cilium"
DIGEST = "sha256:" + "a" * 64


def overlay(environment: str) -> str:
    return f"kind: Kustomization\nresources:\n  - ../base\ncomponents:\n  - ../../../_settings/{environment}\n"


def server(version: str) -> str:
    return f"kind: Deployment\nspec:\n  image: ghcr.io/immich-app/immich-server:{version}@{DIGEST}\n"


def cilium(version: str, environment: str) -> str:
    chart = f"  - name: cilium\n    repo: https://helm.cilium.io\n    version: {version}\n"
    return f"kind: Kustomization\ncomponents:\n  - ../../../_settings/{environment}\nhelmCharts:\n{chart}"


@dataclass
class Promoted:
    """The checkout, and the clock of its commits: each is made a day after the one before."""

    root: Path
    at: datetime = field(default=BEGIN - timedelta(days=1))

    def git(self, *words: str) -> str:
        time = self.at.isoformat()
        environment = {**os.environ, "GIT_AUTHOR_DATE": time, "GIT_COMMITTER_DATE": time}
        return programs.run("git", *AUTHOR, *words, cwd=self.root, env=environment).stdout.strip()

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            self.put(name, text)

    def put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def commit(self, message: str = "Change") -> str:
        self.at += timedelta(days=1)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def server(self, version: str) -> str:
        """Commit another version of the server."""
        self.put(f"apps/{SERVER}/base/server.yaml", server(version))
        return self.commit(f"Raise the server to {version}")

    def pin(self, label: str, environment: str, commit: str | None, hold: str | None = None) -> str:
        """Commit a pin, and a hold where there is one."""
        self.pinned(label, environment, commit, hold)
        return self.commit(f"Promote {label} to {environment}")

    def pinned(self, label: str, environment: str, commit: str | None, hold: str | None = None) -> None:
        path = self.root / f"apps/{label}/{environment}/kustomization.yaml"
        text = edited(path.name, path.read_text(encoding="utf-8"), {REVISION: commit, HOLD: hold})
        assert text is not None
        path.write_text(text, encoding="utf-8")

    def matrix(self, *labels: str, health: dict[str, EnvironmentHealth] | None = None) -> VersionMatrix:
        tree = read_tree(self.root)
        with git_objects(self.root) as objects:
            sources = VersionSources(
                read_chain(self.root, tree), tree, read_stacks(self.root), objects, NOW, health or {}
            )
            return matrix_of(sources, labels)


def cells(matrix: VersionMatrix, name: str) -> dict[str, MatrixCell]:
    """Return the cells of a row by environment."""
    (row,) = (row for row in (*matrix.infrastructure, *matrix.applications) if row.name == name)
    return {cell.environment: cell for cell in row.cells}


def checkout(root: Path, *, with_git: bool = True) -> Promoted:
    """Write the checkout, and commit it."""
    made = Promoted(root)
    root.mkdir(parents=True, exist_ok=True)
    made.put("apps/environments.yaml", f"chain: [{', '.join(ENVIRONMENTS)}]\n")
    made.put("apps/_shared/hardened/kustomization.yaml", "kind: Component\n")
    for number, environment in enumerate(ENVIRONMENTS):
        text = STACK.replace("environment: production", f"environment: {environment}\n    revision: main")
        made.put(f"Pulumi.{environment}.yaml", text.replace("name: base", f"name: {environment}"))
        made.put(f"apps/_settings/{environment}/kustomization.yaml", "kind: Component\n")
        made.put(f"apps/{SERVER}/{environment}/kustomization.yaml", overlay(environment))
        made.put(f"apps/{CILIUM}/{environment}/kustomization.yaml", cilium("1.20.1", environment))
        if number:
            made.put(f"apps/{DATABASE}/{environment}/kustomization.yaml", overlay(environment))
    made.put("apps/media/category.yaml", "layer: applications\n")
    made.put("apps/kube-system/category.yaml", "layer: infrastructure\n")
    made.put(f"apps/{SERVER}/base/kustomization.yaml", "kind: Kustomization\nresources:\n  - server.yaml\n")
    made.put(f"apps/{SERVER}/base/server.yaml", server("v2.6.0"))
    made.put(f"apps/{DATABASE}/base/kustomization.yaml", "kind: Kustomization\nresources:\n  - volume.yaml\n")
    made.put(f"apps/{DATABASE}/base/volume.yaml", "kind: PersistentVolumeClaim\n")
    if with_git:
        made.git("init", "--quiet", "--initial-branch", "main")
        made.commit("Begin")
    return made
