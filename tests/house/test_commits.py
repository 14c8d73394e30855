"""Commit subjects of a branch: an imperative of at most 72 characters.

Looks at the commits since the main branch, never at older history.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import programs
from bench.words import SUBJECT, subjects
from errors import ProgramFailed

ROOT = Path(__file__).parents[2]
MAIN = ("origin/main", "main")
NO_VERB = re.compile(r"(?:An?|The|What|Who|It|Its|This|That|These|Those|There|Every|Each|No|\w+ing|\w+ed|\w*[^s]s)\Z")
VERBS = ("Bring", "Embed", "Feed", "Focus", "Seed", "Shed", "Speed")


def faults(subject: str) -> list[str]:
    """Return the rules that a subject breaks."""
    first = subject.partition(" ")[0]
    return [
        rule
        for rule, broken in (
            (f"longer than {SUBJECT} characters", len(subject) > SUBJECT),
            ("ends with a full stop", subject.endswith(".")),
            ("does not begin with a capital letter", not subject[:1].isupper()),
            ("is not an imperative", first not in VERBS and bool(NO_VERB.match(first))),
        )
        if broken
    ]


def of_branch(root: Path) -> list[str]:
    """Return the subjects since the main branch; skip if there are none."""

    def git(*words: str) -> str:
        return programs.run("git", *words, cwd=root).stdout.strip()

    try:
        if git("rev-parse", "--is-shallow-repository") == "true":
            pytest.skip("a shallow clone: the commits since the main branch are not known")
        known = git("for-each-ref", "--format=%(refname:short)", "refs/heads/main", "refs/remotes/origin/main").split()
        base = next((name for name in MAIN if name in known), None)
        if base is None:
            pytest.skip(f"neither {' nor '.join(MAIN)} is a branch here")
        begin = git("merge-base", base, "HEAD")
    except ProgramFailed as error:
        pytest.skip(f"no Git history to look at: {error}")
    found = subjects(f"{begin}..HEAD", root=root)
    if not found:
        pytest.skip(f"no commit since {base}")
    return found


def test_subjects_of_this_branch_are_short_imperatives() -> None:
    assert {subject: broken for subject in of_branch(ROOT) if (broken := faults(subject))} == {}


@pytest.mark.parametrize(
    ("subject", "broken"),
    [
        ("Retry a refresh that Argo CD dropped", []),
        ("Pass the digest of the base to the renderer", []),
        ("Bring the guard's words in line with Argo CD", []),
        ("Retry a refresh that Argo CD dropped.", ["ends with a full stop"]),
        ("retry a refresh", ["does not begin with a capital letter"]),
        ("Fixed the retry", ["is not an imperative"]),
        ("Fixes the retry", ["is not an imperative"]),
        ("Fixing the retry", ["is not an imperative"]),
        ("The retry is fixed", ["is not an imperative"]),
        (f"Retry {'x' * 67}", ["longer than 72 characters"]),
    ],
)
def test_a_subject_breaks_these_rules(subject: str, broken: list[str]) -> None:
    assert faults(subject) == broken


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    programs.run("git", "init", "--quiet", "--initial-branch", "main", cwd=root)
    commit(root, "A subject of old history that is no imperative")
    return root


def commit(root: Path, subject: str) -> None:
    author = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    programs.run("git", *author, "commit", "--quiet", "--allow-empty", "--message", subject, cwd=root)


def test_a_branch_is_read_since_main(repository: Path) -> None:
    programs.run("git", "switch", "--quiet", "--create", "branch", cwd=repository)
    commit(repository, "Add one")
    commit(repository, "Add two")
    assert of_branch(repository) == ["Add two", "Add one"]


@pytest.mark.parametrize("clone", [False, True])
def test_main_and_shallow_clones_are_skipped_with_a_reason(repository: Path, tmp_path: Path, *, clone: bool) -> None:
    where, reason = repository, "no commit since main"
    if clone:
        commit(repository, "Add one")
        where, reason = tmp_path / "clone", "a shallow clone"
        programs.run("git", "clone", "--quiet", "--depth", "1", f"file://{repository}", where, cwd=tmp_path)
    with pytest.raises(pytest.skip.Exception, match=reason):
        of_branch(where)


def test_a_folder_without_history_is_skipped_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="no Git history"):
        of_branch(tmp_path)
