"""The refusal of a stack without a rehearsal, which the verbs that enter one share.

A checkout and the names of stacks come in. `ops.rehearsal.entry` enters a rehearsal that is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from errors import Declined
from lab.layout import Lab


def refuse_absent(root: Path, stacks: Sequence[str]) -> None:
    """Refuse stacks without a rehearsal, all of them at once."""
    absent = [name for name in stacks if not Lab.of(root, name).rack.exists()]
    if absent:
        raise Declined("\n".join(f"{name}: there is no rehearsal; {command(name)}" for name in absent))


def command(stack: str) -> str:
    """Return the command that makes the rehearsal of a stack."""
    return f"./homelab rehearse --stack {stack}"
