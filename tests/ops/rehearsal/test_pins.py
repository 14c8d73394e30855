"""A rehearsal serves pinned commits under hashes of its own, and knows the user's commit behind each of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import programs
from config.promotion import REVISION, edited
from config.tree import read_tree
from errors import TreeRefused
from lab.delivery import git_server, prepared_tree
from lab.layout import Lab
from manifests import pinned
from ops.rehearsal import pins
from tests.repository import AUTHOR, commit_all

REPOSITORY = "https://git.example.com/me/homelab.git"
BASE, OVERLAY = "apps/media/sonarr/base/app.yaml", "apps/media/sonarr/dev/kustomization.yaml"
FILES = {
    "apps/media/category.yaml": "layer: applications\n",
    "apps/media/_shared-files/one.yaml": "kind: ConfigMap\n",
    "apps/media/radarr/dev/kustomization.yaml": "resources: []\n",
    "apps/_settings/dev/kustomization.yaml": "kind: Component\n",
    "apps/_settings/production/kustomization.yaml": "kind: Component\n",
    "apps/_shared/part/kustomization.yaml": "kind: Component\n",
    BASE: "{kind: ConfigMap, apiVersion: v1, metadata: {name: red}}\n",
    OVERLAY: "resources: [../base/app.yaml]\n",
    ".gitignore": ".lab/\n",
}


class Nothing:
    """A source without charts and bases."""

    def chart(self, chart: object) -> None:
        """Return nothing."""

    def base(self, url: str, version: str = "") -> None:
        """Return nothing."""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout whose app is pinned to its first commit, and changed since."""
    monkeypatch.setattr(pinned, "cache_folder", lambda: tmp_path / "cache")
    root = tmp_path / "checkout"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    commit_all(root)
    pin(root, head(root))
    (root / BASE).write_text(FILES[BASE].replace("red", "blue"), encoding="utf-8")
    programs.run("git", *AUTHOR, "commit", "--all", "--message", "again", cwd=root)
    return root


def head(root: Path, which: str = "HEAD") -> str:
    return programs.run("git", "rev-parse", which, cwd=root).stdout.strip()


def pin(root: Path, commit: str) -> None:
    file = root / OVERLAY
    file.write_text(edited(file.name, file.read_text(), {REVISION: commit}) or "", encoding="utf-8")


def placed(root: Path) -> tuple[Lab, dict[str, str]]:
    """Return the rehearsal after its pins were placed."""
    lab = Lab.of(root, "dev")
    prepared_tree._copy(root, lab.tree)
    tree = read_tree(lab.tree)
    own = replace(tree, categories=tree.chosen("dev"))
    origins = pins.place(lab, root, (REPOSITORY, "main", "."), own, Nothing(), Nothing())
    return lab, origins


def test_the_prepared_tree_names_a_commit_with_the_old_files(checkout: Path) -> None:
    lab, origins = placed(checkout)
    (served,) = origins
    assert origins[served] == head(checkout, "HEAD~1")
    assert f'homelab.dev/revision: "{served}"' in (lab.tree / OVERLAY).read_text()
    bare = git_server.bare_repository(lab, REPOSITORY)
    on = ("git", "--git-dir", str(bare))
    assert programs.run(*on, "show", f"{served}:{BASE}").stdout == FILES[BASE]
    files = set(programs.run(*on, "ls-tree", "-r", "--name-only", served).stdout.split())
    others = (".gitignore", "apps/media/radarr/", "apps/media/category.yaml", "apps/_settings/production/")
    assert files == {name for name in FILES if not name.startswith(others)}, (
        "everything that the app can be rendered from, and nothing else"
    )
    seeds = lab.root / "pins" / served / BASE
    assert seeds.read_text() == FILES[BASE], "the seeds find it by the name in the prepared tree"


def test_a_second_rehearsal_serves_the_same_commit(checkout: Path) -> None:
    assert placed(checkout)[1] == placed(checkout)[1]


def test_a_pin_that_git_does_not_have_is_refused(checkout: Path) -> None:
    pin(checkout, "8" * 40)
    with pytest.raises(TreeRefused, match="is no commit of this repository"):
        placed(checkout)


def test_the_users_commit_is_known_by_what_argocd_reports(checkout: Path) -> None:
    lab, origins = placed(checkout)
    pins.remember(lab, checkout, "f" * 40, origins)
    (served,) = origins
    assert pins.user_commit(checkout, "dev", served) == head(checkout, "HEAD~1")
    assert pins.user_commit(checkout, "dev", "f" * 40) == head(checkout)
    assert pins.user_commit(checkout, "dev", "e" * 40) == ""
    assert pins.user_commit(checkout, "other", served) == ""
    (checkout / BASE).write_text("kind: ConfigMap\n", encoding="utf-8")
    pins.remember(lab, checkout, "f" * 40, origins)
    assert pins.user_commit(checkout, "dev", "f" * 40) == f"{head(checkout)}+", "files differ from the commit"


def test_a_checkout_without_a_commit_has_none(tmp_path: Path) -> None:
    programs.run("git", "init", "--quiet", cwd=tmp_path)
    assert pins.head(tmp_path) == ""


def test_a_link_out_of_a_commit_is_not_followed(checkout: Path, tmp_path: Path) -> None:
    """A later commit removed the link, so that a check of the checkout finds nothing."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key.yaml").write_text("secret: key\n", encoding="utf-8")
    link = checkout / "apps/media/_linked"
    link.symlink_to(tmp_path / "secrets")
    programs.run("git", "add", "--all", cwd=checkout)
    programs.run("git", *AUTHOR, "commit", "--message", "with a link", cwd=checkout)
    commit = head(checkout)
    link.unlink()
    pin(checkout, commit)
    lab, _ = placed(checkout)
    copied = lab.root / pins.FOLDER / commit / "apps/media"
    assert (copied / "_shared-files/one.yaml").is_file()
    assert not (copied / "_linked").exists()
