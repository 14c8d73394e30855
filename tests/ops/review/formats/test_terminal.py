"""The text of a report on a terminal: every part, and no sign that moves a cursor."""

from __future__ import annotations

import re

import pytest

from errors import UNSEEN
from ops.review.formats.terminal import text
from ops.terminal import COLOURS
from tests.ops.review import example_report

NOT_SHOWN = {"commit", "digest-before", "digest-after", "release-notes"}


def test_the_verdict_and_dangers_stand_first() -> None:
    lines = text(example_report.dangerous()).splitlines()
    assert lines[0] == "dangerous: 3 dangers, 2 apps, 3 objects, 1 version, 1 resource"
    dangers = [line for line in lines if line.startswith("DANGER ")]
    assert dangers == [
        "DANGER removed-statefulset: Argo CD prunes the StatefulSet, and the database stops",
        "DANGER pvc-shrink (guessed): a claim cannot shrink from 50Gi to 20Gi: the API server refuses the sync",
        "DANGER vm-replaced: the new disk size replaces the VM, and its local volumes are lost",
    ]
    assert lines.index(dangers[-1]) < lines.index("infrastructure")


def test_every_part_has_its_table() -> None:
    made = text(example_report.rich())
    for title, head in (
        ("infrastructure", "stack +resources +compared +note"),
        ("machine configurations", "stack +node +cost +why"),
        ("applications", "app +stacks +change +objects +sync"),
        ("removed objects", "app +object +what Argo CD does +why"),
        ("versions", "app +stacks +kind +name +before +after +jump"),
        ("checks", " +place +rule +fix +check"),
        ("Argo CD in a rehearsal", "stack +app +objects +differs from this report +error"),
    ):
        assert re.search(rf"^{title}\n{head}\n\w", made, re.MULTILINE), title
    assert "tools/paperless in homelab: does not render, 7 objects not compared\n  apps/tools/paperless" in made
    assert "    -      storage: 50Gi\n    +      storage: 20Gi\n" in made


def test_every_text_of_a_report_is_shown_without_control_characters() -> None:
    made = text(example_report.hostile())
    assert UNSEEN.search(made.replace("\n", "")) is None
    missing = {one for one in example_report.marks() if one not in made}
    assert {one for one in missing if not any(f"-{name}-" in one for name in NOT_SHOWN)} == set()


def test_a_hostile_text_begins_no_line() -> None:
    assert [line for line in text(example_report.hostile()).splitlines() if line.startswith(("#", "|", "`", ">"))] == []


def test_long_differences_are_short() -> None:
    made = text(example_report.large())
    assert len(made.splitlines()) < 2500
    assert made.endswith("2940 objects without their differences: --format html has all of it")


def test_colours_are_the_only_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.terminal.on_terminal", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    made = text(example_report.hostile())
    codes = "|".join(map(str, [0, *COLOURS.values()]))
    assert UNSEEN.search(re.sub(rf"\x1b\[(?:{codes})m|\n", "", made)) is None
    assert f"\x1b[{COLOURS['green']}m" in made
