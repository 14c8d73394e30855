"""Pull requests at three forges, with the paths, headers and answers of their real APIs, from a server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from errors import ApiFailed
from ops.promotion.forges import MOST_TEXT, Forge, ForgeKind, PullRequest, forge_of

TOKEN = "secret-token"
BRANCH = "promote/staging-media-immich"
PATHS: dict[ForgeKind, str] = {
    "github": "/api/v3/repos/me/lab/pulls",
    "forgejo": "/api/v1/repos/me/lab/pulls",
    "gitlab": "/api/v4/projects/me%2Flab/merge_requests",
}
HEADERS: dict[ForgeKind, tuple[str, str]] = {
    "github": ("Authorization", f"Bearer {TOKEN}"),
    "forgejo": ("Authorization", f"token {TOKEN}"),
    "gitlab": ("PRIVATE-TOKEN", TOKEN),
}


class Server(ThreadingHTTPServer):
    """One forge with the open requests of one repository."""

    daemon_threads = True
    kind: ForgeKind
    opened: list[dict[str, Any]]
    foreign: list[dict[str, Any]]
    """Requests of forks, whose branches have the same name."""
    status: int = 0
    seen: list[str]

    @property
    def site(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def forge(self) -> Forge:
        env = {f"{self.kind.upper()}_TOKEN": TOKEN, "GITHUB_SERVER_URL": self.site if self.kind == "github" else ""}
        made = forge_of(f"{self.site}/me/lab.git", env)
        assert made is not None
        return made


class Answers(BaseHTTPRequestHandler):
    """Answer as the API of the server's kind does."""

    server: Server

    def do_GET(self) -> None:
        found = [*self.server.foreign, *self.server.opened]
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if self.server.kind == "github":
            assert (asked["head"], asked["base"], asked["state"]) == (f"me:{BRANCH}", "main", "open")
        elif self.server.kind == "gitlab":
            assert (asked["source_branch"], asked["target_branch"], asked["state"]) == (BRANCH, "main", "opened")
        else:
            begin = (int(asked["page"]) - 1) * int(asked["limit"])
            others = [{"number": 900 + one, "head": {"ref": f"x{one}"}, "base": {"ref": "main"}} for one in range(60)]
            found = [*others, *found][begin : begin + int(asked["limit"])]
        self.answer(200, found)

    def do_POST(self) -> None:
        self.server.opened.append(self.request_of(self.content(), 7))
        self.answer(201, self.server.opened[-1])

    def do_PATCH(self) -> None:
        assert self.server.kind != "gitlab"
        self.change()

    def do_PUT(self) -> None:
        assert self.server.kind == "gitlab"
        self.change()

    def change(self) -> None:
        assert urlsplit(self.path).path == f"{PATHS[self.server.kind]}/7"
        self.server.opened[-1] |= self.content()
        self.answer(200 if self.server.kind != "forgejo" else 201, self.server.opened[-1])

    def request_of(self, content: dict[str, Any], number: int) -> dict[str, Any]:
        """Return a request in the shape of the kind."""
        if self.server.kind == "gitlab":
            assert content.keys() == {"title", "description", "source_branch", "target_branch"}
            projects = {"source_project_id": 5, "target_project_id": 5}
            return {
                **content,
                **projects,
                "iid": number,
                "id": 1000,
                "web_url": f"{self.server.site}/me/lab/-/merge_requests/7",
            }
        assert content.keys() == {"title", "body", "head", "base"}
        repository = {"full_name": "me/lab"}
        refs = {"head": {"ref": content["head"], "repo": repository}, "base": {"ref": content["base"]}}
        return {**content, **refs, "number": number, "html_url": f"{self.server.site}/me/lab/pulls/7"}

    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return found

    def answer(self, status: int, body: object) -> None:
        name, value = HEADERS[self.server.kind]
        status = 401 if self.headers[name] != value else self.server.status or status
        self.server.seen.append(f"{self.command} {urlsplit(self.path).path}")
        text = json.dumps(body if status < 300 else {"message": "Validation Failed"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if 300 <= status < 400:
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class' word
        pass


@pytest.fixture(params=["github", "forgejo", "gitlab"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Answers)
    made.kind, made.opened, made.foreign, made.seen = request.param, [], [], []
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def test_a_request_is_opened_once_and_updated_after_that(server: Server) -> None:
    forge, path = server.forge(), PATHS[server.kind]
    assert forge.kind == server.kind
    page = f"{server.site}/me/lab/{'-/merge_requests' if server.kind == 'gitlab' else 'pulls'}/7"
    assert forge.request(BRANCH, "main", "Promote", "text") == PullRequest(page, "opened")
    assert forge.request(BRANCH, "main", "Promote again", "x" * 2 * MOST_TEXT) == PullRequest(page, "updated")
    assert server.opened[0]["title"] == "Promote again"
    text = server.opened[0]["description" if server.kind == "gitlab" else "body"]
    assert (len(text) < 65_536, text.endswith("\n\n(shortened)")) == (True, True)
    changed = "PUT" if server.kind == "gitlab" else "PATCH"
    lists = 2 if server.kind == "forgejo" else 1  # its list has pages
    expected = [*[f"GET {path}"] * lists, f"POST {path}", *[f"GET {path}"] * lists, f"{changed} {path}/7"]
    assert server.seen == expected


def test_the_request_of_a_fork_is_never_taken_for_the_own_one(server: Server) -> None:
    ends = {"head": {"ref": BRANCH, "repo": {"full_name": "stranger/lab"}}, "base": {"ref": "main"}}
    gone = {**ends, "head": {"ref": BRANCH, "repo": None}}
    projects = {"source_project_id": 6, "target_project_id": 5}
    server.foreign = [{**one, **projects, "number": 3, "iid": 3} for one in (ends, gone)]
    assert server.forge().request(BRANCH, "main", "Promote", "text").state == "opened"
    assert [one for one in server.seen if one.startswith(("PUT", "PATCH"))] == []


def test_a_login_of_netrc_does_not_replace_the_token(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password another\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert server.forge().request(BRANCH, "main", "Promote", "text").state == "opened"


def test_a_wrong_token_is_refused_and_never_printed(server: Server) -> None:
    forge = Forge(server.kind, server.site, "me/lab", "wrong-token")
    with pytest.raises(ApiFailed) as failed:
        forge.request(BRANCH, "main", "Promote", "text")
    names = {"github": "GITHUB_TOKEN or GH_TOKEN", "forgejo": "FORGEJO_TOKEN or GITEA_TOKEN", "gitlab": "GITLAB_TOKEN"}
    assert str(failed.value) == (
        f"GET {server.site}{PATHS[server.kind]}: 401 Unauthorized; the token in {names[server.kind]} must be valid, and"
        " allow to write pull requests"
    )
    assert (failed.value.code, failed.value.exit_code) == (401, 75)


@pytest.mark.parametrize(("status", "reason"), [(422, "Unprocessable Entity Validation Failed"), (302, "Found")])
def test_a_refusal_and_a_redirect_are_errors(status: int, reason: str, server: Server) -> None:
    server.status = status
    with pytest.raises(ApiFailed) as failed:
        server.forge().request(BRANCH, "main", "Promote", "text")
    assert f": {status} {reason}" in str(failed.value)
    assert TOKEN not in str(failed.value)


def test_a_server_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(ApiFailed, match=r"pulls: no answer: ConnectionError; run the command again$"):
        Forge("github", "http://127.0.0.1:9", "me/lab", TOKEN).request(BRANCH, "main", "Promote", "text")


@pytest.mark.parametrize(
    ("remote", "env", "expected"),
    [
        ("https://github.com/me/lab.git", {}, Forge("github", "https://github.com", "me/lab")),
        ("git@github.com:me/lab.git", {"GH_TOKEN": "t"}, Forge("github", "https://github.com", "me/lab", "t")),
        ("ssh://git@gitlab.example.com:2222/a/b/lab.git", {}, Forge("gitlab", "https://gitlab.example.com", "a/b/lab")),
        ("https://codeberg.org/me/lab", {}, Forge("forgejo", "https://codeberg.org", "me/lab")),
        ("https://u:p@git.example.com:3000/me/lab.git", {"GITEA_TOKEN": "t"}, Forge("forgejo", "https://git.example.com:3000", "me/lab", "t")),  # noqa: E501
        ("http://git.example.com/me/lab.git", {"FORGEJO_TOKEN": "t"}, Forge("forgejo", "http://git.example.com", "me/lab")),  # noqa: E501
        ("https://git.example.com/me/lab.git", {}, None),
        ("https://git.example.com/me/lab.git", {"GITHUB_TOKEN": "t"}, None),
        ("https://github.example.com/me/lab", {"GH_TOKEN": "t"}, Forge("github", "https://github.example.com", "me/lab", "t")),  # noqa: E501
        ("https://git.example.com/me/lab", {"GITHUB_TOKEN": "t", "GITEA_TOKEN": "u"}, Forge("forgejo", "https://git.example.com", "me/lab", "u")),  # noqa: E501
        ("https://git.example.com/me/lab", {"GITHUB_TOKEN": "t", "GITHUB_SERVER_URL": "https://git.example.com"}, Forge("github", "https://git.example.com", "me/lab", "t")),  # noqa: E501
        ("/srv/git/lab.git", {"GITHUB_TOKEN": "t"}, None),
    ],
)  # fmt: skip
def test_the_forge_of_a_remote(remote: str, env: dict[str, str], expected: Forge | None) -> None:
    assert forge_of(remote, env) == expected


def test_the_links_lead_to_the_page_of_a_new_request() -> None:
    links = [Forge(kind, "https://x.org", "me/lab").link("promote/a", "main") for kind in PATHS]
    assert links == [
        "https://x.org/me/lab/compare/main...promote/a",
        "https://x.org/me/lab/compare/main...promote/a",
        "https://x.org/me/lab/-/merge_requests/new?merge_request%5Bsource_branch%5D=promote%2Fa",
    ]
    assert Forge("github", "https://github.com", "me/lab").api == "https://api.github.com/repos/me/lab"
