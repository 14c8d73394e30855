"""The commands of `how-to/promote.md` work, one after the other, in a repository with the apps that they name."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops import promote as verb
from ops.__main__ import main
from ops.promotion.evidence import NodeEvidence
from tests.docs.pages import ROOT, of_page
from tests.ops.promotion.example import ENVIRONMENTS, IMMICH, OVERLAY, Example, deployment, example

PAGE = ROOT / "docs" / "how-to" / "promote.md"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
YEARS = 24 * 365 * 40.0


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    """Return a repository with pins, an app that runs in dev alone, and older machines in staging."""
    made = example(tmp_path / "checkout")
    stacks = {
        f"Pulumi.{one}.yaml": (ROOT / f"Pulumi.{one}.yaml").read_text(encoding="utf-8") for one in ENVIRONMENTS[:2]
    }
    stacks["Pulumi.staging.yaml"] = (
        stacks["Pulumi.staging.yaml"].replace("1.13.10", "1.13.9").replace("1.36.3", "1.36.2")
    )
    patches = {f"patches/{one.name}": one.read_text(encoding="utf-8") for one in (ROOT / "patches").glob("*.yaml")}
    whoami = {"apps/media/whoami/base/deployment.yaml": deployment("v1")}
    whoami |= {f"apps/media/whoami/{one}/kustomization.yaml": OVERLAY.format(one) for one in ENVIRONMENTS[:2]}
    made.commit({**stacks, **patches, **whoami})
    made.machines = tuple(NodeEvidence(one, True, LONG_AGO, "Talos (v1.13.10)", "v1.36.3") for one in ("a", "b"))
    monkeypatch.setattr(verb, "evidence_for", lambda root, environment: made)
    return made


def test_every_command_of_the_page_works(repository: Example, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [one.words[2:] for one in of_page(PAGE) if one.words[:2] == ("./homelab", "promote") and one.whole]
    assert len(lines) > 8
    for number, words in enumerate(lines):
        if "--push" in words:
            continue  # tests/ops/test_promote.py
        repository.commit({"apps/media/immich/base/deployment.yaml": deployment(f"v{number + 2}")})
        source = "staging" if "production" in words else "dev"
        for app in repository.ground().tree.apps_in(source):
            repository.runs(app.label, app.revision or repository.head, hours=YEARS)
        assert main(["promote", *words, "--root", str(repository.root)]) == 0, words
        printed = capsys.readouterr().out
        if branches := repository.git("branch", "--list", "--format=%(refname:short)", "*/*").split():
            repository.git("merge", "--quiet", "--ff-only", branches[0])
            repository.git("branch", "--quiet", "--delete", branches[0])
        assert bool(branches) != ("--dry-run" in words or "--tag" in words), printed
    subjects = repository.git("log", "--format=%s").splitlines()
    for subject in ("Promote talos to staging", "Revert media/immich in staging", "Lift media/immich in staging"):
        assert subject in subjects
    assert f"Promote {IMMICH} to production" in subjects
    for store in repository.stores:
        store.repository.close()
