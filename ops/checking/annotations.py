"""Problems as annotations of a pull request: the lines by which GitHub's and Forgejo's runners know them.

Problems and the environment come in, lines go out; without such a runner there are none. `ops.check` prints them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from errors import Problem, printable

RUNNER = "GITHUB_ACTIONS"
# A runner reads the signs of a line's own syntax in this form alone.
ESCAPED = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"))
ESCAPED_IN_PROPERTIES = (*ESCAPED, (":", "%3A"), (",", "%2C"))


def annotated(problems: Iterable[Problem], environment: Mapping[str, str]) -> list[str]:
    """Return a line for each problem if a runner reads the output."""
    return [_line(problem) for problem in problems] if environment.get(RUNNER) == "true" else []


def _line(problem: Problem) -> str:
    properties = {"file": problem.file, **({"line": str(problem.line)} if problem.line else {}), "title": problem.check}
    head = ",".join(f"{name}={_escaped(value, ESCAPED_IN_PROPERTIES)}" for name, value in properties.items())
    subject = problem.subject
    text = f"{subject}{': ' if subject else ''}{problem.rule}; {problem.fix}"
    return f"::error {head}::{_escaped(text, ESCAPED)}"


def _escaped(text: str, signs: Iterable[tuple[str, str]]) -> str:
    text = printable(text)
    for sign, code in signs:
        text = text.replace(sign, code)
    return text
