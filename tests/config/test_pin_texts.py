"""Pins read from the text of a file: the same as by parsing it, and nothing else of it is taken away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.promotion import HOLD, KEYS, REVISION, edited, may_have_pin, pin_of, without_pin, written_pin
from config.source import parse

COMMIT = "3f" * 20
FILES = {
    "kustomization.yaml": "# Above.\nkind: Kustomization\nresources: [../base]\n",
    "Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n",
}
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40)
names = pytest.mark.parametrize("name", FILES)


@names
@given(hold=st.none() | TEXT.filter(bool))
def test_a_written_pin_is_read_as_by_parsing_and_removed_without_a_trace(name: str, hold: str | None) -> None:
    made = edited(name, FILES[name], {REVISION: COMMIT, HOLD: hold})
    if made is None:
        return  # a sign that YAML takes for the end of a line
    raw = made.encode()
    revision, found, problems = pin_of(parse(raw, name))
    assert problems == []
    assert written_pin(name, raw) == (revision, found) == (COMMIT, hold or "")
    assert without_pin(name, raw) == FILES[name].encode()


@names
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"3f', '"3F'),  # no commit
        (f'"{COMMIT}"', COMMIT),  # without quotes
        (f'"{COMMIT}"', f'"{COMMIT}" # why'),
        (f'"{COMMIT}"\n', f'"{COMMIT}"\r\n'),
        (f'"{COMMIT}"\n', f'"{COMMIT}"\n__homelab.dev/revision: "{COMMIT}"\n'),  # twice
        (f'"{COMMIT}"\n', f'"{COMMIT}"\n__other.dev/note: a\n'),
        ("annotations:\n", "annotations: # why\n"),
        ("annotations:\n", '"annotations":\n'),
    ],
)
def test_another_form_is_parsed(name: str, old: str, new: str) -> None:
    made = edited(name, FILES[name], {REVISION: COMMIT})
    assert made is not None
    indent = made[made.index("homelab.dev") - 4 : made.index("homelab.dev")].rpartition("\n")[2]
    text = made.replace(old, new.replace("__", indent))
    assert text != made
    assert written_pin(name, text.encode()) is None


def test_a_second_map_of_annotations_is_parsed() -> None:
    made = edited("kustomization.yaml", FILES["kustomization.yaml"], {REVISION: COMMIT})
    assert made is not None
    for more in ("metadata:\n  name: a\n", "annotations: {}\n", "# homelab.dev/revision\n"):
        assert written_pin("kustomization.yaml", f"{made}{more}".encode()) is None
        assert written_pin("kustomization.yaml", f"{more}{made}".encode()) is None


@names
def test_a_pin_in_another_form_is_removed_as_by_an_edit(name: str) -> None:
    made = edited(name, FILES[name], {REVISION: COMMIT})
    assert made is not None
    commented = made.replace(f'"{COMMIT}"', f"{COMMIT} # why")
    expected = edited(name, commented, dict.fromkeys(KEYS))
    assert without_pin(name, commented.encode()) == (expected or "").encode() == FILES[name].encode()


@names
def test_a_file_without_a_pin_stays_as_it_is(name: str) -> None:
    raw = FILES[name].encode()
    assert without_pin(name, raw) == raw
    assert written_pin(name, raw) is None
    assert not may_have_pin(raw)


def test_a_file_that_cannot_be_edited_stays_as_it_is() -> None:
    raw = b'metadata: {annotations: {homelab.dev/revision: "a"}}\nkind: [\n'
    assert without_pin("kustomization.yaml", raw) == raw
