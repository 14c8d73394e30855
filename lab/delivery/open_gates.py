"""The gates that no rehearsal can pass, opened in the text of a stack file.

The commits of a rehearsal are its own and carry no signature, and a rehearsal at noon must not wait for a window of the
night. `lab.delivery.prepared_tree` lists the replaced settings. A manual gate stays: a rehearsal ends with the syncs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from config.gates import Gates
from config.source import KeyPath

ABOVE: KeyPath = ("config", "homelab:delivery", "gates")
OPEN: Mapping[str, str] = {"windows": "[]", "signatures": "none"}


def opened(text: str, gates: Gates) -> tuple[str, list[tuple[str, str, str]]]:
    """Return the text without windows and signatures, and each replaced key with its old and its new value."""
    closed = {"windows": bool(gates.windows), "signatures": gates.signatures == "required"}
    was = {"windows": ", ".join(f"{one.kind} {one.schedule}" for one in gates.windows), "signatures": gates.signatures}
    replaced = [key for key, is_closed in closed.items() if is_closed]
    spans = {key: _span(text, (*ABOVE, key)) for key in replaced}
    for key, (begin, end) in sorted(spans.items(), key=lambda one: one[1], reverse=True):
        text = text[:begin] + OPEN[key] + text[end:]
    return text, [(f"delivery.gates.{key}", was[key], OPEN[key]) for key in replaced]


def _span(text: str, path: KeyPath) -> tuple[int, int]:
    """Return the place of a value in the text, without the space behind it."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for key in path:
        node = next(value for name, value in node.value if name.value == key)
    begin = node.start_mark.index
    return begin, begin + len(text[begin : node.end_mark.index].rstrip())
