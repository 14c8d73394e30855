"""Measure the drift of a stack, and report all stacks in one issue, which closes when the drift is gone.

`measure STACK FOLDER -- COMMAND` runs in a job with credentials and without a right to write: it keeps the output and
the exit code of the command. `report STACKS FOLDER` runs in a job with the issues and without credentials.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from api import BOT, Api

MARKER = "<!-- homelab drift -->"
TITLE = "Drift: the live state differs from the main branch"
NONE, CHANGES = 0, 2
LONGEST = 20000  # characters of one stack
LARGEST_ISSUE = 65536
FENCE = re.compile(r"`{3,}")
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def measure(stack: str, folder: Path, command: list[str]) -> int:
    """Run a command that reports drift, and keep its report; return its code if it failed."""
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, errors="replace", check=False)
    text = COLOUR.sub("", finished.stdout)
    print(text)
    if finished.returncode == CHANGES and not text.strip():
        print("exit code 2 without a report: the command line is wrong", file=sys.stderr)
        return 1
    if finished.returncode not in (NONE, CHANGES):
        return finished.returncode if finished.returncode > 0 else 1
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"stack": stack, "drift": finished.returncode == CHANGES, "text": text}
    (folder / f"{stack}.json").write_text(json.dumps(kept), encoding="utf-8")
    return 0


def report(api: Api, stacks: list[str], folder: Path) -> str:
    """Open, update or close the issue; a stack without a report keeps it open."""
    known: dict[str, dict[str, Any]] = {}
    for stack in stacks:
        file = folder / f"{stack}.json"
        if file.is_file():
            known[stack] = json.loads(file.read_text(encoding="utf-8"))
    unknown = [stack for stack in stacks if stack not in known]
    drifting = [stack for stack in known if known[stack]["drift"]]
    issues = ours(api)
    if not drifting and unknown:
        return f"not compared: {', '.join(unknown)}; the issue stays as it is"
    if not drifting:
        for issue in issues:
            api.send("POST", f"issues/{issue}/comments", {"body": "The drift is gone."})
            api.send("PATCH", f"issues/{issue}", {"state": "closed", "state_reason": "completed"})
        return "no drift" + "".join(f"; closed #{issue}" for issue in issues)
    body = text_of(known, drifting, unknown)
    if not issues:
        made = api.send("POST", "issues", {"title": TITLE, "body": body})
        return f"opened #{made['number']} for {', '.join(drifting)}"
    api.send("PATCH", f"issues/{issues[0]}", {"body": body})
    for duplicate in issues[1:]:
        api.send("PATCH", f"issues/{duplicate}", {"state": "closed", "state_reason": "not_planned"})
    return f"updated #{issues[0]} for {', '.join(drifting)}"


def ours(api: Api) -> list[int]:
    """Return the numbers of our open issues, oldest first: those that the bot has made with the marker."""
    return sorted(
        int(issue["number"])
        for issue in api.pages("issues", state="open")
        if "pull_request" not in issue
        and issue["user"]
        and issue["user"]["login"] == BOT
        and (issue["body"] or "").startswith(MARKER)
    )


def text_of(known: dict[str, dict[str, Any]], drifting: list[str], unknown: list[str]) -> str:
    """Return the text of the issue: a part for each stack, shortened so that all have a place."""
    longest = min(LONGEST, (LARGEST_ISSUE - 2000) // len(drifting) - 200)
    parts = [MARKER, "This issue is updated every night and closed when the drift is gone."]
    for stack in drifting:
        text = known[stack]["text"].strip()
        left_out = len(text) - longest
        if left_out > 0:
            text = f"{text[:longest]}\n... {left_out} characters more in the log of the run"
        fence = "`" * (max((len(found) for found in FENCE.findall(text)), default=2) + 1)
        parts.append(f"### Stack {stack}\n\n{fence}text\n{text}\n{fence}")
    parts += [f"Not compared, see the run: {', '.join(unknown)}"] if unknown else []
    return "\n\n".join(parts)


def main(arguments: list[str]) -> int:
    """Run one of the two commands."""
    match arguments:
        case ["measure", stack, folder, "--", *command] if command:
            return measure(stack, Path(folder), command)
        case ["report", stacks, folder]:
            print(report(Api.of_job(), json.loads(stacks), Path(folder)))
            return 0
    print("drift.py measure STACK FOLDER -- COMMAND ..., or drift.py report STACKS FOLDER", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
