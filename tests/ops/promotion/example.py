"""A repository with two apps, three environments and a chain, and evidence as an Argo CD would report it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import programs
from config.chain import read_chain
from config.tree import App, read_tree
from ops.promotion.evidence import AppEvidence, NodeEvidence
from ops.promotion.git_store import GitStore
from ops.promotion.history import History
from ops.promotion.names import Passage
from ops.promotion.plan import Move, PlanInputs, PromotionPlan, plan_apps
from tests.repository import AUTHOR

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
ENVIRONMENTS = ("dev", "staging", "production")
CHAIN = "# The order of the environments.\nchain: [dev, staging, production]\nsoak: {dev: 1h, staging: 4h}\n"
IMMICH, JELLYFIN = "media/immich", "media/jellyfin"
STAGING = "apps/media/immich/staging/kustomization.yaml"
OVERLAY = """\
# The comment above stays.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - ../base   # and this one
components:
  - ../../../_settings/{}
"""


def deployment(version: str) -> str:
    """Return a manifest with an image of this version."""
    return f"kind: Deployment\nspec:\n  containers:\n    - image: ghcr.io/immich/server:{version}@sha256:{'0' * 64}\n"


@dataclass
class Example:
    """The repository, and the evidence of its environments."""

    root: Path
    evidence: dict[str, AppEvidence] = field(default_factory=dict)
    problem: str = ""
    origin: str = "stack dev (rehearsal)"
    machines: tuple[NodeEvidence, ...] = ()
    stores: list[GitStore] = field(default_factory=list)

    def store(self) -> GitStore:
        """Open the repository as it is now; the fixture closes it."""
        self.stores.append(GitStore.of(self.root))
        return self.stores[-1]

    def write(self, files: Mapping[str, str | None]) -> None:
        for name, text in files.items():
            path = self.root / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())

    def git(self, *words: str) -> str:
        return programs.run("git", *AUTHOR, *words, cwd=self.root).stdout.strip()

    def commit(self, files: Mapping[str, str | None] | None = None, message: str = "Change") -> str:
        """Write files and commit everything; return the commit."""
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def runs(self, label: str, revision: str = "", hours: float = 5, **more: Any) -> None:
        """Make an app Synced and Healthy at a commit for some hours."""
        at = (NOW - timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
        revision = revision or self.head
        good = AppEvidence(revision, "Synced", "Healthy", healthy_at=at, syncs=((revision, at),))
        self.evidence[label] = AppEvidence(**{**vars(good), **more})

    def nodes(self) -> tuple[NodeEvidence, ...]:
        return self.machines

    def of(self, app: App) -> AppEvidence | None:
        return self.evidence.get(app.label)

    def text(self, name: str = STAGING) -> str:
        return (self.root / name).read_bytes().decode()

    def ground(self, source: str = "dev", target: str = "staging", reason: str = "", **more: Any) -> PlanInputs:
        tree, store = read_tree(self.root), self.store()
        taken = Passage(source, target, target == "production")
        made = PlanInputs(tree, read_chain(self.root, tree), History(store), self, taken, NOW, reason, store.head)
        return PlanInputs(**{**vars(made), **more})

    def plan(self, *labels: str, every: bool = False, **more: Any) -> PromotionPlan:
        return plan_apps(self.ground(**more), labels or (IMMICH,), every=every)

    def move(self, label: str = IMMICH, **more: Any) -> Move:
        """Return the only move of a plan without problems."""
        plan = self.plan(label, **more)
        assert plan.problems == []
        (move,) = plan.moves
        return move

    def applied(self, move: Move) -> str:
        """Write and commit the files of a move."""
        for path, one in move.files.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_bytes(one.content)
        return self.commit(message=f"{move.verb} {move.label}")


def example(root: Path) -> Example:
    """Make the repository with its first commit."""
    made = Example(root)
    root.mkdir(parents=True, exist_ok=True)
    made.git("init", "--quiet", "--initial-branch", "main")
    with (root / ".git" / "config").open("a") as config:
        config.write("[user]\nname = a\nemail = a@example.com\n[commit]\ngpgsign = false\n")
    made.commit(
        {
            "apps/environments.yaml": CHAIN,
            "apps/media/category.yaml": "layer: applications\n",
            "apps/_shared/hardened/kustomization.yaml": "kind: Component\n",
            **{f"apps/_settings/{one}/settings.yaml": f"domain: {one}.example.com\n" for one in ENVIRONMENTS},
            **{
                f"apps/{label}/base/{name}": text
                for label in (IMMICH, JELLYFIN)
                for name, text in (
                    ("kustomization.yaml", "kind: Kustomization\nresources: [deployment.yaml]\n"),
                    ("deployment.yaml", deployment("v1")),
                )
            },
            **{
                f"apps/{label}/{one}/kustomization.yaml": OVERLAY.format(one)
                for label in (IMMICH, JELLYFIN)
                for one in ENVIRONMENTS
            },
        },
        "Begin",
    )
    return made
