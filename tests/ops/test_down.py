"""`./homelab down` removes rehearsals, and no other file or folder."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from errors import Declined
from lab.layout import Lab
from ops import down


def ended(stack: str, *, keep_logs: bool = False) -> int:
    return down.run(argparse.Namespace(stack=stack, all=False, keep_logs=keep_logs)).code


@pytest.mark.parametrize("stack", ["", ".", "..", "../..", "/", "dev/../..", "-dev"])
def test_an_invalid_stack_name_is_refused_before_any_removal(
    stack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Lab.of(tmp_path, "dev").make()
    (tmp_path / "mine").write_text("mine", encoding="utf-8")
    with pytest.raises(Declined, match="is no stack's name"):
        ended(stack)
    assert (tmp_path / "mine").exists()
    assert Lab.of(tmp_path, "dev").run.exists()


def test_a_rehearsal_goes_as_a_whole_or_leaves_its_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lab = Lab.of(tmp_path, "dev")
    lab.make()
    assert ended("dev", keep_logs=True) == 0
    assert set(lab.root.iterdir()) == {lab.logs, lab.marker}
    assert ended("dev") == 0
    assert not lab.root.exists()
    assert ended("dev") == 0


def test_a_link_is_never_followed_and_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    victim = tmp_path / "victim"
    Lab(victim / "dev").make()
    Lab.of(tmp_path, "other").make()
    (tmp_path / ".lab/dev").symlink_to(victim / "dev")
    for options in (argparse.Namespace(stack="dev", all=False, keep_logs=False), argparse.Namespace(all=True)):
        with pytest.raises(Declined, match=r"\.lab/dev: is a link, .*; remove the link"):
            down.run(options)
    assert (victim / "dev/run").is_dir()
    assert Lab.of(tmp_path, "other").run.is_dir()


def test_a_linked_home_of_rehearsals_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Lab(tmp_path / "victim/dev").make()
    (tmp_path / ".lab").symlink_to("victim")
    with pytest.raises(Declined, match=r"\.lab: is a link"):
        down.run(argparse.Namespace(all=True, keep_logs=False))
    with pytest.raises(Declined, match=r"\.lab: is a link"):
        Lab.of(tmp_path, "new").make()
    assert (tmp_path / "victim/dev/run").is_dir()


def test_a_folder_that_no_rehearsal_has_made_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".lab/dev/run").mkdir(parents=True)
    with pytest.raises(Declined, match="no rehearsal has made it"):
        ended("dev")
    assert (tmp_path / ".lab/dev/run").is_dir()


def test_all_takes_rehearsals_and_leaves_what_else_lies_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Lab.of(tmp_path, "dev").make()
    (tmp_path / ".lab/test").mkdir()
    assert down.run(argparse.Namespace(all=True, keep_logs=False)).code == 0
    assert [path.name for path in (tmp_path / ".lab").iterdir()] == ["test"]
    again = down.run(argparse.Namespace(all=True, keep_logs=False))
    assert again.code == 0
    assert "there is no rehearsal in" in again.text
