"""The comparison of the report with the renders of a rehearsed Argo CD, which a script plays here.

tests/lab/test_preview.py repeats it with a real Argo CD.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

import programs
from config.load import read_stack
from config.model import Settings
from errors import Declined, Problem, RenderFailed, TryAgain
from lab.delivery import git_server, repo_server
from lab.delivery.repo_server import AppSource
from lab.layout import Lab
from lab.running import servers
from manifests.comparison.pairs import Pair
from manifests.objects import Object, identity
from manifests.pinned import PinnedTrees
from ops.review.rehearsed import _copy, _files, differing, disagreements, observations, reported
from ops.review.report import Observation, Rehearsed
from ops.review.revisions import span_of
from ops.review.sides import AppPair, pairs_of, side_of
from ops.toolchain.lookup import ensure
from tests.manifests.rules.scenario import prepare
from tests.repository import commit_all

SERVICE = "apps/media/jellyfin/base/service.yaml"
OVERLAY = "apps/media/jellyfin/dev/kustomization.yaml"
MEDIA = ("media", "media")


def config(name: str = "one", **data: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pair(before: Object | None, after: Object | None) -> Pair:
    return Pair(identity(after or before or {}), before, after)


def lines(before: list[Object], after: list[Object], *pairs: Pair) -> list[str]:
    """Return the lines about a report with these pairs and renders of Argo CD."""
    ours = reported(AppPair("lab", "media/app", None, None, pairs), MEDIA)
    return [*disagreements(ours, differing(before, after, MEDIA, ours))]


@pytest.mark.parametrize(
    ("before", "after", "pairs"),
    [
        ([config(a="1")], [config(a="1")], []),
        ([config(a="1")], [config(a="2")], [pair(config(a="1"), config(a="2"))]),
        ([], [config(a="1")], [pair(None, config(a="1"))]),
        ([config(a="1")], [], [pair(config(a="1"), None)]),
        # A generated name: one change in the report, two objects for Argo CD.
        ([config("a-1")], [config("a-2")], [pair(config("a-1"), config("a-2"))]),
        # An order that the report has found to be without meaning, and one with it.
        ([config(a=[1, 2])], [config(a=[2, 1])], []),
        ([config(a=[1, 2])], [config(a=[2, 1])], [pair(config(a=[1, 2]), config(a=[2, 1]))]),
        # Two objects of one identity.
        ([config(), config(a="1")], [config(), config(a="1")], []),
    ],
)
def test_equal_findings_leave_no_line(before: list[Object], after: list[Object], pairs: list[Pair]) -> None:
    assert lines(before, after, *pairs) == []


@pytest.mark.parametrize(
    ("before", "after", "pairs", "expected"),
    [
        ([config(a="1")], [config(a="2")], [], "ConfigMap media/one: only Argo CD has it"),
        ([config(a="1")], [], [], "ConfigMap media/one: only Argo CD has it"),
        ([], [], [pair(config(), None)], "ConfigMap media/one: only this report has it"),
        (
            [config(a="1", b="1")],
            [config(a="1", b="2")],
            [pair(config(a="1", b="1"), config(a="1", b="3"))],
            "ConfigMap media/one: Argo CD renders it differently after the change: data.b",
        ),
        (
            [config(a=["x", 1])],
            [config(a="2")],
            [pair(config(a=["x", True]), config(a="2"))],
            "ConfigMap media/one: Argo CD renders it differently before the change: data.a.1",
        ),
        (
            [],
            [config()],
            [pair(config(), None)],
            "ConfigMap media/one: Argo CD renders it differently before the change: whole",
        ),
    ],
)
def test_each_disagreement_has_its_object(
    before: list[Object], after: list[Object], pairs: list[Pair], expected: str
) -> None:
    assert lines(before, after, *pairs)[0] == expected


def test_an_app_that_moves_to_another_namespace_has_other_objects() -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "one"}}
    found = differing([config(), role], [config(), role], ("media", "films"))
    assert sorted(str(key.identity) for key in found) == ["ConfigMap films/one", "ConfigMap media/one"]


@dataclass
class Player:
    """An Argo CD that renders a commit with kustomize alone."""

    bare: Path
    kubernetes: str
    asked: list[tuple[AppSource, str]] = field(default_factory=list)
    extra: tuple[Object, ...] = ()
    failure: Exception | None = None

    def objects(self, app: AppSource, commit: str) -> list[Object]:
        self.asked.append((app, commit))
        if self.failure:
            raise self.failure
        with TemporaryDirectory() as folder:
            on = ("--git-dir", self.bare, "--work-tree", folder)
            programs.run("git", *on, "checkout", commit, "--", ".", env={**os.environ, "GIT_INDEX_FILE": f"{folder}/i"})
            options = ("--load-restrictor", "LoadRestrictionsNone")
            built = programs.run(
                "kustomize", "build", f"{folder}/{app.path}", *options, env=ensure(("kustomize",)).env()
            )
        return [*yaml.safe_load_all(built.stdout), *self.extra]


@dataclass
class Change:
    """A change of a small checkout with a rehearsal that a `Player` plays."""

    root: Path
    player: Player

    def edit(self, old: str, new: str, file: str = SERVICE) -> None:
        text = (self.root / file).read_text(encoding="utf-8")
        assert old in text
        (self.root / file).write_text(text.replace(old, new), encoding="utf-8")

    def preview(self) -> Rehearsed:
        """Compare a whole report."""
        span = span_of(self.root, "HEAD")
        with span.before() as folder:
            pinned = PinnedTrees(self.root)
            before = side_of(folder, ["lab"], pinned=pinned)
            pairs = pairs_of(before, side_of(self.root, ["lab"], before, pinned=pinned), ["lab"])
            return observations(self.root, "lab", self.settings, span, folder, pairs.apps)

    def compare(self, *apps: AppPair) -> Rehearsed:
        """Compare a report with these pairs."""
        span = span_of(self.root, "HEAD")
        with span.before() as folder:
            return observations(self.root, "lab", self.settings, span, folder, apps)

    @property
    def settings(self) -> Settings:
        return read_stack(self.root / "Pulumi.lab.yaml").require()


@pytest.fixture
def change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Change:
    """Return a committed checkout whose rehearsal has published it."""
    root = tmp_path / "checkout"
    prepare({}, root)
    commit_all(root)
    lab = Lab.of(root, "lab")
    settings = read_stack(root / "Pulumi.lab.yaml").require()
    repository = git_server.served_as(settings.delivery.repository)
    version = f"v{settings.cluster.kubernetes_version}"
    player = Player(git_server.bare_repository(lab, repository), version)
    (lab.tree / "apps").mkdir(parents=True)
    (lab.tree / "apps/README.md").touch()
    git_server.publish(lab, repository, settings.delivery.revision, settings.delivery.path)
    lab.kubeconfig.touch()
    monkeypatch.setattr(servers, "runs", lambda _lab, _name: True)

    @contextmanager
    def connected(_lab: Lab, url: str) -> Iterator[Player]:
        assert url == repository
        yield player

    monkeypatch.setattr(repo_server, "connected", connected)
    return Change(root, player)


def only(found: Rehearsed) -> Observation:
    (one,) = found.observations
    assert (one.stack, one.app) == ("lab", "media/jellyfin")
    return one


def test_both_sides_are_rendered_and_nothing_of_them_stays_in_git(change: Change) -> None:
    change.edit("port: 80", "port: 81")
    found = change.preview()
    assert only(found) == Observation(stack="lab", app="media/jellyfin", objects=1)
    assert found.note == ""
    (app, before), (same, after) = change.player.asked
    assert app == same == AppSource("media-jellyfin", "media", "media", "apps/media/jellyfin/dev")
    assert before != after
    refs = programs.run("git", "--git-dir", change.player.bare, "for-each-ref", "--format=%(refname)").stdout
    assert refs == "refs/heads/main\n"


def test_an_app_that_the_report_misses_is_found_by_its_files(change: Change) -> None:
    change.edit("port: 80", "port: 81")
    assert only(change.compare()).differences == ("Service media/jellyfin: only Argo CD has it",)


def test_a_render_that_only_argo_cd_refuses_is_an_error_without_secrets(change: Change) -> None:
    change.edit("port: 80", "port: 81")
    change.player.failure = RenderFailed("Error: accumulating resources\x1b[31m\n  token: ghp_" + "a1B2" * 9)
    before = only(change.compare()).error.partition("; after")[0]
    assert before == "before the change: Error: accumulating resources\\u001b[31m token: (redacted)"
    change.player.failure = RenderFailed("long " * 1000)
    assert len(only(change.compare()).error) < 1000


def test_an_app_that_only_argo_cd_renders_is_a_difference(change: Change) -> None:
    problem = Problem("apps/media/jellyfin/dev", 0, "", "", "does not render", "mend it", "render-failed")
    change.edit("port: 80", "port: 81")
    found = only(change.compare(AppPair("lab", "media/jellyfin", None, None, (), (problem,))))
    assert found.differences == ("this report could not render both sides, Argo CD can",)


def test_differences_are_bounded(change: Change) -> None:
    change.edit("port: 80", "port: 81")
    pairs = tuple(pair(config(f"c-{number:03}"), None) for number in range(200))
    found = only(change.compare(AppPair("lab", "media/jellyfin", None, None, pairs)))
    assert len(found.differences) == 51
    assert found.differences[-1] == "and 151 more"


def test_a_change_outside_of_the_apps_asks_nothing(change: Change) -> None:
    (change.root / "README.md").write_text("new\n", encoding="utf-8")
    found = change.compare()
    assert (found.observations, found.note) == ((), "lab: the change touches no app, and Argo CD renders nothing")
    assert change.player.asked == []


def test_another_version_of_kubernetes_in_the_rehearsal_is_noted(change: Change) -> None:
    change.edit("port: 80", "port: 81")
    change.player.kubernetes = "v1.30.0"
    wanted = change.settings.cluster.kubernetes_version
    assert change.compare().note == f"lab: the rehearsal runs Kubernetes v1.30.0, and the change has {wanted}"


def test_an_argo_cd_that_does_not_answer_ends_the_preview_and_leaves_no_ref(change: Change) -> None:
    change.edit("port: 80", "port: 81")
    change.player.failure = TryAgain("the rehearsed Argo CD does not answer: gone; run the same command again")
    with pytest.raises(TryAgain, match=r"^the rehearsed Argo CD does not answer: gone; run the same command again$"):
        change.compare()
    refs = programs.run("git", "--git-dir", change.player.bare, "for-each-ref", "--format=%(refname)").stdout
    assert refs == "refs/heads/main\n"


def test_links_that_lead_out_of_the_checkout_are_not_served(change: Change, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    folder = change.root / "apps/media/jellyfin/base"
    for name, target in (
        ("out", "../../../../../secret"),
        ("absolute", str(tmp_path / "secret")),
        ("in", "service.yaml"),
    ):
        (folder / name).symlink_to(target)
    change.compare()
    commit = change.player.asked[-1][1]
    on = ("--git-dir", change.player.bare)
    names = programs.run("git", *on, "ls-tree", "--name-only", commit, "apps/media/jellyfin/base/").stdout.split()
    assert {Path(name).name for name in names} & {"out", "absolute", "in"} == {"in"}


def test_without_a_rehearsal_the_preview_is_refused(change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "runs", lambda _lab, name: name == "kube-apiserver")
    with pytest.raises(Declined) as stopped:
        change.compare()
    assert str(stopped.value) == (
        "lab: the rehearsal does not run delivery, argocd-repo-server; ./homelab rehearse --stack lab"
    )
    Lab.of(change.root, "lab").kubeconfig.unlink()
    with pytest.raises(Declined) as absent:
        change.compare()
    assert str(absent.value) == "lab: there is no rehearsal; ./homelab rehearse --stack lab"


def test_a_link_to_a_folder_is_copied_with_the_base(tmp_path: Path) -> None:
    base, copy = tmp_path / "base", tmp_path / "copy"
    (base / "apps/shared").mkdir(parents=True)
    (base / "apps/shared/one.yaml").write_text("1", encoding="utf-8")
    (base / "apps/linked").symlink_to("shared")
    (base / "apps/outside").symlink_to("../../../etc")
    _copy(base, _files(base), copy)
    assert (copy / "apps/linked/one.yaml").read_text(encoding="utf-8") == "1"
    assert not (copy / "apps/outside").is_symlink()


def test_a_promotion_is_rendered_from_both_commits(change: Change) -> None:
    """The pin is the whole change: a base that main changed meanwhile has no effect."""
    before = programs.run("git", "rev-parse", "HEAD", cwd=change.root).stdout.strip()
    change.edit("port: 80", "port: 8080")
    commit_all(change.root)
    after = programs.run("git", "rev-parse", "HEAD", cwd=change.root).stdout.strip()
    pin = f'metadata:\n  annotations:\n    homelab.dev/revision: "{before}"\n'
    change.edit("resources:", f"{pin}resources:", OVERLAY)
    commit_all(change.root)
    change.edit("port: 8080", "port: 9090")
    assert not change.preview().observations, "the pinned app does not see the base of the working tree"
    change.edit(before, after, OVERLAY)
    found = only(change.preview())
    assert (found.objects, found.differences, found.error) == (1, (), "")
    change.edit(after, "8" * 40, OVERLAY)
    assert "is no commit of this repository" in only(change.preview()).error
