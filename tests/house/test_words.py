"""The prose of pages and docstrings has three habits at most three times as often as five well-written projects.

`bench/words.py` measures; `docs/reference/style.md` has the words to use.
"""

from __future__ import annotations

from functools import cache

import pytest

from bench.words import ODD, ROOT, Text, found, odd, openings, prose, rates, texts, tracked

HIGHEST = {
    "docs": {"what": 1.8, "who": 0.4, "say": 1.0},
    "docstrings": {"what": 0.7, "who": 0.1, "say": 0.6},
}
"""The highest rates per 1,000 words of httpx, kopf, kr8s, hatch and click."""
TIMES = 3


@cache
def pieces() -> dict[tuple[str, str], list[Text]]:
    """Return the prose of the checkout by kind and room; pages are one room."""
    rooms: dict[tuple[str, str], list[Text]] = {}
    for piece in texts(ROOT, tracked()):
        room = "all" if piece.kind.endswith("docs") else piece.room
        rooms.setdefault((piece.kind, room), []).append(piece)
    return {key: rooms[key] for key in sorted(rooms) if "doc" in key[0]}


@pytest.mark.parametrize("habit", HIGHEST["docs"])
@pytest.mark.parametrize("key", pieces(), ids=" ".join)
def test_habits_are_bounded(key: tuple[str, str], habit: str) -> None:
    bound = TIMES * HIGHEST["docstrings" if key[0] == "docstrings" else "docs"][habit]
    here = pieces()[key]
    assert rates(here)[habit] <= bound, "\n".join(found(here, habit))


@pytest.mark.parametrize("room", sorted({room for kind, room in pieces() if kind == "docstrings"}))
def test_docstrings_open_with_a_plain_verb(room: str) -> None:
    files = sorted({piece.file for piece in pieces()["docstrings", room]})
    assert {name: odd(counted) for name in files if odd(counted := openings(ROOT, [name]))} == {}, sorted(ODD)


def test_prose_is_counted_and_code_is_not() -> None:
    running = "What it is: `ask what` and [a page](what.md).\n\n"
    item = "1.  Nobody\n    must tell.\n\n        ./homelab say\n\n"
    page = f"{running}    ./homelab ask\n\n```\nwho\n```\n\n{item}!!! note\n    Nobody must tell.\n"
    measured = rates([Text("docs", "all", "page.md", prose(page))])
    assert measured == {"words": 14, "what": 71.4, "who": 142.9, "say": 142.9, "can": 142.9}
