"""The prose of pages and docstrings has three habits at most three times as often as five well-written projects.

`bench/words.py` measures; `docs/reference/style.md` has the words to use.
"""

from __future__ import annotations

from bench.words import ODD, ROOT, Text, found, odd, openings, prose, rates, texts, tracked

HIGHEST = {
    "docs": {"what": 1.8, "who": 0.4, "say": 1.0},
    "docstrings": {"what": 0.7, "who": 0.1, "say": 0.6},
}
"""The highest rates per 1,000 words of httpx, kopf, kr8s, hatch and click."""
TIMES = 3


def test_habits_are_bounded() -> None:
    rooms: dict[tuple[str, str], list[Text]] = {}
    for piece in texts(ROOT, tracked()):
        room = "all" if piece.kind.endswith("docs") else piece.room  # the pages are one room
        rooms.setdefault((piece.kind, room), []).append(piece)
    above = {
        f"{habit} in {kind} of {room}": list(found(here, habit))
        for (kind, room), here in rooms.items()
        if "doc" in kind
        for habit, highest in HIGHEST["docstrings" if kind == "docstrings" else "docs"].items()
        if rates(here)[habit] > TIMES * highest
    }
    assert above == {}


def test_docstrings_open_with_a_plain_verb() -> None:
    files = [name for name in tracked() if name.endswith(".py")]
    assert {name: odd(counted) for name in files if odd(counted := openings(ROOT, [name]))} == {}, sorted(ODD)


def test_prose_is_counted_and_code_is_not() -> None:
    running = "What it is: `ask what` and [a page](what.md).\n\n"
    item = "1.  Nobody\n    must tell.\n\n        ./homelab say\n\n"
    page = f"{running}    ./homelab ask\n\n```\nwho\n```\n\n{item}!!! note\n    Nobody must tell.\n"
    measured = rates([Text("docs", "all", "page.md", prose(page))])
    assert measured == {"words": 14, "what": 71.4, "who": 142.9, "say": 142.9, "can": 142.9}
