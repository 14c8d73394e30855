"""The folders of an environment are copies of another's: files only, with the name of the environment replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.tree import App
from errors import Declined
from ops.environments import copies

JELLYFIN = App("media", "jellyfin", "prod", "kustomization")
FOLDER = "apps/media/jellyfin/prod"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Make a checkout with one app in the environment prod, and return the app's folder there."""
    folder = tmp_path / "checkout" / FOLDER
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text("resources: [../base]\n", encoding="utf-8")
    return folder


def copied(source: Path) -> dict[str, tuple[bytes, int]]:
    """Return the files of the environment qa with their modes."""
    found = copies(source.parents[3], "prod", "qa", [JELLYFIN])
    return {one.path: (one.content, one.mode) for files in found.values() for one in files}


def test_only_the_whole_name_of_an_environment_is_replaced(source: Path) -> None:
    text = "a: ../_settings/prod\nb: [../_settings/prod, '../_settings/prod']\nc: ../_settings/prod/issuer\n"
    other = "d: ../_settings/production\ne: ../_settings/prod-2/issuer\nf: ../_settings/prod"
    (source / "own.yaml").write_text(f"{text}{other}", encoding="utf-8")
    assert copied(source)["apps/media/jellyfin/qa/own.yaml"][0].decode() == (
        "a: ../_settings/qa\nb: [../_settings/qa, '../_settings/qa']\nc: ../_settings/qa/issuer\n"
        "d: ../_settings/production\ne: ../_settings/prod-2/issuer\nf: ../_settings/qa"
    )


def test_a_copy_has_the_mode_of_its_file(source: Path) -> None:
    (source / "files").mkdir()
    (source / "files/run.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (source / "files/run.sh").chmod(0o755)
    modes = {path: mode for path, (_, mode) in copied(source).items()}
    assert modes["apps/media/jellyfin/qa/files/run.sh"] == 0o755


@pytest.mark.parametrize("place", ["outside", "inside", "folder", "nowhere"])
def test_a_link_is_refused(place: str, source: Path, tmp_path: Path) -> None:
    (tmp_path / "id_ed25519").write_text("a key\n", encoding="utf-8")
    targets = {"outside": tmp_path / "id_ed25519", "inside": source / "kustomization.yaml", "folder": tmp_path}
    (source / "more.yaml").symlink_to(targets.get(place, tmp_path / "nothing"))
    with pytest.raises(Declined, match=f"{FOLDER}/more.yaml: is a link, and init copies files only; replace it with"):
        copied(source)


def test_a_large_file_is_refused(source: Path) -> None:
    (source / "more.yaml").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(Declined, match=f"{FOLDER}/more.yaml: is larger than 1 MiB, and cannot be copied; make it a"):
        copied(source)
