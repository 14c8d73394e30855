"""Verdicts of an API server in place of guesses: fields that it never changes, and refusals of admission.

The error output of a dry run comes in, a `Verdict` goes out; `ops.review.dry_run` asks for it. An answer about
something else than the object leaves the guess: a namespace or a CRD that the same change brings, a permission of the
user.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, TypeAlias

from errors import printable
from ops.review.dangers.rules import rule
from ops.review.dangers.texts import reason_of
from ops.review.report import Danger

INVALID = re.compile(r"\bis invalid:")
DENIED = re.compile(r"denied (?:the )?request|violates PodSecurity|exceeded quota")
# A field that the schema does not have, or of another type; the value follows.
TYPED = re.compile(
    r"(?:typed patch object \([^)]*\): |^ *)(?P<field>\.[^\s:]+): "
    r"(?P<detail>field not declared in schema|expected \w+)",
    re.MULTILINE,
)
IMMUTABLE = re.compile(
    r"immutable|updates to .* are forbidden|(?:may|can)(?: ?not) (?:be )?changed?|is forbidden after creation"
)
# The value between the field and the detail may be a secret.
VALUE = re.compile(r"(?P<field>[^\s:]+): (?:Invalid|Unsupported|Duplicate) value: .*: (?P<detail>[^:]+)\Z")

Judgement: TypeAlias = Literal["accepted", "immutable", "refused", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """The answer of an API server about one object."""

    answer: Judgement
    reason: str = ""


UNKNOWN = Verdict("unknown")
Verdicts: TypeAlias = "Mapping[str, Mapping[str, Verdict]]"  # by stack and by the place of the object


def read(output: str) -> Verdict:
    """Return the verdict in the error output of kubectl; no value of the object is part of its reason."""
    lines = [line for line in output.splitlines() if line.strip()]
    if typed := TYPED.findall(output):
        return Verdict("refused", reason_of(printable(", ".join(f"{field}: {detail}" for field, detail in typed))))
    for pattern in (DENIED, INVALID):
        first = next((number for number, line in enumerate(lines) if pattern.search(line)), None)
        if first is not None:
            # After its message, the API server writes the difference of both specs, with their values.
            said = list(takewhile(lambda line: not line.startswith("@@"), lines[first:]))
            reason = reason_of(printable(" ".join(map(_without_value, said))))
            is_immutable = pattern is INVALID and all(map(IMMUTABLE.search, _causes(said)))
            return Verdict("immutable" if is_immutable else "refused", reason)
    return UNKNOWN


def _causes(lines: Sequence[str]) -> Sequence[str]:
    """Return the causes of a refusal: kubectl writes several below a line of their own."""
    return [line for line in lines if line.lstrip().startswith("*")] or lines[:1]


def _without_value(cause: str) -> str:
    found = VALUE.search(cause)
    return f"{found['field']}: {found['detail'].strip()}" if found else cause.strip()


@rule("refused-by-api-server", reads="verdict", why="No sync of the app succeeds until the object is accepted.")
def refused(found: Verdicts) -> Iterator[Danger]:
    """Yield objects that an API server refuses, for the fields that it never changes or for another reason."""
    for answer, name in (("immutable", "immutable-field"), ("refused", "refused-by-api-server")):
        merged: dict[tuple[str, str], list[str]] = {}
        for stack, places in found.items():
            for where, one in places.items():
                if one.answer == answer:
                    merged.setdefault((where, one.reason), []).append(stack)
        for (where, reason), stacks in sorted(merged.items()):
            judge = "judged by the API server"
            yield Danger(rule=name, where=where, reason=reason, stacks=tuple(sorted(stacks)), certainty=judge)


def judged(dangers: Sequence[Danger], found: Verdicts) -> tuple[Danger, ...]:
    """Return dangers with verdicts in place of guesses; without a verdict of its cluster, a guess stays."""
    kept = [danger for danger in dangers if danger.certainty != "guessed"]
    for danger in (one for one in dangers if one.certainty == "guessed"):
        unknown = [s for s in danger.stacks if found.get(s, {}).get(danger.where, UNKNOWN).answer == "unknown"]
        if unknown:
            kept.append(danger.model_copy(update={"stacks": tuple(unknown)}))
    return (*kept, *refused(found))
