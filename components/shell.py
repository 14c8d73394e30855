"""Scripts as text: what every script begins with, then the parts of one component.

A script travels as text, so that the state holds no path of the machine that ran it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

BEGIN = Path(__file__).parent / "scripts" / "begin.sh"


@cache
def script(*parts: Path) -> str:
    """Return one script of its parts."""
    return "".join(part.read_text(encoding="utf-8") for part in (BEGIN, *parts))
