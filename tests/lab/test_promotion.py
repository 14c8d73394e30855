"""A version moves from dev to staging to production, in three rehearsals side by side, and back again.

Three clusters read one repository, as three stacks of a home do. The clock is moved and not slept: a soak of hours is
over at once. After each step the real Argo CD of each stack, the matrix of `versions` and the cluster's own objects
report the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import programs
from config.tree import read_tree
from errors import ExitCode
from lab.api import Object
from ops import promote
from ops.__main__ import main
from tests.lab.home import ENVIRONMENT, IN_ENVIRONMENT, SHELF, Home
from tests.repository import AUTHOR

pytestmark = [pytest.mark.xdist_group("promotion"), pytest.mark.nightly]

STACKS = {"dev": "dev", "staging": "staging", "homelab": "production"}
APP, APPLICATION = "media/shelf", "media-shelf"
OLD, NEW = "example.com/shelf:1.0.0", "example.com/shelf:1.1.0"


class Clock(datetime):
    """The clock of the promotions, which the test moves."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override] # of the one zone that is used
        return datetime.now(UTC) + cls.ahead


class Homes:
    """Three stacks of one checkout."""

    def __init__(self, root: Path) -> None:
        """Trim a checkout, in which every environment runs the app."""
        dev = Home.trimmed(root)
        for environment in STACKS.values():
            text = IN_ENVIRONMENT.replace(f"/{ENVIRONMENT}]", f"/{environment}]")
            dev.write(f"apps/{APP}/{environment}/kustomization.yaml", text)
        # Production has no default class for a claim without its storage.
        stateless, _, _ = dev.read(SHELF).partition("---\n")
        mount = "          volumeMounts: [{name: data, mountPath: /data}]\n"
        volume = "      volumes: [{name: data, persistentVolumeClaim: {claimName: shelf}}]\n"
        dev.write(SHELF, stateless.replace(mount, "").replace(volume, ""))
        dev.write_settings()
        self.root, self.of = root, {stack: Home(root, stack) for stack in STACKS}
        self.commit("Begin")

    def commit(self, message: str) -> str:
        """Commit everything on main, and return the commit."""
        programs.run("git", *AUTHOR, "add", "--all", cwd=self.root)
        programs.run("git", *AUTHOR, "commit", "--quiet", "--message", message, cwd=self.root)
        return self.head

    @property
    def head(self) -> str:
        return programs.run("git", "rev-parse", "HEAD", cwd=self.root).stdout.strip()

    def push(self) -> None:
        """Publish the commit to all clusters, and wait for those that sync by themselves."""
        for home in self.of.values():
            home.push()
        for stack in ("dev", "staging"):
            self.of[stack].settled()

    def sync(self) -> None:
        """Sync production by hand."""
        ran = self.of["homelab"].run("sync", "--all")
        assert ran.code == 0, ran.err + ran.out
        self.of["homelab"].settled()

    def image(self, stack: str) -> str:
        deployment = self.of[stack].api.get("apps/v1", "Deployment", "shelf", "media")
        assert deployment is not None
        found: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        return found

    def images(self) -> list[str]:
        return [self.image(stack).rpartition(":")[2] for stack in STACKS]

    def pin(self, environment: str) -> str:
        return next(app.revision for app in read_tree(self.root).apps_in(environment) if app.label == APP)


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homes]:
    """Yield three rehearsals that run, one after the other started."""
    made = Homes(tmp_path_factory.mktemp("promotion") / "checkout")
    try:
        for home in made.of.values():
            home.whole()
        yield made
    finally:
        for home in made.of.values():
            home.end()


@pytest.fixture(autouse=True)
def _clock(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run verbs of this process in the checkout, with the clock of the test."""
    monkeypatch.chdir(homes.root)
    monkeypatch.setattr(promote, "datetime", Clock)
    monkeypatch.delenv("KUBECONFIG", raising=False)


def promoted(homes: Homes, *arguments: str, code: int = ExitCode.DONE) -> None:
    """Promote on the present branch, and publish it to the clusters."""
    assert main(["promote", *arguments, "--in-place", "--root", str(homes.root)]) == code
    homes.push()


def matrix(homes: Homes, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """Return the cells of the app by environment, as `versions` reports them."""
    capsys.readouterr()
    assert main(["versions", APP, "--format", "json", "--root", str(homes.root)]) == ExitCode.DONE
    (row,) = json.loads(capsys.readouterr().out)["applications"]
    return {cell["environment"]: cell for cell in row["cells"]}


def versions(homes: Homes, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the version of each environment, and require that the clusters run these and are healthy."""
    cells = matrix(homes, capsys)
    found = [cells[environment]["version"] for environment in STACKS.values()]
    assert homes.images() == found
    for environment, cell in cells.items():
        assert (environment, cell["health"]["health"]) == (environment, "Healthy")
    return found


def test_a_version_moves_along_the_chain_and_back(
    homes: Homes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    production = homes.of["homelab"]

    # Every later environment follows main until it is promoted to: the first promotion makes the pins.
    monkeypatch.setattr(Clock, "ahead", timedelta(hours=2))
    promoted(homes, APP, "--from", "dev", "--to", "staging")
    monkeypatch.setattr(Clock, "ahead", timedelta(hours=8))
    promoted(homes, APP, "--to", "production", "--reason", "the first pin")
    homes.sync()
    assert homes.pin("staging") == homes.pin("production") != ""
    assert versions(homes, capsys) == ["1.0.0", "1.0.0", "1.0.0"]
    pinned = homes.pin("production")

    # Raised in dev: no other environment sees it.
    monkeypatch.setattr(Clock, "ahead", timedelta())
    home = homes.of["dev"]
    home.write(SHELF, home.read(SHELF).replace(OLD, NEW))
    homes.commit("Raise shelf to 1.1.0")
    homes.push()
    homes.sync()
    assert versions(homes, capsys) == ["1.1.0", "1.0.0", "1.0.0"]
    cells = matrix(homes, capsys)
    assert [cells[one]["difference"] for one in STACKS.values()] == ["", "versions", "same"]

    # Not soaked yet, then soaked.
    capsys.readouterr()
    assert main(["promote", APP, "--to", "staging", "--root", str(homes.root)]) == ExitCode.NOT_GOOD
    assert "promotion-soaking" in capsys.readouterr().err
    monkeypatch.setattr(Clock, "ahead", timedelta(hours=2))
    promoted(homes, APP, "--to", "staging")
    assert versions(homes, capsys) == ["1.1.0", "1.1.0", "1.0.0"]
    promoted(homes, APP, "--to", "staging")  # nothing to do

    # To production, which syncs by hand.
    monkeypatch.setattr(Clock, "ahead", timedelta(hours=8))
    promoted(homes, APP, "--to", "production", "--reason", "approved by the test")
    waiting = production.wait_for(APPLICATION, lambda one: sync_of(one) == "OutOfSync", "OutOfSync")
    assert "automated" not in waiting["spec"]["syncPolicy"]
    assert homes.image("homelab") == OLD, "nothing happens before it is synced by hand"
    homes.sync()
    assert versions(homes, capsys) == ["1.1.0", "1.1.0", "1.1.0"]

    # Back, with a hold that --all respects until it is lifted.
    promoted(homes, "--revert", APP, "--to", "production", "--reason", "it lost a book")
    homes.sync()
    assert homes.pin("production") == pinned
    assert versions(homes, capsys) == ["1.1.0", "1.1.0", "1.0.0"]
    assert "it lost a book" in matrix(homes, capsys)["production"]["hold"]
    capsys.readouterr()
    assert main(["promote", "--all", "--to", "production", "--dry-run", "--root", str(homes.root)]) == ExitCode.DONE
    left_out = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{APP}: left out: ")]
    assert ["it lost a book" in line for line in left_out] == [True]
    promoted(homes, "--lift", APP, "--to", "production", "--reason", "the book was found")
    assert matrix(homes, capsys)["production"]["hold"] == ""
    promoted(homes, APP, "--to", "production", "--reason", "approved again")
    homes.sync()
    assert versions(homes, capsys) == ["1.1.0", "1.1.0", "1.1.0"]


def sync_of(found: Object | None) -> str:
    status: str = (found or {}).get("status", {}).get("sync", {}).get("status", "")
    return status
