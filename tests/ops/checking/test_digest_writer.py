"""`check --online --write-digests` writes the answers of a registry, a Git host and a publisher of our own."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from config.load import read_stacks
from config.tree import read_tree
from manifests.contents import WantedBase
from ops.__main__ import main
from ops.checking import digest_writer, digests
from ops.checking.online import Online, ReachabilityRow
from ops.checking.validation import Validation
from ops.upstream import git_tags, guarded_session
from ops.upstream.registries import Answer, State
from tests.manifests.checkout import lay
from tests.manifests.rules.scenario import prepare

DIGEST = "sha256:" + "1" * 64
DEFINITIONS = "apps/crds/definitions/production/kustomization.yaml"
IMAGE = "ghcr.io/jellyfin/jellyfin:10.10.7"


def validation(root: Path) -> Validation:
    stacks = read_stacks(root)
    return Validation(root, stacks, read_tree(root))


def online(kind: str, name: str, digest: str) -> Online:
    return Online((ReachabilityRow(kind, name, Answer(State.THERE, "", digest), 1),), ())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    prepare({}, root)
    return root


def git(folder: Path, *arguments: str) -> str:
    names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    command = ["git", "-C", str(folder), "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false", *arguments]
    env = os.environ | names | {"GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, repositories_of_this_machine: None) -> Path:
    """Return a repository whose annotated tag v1.0.0 is behind its branch."""
    folder = tmp_path / "repo.git"
    folder.mkdir()
    git(folder, "init", "-q")
    for number in (1, 2):
        git(folder, "commit", "-q", "--allow-empty", "-m", str(number))
        if number == 1:
            git(folder, "tag", "-a", "v1.0.0", "-m", "first")
    return folder


def test_an_image_digest_is_written_only_behind_its_tag(checkout: Path) -> None:
    file = checkout / "apps/media/jellyfin/base/deployment.yaml"
    lay(checkout, {"apps/media/jellyfin/base/other.yaml": f"# image: {IMAGE}\nimage: {IMAGE}.1\nimages: {IMAGE}\n"})
    before = file.read_text(encoding="utf-8")
    told, _ = digest_writer.write(validation(checkout), online("image", IMAGE, DIGEST))
    assert file.read_text(encoding="utf-8") == before.replace(IMAGE, f"{IMAGE}@{DIGEST}")
    assert told == [f"image {IMAGE}: {DIGEST}", "  apps/media/jellyfin/base/deployment.yaml"]
    assert DIGEST not in (checkout / "apps/media/jellyfin/base/other.yaml").read_text(encoding="utf-8")
    told, problems = digest_writer.write(validation(checkout), online("image", f"{IMAGE}@{DIGEST}", DIGEST))
    assert (told, problems) == (["everything that has a place for a digest has one"], [])


def test_an_image_that_a_charts_values_name_is_reported(checkout: Path) -> None:
    (told,), _ = digest_writer.write(validation(checkout), online("image", "ghcr.io/a/b:1.0.0", DIGEST))
    assert told == "image ghcr.io/a/b:1.0.0: written in no line of its own, by a chart's values"
    (told,), _ = digest_writer.write(validation(checkout), online("image", "ghcr.io/a/b:1.0.0", ""))
    assert told == "image ghcr.io/a/b:1.0.0: no digest"


def test_the_commit_of_an_annotated_tag_is_not_its_object(repository: Path) -> None:
    commit = git(repository, "rev-parse", "v1.0.0^{commit}")
    assert commit != git(repository, "rev-parse", "v1.0.0")
    url = f"file://{repository}/config"

    def ask(reference: str, version: str = "") -> Answer:
        return git_tags.ask(WantedBase(f"{url}?ref={reference}", "", (), version))

    assert ask("v1.0.0") == ask(commit, "v1.0.0") == Answer(State.THERE, "", commit)
    other = git(repository, "rev-parse", "HEAD")
    assert ask(other, "v1.0.0") == Answer(State.DIFFERENT, f"the tag v1.0.0 is {commit}", commit)
    assert ask("v2.0.0") == Answer(State.MISSING, "no tag v2.0.0")
    assert ask("--upload-pack=x").state is State.SILENT


def test_a_repository_of_this_machine_is_not_asked(tmp_path: Path) -> None:
    answer = git_tags.ask(WantedBase(f"file://{tmp_path}/repo.git/config?ref=v1.0.0", "", ()))
    assert answer == Answer(State.SILENT, "has a repository or a tag that gets no request")


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("https://github.com/org/repo/config?ref=v1", "https://github.com/org/repo"),
        ("github.com/org/repo//config?ref=v1", "https://github.com/org/repo"),
        ("git::https://example.com/x.git//y?ref=v1", "https://example.com/x.git"),
        ("https://example.com/a/b//y?ref=v1", "https://example.com/a/b"),
        ("https://raw.githubusercontent.com/org/repo/v1.0.0/x.yaml", ""),
    ],
)
def test_the_repository_of_a_base_is_that_of_kustomize(url: str, repository: str) -> None:
    assert git_tags.repository_of(url) == repository


def test_a_tag_becomes_its_commit_and_stays_behind_it(checkout: Path) -> None:
    url, commit = "https://github.com/org/repo/config?timeout=120s&ref=v1.0.0", "a" * 40
    file = checkout / DEFINITIONS
    lay(checkout, {DEFINITIONS: f"resources:\n  - '{url}'\n  - ../base/gateway.yaml\n"})
    told, _ = digest_writer.write(validation(checkout), online("base", url, commit))
    new = f"resources:\n  - '{url.replace('v1.0.0', commit)}' # v1.0.0\n  - ../base/gateway.yaml\n"
    assert file.read_text(encoding="utf-8") == new
    assert told[0] == f"base {url}: {commit}"


@pytest.mark.parametrize(
    ("comment", "above"),
    [(" # v1.0.0", ""), (" # v1.0.0, needs CRDs", "  # v1.0.0, needs CRDs\n"), (" #why", "  # why\n")],
)
def test_a_comment_behind_a_tag_stays_or_moves_above(comment: str, above: str, checkout: Path) -> None:
    url, commit = "https://github.com/org/repo/config?ref=v1.0.0", "a" * 40
    file = checkout / DEFINITIONS
    lay(checkout, {DEFINITIONS: f"resources:\n  - {url}{comment}\n"})
    digest_writer.write(validation(checkout), online("base", url, commit))
    new = f"resources:\n{above}  - {url.replace('v1.0.0', commit)} # v1.0.0\n"
    assert file.read_text(encoding="utf-8") == new


@pytest.mark.parametrize("query", ["version=v1.0.0", "ref=v1%2E0.0", "ref=v1.0.0&version=v1.0.0"])
def test_a_base_with_another_form_of_reference_is_only_reported(query: str, checkout: Path) -> None:
    url, commit = f"https://github.com/org/repo/config?{query}", "a" * 40
    text = f"resources:\n  - {url}\n"
    file = checkout / DEFINITIONS
    lay(checkout, {DEFINITIONS: text})
    told, _ = digest_writer.write(validation(checkout), online("base", url, commit))
    assert told[0].startswith(f"base {url}: not written")
    assert file.read_text(encoding="utf-8") == text


def test_a_base_in_flow_style_is_reported(checkout: Path) -> None:
    url, commit = "https://github.com/org/repo/config?ref=v1.0.0", "a" * 40
    text = f"resources: ['{url}']\n"
    file = checkout / DEFINITIONS
    lay(checkout, {DEFINITIONS: text})
    (told,), _ = digest_writer.write(validation(checkout), online("base", url, commit))
    assert told.startswith(f"base {url}: has no line of its own in {DEFINITIONS}")
    assert file.read_text(encoding="utf-8") == text


VALUES = """\
controller:
  trafficRouterPlugins:
    - name: a/b
      location: https://example.com/plugin
"""


def with_plugin(root: Path, values: str) -> Path:
    chart = (
        "helmCharts: [{name: argo-rollouts, repo: https://x.example.com, version: 1.0.0, valuesFile: values.yaml}]\n"
    )
    lay(
        root,
        {
            "apps/media/rollouts/production/kustomization.yaml": chart,
            "apps/media/rollouts/production/values.yaml": values,
        },
    )
    return root / "apps/media/rollouts/production/values.yaml"


def test_a_plugins_checksum_is_written_and_a_change_reported(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = hashlib.sha256(b"program").hexdigest()
    monkeypatch.setattr(digest_writer, "checksum", lambda url: found)
    file = with_plugin(checkout, VALUES)
    told, _ = digest_writer.write(validation(checkout), Online((), ()))
    assert file.read_text(encoding="utf-8") == f"{VALUES}      sha256: {found}\n"
    assert told == [
        f"plugin https://example.com/plugin: sha256:{found}",
        "  apps/media/rollouts/production/values.yaml",
    ]
    assert digests.plugins(validation(checkout))[0].sha256 == found
    monkeypatch.setattr(digest_writer, "checksum", lambda url: "0" * 64)
    told, (problem,) = digest_writer.write(validation(checkout), online("image", IMAGE, DIGEST))
    assert re.search(r"is not the checksum of the file at its location: 0+; .*digest-differs", str(problem))
    assert told == [f"image {IMAGE}: {DIGEST}", "  apps/media/jellyfin/base/deployment.yaml"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "location: 'https://example.com/plugin' # why\n",
            "location: 'https://example.com/plugin' # why\n      sha256: {}\n",
        ),
        ("location: https://example.com/plugin", "location: https://example.com/plugin\n      sha256: {}\n"),
    ],
)
def test_a_checksum_follows_a_comment_or_an_unfinished_line(
    before: str, after: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_writer, "checksum", lambda url: "0" * 64)
    head = VALUES.partition("location:")[0]
    file = with_plugin(checkout, head + before)
    digest_writer.write(validation(checkout), Online((), ()))
    assert file.read_text(encoding="utf-8") == head + after.format("0" * 64)


def test_a_plugin_in_flow_style_is_reported(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest_writer, "checksum", lambda url: "0" * 64)
    values = "controller:\n  aPlugins: [{name: a/b, location: https://example.com/plugin}]\n"
    file = with_plugin(checkout, values)
    (told,), _ = digest_writer.write(validation(checkout), Online((), ()))
    assert told.startswith(
        "plugin https://example.com/plugin: has no line of its own in apps/media/rollouts/production/values.yaml"
    )
    assert file.read_text(encoding="utf-8") == values


def test_a_plugin_is_downloaded_from_no_address_of_this_machine(checkout: Path) -> None:
    file = with_plugin(checkout, VALUES.replace("example.com", "127.0.0.1:1"))
    (told,), _ = digest_writer.write(validation(checkout), Online((), ()))
    assert told.endswith("leads to this machine or its network, or is not https")
    assert "sha256" not in file.read_text(encoding="utf-8")


def test_the_verb_requires_online(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--root", str(checkout), "--write-digests"]) == 1
    assert "--write-digests: sends requests to registries; add --online" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("registry", "realm", "allowed"),
    [
        ("https://ghcr.io/v2/a", "https://ghcr.io/token", True),
        ("https://registry-1.docker.io/v2/a", "https://auth.docker.io/token", True),
        ("https://registry.gitlab.com/v2/a", "https://gitlab.com/jwt/auth", True),
        ("http://127.0.0.1:5000/v2/a", "http://127.0.0.1:5000/token", True),
        ("http://127.0.0.1:5000/v2/a", "http://127.0.0.1:6000/token", False),
        ("https://ghcr.io/v2/a", "https://evil.example.com/token", False),
        ("https://ghcr.io/v2/a", "http://ghcr.io/token", False),
        ("https://evil.example.com/v2/a", "http://127.0.0.1:8001/api", False),
        ("https://evil.example.com/v2/a", "https://127.0.0.1/api", False),
        ("https://evil.example.com/v2/a", "https://169.254.169.254/latest", False),
        ("https://a.evil.co.uk/v2/a", "https://b.bank.co.uk/token", False),
    ],
)
def test_a_registry_sends_nowhere_but_to_its_own(registry: str, realm: str, allowed: bool) -> None:
    assert guarded_session.may_give_tokens(registry, realm) is allowed


@pytest.mark.parametrize("address", ["10.0.0.7", "127.0.0.1", "169.254.169.254", "fd00::1", "100.64.0.1"])
def test_a_name_that_resolves_to_the_own_network_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (address, 443))])
    assert not guarded_session.may_lead("https://registry.example.com/v2/", "https://inside.example.com/")
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("140.82.112.3", 443))])
    assert guarded_session.may_lead("https://registry.example.com/v2/", "https://outside.example.com/")
    assert not guarded_session.may_lead("https://registry.example.com/v2/", "http://outside.example.com/")


@pytest.mark.parametrize(
    ("registry", "realm", "allowed"),
    [
        ("10.0.0.7", "10.0.0.8", True),
        ("10.0.0.7", "140.82.112.3", True),
        ("140.82.112.3", "10.0.0.8", False),
        ("10.0.0.7", "100.64.0.1", True),
        ("10.0.0.7", "127.0.0.1", False),
        ("10.0.0.7", "::ffff:127.0.0.1", False),
        ("10.0.0.7", "169.254.169.254", False),
    ],
)
def test_a_private_token_server_serves_only_private_registries(
    registry: str, realm: str, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"registry.example.com": registry, "auth.example.com": realm}
    monkeypatch.setattr("socket.getaddrinfo", lambda host, *_, **__: [(0, 0, 0, "", (places[host], 443))])
    assert (
        guarded_session.may_give_tokens("https://registry.example.com/v2/a", "https://auth.example.com/token")
        is allowed
    )
    assert not guarded_session.may_give_tokens("https://registry.example.com/v2/a", "http://auth.example.com/token")


@pytest.mark.parametrize("values", ["controller: [", "[1]", "controller: {aPlugins: [null, 1, {location: 1}]}", "\t"])
def test_values_that_cannot_be_read_have_no_plugins(checkout: Path, values: str) -> None:
    file = with_plugin(checkout, values)
    assert digests.plugins(validation(checkout)) == []
    file.unlink()
    file.symlink_to("/etc/hostname")
    assert digests.plugins(validation(checkout)) == []
