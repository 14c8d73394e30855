"""Limits of YAML, checked before a parser builds anything of it.

Text comes in, the rule that it breaks goes out. libyaml composes recursively and ends the process on 100,000 brackets,
and 700 bytes of aliases expand to gigabytes. Text that obviously can do neither, which is nearly all, costs a few
counts; other text is read event by event, without recursion, until a limit is passed.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as Events
except ImportError:  # a PyYAML without libyaml: slower, with the same results
    from yaml import SafeLoader as Events  # type: ignore[assignment]

DEEPEST = 100
MOST_NODES = 100_000
OF_A_FILE = 1_000_000  # a file with the CRDs of several projects has a few 100,000 values
OF_A_RENDER = 10_000_000  # the CRDs of a single chart contain more values than a person writes
# Block collections start at the beginning of a line, each indented more than its parent.
FAR_RIGHT = re.compile(rf"^[ ?:-]{{{DEEPEST}}}", re.MULTILINE)
ALIAS = re.compile(r"(?:^|[\s\[{,:-])\*[^\s*]")
OF_JSON = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')
CYCLE = "holds an alias that contains itself"
TOO_DEEP = f"is nested more than {DEEPEST} levels deep"


def broken(text: str, most: int = MOST_NODES, *, flow: bool = True) -> str:
    """Return the rule that a text breaks; without `flow`, brackets of the text contain nothing."""
    if (
        len(text) < most // 2
        and not (flow and text.count("[") + text.count("{") > DEEPEST)
        and not FAR_RIGHT.search(text)
        and not ALIAS.search(text)
    ):
        return ""
    loader = Events(text)
    try:
        return _walked(loader, most)
    except (yaml.YAMLError, ValueError):
        return ""  # a syntax error is explained with its place by the parser, which stops at the same place
    finally:
        loader.dispose()


def _walked(loader: Any, most: int) -> str:  # noqa: C901 - one branch for each kind of event
    """Count nodes and levels; an alias counts as all that its anchor holds."""
    open_: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}
    nodes = 0
    while loader.check_event():
        event = loader.get_event()
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_):
                return CYCLE
            nodes += sizes.get(str(event.anchor), 0)
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            if isinstance(event, yaml.ScalarEvent):
                if event.anchor:
                    sizes[event.anchor] = 1
            else:
                open_.append((event.anchor, nodes))
                if len(open_) > DEEPEST:
                    return TOO_DEEP
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor:
                sizes[anchor] = nodes - before + 1
        if nodes > most:
            return f"holds more than {most} values, aliases written out"
    return ""


def broken_json(text: str) -> str:
    """Return the rule that a JSON text breaks; JSON may contain characters that YAML forbids, such as a tab."""
    depth = nodes = 0
    for found in OF_JSON.finditer(text):
        nodes += 1
        depth += (found[0] in "[{") - (found[0] in "]}")
        if depth > DEEPEST:
            return TOO_DEEP
    return f"holds more than {MOST_NODES} values" if nodes > 2 * MOST_NODES else ""
