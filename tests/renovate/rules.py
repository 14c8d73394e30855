"""Match Renovate's rules: `renovate.json` and a dependency come in, the settings of its update go out.

A model of Renovate's own code for the matchers that `renovate.json` uses; `tests.renovate.test_against_renovate`
compares both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CONFIG: dict[str, Any] = json.loads((ROOT / "renovate.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = CONFIG["packageRules"]
LANE = "The lane of "


@dataclass(frozen=True)
class RenovateDependency:
    """One dependency, with the names of Renovate's extraction."""

    manager: str
    file: str
    name: str
    package: str
    datasource: str
    value: str = ""
    digest: str = ""
    kind: str = ""
    locked: str = ""


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    """Return the expression of a glob, or of an expression between slashes."""
    if glob.startswith("/"):
        return re.compile(glob[1:-1])
    parts = re.split(r"(\*\*/|/\*\*|\*)", glob)
    meaning = {"**/": "(?:.*/)?", "/**": "/.*", "*": "[^/]*"}
    return re.compile(f"^{''.join(meaning.get(part, re.escape(part)) for part in parts)}$")


def is_in(text: str, patterns: Sequence[str]) -> bool:
    """Return true if a pattern matches, or none is positive, and none that begins with `!` does."""
    positive = [one for one in patterns if not one.startswith("!")]
    negative = [one.removeprefix("!") for one in patterns if one.startswith("!")]
    fits = not positive or any(_pattern(one).search(text) for one in positive)
    return fits and not any(_pattern(one).search(text) for one in negative)


MATCHERS: Mapping[str, Callable[[RenovateDependency, str, Any], bool]] = {
    "matchManagers": lambda one, _, wanted: one.manager in wanted,
    "matchDatasources": lambda one, _, wanted: one.datasource in wanted,
    "matchDepTypes": lambda one, _, wanted: one.kind in wanted,
    "matchPackageNames": lambda one, _, wanted: is_in(one.package, wanted),
    "matchFileNames": lambda one, _, wanted: is_in(one.file, wanted),
    "matchUpdateTypes": lambda _, update, wanted: update in wanted,
    "matchCurrentValue": lambda one, _, wanted: is_in(one.value, [wanted]),
    "matchCurrentVersion": lambda one, _, wanted: is_in(one.locked or one.value, [wanted]),
}


def matched(one: RenovateDependency, update: str = "patch") -> list[dict[str, Any]]:
    """Return the rules that match an update; a rule can change the package that later ones compare."""
    result = []
    for rule in RULES:
        if all(MATCHERS[key](one, update, wanted) for key, wanted in rule.items() if key.startswith("match")):
            result.append(rule)
            one = replace(one, package=rule.get("overridePackageName", one.package))
    return result


def settings(one: RenovateDependency, update: str = "patch") -> dict[str, Any]:
    """Return the settings of an update: each rule overrides those before it, and labels are added."""
    result: dict[str, Any] = {"enabled": True, "automerge": CONFIG["automerge"], "addLabels": []}
    for rule in matched(one, update):
        labels = [*result["addLabels"], *rule.get("addLabels", [])]
        result |= {**rule, "addLabels": labels}
    return result


def lanes(one: RenovateDependency) -> list[str]:
    """Return the lanes of a dependency: one decides about merges and the group."""
    return [rule["description"] for rule in matched(one) if rule.get("description", "").startswith(LANE)]
