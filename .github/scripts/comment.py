"""Publish the report of a pull request as its one comment, which later runs update.

The event of a finished run of preview.yaml comes in; a comment goes out. The run belongs to a stranger: its artifact is
one text of bounded size, read in memory and never unpacked. The number of the pull request comes from the API, by the
branch and the commit of the run. A pull request that changes preview.yaml could write any report: then the comment has
none.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

from api import BOT, Api

MARKER = "<!-- homelab preview -->"
FOLDER, FILE = ".github/workflows", "preview.yaml"
ARTIFACT, MEMBER = "preview-comment", "preview.md"
LARGEST_ARTIFACT = 512 * 1024
LARGEST_REPORT = 256 * 1024
LARGEST_COMMENT = 65536  # GitHub's limit, in characters
BREAK = "\u200b"  # invisible: a mention or a tag behind it stays text
TAGS = "b|br|code|details|i|pre|span|sub|summary|sup|table|tbody|td|th|thead|tr"
TAG = re.compile(rf"<(?=[A-Za-z/!?])(?!/?(?:{TAGS})(?: open)?/?>|https://)")
MENTION = re.compile(r"(?<![\w])@(?=\w)")
IMAGE = re.compile(r"!(?=\[)")


def main(arguments: list[str]) -> int:
    """Write the comment of the run in the event, or of a report and a number that were given."""
    match arguments:
        case []:
            return of_event()
        case [file, number] if number.isascii() and number.isdigit():
            # For a forge without artifacts of other runs; only for branches, whose authors can write comments anyway.
            report = Path(file).read_text(encoding="utf-8").removeprefix(MARKER)
            print(
                publish(Api.of_job(), int(number), f"{MARKER}\n{harmless(report)[: LARGEST_COMMENT - len(MARKER) - 1]}")
            )
            return 0
    print("comment.py, or comment.py REPORT NUMBER", file=sys.stderr)
    return 1


def of_event() -> int:
    """Write the comment of the run in the event, and print the reason where there is none to write."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    run, main_branch = event["workflow_run"], event["repository"]["default_branch"]
    if run["path"].partition("@")[0] != f"{FOLDER}/{FILE}" or run["event"] != "pull_request":
        print(f"{run['path']!r} for {run['event']!r}: not the preview of a pull request")
        return 0
    api = Api.of_job()
    pull = pull_request(api, run, main_branch)
    if pull is None:
        print(f"no open pull request to {main_branch} has the commit of this run as its newest: no comment")
        return 0
    print(publish(api, int(pull["number"]), comment(api, run, main_branch)))
    return 0


def pull_request(api: Api, run: dict[str, Any], main_branch: str) -> dict[str, Any] | None:
    """Return the open pull request to the main branch whose newest commit is that of the run."""
    source = run["head_repository"]
    if source is None:  # the fork was deleted
        return None
    head = f"{source['owner']['login']}:{run['head_branch']}"
    for pull in api.pages("pulls", state="open", base=main_branch, head=head):
        theirs = (pull["head"]["repo"] or {}).get("id")
        if (pull["head"]["sha"], theirs, pull["base"]["ref"]) == (run["head_sha"], source["id"], main_branch):
            found: dict[str, Any] = pull
            return found
    return None


def comment(api: Api, run: dict[str, Any], main_branch: str) -> str:
    """Return the text of the comment: a head of our own, then the report or the reason for its absence."""
    commit, number = run["head_sha"], int(run["id"])
    link = f"{os.environ['GITHUB_SERVER_URL']}/{api.repository}/actions/runs/{number}"
    origin = "a fork" if run["head_repository"]["full_name"] != api.repository else "a branch of this repository"
    head = [MARKER, f"**Preview of {commit[:12]}**, from {origin}. [The run]({link}) has the whole report as a page."]
    if blob(api, commit) != blob(api, main_branch):
        reason = (
            f"The report is not shown here: this commit and `{main_branch}` have different files `{FOLDER}/{FILE}`, so"
            " that the pull request may have written the report itself. Review that file first. If only"
            f" `{main_branch}` has changed it, update the branch."
        )
        return "\n".join([*head, "", reason])
    told = (
        f"The program of `{main_branch}` has built it from the files of the pull request, without secrets; names and"
        " values in it are the author's."
    )
    report = read_report(api, number)
    if report is None:
        reason = f"The run ended with `{run['conclusion']}` and made no readable report: see its log."
        return "\n".join([*head, "", reason])
    text = "\n".join([*head, told, "", harmless(report.removeprefix(MARKER))])
    if len(text) > LARGEST_COMMENT:
        text = "\n".join([*head, "", f"The report has {len(report)} characters, too many for a comment."])
    return text


def blob(api: Api, commit: str) -> str:
    """Return the digest of preview.yaml in a commit, nothing where it is no file."""
    for entry in api.get(f"contents/{FOLDER}", ref=commit):
        if entry["name"] == FILE and entry["type"] == "file":
            return str(entry["sha"])
    return ""


def read_report(api: Api, run: int) -> str | None:
    """Return the text in the run's artifact, nothing where it is absent, too large or no text."""
    answer = api.get(f"actions/runs/{run}/artifacts", name=ARTIFACT, per_page=100)
    artifacts = [one for one in answer["artifacts"] if one["name"] == ARTIFACT and not one["expired"]]
    if not artifacts:
        return None
    newest = max(artifacts, key=lambda one: int(one["id"]))
    if newest["size_in_bytes"] > LARGEST_ARTIFACT:
        print(f"the artifact has {newest['size_in_bytes']} bytes, more than {LARGEST_ARTIFACT}")
        return None
    return unpacked(api.download(f"actions/artifacts/{int(newest['id'])}/zip", LARGEST_ARTIFACT))


def unpacked(archive: bytes) -> str | None:
    """Return the one text in an archive, without a file on the disk."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            if packed.namelist() != [MEMBER]:
                print(f"the archive holds {packed.namelist()[:5]!r} and not only {MEMBER}")
                return None
            with packed.open(MEMBER) as file:
                content = file.read(LARGEST_REPORT + 1)
        if len(content) > LARGEST_REPORT:
            print(f"{MEMBER} has more than {LARGEST_REPORT} bytes")
            return None
        return content.decode("utf-8")
    except Exception as error:  # noqa: BLE001 - zipfile reports a hostile archive with a dozen different errors
        print(f"the archive cannot be read: {type(error).__name__}")
        return None


def harmless(report: str) -> str:
    """Return a report without mentions, images, other tags than those of a report, and invisible characters."""
    visible = "".join(one for one in report if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cf", "Co"))
    for pattern in (TAG, MENTION, IMAGE):
        visible = pattern.sub(lambda found: found[0] + BREAK, visible)
    return visible


def publish(api: Api, number: int, text: str) -> str:
    """Make the comment or update it, delete its duplicates, and return a line about it."""
    ours = [
        one
        for one in api.pages(f"issues/{number}/comments")
        if one["user"] and one["user"]["login"] == BOT and (one["body"] or "").startswith(MARKER)
    ]
    for duplicate in ours[1:]:
        api.send("DELETE", f"issues/comments/{int(duplicate['id'])}")
    if not ours:
        api.send("POST", f"issues/{number}/comments", {"body": text})
        return f"made the comment of #{number}"
    if ours[0]["body"].replace("\r\n", "\n") == text:
        return f"the comment of #{number} is current"
    api.send("PATCH", f"issues/comments/{int(ours[0]['id'])}", {"body": text})
    return f"updated the comment of #{number}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
