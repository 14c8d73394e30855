"""Repositories and trees in odd states: each gets a clear part of the report, or a clear refusal.

The verb itself runs, without the engine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import programs
from errors import ProgramFailed
from ops.__main__ import main
from ops.preview import _Sources
from ops.review import infrastructure
from ops.review.report import Infrastructure, Revision
from ops.review.revisions import Span
from ops.review.sides import Side
from tests.ops.review.library.example import branch, commit, copied
from tests.repository import AUTHOR

pytestmark = pytest.mark.xdist_group("library")

ROUTE = "apps/media/whoami/base/route.yaml"
DEPLOYMENT = "apps/media/whoami/base/deployment.yaml"


def git(root: Path, *words: str | Path) -> str:
    return programs.run("git", "-C", root, *AUTHOR, *words).stdout.strip()


def without_engine(_program: Path, _before: Path, _after: Path, stack: str, **_: object) -> Infrastructure:
    return Infrastructure(stack=stack, against="base")


@pytest.fixture
def checkout(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the library's checkout on a branch, for a verb that starts no engine."""
    monkeypatch.setattr(infrastructure, "infrastructure", without_engine)
    root = copied(template, tmp_path / "checkout")
    branch(root)
    return root


def replaced(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def moved(root: Path) -> None:
    """Change one app, so that there is something to report."""
    replaced(root / DEPLOYMENT, "whoami:v1.11.0", "whoami:v1.11.1")


Report = Callable[..., dict[str, Any]]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Return the report of a checkout as data."""

    def made(root: Path, *options: str) -> dict[str, Any]:
        code = main(["preview", "--all-stacks", "--root", str(root), "--format", "json", *options])
        output = capsys.readouterr()
        assert code == 0, output.err
        found: dict[str, Any] = json.loads(output.out)
        return found

    return made


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return the refusal of a checkout."""

    def made(root: Path, *options: str) -> str:
        assert main(["preview", "--all-stacks", "--root", str(root), *options]) == 1
        output = capsys.readouterr()
        assert output.out == ""
        line, end = output.err.strip().splitlines()
        assert end == "1 problem"
        return line

    return made


def apps(found: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted({(one["operation"], one["app"]) for one in found["applications"]})


WHOAMI = [("changed", "media/whoami")]


def test_a_detached_head_is_reported_like_a_branch(checkout: Path, report: Report) -> None:
    moved(checkout)
    commit(checkout, "Move whoami")
    git(checkout, "checkout", "--quiet", "--detach")
    assert apps(report(checkout)) == WHOAMI


def test_a_shallow_clone_without_the_base_is_refused(
    checkout: Path, refusal: Callable[..., str], report: Report, tmp_path: Path
) -> None:
    moved(checkout)
    commit(checkout, "Move whoami")
    git(checkout, "checkout", "--quiet", "main")
    (checkout / "README.md").write_text("text\n", encoding="utf-8")
    commit(checkout, "Go on")
    clone = tmp_path / "clone"
    options = ("--quiet", "--depth", "1", "--no-single-branch", "--branch", "change")
    git(tmp_path, "clone", *options, f"file://{checkout}", clone)
    assert refusal(clone) == (
        "./homelab preview: --base = origin/HEAD: has no common ancestor with HEAD in this shallow clone; "
        "git fetch --unshallow [base-unknown]"
    )
    git(clone, "fetch", "--quiet", "--unshallow")
    assert apps(report(clone)) == WHOAMI


def test_a_base_that_does_not_exist_is_refused(checkout: Path, refusal: Callable[..., str]) -> None:
    assert refusal(checkout, "--base", "mian") == (
        "./homelab preview: --base = mian: is no commit here; "
        "git fetch, or choose a branch, a tag or a commit of git log [base-unknown]"
    )


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path, refusal: Callable[..., str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert refusal(folder) == (
        f"{folder}: is no checkout of a Git repository; "
        "run it in a checkout: git clone, or git init and git commit [repository-missing]"
    )


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert refusal(tmp_path / "nowhere") == (
        f"{tmp_path}/nowhere: is no checkout of a Git repository; "
        "run it in a checkout: git clone, or git init and git commit [repository-missing]"
    )


def test_before_the_first_commit_everything_is_new(checkout: Path, report: Report) -> None:
    git(checkout, "update-ref", "-d", "refs/heads/main")
    git(checkout, "update-ref", "-d", "refs/heads/change")
    found = report(checkout)
    assert {one["operation"] for one in found["applications"]} == {"added"}
    assert "there is no commit yet: everything counts as new" in found["notes"]


def test_a_submodule_is_a_note(checkout: Path, report: Report, tmp_path: Path, template: Path) -> None:
    other = copied(template, tmp_path / "other")
    git(
        checkout, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other, "apps/media/whoami/base/sub"
    )
    moved(checkout)
    commit(checkout, "Add a submodule")
    found = report(checkout)
    assert "apps/media/whoami/base/sub: is a submodule, and its files are not compared" in found["notes"]
    assert apps(found) == WHOAMI
    assert "1 note about content that is missing or simulated" in found["because"]


def test_a_conflict_in_a_manifest_is_a_note_and_an_app_that_is_not_compared(checkout: Path, report: Report) -> None:
    moved(checkout)
    commit(checkout, "Move whoami")
    git(checkout, "checkout", "--quiet", "main")
    replaced(checkout / DEPLOYMENT, "whoami:v1.11.0", "whoami:v1.12.0")
    commit(checkout, "Move whoami further")
    with pytest.raises(ProgramFailed):
        git(checkout, "merge", "change")
    found = report(checkout)
    assert f"{DEPLOYMENT}: has a conflict of a merge that is not resolved" in found["notes"]
    (one,) = found["manifests"]
    assert (one["app"], one["objects"], one["notCompared"]) == ("media/whoami", [], 4)
    assert DEPLOYMENT in one["error"]


def test_a_manifest_of_20_megabytes_is_reported_in_short(checkout: Path, report: Report) -> None:
    lines = "".join(f"    line {number} of a text that nobody reads\n" for number in range(500_000))
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: long\ndata:\n  text: |\n{lines}"
    assert len(text) > 20_000_000
    (checkout / "apps/media/whoami/base/long.yaml").write_text(text, encoding="utf-8")
    replaced(checkout / "apps/media/whoami/base/kustomization.yaml", "- route.yaml", "- route.yaml\n  - long.yaml")
    began = time.process_time()
    found = report(checkout)
    assert time.process_time() - began < 60
    (change,) = (one for app in found["manifests"] for one in app["objects"] if "long" in one["object"])
    assert len(json.dumps(change)) < 1_000_000


def test_a_checkout_without_a_stack_is_refused(checkout: Path, refusal: Callable[..., str]) -> None:
    for file in checkout.glob("Pulumi.*.yaml"):
        file.unlink()
    commit(checkout, "Remove the stacks")
    git(checkout, "branch", "--force", "main")
    assert refusal(checkout) == (
        f"{checkout}: there is no stack file (Pulumi.<stack>.yaml); ./homelab init writes one [stack-missing]"
    )


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_stack_file_that_cannot_be_read_on_one_side_is_a_note(when: str, checkout: Path, report: Report) -> None:
    file = checkout / "Pulumi.lab.yaml"
    sound = file.read_text(encoding="utf-8")
    broken = sound.replace("talosVersion: 1.13.0", "talosVersion: [")
    moved(checkout)
    if when == "before":
        file.write_text(broken, encoding="utf-8")
        commit(checkout, "Break a stack file")
        git(checkout, "branch", "--force", "main")
        replaced(checkout / DEPLOYMENT, "whoami:v1.11.1", "whoami:v1.11.2")
    file.write_text(sound if when == "before" else broken, encoding="utf-8")
    found = report(checkout)
    assert f"Pulumi.lab.yaml: cannot be read {when} the change, and no app of it is compared" in found["notes"]
    assert [(one["app"], one["stacks"]) for one in found["applications"]] == [("media/whoami", ["home"])]
    part = found["checks"]["mended" if when == "before" else "broken"]
    assert "Pulumi.lab.yaml" in {one["where"].partition(":")[0] for one in part}
    assert found["machines"] == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_category_that_cannot_be_read_on_one_side_is_a_note(when: str, checkout: Path, report: Report) -> None:
    file = checkout / "apps" / "media" / "category.yaml"
    sound = file.read_text(encoding="utf-8")
    replaced(checkout / "apps/data/queue/base/config.yaml", "retention: 7d", "retention: 8d")
    if when == "before":
        file.write_text("layer: [\n", encoding="utf-8")
        commit(checkout, "Break a category")
        git(checkout, "branch", "--force", "main")
        replaced(checkout / "apps/data/queue/base/config.yaml", "retention: 8d", "retention: 9d")
    file.write_text(sound if when == "before" else "layer: [\n", encoding="utf-8")
    found = report(checkout)
    assert "apps/media: category.yaml cannot be read, and no app of it is compared" in found["notes"]
    assert apps(found) == [("changed", "data/queue")]
    assert "category-removed" not in {one["rule"] for one in found["dangers"]}
    assert found["verdict"] != "routine"


def test_an_app_that_renders_on_neither_side_is_not_routine(checkout: Path, report: Report) -> None:
    (checkout / "apps/media/whoami/base/broken.yaml").write_text("kind: [\n", encoding="utf-8")
    replaced(checkout / "apps/media/whoami/base/kustomization.yaml", "- route.yaml", "- route.yaml\n  - broken.yaml")
    commit(checkout, "Break an app")
    git(checkout, "branch", "--force", "main")
    assert report(checkout)["verdict"] == "routine"
    moved(checkout)
    found = report(checkout)
    assert found["notes"] == [
        "media/whoami: its files change, but it does not render before and after the change, and is not compared"
    ]
    assert (found["verdict"], found["manifests"]) == ("review", [])


def test_a_broken_app_with_a_new_chart_is_not_compared(checkout: Path, report: Report) -> None:
    for environment in ("dev", "production"):
        file = checkout / f"apps/tools/greeter/{environment}/kustomization.yaml"
        replaced(file, "version: 1.0.0", "version: 9.9.9")
        file.with_name("stolen.yaml").symlink_to("/etc/hostname")
        file.write_text(f"{file.read_text(encoding='utf-8')}resources: [stolen.yaml]\n", encoding="utf-8")
    found = report(checkout)["manifests"]
    assert {(one["app"], len(one["objects"]), "stolen.yaml" in one["error"]) for one in found} == {
        ("tools/greeter", 0, True)
    }


def test_a_change_that_a_stand_in_does_not_show_is_not_routine(checkout: Path, report: Report) -> None:
    for environment in ("dev", "production"):
        replaced(checkout / f"apps/tools/greeter/{environment}/kustomization.yaml", "version: 1.0.0", "version: 9.9.9")
    commit(checkout, "Use a chart that no cache has")
    git(checkout, "branch", "--force", "main")
    values = checkout / "apps/tools/greeter/base/values.yaml"
    values.write_text(f"{values.read_text(encoding='utf-8')}unseen: {{depth: 1}}\n", encoding="utf-8")
    found = report(checkout)
    assert found["manifests"] == []
    assert found["notes"] == [
        "tools/greeter: its files change, but not what stand-ins render of them: chart greeter 9.9.9"
    ]
    assert found["verdict"] == "review"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_patch_that_cannot_be_read_on_one_side_is_a_note(when: str, checkout: Path, report: Report) -> None:
    patch, sound, broken = checkout / "patches/x.yaml", "machine: {}\n", "machine: [\n"
    patch.parent.mkdir(exist_ok=True)
    file = checkout / "Pulumi.lab.yaml"
    text = file.read_text(encoding="utf-8")
    assert text.count("homelab:cluster:\n") == 1
    file.write_text(text.replace("homelab:cluster:\n", "homelab:cluster:\n    patches: {all: [patches/x.yaml]}\n"))
    patch.write_text(broken if when == "before" else sound, encoding="utf-8")
    commit(checkout, "Add a patch")
    git(checkout, "branch", "--force", "main")
    patch.write_text(sound if when == "before" else broken, encoding="utf-8")
    found = report(checkout)
    (note,) = (one for one in found["notes"] if "machine configurations" in one)
    assert note.startswith(
        "lab: the machine configurations are not compared: patches/x.yaml: cannot be read as a patch"
    )
    assert found["verdict"] == "review"


def test_a_loop_of_links_is_a_check_that_breaks(checkout: Path, report: Report) -> None:
    base = checkout / "apps" / "media" / "whoami" / "base"
    (base / "a.yaml").symlink_to("b.yaml")
    (base / "b.yaml").symlink_to("a.yaml")
    (checkout / "apps" / "media" / "loop").symlink_to("loop")
    commit(checkout, "Add loops")
    found = report(checkout)
    places = {one["where"].partition(":")[0] for one in found["checks"]["broken"]}
    assert {"apps/media/loop", "apps/media/whoami/base/a.yaml"} <= places
    assert found["verdict"] == "review"


def test_an_empty_folder_of_apps_is_a_removal_of_all_apps(checkout: Path, report: Report) -> None:
    git(checkout, "rm", "-r", "--quiet", "apps/media", "apps/data", "apps/tools", "apps/networking", "apps/security")
    git(checkout, "rm", "-r", "--quiet", "apps/crds", "apps/cert-manager", "apps/kube-system", "apps/system")
    commit(checkout, "Remove all apps")
    found = report(checkout)
    assert found["verdict"] == "dangerous"
    assert {operation for operation, _ in apps(found)} == {"removed"}
    assert {"category-removed", "large-change"} <= {one["rule"] for one in found["dangers"]}


def test_the_files_of_a_report_are_those_that_are_printed(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved(checkout)
    command = ["preview", "--all-stacks", "--root", str(checkout), "--output", str(tmp_path / "output"), "--format"]
    for name in ("md", "html", "json"):
        assert main([*command, name]) == 0
        printed = capsys.readouterr().out
        assert (tmp_path / "output" / f"preview.{name}").read_text(encoding="utf-8").rstrip("\n") == printed.rstrip(
            "\n"
        )


@pytest.mark.parametrize(("rehearse", "own"), [(True, "rehearsal"), (False, "state")])
def test_the_files_of_another_checkout_meet_no_state(
    rehearse: bool, own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: list[str] = []

    def record(*_: object, source: str, **__: object) -> Infrastructure:
        sources.append(source)
        return Infrastructure(stack="lab", against="not run")

    monkeypatch.setattr(infrastructure, "infrastructure", record)
    monkeypatch.setattr("ops.preview.touches_engine", lambda *_: True)
    side = SimpleNamespace(root=tmp_path, tree=None, stack=lambda name: SimpleNamespace(name=name, settings=object()))
    for root in (tmp_path, tmp_path / "stranger"):
        span = Span(root, Revision(commit=""), Revision(commit=""), ("Pulumi.lab.yaml",))
        found = _Sources(tmp_path, span, tmp_path, rehearse=rehearse, log=lambda _: None)
        found.engine(cast("Side", side), cast("Side", side), "lab")
    assert sources == [own, "base"]
