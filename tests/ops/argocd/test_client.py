"""The client of Argo CD: the cluster that it connects to, and the commit that it expects of Git."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import programs
from config.load import read_stack
from errors import Declined, ProgramFailed, TookTooLong
from lab.delivery import git_server
from lab.layout import Lab
from ops.argocd.client import ArgoCDClient
from ops.rehearsal.client import RehearsedClient, client_of
from ops.toolchain.lookup import ensure
from tests.repository import AUTHOR, commit_all

ROOT = Path(__file__).parents[3]
SETTINGS = read_stack(ROOT / "Pulumi.dev.yaml").require()


def git(folder: Path, *arguments: str) -> str:
    return programs.run("git", *AUTHOR, *arguments, cwd=folder).stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "--quiet", "--initial-branch", "feature/main")
    for branch in ("feature/main", "main"):
        git(folder, "switch", "--quiet", "--force-create", branch)
        git(folder, "commit", "--quiet", "--allow-empty", "--message", branch)
    git(folder, "tag", "--annotate", "v1.0.0", "--message", "the first")
    git(folder, "tag", "light", "feature/main")
    return folder


@pytest.mark.parametrize(
    ("revision", "commit"),
    [
        ("main", "main"),
        ("feature/main", "feature/main"),
        ("refs/heads/main", "main"),
        ("v1.0.0", "main"),
        ("refs/tags/v1.0.0", "main"),
        ("light", "feature/main"),
        ("HEAD", "main"),
        ("--upload-pack=touch", ""),
        ("nope", ""),
        ("a" * 40, "a" * 40),
    ],
)
def test_head_resolves_an_exact_branch_tag_or_commit(repository: Path, revision: str, commit: str) -> None:
    followed = SETTINGS.delivery.model_copy(update={"repository": str(repository), "revision": revision})
    settings = SETTINGS.model_copy(update={"delivery": followed})
    wanted = git(repository, "rev-parse", commit) if commit in ("main", "feature/main") else commit
    assert ArgoCDClient({}).head(settings) == wanted


def test_which_folders_git_has_is_asked_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed(tmp_path, "home/apps/media/sonarr")
    monkeypatch.chdir(tmp_path / "home")
    cluster, commit, folders = (
        ArgoCDClient({}),
        git(tmp_path, "rev-parse", "main"),
        ("apps/media/sonarr", "apps/ai/toy"),
    )
    assert cluster.holds(SETTINGS, commit, folders) == {"apps/media/sonarr"}
    assert cluster.holds(SETTINGS, "a" * 40, folders) == set(folders)
    assert cluster.holds(SETTINGS, "", folders) == set(folders)
    assert cluster.holds(SETTINGS, commit, ()) == set()


def test_folders_of_a_rehearsal_are_read_from_its_own_repository(tmp_path: Path) -> None:
    lab, settings = (
        Lab.of(tmp_path, "dev"),
        SETTINGS.model_copy(update={"delivery": SETTINGS.delivery.model_copy(update={"path": "./home"})}),
    )
    committed(tmp_path / "work", "home/apps/media/sonarr")
    bare = git_server.bare_repository(lab, git_server.served_as(settings.delivery.repository))
    git(tmp_path, "clone", "--quiet", "--bare", "work", str(bare))
    commit = git(tmp_path / "work", "rev-parse", "main")
    folders = ("apps/media/sonarr", "apps/ai/toy")
    assert RehearsedClient({}, lab=lab).holds(settings, commit, folders) == {"apps/media/sonarr"}


@pytest.mark.parametrize("above", [".", "home/lab"])
def test_pins_are_read_from_the_commit_that_is_followed(
    above: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkout may be behind or ahead of it."""
    top, pin = tmp_path / above / "apps/media", "8" * 40
    files = {
        "sonarr/dev/kustomization.yaml": f'metadata:\n  annotations:\n    homelab.dev/revision: "{pin}"\n',
        "radarr/dev/Chart.yaml": f"annotations: {{'homelab.dev/revision': {pin}}}\n",
        "lidarr/dev/kustomization.yaml": f"# homelab.dev/revision: {pin}\nresources: []\n",
        "lidarr/dev/patch.yaml": f"metadata: {{annotations: {{homelab.dev/revision: '{pin}'}}}}\n",
        "sonarr/dev/deep/down/note.yaml": f"homelab.dev/revision: {pin}\n",
    }
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text, encoding="utf-8")
    commit_all(tmp_path)
    git(tmp_path, "config", "color.ui", "always")
    commit = git(tmp_path, "rev-parse", "main")
    (top / "sonarr/dev/kustomization.yaml").write_text("resources: []\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / above)
    settings = SETTINGS.model_copy(update={"delivery": SETTINGS.delivery.model_copy(update={"path": above})})
    found = ArgoCDClient({}).pins(settings, commit)
    prefix = "" if above == "." else f"{above}/"
    assert found == {f"{prefix}apps/media/sonarr/dev": pin, f"{prefix}apps/media/radarr/dev": pin}
    assert ArgoCDClient({}).pins(settings, "a" * 40) is None, "not known here"
    assert ArgoCDClient({}).pins(settings, "") is None


def test_a_commit_without_a_pin_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed(tmp_path, "apps/media/sonarr")
    monkeypatch.chdir(tmp_path)
    assert ArgoCDClient({}).pins(SETTINGS, git(tmp_path, "rev-parse", "main")) == {}


def committed(repository: Path, folder: str) -> None:
    (repository / folder).mkdir(parents=True)
    (repository / folder / "app.yaml").write_text("kind: ConfigMap\n", encoding="utf-8")
    commit_all(repository)


@pytest.mark.parametrize(
    ("named", "text", "said"),
    [
        (
            "",
            None,
            "there is no rehearsal of dev, and KUBECONFIG is not set; pulumi stack output kubeconfig --stack dev ",
        ),
        (
            "nope",
            None,
            "KUBECONFIG = nope: does not exist; pulumi stack output kubeconfig --stack dev --show-secrets > ",
        ),
        ("kubeconfig", "", "KUBECONFIG = kubeconfig: is an empty file; "),
    ],
)
def test_a_missing_or_empty_kubeconfig_is_refused_before_any_request(
    named: str, text: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", named)
    if text is not None:
        (tmp_path / named).write_text(text, encoding="utf-8")
    with pytest.raises(Declined) as refused:
        client_of(tmp_path, "dev")
    assert str(refused.value).startswith(said)


def test_an_empty_kubeconfig_variable_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "")
    lab = Lab.of(tmp_path, "dev")
    lab.kubeconfig.parent.mkdir(parents=True)
    lab.kubeconfig.write_text("{}", encoding="utf-8")
    found = client_of(tmp_path, "dev")
    assert isinstance(found, RehearsedClient)
    assert found.lab == lab
    assert found.environment["KUBECONFIG"] == str(lab.kubeconfig)


def test_of_what_kubectl_says_the_last_line_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text("clusters: nonsense\n", encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(ProgramFailed) as refused:
        client_of(tmp_path, "dev").argocd()
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"kubectl, KUBECONFIG = {file}: error loading config file")


def test_a_cluster_whose_packets_are_lost_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*arguments: object, **options: object) -> None:
        raise TookTooLong("kubectl took longer than 15 s")

    monkeypatch.setattr(programs, "run", lost)
    assert not ArgoCDClient({}).answers()


def test_git_is_not_asked_at_every_look(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = SETTINGS.delivery.model_copy(update={"repository": str(repository), "revision": "main"})
    settings = SETTINGS.model_copy(update={"delivery": followed})
    cluster = ArgoCDClient({})
    commit = cluster.head(settings)
    monkeypatch.setattr(programs, "run", lambda *arguments, **options: pytest.fail("asked again"))
    assert cluster.head(settings) == commit


@pytest.fixture
def silent() -> Iterator[str]:
    """Yield the address of a server that accepts connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"


def asking(server: str, tmp_path: Path) -> ArgoCDClient:
    file = tmp_path / "kubeconfig"
    config = {
        "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "current-context": "c",
    }
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return ArgoCDClient(ensure(("kubectl",)).env() | {"KUBECONFIG": str(file)})


def test_an_api_that_never_answers_is_refused_in_seconds(
    silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.argocd.client.SECONDS_TO_ANSWER", 2)
    began = time.monotonic()
    with pytest.raises(TookTooLong, match=rf"the Kubernetes API at {silent} does not answer within 2 s: .*again"):
        asking(silent, tmp_path).refuse_timeout()
    assert time.monotonic() - began < 10


def test_a_refused_connection_is_not_a_timeout(tmp_path: Path) -> None:
    asking("https://127.0.0.1:1", tmp_path).refuse_timeout()
