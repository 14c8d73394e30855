"""Promotions of any history: only pins change, a second run changes nothing, and a revert restores each byte."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from config.promotion import HOLD, REVISION, edited
from config.tree import read_tree
from ops.promotion.history import History
from ops.promotion.plan import Move
from ops.promotion.undoing import lift, revert
from tests.ops.promotion.example import IMMICH, JELLYFIN, Example, deployment, example

LABELS = (IMMICH, JELLYFIN)
FILES = (
    "apps/media/immich/base/deployment.yaml",
    "apps/media/jellyfin/base/deployment.yaml",
    "apps/media/_common/part.yaml",
    "apps/_shared/hardened/more.yaml",
    "apps/_settings/staging/settings.yaml",
    "apps/_settings/staging/values/media/immich.yaml",
    "apps/media/immich/staging/patch.yaml",
    "apps/media/immich/dev/patch.yaml",
    "README.md",
)
# Each step is a commit of one file, or a merge of a branch with such a commit.
STEPS = st.lists(st.tuples(st.sampled_from(FILES), st.integers(0, 2), st.booleans()), min_size=1, max_size=6)


@contextmanager
def repository() -> Iterator[Example]:
    with tempfile.TemporaryDirectory() as folder:
        made = example(Path(folder) / "checkout")
        yield made
        for store in made.stores:
            store.repository.close()


def grow(made: Example, steps: list[tuple[str, int, bool]]) -> None:
    for name, content, is_merged in steps:
        text = deployment(f"v{content}") if name.endswith("deployment.yaml") else f"a: {content}\n"
        if is_merged:
            made.git("switch", "--quiet", "--create", "side")
        made.commit({name: text})
        if is_merged:
            made.git("switch", "--quiet", "main")
            made.git("merge", "--quiet", "--no-ff", "--message", "Merge", "side")
            made.git("branch", "--quiet", "--delete", "side")


def promoted(made: Example, ran: str) -> list[Move]:
    for label in LABELS:
        made.runs(label, ran)
    plan = made.plan(*LABELS, reason="a test")
    assert plan.problems == []
    return plan.moves


@settings(max_examples=12)
@given(before=STEPS, after=STEPS, back=st.integers(0, 3))
def test_only_pins_change_and_only_once(before: list[tuple[str, int, bool]], after: list, back: int) -> None:  # type: ignore[type-arg]
    with repository() as made:
        grow(made, before)
        for move in promoted(made, made.head):
            made.applied(move)
        grow(made, after)
        commits = made.git("rev-list", "--first-parent", "HEAD").splitlines()
        ran = commits[min(back, len(commits) - 1)]
        history = History(made.store())
        for move in promoted(made, ran):
            (path,) = move.files
            text, content = made.text(path), move.files[path].content.decode()
            assert path == f"apps/{move.label}/staging/kustomization.yaml"
            assert content == edited(path, text, {REVISION: move.now})
            assert content.replace(move.now, move.was) == text
            (app,) = (one for one in read_tree(made.root).apps_in("staging") if one.label == move.label)
            # The shared part is that of the source; the pinned commit is the last one with these inputs.
            here, there = history.parts(app, move.now), history.parts(app, ran)
            assert here
            assert there
            assert here.shared == there.shared
            assert history.last_change(app, move.now) == move.now
            made.applied(move)
        assert promoted(made, ran) == []


@settings(max_examples=8)
@given(before=STEPS, after=STEPS)
def test_a_revert_and_the_end_of_its_hold_restore_each_byte(before: list, after: list) -> None:  # type: ignore[type-arg]
    with repository() as made:
        grow(made, before)
        for move in promoted(made, made.head):
            made.applied(move)
        grow(made, after)
        tree = made.git("rev-parse", "HEAD:apps")
        for move in promoted(made, made.head):
            made.applied(move)
            for undo in (revert, lift):
                plan = undo(read_tree(made.root), History(made.store()), [move.label], "staging", "")
                (undone,) = plan.moves
                assert (HOLD in undone.files[next(iter(undone.files))].content.decode()) == (undo is revert)
                made.applied(undone)
        assert made.git("rev-parse", "HEAD:apps") == tree
