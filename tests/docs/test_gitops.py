"""The page for newcomers shows each point by a command.

`tests.docs.test_commands` compares each command with the help of its program, and `tests.lab.test_rehearsal` runs those
of kubectl in a rehearsal every night.
"""

from __future__ import annotations

import re

from tests.docs.pages import ROOT, commands

PAGE = ROOT / "docs" / "start" / "gitops.md"
TOPICS = (
    "GitOps is a way to operate",
    "Four principles",
    "Push and pull",
    "Repositories",
    "Environments",
    "Secrets",
    "Deployment strategies",
    "Rollback",
    "Drift",
    "Image updates",
    "Commits and branches",
    "Quick reference",
    "Tools of the field",
)


def test_every_topic_shows_a_command() -> None:
    before, *sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert tuple(section.split("\n")[0] for section in sections) == TOPICS
    without = [
        section.split("\n")[0]
        for section in sections
        if not re.search(r"(?:^    |`)(?:\./homelab|kubectl|git) ", section, re.MULTILINE)
    ]
    assert without == []
    assert "    ./homelab rehearse\n" in before


def test_every_folder_of_the_tree_that_is_shown_exists() -> None:
    shown = set(re.findall(r"`(apps/[\w./-]+)`", PAGE.read_text(encoding="utf-8")))
    shown |= {word for command in commands("git") if "gitops" in command.place for word in command.words if "/" in word}
    assert len(shown) > 5
    assert [path for path in shown if not (ROOT / path).exists()] == []
