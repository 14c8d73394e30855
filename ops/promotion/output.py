"""The output of a promotion: its plan as text for people and as data for programs.

A plan and the branch that was written come in, lines or plain data go out. `ops.promote` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from shlex import quote
from typing import Any

from errors import printable
from ops.promotion.commits import Branch, body_of
from ops.promotion.plan import Move, PromotionPlan
from ops.terminal import count

DONE = {"made": "made", "rebuilt": "made again on top of HEAD", "kept": "is as it was"}


def plan_lines(plan: PromotionPlan, target: str, *, every: bool) -> Iterator[str]:
    """Yield the lines about a plan; with `every`, apps without a change are only counted."""
    for move in plan.moves:
        yield f"{move.verb} {move.label} {preposition(move)} {target}"
        yield from (f"    {line}".rstrip() for line in body_of(move))
        if move.evidence:
            yield f"    evidence: {move.evidence}"
    if not every:
        yield from (f"{label}: nothing to do: {printable(reason)}" for label, reason in plan.unchanged.items())
    yield from (f"{label}: left out: {printable(reason)}" for label, reason in plan.left_out.items())
    unchanged = f", {len(plan.unchanged)} unchanged" if plan.unchanged else ""
    left_out = f", {len(plan.left_out)} left out" if plan.left_out else ""
    yield f"{count(len(plan.moves), 'change')}{unchanged}{left_out}"


def preposition(move: Move) -> str:
    """Return the word between a move and its environment."""
    return "to" if move.verb == "Promote" else "in"


def branch_line(branch: Branch) -> str:
    """Return the line about what was written, with the next command."""
    if branch.state == "moved":
        return f"committed on {branch.name}; next: git push"
    return f"branch {branch.name} {DONE[branch.state]}; next: git push origin {quote(branch.name)}"


def plan_data(plan: PromotionPlan, source: str, target: str, branch: Branch | None) -> Mapping[str, Any]:
    """Return the plan for JSON output."""
    moves = [
        {
            "name": move.label,
            "verb": move.verb,
            "was": move.was,
            "now": move.now,
            "revision": move.revision,
            "evidence": move.evidence,
            "reason": move.reason,
            "notes": list(move.notes),
            "versions": [{"name": name, "was": was, "now": now} for name, was, now in move.versions],
            "commits": list(move.commits),
            "files": sorted(move.files),
        }
        for move in plan.moves
    ]
    return {
        "from": source,
        "to": target,
        "moves": moves,
        "unchanged": plan.unchanged,
        "leftOut": plan.left_out,
        "branch": asdict(branch) if branch else None,
    }
