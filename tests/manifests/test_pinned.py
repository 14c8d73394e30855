"""A pinned app is read from its commit, whatever the checkout has now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import programs
from config.promotion import REVISION, edited
from config.tree import App, read_tree
from errors import ProgramFailed, TreeRefused
from manifests import pinned
from manifests.contents import contents_of
from manifests.pinned import PinnedTrees
from tests.repository import AUTHOR, commit_all

BASE = "apps/media/sonarr/base/app.yaml"
FILES = {
    "apps/media/category.yaml": "layer: applications\n",
    "apps/_settings/dev/kustomization.yaml": "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\n",
    BASE: "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {colour: red}}\n",
    "apps/media/sonarr/dev/kustomization.yaml": "resources: [../base/app.yaml]\n",
    ".gitattributes": "*.txt text eol=crlf\n",
    "apps/media/sonarr/base/note.txt": "a\nb\n",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    commit_all(root)
    return root


def head(root: Path) -> str:
    return programs.run("git", "rev-parse", "HEAD", cwd=root).stdout.strip()


def pin(root: Path, commit: str) -> App:
    """Pin the app, and return it as the tree has it then."""
    file = root / "apps/media/sonarr/dev/kustomization.yaml"
    file.write_text(edited(file.name, file.read_text(), {REVISION: commit}) or "", encoding="utf-8")
    (app,) = read_tree(root).apps
    return app


def trees(root: Path) -> PinnedTrees:
    return PinnedTrees(root, root.parent / "cache")


def test_a_pinned_app_has_the_files_of_its_commit(checkout: Path) -> None:
    app = pin(checkout, head(checkout))
    (checkout / BASE).write_text(FILES[BASE].replace("red", "blue"), encoding="utf-8")
    commit_all_again(checkout)
    reader = trees(checkout).reader(app)
    assert reader.text(BASE) == FILES[BASE]
    assert BASE in contents_of(reader, app.path).files
    assert reader.raw("apps/media/sonarr/base/note.txt") == b"a\r\nb\r\n", "as a checkout of the commit writes it"


def commit_all_again(root: Path) -> None:
    programs.run("git", *AUTHOR, "commit", "--all", "--message", "again", cwd=root)


def test_a_commit_is_written_once_and_whole(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app, found = pin(checkout, head(checkout)), trees(checkout)
    place = found.folder(app.revision)
    assert place is not None
    assert sorted(one.name for one in place.parent.iterdir()) == [app.revision], "nothing half written is left"
    monkeypatch.setattr(pinned, "write_commit", None)
    assert trees(checkout).folder(app.revision) == place


def test_a_commit_that_git_lacks_is_the_problem_of_its_app_alone(checkout: Path) -> None:
    app, found = pin(checkout, "8" * 40), trees(checkout)
    expected = (
        f"apps/media/sonarr/dev/kustomization.yaml: homelab.dev/revision = {'8' * 40}: is no commit of this "
        "repository, so that the app cannot be rendered; git fetch --unshallow, or promote the app again [pin-unknown]"
    )
    assert [str(one) for one in contents_of(found.reader(app), app.path).problems] == [expected]
    with pytest.raises(TreeRefused, match="is no commit of this repository"):
        found.copy(app, checkout.parent / "copy")


def test_a_repository_above_the_checkout_is_read_at_its_folder(checkout: Path, tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    (checkout / ".git").rename(tmp_path / "unused")
    checkout.rename(above / "home")
    commit_all(above)
    app = pin(above / "home", head(above))
    assert trees(above / "home").reader(app).text(BASE) == FILES[BASE]


def test_two_checkouts_in_one_repository_do_not_share_the_files_of_a_commit(checkout: Path, tmp_path: Path) -> None:
    shutil.copytree(checkout, checkout / "second", ignore=shutil.ignore_patterns(".git"))
    (checkout / "second" / BASE).write_text(FILES[BASE].replace("red", "blue"), encoding="utf-8")
    programs.run("git", *AUTHOR, "add", "--all", cwd=checkout)
    commit_all_again(checkout)
    commit, cache = head(checkout), tmp_path / "cache"
    texts = []
    for root in (checkout, checkout / "second"):
        texts.append(PinnedTrees(root, cache).reader(pin(root, commit)).text(BASE))
    assert texts == [FILES[BASE], FILES[BASE].replace("red", "blue")]


def test_the_hash_of_a_tree_is_no_commit(checkout: Path) -> None:
    tree = programs.run("git", "rev-parse", "HEAD^{tree}", cwd=checkout).stdout.strip()
    assert trees(checkout).folder(tree) is None


def test_a_commit_that_cannot_be_written_is_not_called_unknown(checkout: Path) -> None:
    (checkout / ".gitattributes").write_text("*.txt filter=broken\n", encoding="utf-8")
    commit_all_again(checkout)
    programs.run("git", "config", "filter.broken.smudge", "false", cwd=checkout)
    programs.run("git", "config", "filter.broken.required", "true", cwd=checkout)
    with pytest.raises(ProgramFailed, match="smudge filter broken failed"):
        trees(checkout).folder(head(checkout))


def test_the_cache_has_a_limit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "MOST", 2)
    found = trees(checkout)
    for number in range(3):
        (checkout / BASE).write_text(FILES[BASE].replace("red", str(number)), encoding="utf-8")
        commit_all_again(checkout)
        assert found.folder(head(checkout))
    assert len(list(found.home.iterdir())) == 3, "this run may still read each of them"
    monkeypatch.setattr(pinned, "SECONDS_OF_A_RUN", -1.0)
    (checkout / BASE).write_text(FILES[BASE], encoding="utf-8")
    commit_all_again(checkout)
    assert found.folder(head(checkout))
    assert len(list(found.home.iterdir())) == 2
