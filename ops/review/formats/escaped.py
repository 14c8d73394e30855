"""Texts from a checkout inside of Markdown: each stays text, and notifies, links and formats nothing.

Names and values become code, in which forges resolve no mention and no number of an issue. Sentences are escaped sign
by sign. All texts were made printable before, so that none has a line break.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

LONGEST = 240
SEPARATOR = "\u200b"  # a forge resolves no mention, issue, label or address across this sign
SIGNS = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "\\`*_[]|~!^"},
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        "$": "<span>$</span>",  # a forge reads $x$ as a formula, and $1 as a snippet
        SEPARATOR: "&#8203;",
    }
)
# A list, a heading, and the commands that GitLab reads at the beginning of a line.
LEADING = re.compile(r"^(?:\d+(?=[.)](?:\s|$))|(?=[-+=/]))")
REFERENCE = re.compile(r"[@#](?=.)|[!~%&](?=\w)|:(?=\S)|(?i:\bgh(?=-\d)|\bwww(?=\.))")


def clipped(text: str, longest: int = LONGEST) -> str:
    """Return a text without the end that a comment has no room for."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def code(text: str) -> str:
    """Return a name or value as code; nothing for an empty one."""
    short = clipped(text)
    if not short:
        return ""
    fence = "`" * (longest_run(short) + 1)
    space = " " if short.startswith(("`", " ")) or short.endswith(("`", " ")) else ""
    return f"{fence}{space}{short}{space}{fence}"


def cell(text: str) -> str:
    r"""Return a name or value as code inside of a table, where `\|` is the only way to write a bar."""
    return code(text.replace("\\|", "\\u005c|")).replace("|", "\\|")


def codes(texts: Iterable[str]) -> str:
    """Return several names, each as code."""
    return ", ".join(map(code, texts))


def cells(texts: Iterable[str]) -> str:
    """Return several names inside of a table."""
    return ", ".join(map(cell, texts))


def prose(text: str) -> str:
    """Return a sentence in which no sign has a meaning."""
    separated = REFERENCE.sub(lambda found: found[0] + SEPARATOR, clipped(text).strip())
    return LEADING.sub(lambda found: f"{found[0]}\\", separated.translate(SIGNS))


def summary(text: str) -> str:
    """Return a name for a line of HTML, in which no Markdown is read."""
    return f"<code>{html.escape(clipped(text))}</code>"


def fenced(lines: Sequence[str]) -> str:
    """Return lines as a block of code with a fence that none of them can close."""
    fence = "`" * max(3, 1 + max(map(longest_run, lines), default=0))
    return "\n".join((f"{fence}diff", *lines, fence))


def longest_run(text: str) -> int:
    """Return the length of the longest run of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)
