"""What `down` removes, and what it never touches."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from errors import Declined
from lab.places import Lab
from ops import down


def ended(stack: str, *, keep_logs: bool = False) -> int:
    return down.run(argparse.Namespace(stack=stack, all=False, keep_logs=keep_logs))


@pytest.mark.parametrize("stack", ["", ".", "..", "../..", "/", "dev/../..", "-dev"])
def test_what_is_no_stacks_name_is_refused_before_anything_is_removed(
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
    assert list(lab.root.iterdir()) == [lab.logs]
    assert ended("dev") == 0
    assert not lab.root.exists()
    assert ended("dev") == 0
