"""Return the commands in the documents, with their place, from code blocks and from running text.

Pages come in as text, commands go out as words; `tests.docs.test_commands` checks that the programs know them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.words import marked

ROOT = Path(__file__).parents[2]
PAGES = tuple(sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]))
PROGRAMS = ("./homelab", "argocd", "git", "helm", "kubectl", "pulumi", "talosctl")
INLINE = re.compile(r"`([^`]+)`")
BEFORE = re.compile(r"^(\w+=\S+ )+")
PIPES = ("|", ">", ">>", "&&", ";", "#")


@dataclass(frozen=True)
class Command:
    """One command with its place."""

    place: str
    words: tuple[str, ...]
    whole: bool
    """True in a code block, for a complete command; running text may have only a part of one."""

    @property
    def program(self) -> str:
        return self.words[0]

    @property
    def flags(self) -> set[str]:
        return {word.partition("=")[0] for word in self.words if word.startswith("--") and word != "--"}


def commands(program: str) -> list[Command]:
    """Return every command of a program in all documents."""
    return [command for page in PAGES for command in of_page(page) if command.program == program]


def of_page(page: Path) -> Iterator[Command]:
    for number, (line, block) in enumerate(marked(page.read_text(encoding="utf-8")), start=1):
        place = f"{page.relative_to(ROOT)}:{number}"
        for text in [line.strip()] if block else INLINE.findall(line):
            bare = BEFORE.sub("", text)
            if bare.split(" ")[0] in PROGRAMS and " " in bare:
                yield Command(place, words(bare), whole=block)


def words(text: str) -> tuple[str, ...]:
    """Return the words of one command, up to a comment or a pipe."""
    parts = shlex.split(text)
    end = next((place for place, part in enumerate(parts) if part in PIPES), len(parts))
    return tuple(parts[:end])
