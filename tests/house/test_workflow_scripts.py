"""The scripts of the workflows against a simulated GitHub API on loopback: one comment, one issue, hostile artifacts.

The simulation holds pull requests, comments, issues and one artifact, and answers 404 to all other requests. It does
not check rights, and its pages have the real size.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ops.review.formats import markdown

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / ".github/scripts"
REPOSITORY = "me/homelab"
BOT = {"login": "github-actions[bot]"}
HEAD, FORK = "a" * 40, "thief/homelab"
MARKER = "<!-- homelab preview -->"
TOKEN = "token-of-the-job"
RUN = f"https://github.com/{REPOSITORY}/actions/runs/99"
BUILT_BY = (
    "The program of `main` has built it from the files of the pull request, without secrets; names and values in it are"
    " the author's."
)


def archive(*members: tuple[str, bytes]) -> bytes:
    """Return a ZIP file as GitHub serves an artifact."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content)
    return packed.getvalue()


def pull(number: int = 7, *, sha: str = HEAD, repository: int = 2, base: str = "main") -> dict[str, Any]:
    return {"number": number, "head": {"sha": sha, "repo": {"id": repository}}, "base": {"ref": base}}


@dataclass
class Forge:
    """The state of the simulated API, and the changes that it has received."""

    pulls: list[dict[str, Any]] = field(default_factory=lambda: [pull()])
    comments: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    archive: bytes | None = field(default_factory=lambda: archive(("preview.md", b"**routine**: 1 app\n")))
    size: int | None = None
    workflow: dict[str, str] = field(default_factory=lambda: {HEAD: "same", "main": "same"})
    changes: list[tuple[str, str, Any]] = field(default_factory=list)
    downloads: list[str | None] = field(default_factory=list)
    queries: list[dict[str, list[str]]] = field(default_factory=list)
    failures: int = 0
    url: str = ""

    def read(self, path: str, query: dict[str, list[str]]) -> Any:
        """Return the answer to a reading request."""
        run = "actions/runs/99/artifacts"
        page = int(query.get("page", ["1"])[0])
        if path == "pulls":
            self.queries.append(query)
            return self.pulls if page == 1 else []
        if path in ("issues/7/comments", "issues"):
            listed = self.comments if path.startswith("issues/") else self.issues
            return listed[(page - 1) * 100 : page * 100]
        if path == "contents/.github/workflows":
            sha = self.workflow[query["ref"][0]]
            return [{"name": "check.yaml", "type": "file", "sha": "other"}] + (
                [{"name": "preview.yaml", "type": "file", "sha": sha}] if sha else []
            )
        if path == run:
            if self.archive is None:
                return {"artifacts": []}
            size = len(self.archive) if self.size is None else self.size
            old = {"id": 4, "name": "preview-comment", "expired": True, "size_in_bytes": 1}
            return {"artifacts": [old, old | {"id": 5, "expired": False, "size_in_bytes": size}]}
        return None


class Handler(BaseHTTPRequestHandler):
    """The requests of the scripts."""

    forge: Forge

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        path = address.path.removeprefix(f"/repos/{REPOSITORY}/")
        if self.forge.failures:
            self.forge.failures -= 1
            return self.answer(502, b"{}")
        if path == "/storage":
            self.forge.downloads.append(self.headers.get("Authorization"))
            return self.answer(200, self.forge.archive or b"")
        assert self.headers["Authorization"] == f"Bearer {TOKEN}"
        if path == "actions/artifacts/5/zip":
            return self.answer(302, b"", location=f"{self.forge.url}/storage")
        found = self.forge.read(path, parse_qs(address.query))
        return self.answer(404 if found is None else 200, json.dumps(found).encode())

    def change(self) -> None:
        path = urlsplit(self.path).path.removeprefix(f"/repos/{REPOSITORY}/")
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.forge.changes.append((self.command, path, body))
        self.answer(200, json.dumps({"number": 12}).encode())

    do_POST = do_PATCH = do_DELETE = change  # noqa: N815 - the names that http.server calls

    def answer(self, status: int, content: bytes, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def forge() -> Iterator[Forge]:
    state = Forge()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"forge": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def run(
    forge: Forge, folder: Path, script: str, *arguments: str, event: dict[str, Any] | None = None
) -> subprocess.CompletedProcess[str]:
    file = folder / "event.json"
    file.write_text(json.dumps(event), encoding="utf-8")
    given = {
        "GITHUB_API_URL": forge.url,
        "GITHUB_EVENT_PATH": str(file),
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_TOKEN": TOKEN,
        "HOMELAB_RETRY_SECONDS": "0",
        "PATH": "/usr/bin:/bin",
    }
    command = [sys.executable, "-S", str(SCRIPTS / script), *arguments]
    finished = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)
    assert TOKEN not in finished.stdout + finished.stderr
    return finished


def event(**changed: Any) -> dict[str, Any]:
    """Return the event of a finished run for a pull request from a fork."""
    source = {"id": 2, "full_name": FORK, "owner": {"login": "thief"}}
    run = {"id": 99, "path": ".github/workflows/preview.yaml", "event": "pull_request", "conclusion": "success"}
    run |= {"head_sha": HEAD, "head_branch": "fix&base=evil", "head_repository": source}
    return {"workflow_run": run | changed, "repository": {"default_branch": "main"}}


def commented(forge: Forge, folder: Path, **changed: Any) -> str:
    """Return the text of the one comment that a run makes."""
    finished = run(forge, folder, "comment.py", event=event(**changed))
    assert (finished.returncode, finished.stderr) == (0, "")
    ((method, path, body),) = forge.changes
    assert (method, path) == ("POST", "issues/7/comments")
    return str(body["body"])


def test_the_first_run_makes_a_comment(forge: Forge, tmp_path: Path) -> None:
    text = commented(forge, tmp_path)
    assert text.splitlines() == [
        MARKER,
        f"**Preview of {HEAD[:12]}**, from a fork. [The run]({RUN}) has the whole report as a page.",
        BUILT_BY,
        "",
        "**routine**: 1 app",
    ]
    assert forge.downloads == [None], "the token goes to the API alone"
    assert forge.queries[0]["head"] == ["thief:fix&base=evil"]
    assert forge.queries[0]["base"] == ["main"]


def test_a_branch_of_the_repository_is_named_so(forge: Forge, tmp_path: Path) -> None:
    source = {"id": 2, "full_name": REPOSITORY, "owner": {"login": "me"}}
    assert "from a branch of this repository." in commented(forge, tmp_path, head_repository=source)


def test_a_later_run_updates_the_comment(forge: Forge, tmp_path: Path) -> None:
    forge.comments = [
        {"id": 1, "user": {"login": "thief"}, "body": f"{MARKER}\nnot the bot's"},
        {"id": 2, "user": BOT, "body": f"another comment with {MARKER} inside"},
        {"id": 3, "user": None, "body": MARKER},
        *({"id": 100 + one, "user": {"login": "me"}, "body": "talk"} for one in range(200)),
        {"id": 4, "user": BOT, "body": f"{MARKER}\nold"},
    ]
    finished = run(forge, tmp_path, "comment.py", event=event())
    assert (finished.returncode, finished.stdout) == (0, "updated the comment of #7\n")
    ((method, path, _),) = forge.changes
    assert (method, path) == ("PATCH", "issues/comments/4")


def test_the_second_of_two_comments_is_deleted(forge: Forge, tmp_path: Path) -> None:
    forge.comments = [{"id": number, "user": BOT, "body": f"{MARKER}\n{number}"} for number in (4, 5)]
    assert run(forge, tmp_path, "comment.py", event=event()).returncode == 0
    assert [change[:2] for change in forge.changes] == [
        ("DELETE", "issues/comments/5"),
        ("PATCH", "issues/comments/4"),
    ]


def test_a_comment_that_is_current_stays(forge: Forge, tmp_path: Path) -> None:
    text = commented(forge, tmp_path)
    forge.comments, forge.changes = [{"id": 4, "user": BOT, "body": text.replace("\n", "\r\n")}], []
    assert run(forge, tmp_path, "comment.py", event=event()).stdout == "the comment of #7 is current\n"
    assert forge.changes == []


@pytest.mark.parametrize(
    "pulls",
    [
        [],
        [pull(sha="b" * 40)],
        [pull(repository=3)],
        [pull(base="other")],
        [pull() | {"head": {"sha": HEAD, "repo": None}}],
    ],
    ids=["none", "newer commit", "other fork", "other base", "deleted fork"],
)
def test_another_pull_request_gets_no_comment(pulls: list[dict[str, Any]], forge: Forge, tmp_path: Path) -> None:
    forge.pulls = pulls
    finished = run(forge, tmp_path, "comment.py", event=event())
    assert finished.returncode == 0
    assert finished.stdout.endswith("has the commit of this run as its newest: no comment\n")
    assert forge.changes == []


@pytest.mark.parametrize(
    "changed",
    [{"path": ".github/workflows/evil.yaml"}, {"event": "push"}, {"head_repository": None}],
    ids=["other file of the same name", "other event", "deleted fork"],
)
def test_another_run_gets_no_comment(changed: dict[str, Any], forge: Forge, tmp_path: Path) -> None:
    assert run(forge, tmp_path, "comment.py", event=event(**changed)).returncode == 0
    assert forge.changes == []


@pytest.mark.parametrize("theirs", ["other", ""])
def test_a_pull_request_with_another_preview_workflow_shows_no_report(
    theirs: str, forge: Forge, tmp_path: Path
) -> None:
    forge.workflow[HEAD] = theirs
    text = commented(forge, tmp_path)
    assert "The report is not shown here" in text
    assert "routine" not in text
    assert forge.downloads == []


def test_a_mention_an_image_and_a_tag_stay_text(forge: Forge, tmp_path: Path) -> None:
    report = (
        f"{MARKER}\n{MARKER}\n@me, @org/team: ![x](https://evil.example/x) <img src=x> <script>a</script>\n"
        "<details><summary>1 of 2</summary>\nimage: web@sha256:00\n</details>\n\u202eabc\x00\x1b[31m <!-- hidden\n"
    )
    forge.archive = archive(("preview.md", report.encode()))
    text = commented(forge, tmp_path)
    assert text.count(MARKER) == 1
    assert "@\u200bme, @\u200borg/team: !\u200b[x](https://evil.example/x)" in text
    assert " <\u200bimg src=x> <\u200bscript>a<\u200b/script>\n" in text
    assert "<details><summary>1 of 2</summary>\nimage: web@sha256:00\n</details>\nabc[31m <\u200b!-- hidden" in text


@pytest.mark.parametrize("file", sorted((ROOT / "tests/ops/review/golden").glob("*.md")), ids=lambda file: file.stem)
def test_a_report_of_our_own_reaches_the_comment_unchanged(file: Path, forge: Forge, tmp_path: Path) -> None:
    report = file.read_bytes()
    forge.archive = archive(("preview.md", report))
    assert commented(forge, tmp_path).endswith(report.decode().removeprefix(MARKER))


def test_the_longest_report_has_room_for_the_head(forge: Forge, tmp_path: Path) -> None:
    forge.archive = archive(("preview.md", b"x" * markdown.LIMIT))
    assert len(commented(forge, tmp_path)) <= 65536 - 256


def test_a_report_is_published_under_a_given_number(forge: Forge, tmp_path: Path) -> None:
    file = tmp_path / "preview.md"
    file.write_text(f"{MARKER}\n@me **routine**\n" + "x" * 70000, encoding="utf-8")
    finished = run(forge, tmp_path, "comment.py", str(file), "7")
    assert (finished.returncode, finished.stderr, finished.stdout) == (0, "", "made the comment of #7\n")
    text = forge.changes[0][2]["body"]
    assert text.startswith(f"{MARKER}\n\n@\u200bme **routine**\n")
    assert len(text) == 65536


@pytest.mark.parametrize("words", [("a",), ("a", "7/../8"), ("a", "7", "b")], ids=" ".join)
def test_other_arguments_are_refused(words: tuple[str, ...], forge: Forge, tmp_path: Path) -> None:
    finished = run(forge, tmp_path, "comment.py", *words)
    assert (finished.returncode, finished.stderr) == (1, "comment.py, or comment.py REPORT NUMBER\n")
    assert run(forge, tmp_path, "drift.py", *words).returncode == 1


LARGE = b"x" * (300 * 1024)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "made no readable report"),
        (b"no archive", "made no readable report"),
        (archive(("preview.md", LARGE)), "made no readable report"),
        (archive(("preview.md", b"\xff\xfe")), "made no readable report"),
        (archive(("../../preview.md", b"x")), "made no readable report"),
        (archive(("preview.md", b"x"), ("preview.md.sh", b"x")), "made no readable report"),
        (archive(("preview.md", b"y" * 66000)), "The report has 66000 characters, too many for a comment."),
    ],
    ids=["absent", "no archive", "bomb", "no text", "path", "two files", "long"],
)
def test_an_artifact_that_cannot_be_shown_is_described(
    content: bytes | None, reason: str, forge: Forge, tmp_path: Path
) -> None:
    forge.archive = content
    before = set(tmp_path.rglob("*"))
    text = commented(forge, tmp_path, conclusion="failure")
    assert reason in text
    assert len(text) < 1000
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "event.json"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_no_report(forge: Forge, tmp_path: Path) -> None:
    forge.archive = archive(("preview.md", b"one"), ("preview.md", b"two"))
    assert "made no readable report" in commented(forge, tmp_path)


def test_a_large_artifact_is_not_downloaded(forge: Forge, tmp_path: Path) -> None:
    forge.size = 600 * 1024
    assert "made no readable report" in commented(forge, tmp_path)
    assert forge.downloads == []


def test_an_artifact_larger_than_its_description_is_refused(forge: Forge, tmp_path: Path) -> None:
    forge.archive, forge.size = b"x" * (600 * 1024), 10
    finished = run(forge, tmp_path, "comment.py", event=event())
    assert finished.returncode == 1
    assert "has more than 524288 bytes" in finished.stderr
    assert forge.changes == []


def test_a_server_that_fails_for_a_moment_is_asked_again(forge: Forge, tmp_path: Path) -> None:
    forge.failures = 2
    assert "**routine**" in commented(forge, tmp_path)


def test_a_refused_request_ends_the_script_with_its_reason(forge: Forge, tmp_path: Path) -> None:
    forge.failures = 3
    finished = run(forge, tmp_path, "comment.py", event=event())
    assert (finished.returncode, finished.stderr) == (1, "GET pulls: HTTP 502: {}\n")


def measured(forge: Forge, folder: Path, stack: str, script: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-S", "-c", script)
    return run(forge, folder, "drift.py", "measure", stack, str(folder / "drift"), "--", *command)


def reported(forge: Forge, folder: Path, stacks: Sequence[str]) -> str:
    finished = run(forge, folder, "drift.py", "report", json.dumps(stacks), str(folder / "drift"))
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


DRIFT = "print('\\x1b[31mVM cp-1\\x1b[0m: memory 8 -> 6\\n```\\n@me'); raise SystemExit(2)"
ISSUE = {"number": 3, "user": BOT, "body": "<!-- homelab drift -->\nold"}


def test_drift_opens_one_issue(forge: Forge, tmp_path: Path) -> None:
    assert measured(forge, tmp_path, "homelab", DRIFT).returncode == 0
    assert measured(forge, tmp_path, "staging", "print('no change')").returncode == 0
    forge.issues = [
        {"number": 1, "user": {"login": "thief"}, "body": ISSUE["body"]},
        ISSUE | {"number": 2, "pull_request": {}},
    ]
    assert reported(forge, tmp_path, ["homelab", "staging"]) == "opened #12 for homelab\n"
    ((method, path, body),) = forge.changes
    assert (method, path) == ("POST", "issues")
    assert body["title"] == "Drift: the live state differs from the main branch"
    assert body["body"].endswith("### Stack homelab\n\n````text\nVM cp-1: memory 8 -> 6\n```\n@me\n````")


def test_later_drift_updates_the_issue_and_closes_its_duplicates(forge: Forge, tmp_path: Path) -> None:
    measured(forge, tmp_path, "homelab", DRIFT)
    forge.issues = [ISSUE | {"number": 5}, ISSUE]
    assert reported(forge, tmp_path, ["homelab", "staging"]) == "updated #3 for homelab\n"
    (update, duplicate) = forge.changes
    assert update[:2] == ("PATCH", "issues/3")
    assert "Not compared, see the run: staging" in update[2]["body"]
    assert duplicate == ("PATCH", "issues/5", {"state": "closed", "state_reason": "not_planned"})


def test_the_issue_closes_when_the_drift_is_gone(forge: Forge, tmp_path: Path) -> None:
    measured(forge, tmp_path, "homelab", "print('no change')")
    forge.issues = [ISSUE]
    assert reported(forge, tmp_path, ["homelab"]) == "no drift; closed #3\n"
    assert [change[:2] for change in forge.changes] == [("POST", "issues/3/comments"), ("PATCH", "issues/3")]
    assert forge.changes[1][2] == {"state": "closed", "state_reason": "completed"}
    forge.issues, forge.changes = [], []
    assert reported(forge, tmp_path, ["homelab"]) == "no drift\n"
    assert forge.changes == []


def test_a_stack_that_was_not_compared_closes_nothing(forge: Forge, tmp_path: Path) -> None:
    measured(forge, tmp_path, "homelab", "print('no change')")
    forge.issues = [ISSUE]
    said = "not compared: staging; the issue stays as it is\n"
    assert reported(forge, tmp_path, ["homelab", "staging"]) == said
    assert forge.changes == []


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("raise SystemExit(1)", 1),
        ("print('try again'); raise SystemExit(75)", 75),
        ("raise SystemExit(2)", 1),
        ("import os; os.kill(os.getpid(), 9)", 1),
    ],
    ids=["refused", "failed", "wrong command line", "killed"],
)
def test_a_failed_comparison_is_no_drift(script: str, code: int, forge: Forge, tmp_path: Path) -> None:
    assert measured(forge, tmp_path, "homelab", script).returncode == code
    assert not (tmp_path / "drift").exists()


def test_reports_of_many_stacks_fit_an_issue(forge: Forge, tmp_path: Path) -> None:
    stacks = [f"stack-{number}" for number in range(8)]
    for stack in stacks:
        measured(forge, tmp_path, stack, "print('x' * 30000); raise SystemExit(2)")
    reported(forge, tmp_path, stacks)
    text = forge.changes[0][2]["body"]
    assert len(text) <= 65536
    assert text.count("characters more in the log of the run") == len(stacks)


def test_the_stack_files_are_listed_for_the_matrix(tmp_path: Path) -> None:
    for name in ("Pulumi.yaml", "Pulumi.b.yaml", "Pulumi.a-1.yaml", "Pulumi.x y.yaml", "Pulumi.a.yaml.before"):
        (tmp_path / name).touch()
    command = [sys.executable, str(SCRIPTS / "stack_names.py")]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said == 'stacks=["a-1","b"]\n'
