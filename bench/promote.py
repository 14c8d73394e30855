"""How long `./homelab promote --all` and the matrix of `versions` take on a generated repository, and how they grow.

    .venv/bin/python bench/promote.py [--apps 100 300 900] [--commits 500]

A repository is made with four environments, a pin for each app of staging, and a history in which each commit changes
one app. Then every app gets a new version, and all of them are promoted: the plan, and the commits of the branch, each
as processor time and duration. No cluster is asked: the evidence is made up. The goals are 5 s for 300 apps, 1 s for
their matrix, and three times the apps in three times the time.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
ENVIRONMENTS = ("dev", "qa", "staging", "production")
PER_CATEGORY = 30
OVERLAY = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
{pin}resources:
  - ../base
components:
  - ../../../_settings/{environment}
"""
PIN = 'metadata:\n  annotations:\n    homelab.dev/revision: "{}"\n'
DEPLOYMENT = "kind: Deployment\nspec: {{template: {{spec: {{containers: [{{image: example.com/{}:v{}}}]}}}}}}\n"


@dataclass
class Times:
    """Durations by name, in seconds and in seconds of processor time, programs included."""

    rows: dict[str, tuple[float, float]] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Measure a block."""
        began, spent = time.monotonic(), _processor()
        yield
        self.rows[name] = time.monotonic() - began, _processor() - spent


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--apps", type=int, nargs="+", default=[100, 300, 900])
    parser.add_argument("--commits", type=int, default=500)
    options = parser.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"{'':<44}{'duration':>10} {'processor':>10}")
    totals = [(apps, _measured(apps, options.commits)) for apps in options.apps]
    for (few, less), (many, more) in pairwise(totals):
        print(f"{many / few:.1f} times the apps take {more / less:.1f} times as long")


def _measured(apps: int, commits: int) -> float:
    from config.chain import read_chain  # noqa: PLC0415 - found after sys.path knows the checkout
    from config.tree import read_apps  # noqa: PLC0415
    from ops.promotion.commits import write_branch  # noqa: PLC0415
    from ops.promotion.evidence import AppEvidence, ArgoCDEvidence  # noqa: PLC0415
    from ops.promotion.git_objects import git_objects  # noqa: PLC0415
    from ops.promotion.git_store import GitStore  # noqa: PLC0415
    from ops.promotion.history import History  # noqa: PLC0415
    from ops.promotion.matrix import VersionSources, matrix_of  # noqa: PLC0415
    from ops.promotion.names import Passage  # noqa: PLC0415
    from ops.promotion.plan import PlanInputs, plan_apps  # noqa: PLC0415

    times, matrix = Times(), Times()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "checkout"
        _repository(root, apps, commits)
        with matrix.of("versions, the matrix"), git_objects(root) as objects:
            tree = read_apps(root)
            made = matrix_of(VersionSources(read_chain(root, tree), tree, (), objects, datetime.now(UTC)))
        assert len(made.environments[1].behind) == apps
        with GitStore.of(root) as store:
            with times.of("the tree"):
                tree = read_apps(root)
                chain = read_chain(root, tree)
            with times.of("the history"):
                history = History(store)
            good = AppEvidence(store.head, "Synced", "Healthy", healthy_at="2020-01-01T00:00:00Z")
            found = {app.full_name: good for app in tree.apps_in("dev")}
            evidence = ArgoCDEvidence("stack dev", found, None)  # type: ignore[arg-type] # no cluster is asked
            inputs = PlanInputs(tree, chain, history, evidence, Passage("dev", "qa"), datetime.now(UTC))
            labels = sorted({app.label for app in tree.apps})
            with times.of("the plan"):
                plan = plan_apps(inputs, labels, every=True)
            assert len(plan.moves) == apps, (plan.problems[:1], plan.left_out)
            with times.of("the commits"):
                write_branch(store, plan.moves, "dev", "qa", "promote/qa")
    for name, (seconds, processor) in (*matrix.rows.items(), *times.rows.items()):
        print(f"{f'{apps} apps x 4, {commits} commits: {name}':<44}{seconds:>8.2f} s {processor:>8.2f} s")
    total, spent = (sum(row[index] for row in times.rows.values()) for index in (0, 1))
    print(f"{f'{apps} apps x 4: promote --all':<44}{total:>8.2f} s {spent:>8.2f} s")
    return spent


def _repository(root: Path, apps: int, commits: int) -> None:
    """Make the repository: all apps, pins for one environment, a history, and a new version of each app."""
    import programs  # noqa: PLC0415 - as above
    from tests.repository import AUTHOR  # noqa: PLC0415

    def git(*words: str, stdin: str | None = None) -> str:
        return programs.run("git", *AUTHOR, *words, cwd=root, stdin=stdin, timeout=600).stdout.strip()

    names = [(f"category-{index // PER_CATEGORY}", f"app-{index}") for index in range(apps)]
    for category, name in names:
        for environment in ENVIRONMENTS:
            _write(root / f"apps/{category}/{name}/{environment}/kustomization.yaml", _overlay(environment, ""))
        _write(root / f"apps/{category}/{name}/base/kustomization.yaml", "resources: [deployment.yaml]\n")
        _write(root / f"apps/{category}/{name}/base/deployment.yaml", DEPLOYMENT.format(name, 0))
        _write(root / f"apps/{category}/category.yaml", "layer: applications\n")
    for environment in ENVIRONMENTS:
        _write(root / f"apps/_settings/{environment}/settings.yaml", "a: 1\n")
    _write(root / "apps/_shared/hardened/kustomization.yaml", "kind: Component\n")
    _write(root / "apps/environments.yaml", f"chain: [{', '.join(ENVIRONMENTS)}]\n")
    git("init", "--quiet", "--initial-branch", "main")
    with (root / ".git" / "config").open("a") as config:
        config.write("[user]\nname = a\nemail = a@example.com\n[commit]\ngpgsign = false\n[gc]\nauto = 0\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "All apps")
    first = git("rev-parse", "HEAD")
    for category, name in names:
        text = _overlay("qa", PIN.format(first))
        _write(root / f"apps/{category}/{name}/qa/kustomization.yaml", text)
    git("commit", "--quiet", "--all", "--message", "Pin all")
    stream = [_commit(index, *names[index % apps], DEPLOYMENT) for index in range(1, commits + 1)]
    git("fast-import", "--quiet", stdin="".join(stream))
    git("reset", "--quiet", "--hard", "main")
    for category, name in names:
        _write(root / f"apps/{category}/{name}/base/deployment.yaml", DEPLOYMENT.format(name, commits + 1))
    git("commit", "--quiet", "--all", "--message", "Raise all")


def _commit(number: int, category: str, name: str, template: str) -> str:
    """Return one commit of the history in the form of fast-import."""
    text = template.format(name, number)
    begin = "from refs/heads/main^0\n" if number == 1 else ""
    return (
        f"commit refs/heads/main\ncommitter a <a@example.com> {1_700_000_000 + number} +0000\ndata 5\nRaise\n{begin}"
        f"M 100644 inline apps/{category}/{name}/base/deployment.yaml\ndata {len(text)}\n{text}\n"
    )


def _overlay(environment: str, pin: str) -> str:
    return OVERLAY.format(environment=environment, pin=pin)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _processor() -> float:
    used = [resource.getrusage(one) for one in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
