"""Scripts as text: the common beginning, then the parts of one component.

Commands hold scripts as text, so that the state holds no path of the machine that ran them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

NOTHING = ":"  # the script of an operation in which a command does nothing
BEGIN = Path(__file__).parent / "scripts" / "begin.sh"


@cache
def script(*parts: Path) -> str:
    """Return one script, made of its parts."""
    return "".join(part.read_text(encoding="utf-8") for part in (BEGIN, *parts))
