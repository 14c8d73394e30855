"""`./homelab check --online` sends its requests to a registry of our own, on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from config.load import read_stacks
from config.tree import read_tree
from manifests.contents import WantedBase
from manifests.sources import Chart
from ops.__main__ import main
from ops.checking.online import Online, ask
from ops.checking.validation import Validation, validate
from ops.upstream import git_tags
from ops.upstream.registries import Answer, Registries, State, place_of
from tests.manifests.rules.scenario import prepare

DIGEST = "sha256:" + "1" * 64
INDEX = {"entries": {"greeter": [{"version": "v1.2.0"}, {"version": "1.1.0"}], "odd": "1.0.0"}}

OTHERWISE = {
    "tired": (503, {}),
    "astray": (302, {"Location": "https://[x/"}),
    "moved": (301, {"Location": "/x.git/info/refs?service=git-upload-pack"}),
}


@dataclass
class Registry:
    """A small registry: its manifests, the repositories that need credentials, and the requests that it received."""

    manifests: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    realm: str = ""
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            def do_HEAD(self) -> None:
                registry.asked.append(f"HEAD {self.path}")
                repository = self.path.removeprefix("/v2/").split("/manifests/")[0]
                if self.headers.get("Authorization") != f"Bearer for repository:{repository}:pull":
                    at = registry.realm or f"http://{registry.address}/token"
                    realm = f'Bearer realm="{at}",service="here",scope="repository:{repository}:pull"'
                    self.answer(401, headers={"WWW-Authenticate": realm})
                elif "oci.image.index" not in self.headers["Accept"]:
                    self.answer(404)
                else:
                    found = self.path in registry.manifests
                    self.answer(200 if found else 404, headers={"Docker-Content-Digest": DIGEST} if found else None)

            def do_GET(self) -> None:
                registry.asked.append(f"GET {self.path}")
                if self.path.startswith("/token"):
                    scope = self.path.split("scope=")[1].split("&")[0].replace("%3A", ":").replace("%2F", "/")
                    given = [] if "odd" in scope else {"token": f"for {scope}"}
                    self.answer(
                        *((403, b"") if scope.split(":")[1] in registry.private else (200, json.dumps(given).encode()))
                    )
                elif self.path == "/charts/index.yaml":
                    self.answer(200, json.dumps(INDEX).encode())
                else:
                    code, headers = OTHERWISE.get(self.path.split("/")[1], (404, {}))
                    self.answer(code, headers=headers)

            def answer(self, code: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
                self.send_response(code)
                for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                """Do nothing: the log would disturb the output of the tests."""

        return Handler


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, repositories_of_this_machine: None) -> Iterator[Registry]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HOMELAB_OFFLINE", "0")
    found = Registry()
    with ThreadingHTTPServer(("127.0.0.1", 0), found.handler()) as server:
        found.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def registries() -> Iterator[Registries]:
    made = Registries()
    yield made
    made.session.close()


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("redis", ("registry-1.docker.io", "library/redis")),
        ("traefik/whoami", ("registry-1.docker.io", "traefik/whoami")),
        ("docker.io/traefik/whoami", ("registry-1.docker.io", "traefik/whoami")),
        ("docker.io/redis", ("registry-1.docker.io", "library/redis")),
        ("ghcr.io/a/b/c", ("ghcr.io", "a/b/c")),
        ("localhost/a", ("localhost", "a")),
        ("127.0.0.1:5000/a", ("127.0.0.1:5000", "a")),
    ],
)
def test_an_image_is_looked_for_where_a_node_would(name: str, place: tuple[str, str]) -> None:
    assert place_of(name) == place


def test_tags_and_digests_are_found_with_an_anonymous_token(registry: Registry, registries: Registries) -> None:
    registry.manifests |= {"/v2/a/b/manifests/1.0", f"/v2/a/b/manifests/{DIGEST}"}
    assert registries.image(f"{registry.address}/a/b:1.0") == Answer(State.THERE, "", DIGEST)
    assert registries.image(f"{registry.address}/a/b:9.9@{DIGEST}") == Answer(State.THERE, "", DIGEST)
    assert registry.asked[:3] == [
        "HEAD /v2/a/b/manifests/1.0",
        "GET /token?scope=repository%3Aa%2Fb%3Apull&service=here",
        "HEAD /v2/a/b/manifests/1.0",
    ]


def test_a_tag_that_does_not_exist_is_missing(registry: Registry, registries: Registries) -> None:
    assert registries.image(f"{registry.address}/a/b:2.0") == Answer(State.MISSING)
    assert registries.image(f"{registry.address}/a/b") == Answer(State.MISSING, "names no version")


def test_a_realm_elsewhere_is_not_asked(registry: Registry, registries: Registries) -> None:
    registry.realm = "http://127.0.0.1:1/token"
    answer = registries.image(f"{registry.address}/a/b:1.0")
    assert answer.state is State.SILENT
    assert "sends to http://127.0.0.1:1/token for a token, a host that is not its own" in answer.said


class Redirecting(BaseAdapter):
    """Two public registries: the first redirects all requests to the second, which requires a token of its own."""

    def __init__(self) -> None:
        """Start without requests."""
        super().__init__()
        self.asked: list[tuple[str, str]] = []

    def send(self, request: PreparedRequest, *_: object, **__: object) -> Response:
        """Return the answer of the host in the URL."""
        url, token = str(request.url), request.headers.get("Authorization", "")
        self.asked.append((url, token))
        answer = Response()
        answer.url, answer.request, answer.raw, answer.status_code = url, request, BytesIO(), 200
        if url.startswith("https://oci.example.com/"):
            answer.status_code = 307
            answer.headers["Location"] = url.replace("oci.example.com", "ghcr.io")
        elif url.startswith("https://ghcr.io/token"):
            answer.raw = BytesIO(b'{"token": "secret"}')
        elif not token:
            answer.status_code = 401
            answer.headers["WWW-Authenticate"] = 'Bearer realm="https://ghcr.io/token",service="ghcr.io"'
        return answer

    def close(self) -> None:
        """Do nothing: no connection is open."""


def test_a_token_goes_to_the_host_behind_a_redirect(registries: Registries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("140.82.112.3", 443))])
    world = Redirecting()
    registries.session.mount("https://", world)
    assert registries.image("oci.example.com/a/b:1.0").state is State.THERE
    assert world.asked == [
        ("https://oci.example.com/v2/a/b/manifests/1.0", ""),
        ("https://ghcr.io/v2/a/b/manifests/1.0", ""),
        ("https://ghcr.io/token?scope=repository%3Aa%2Fb%3Apull&service=ghcr.io", ""),
        ("https://ghcr.io/v2/a/b/manifests/1.0", "Bearer secret"),
    ]


def test_a_redirect_that_is_no_url_is_an_answer(registry: Registry, registries: Registries) -> None:
    answer = registries.chart(Chart("greeter", "1.0.0", f"http://{registry.address}/astray"))
    assert answer.state is State.SILENT
    assert "ValueError" in answer.said


def test_git_follows_no_redirect_of_a_host(registry: Registry) -> None:
    answer = git_tags.ask(WantedBase(f"http://{registry.address}/moved/x.git//config?ref=v1.0.0", "", ()))
    assert answer.state is State.SILENT
    assert registry.asked == ["GET /moved/x.git/info/refs?service=git-upload-pack"]


def test_a_registry_of_this_machine_is_not_asked(registries: Registries) -> None:
    answer = registries.image("127.0.0.1:5000/a/b:1.0")
    assert answer == Answer(State.SILENT, "its registry names this machine or its own network")


def test_what_everybody_is_refused_is_told_apart(registry: Registry, registries: Registries) -> None:
    registry.private.add("a/hidden")
    said = Answer(State.REFUSED, "does not exist, or needs credentials")
    assert registries.image(f"{registry.address}/a/hidden:1.0") == said


def test_a_registry_that_answers_with_something_else_gives_no_token(registry: Registry, registries: Registries) -> None:
    assert registries.image(f"{registry.address}/a/odd:1.0").state is State.REFUSED
    odd = f"http://{registry.address}/charts"
    assert registries.chart(Chart("odd", "1.0.0", odd)) == Answer(State.MISSING, "no chart of this name")


def test_a_registry_that_is_down_is_an_answer(registries: Registries, registry: Registry) -> None:
    down = registries.image("127.0.0.1:1/a:1.0")
    assert down.state is State.SILENT
    assert "ConnectionError" in down.said
    tired = registries.chart(Chart("greeter", "1.0.0", f"http://{registry.address}/tired"))
    assert tired == Answer(State.SILENT, "HTTP 503")


def test_charts_are_found_in_an_index_that_is_read_once(registry: Registry, registries: Registries) -> None:
    repository = f"http://{registry.address}/charts/"
    assert registries.chart(Chart("greeter", "1.2.0", repository)) == Answer(State.THERE)
    assert registries.chart(Chart("greeter", "1.3.0", repository)) == Answer(State.MISSING, "newest is v1.2.0")
    assert registries.chart(Chart("other", "1.2.0", repository)) == Answer(State.MISSING, "no chart of this name")
    assert registry.asked == ["GET /charts/index.yaml"]


def test_charts_of_a_registry_are_asked_for_like_images(registry: Registry, registries: Registries) -> None:
    registry.manifests.add("/v2/charts/greeter/manifests/1.2.0_build.1")
    repository = f"oci://{registry.address}/charts"
    assert registries.chart(Chart("greeter", "1.2.0+build.1", repository)) == Answer(State.THERE, "", DIGEST)
    assert registries.chart(Chart("greeter", "1.2.0", repository)) == Answer(State.MISSING)


@pytest.fixture
def checkout(tmp_path: Path, registry: Registry) -> Path:
    """Return a checkout with two images of the registry, which has one of them."""
    prepare({}, tmp_path)
    for app, image in (("jellyfin", "ghcr.io/jellyfin/jellyfin"), ("whoami", "docker.io/traefik/whoami")):
        file = tmp_path / f"apps/media/{app}/base/deployment.yaml"
        text = file.read_text(encoding="utf-8")
        assert image in text
        file.write_text(text.replace(image, f"{registry.address}/{app}"), encoding="utf-8")
    registry.manifests.add("/v2/jellyfin/manifests/10.10.7")
    return tmp_path


def test_everything_that_the_tree_names_is_asked_for(
    checkout: Path, registry: Registry, registries: Registries
) -> None:
    stacks = read_stacks(checkout)
    validation = Validation(checkout, stacks, read_tree(checkout))
    assert validate(validation) == []
    online = ask(validation, registries)
    assert [line.split() for line in str(online).splitlines()] == [
        ["state", "kind", "what", "places"],
        ["missing", "image", f"{registry.address}/whoami:v1.11.0", "2"],
        ["there", "image", f"{registry.address}/jellyfin:10.10.7", "2"],
    ]
    assert [str(problem) for problem in online.problems] == [
        (
            f"apps/media/whoami/base/deployment.yaml:14: Deployment whoami spec.template.spec.containers[0].image = "
            f"{registry.address}/whoami:v1.11.0: does not exist; "
            "name a version that its registry lists [version-missing]"
        )
    ]


def test_the_verb_asks_only_when_told_to(
    checkout: Path, registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ops.checking.settings.check_stack", lambda root, stack, tree: []
    )  # no platform in a checkout this small
    assert main(["check", "--root", str(checkout)]) == 0
    assert registry.asked == []
    capsys.readouterr()
    assert main(["check", "--root", str(checkout), "--online", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert [problem["check"] for problem in said["problems"]] == ["version-missing"]
    assert {row["state"] for row in said["online"]} == {"there", "missing"}


def test_a_silent_registry_is_no_proof(checkout: Path, registries: Registries) -> None:
    file = checkout / "apps/media/jellyfin/base/deployment.yaml"
    text = file.read_text(encoding="utf-8").split("image: ")
    file.write_text(f"{text[0]}image: 127.0.0.1:1/jellyfin{text[1][text[1].index(':10.10.7') :]}", encoding="utf-8")
    stacks = read_stacks(checkout)
    validation = Validation(checkout, stacks, read_tree(checkout))
    assert validate(validation) == []
    assert [problem.check for problem in ask(validation, registries).problems] == ["registry-silent", "version-missing"]


def test_nothing_to_ask_for_is_said() -> None:
    assert str(Online((), ())) == "no image, chart or base to look up"
