"""`./homelab init` writes a stack file that passes the check, or reports the missing answers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import programs
from config.load import read_stack
from config.secret_stores import KINDS
from config.tree import read_tree
from ops.__main__ import main
from ops.init import TOKEN as TOKEN_OF_PROXMOX
from tests.config.scenario import prepare
from tests.ops.diagnosis.proxmox import TOKEN, UUID, Proxmox, served, storage
from tests.repository import commit_all

STORES = {
    "bitwarden": (
        *("--organization", "11111111-0000-4000-8000-000000000001"),
        *("--project", "11111111-0000-4000-8000-000000000002"),
    ),
    "vault": ("--server", "https://vault.example.com:8200"),
    "onepassword": ("--server", "https://connect.example.com", "--vaults", "homelab"),
    "kubernetes": (),
}
WHO = ("--repository", "https://git.example.com/me/homelab.git", "--domain", "home.example.com")


def committed(root: Path) -> None:
    """Write the small checkout, and commit it."""
    prepare({}, root)
    commit_all(root)


@pytest.fixture(autouse=True)
def nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)


@pytest.fixture
def proxmox(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxmox]:
    """Serve a Proxmox API, and set its token."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(TOKEN_OF_PROXMOX, TOKEN)
    with served(Proxmox(), tmp_path_factory.mktemp("pve")) as found:
        yield found


@pytest.mark.parametrize(("planes", "workers", "store"), list(itertools.product("13", "02", KINDS)))
def test_what_init_writes_passes_the_check(planes: str, workers: str, store: str, tmp_path: Path) -> None:
    prepare({}, tmp_path)
    hosts = ("--hosts", "a=10.0.0.2,b=10.0.0.3")
    size = ("--control-planes", planes, "--workers", workers, "--root", str(tmp_path))
    assert main(["init", "--stack", "mine", *WHO, *hosts, *size, "--store", store, *STORES[store]]) == 0
    settings = read_stack(tmp_path / "Pulumi.mine.yaml").require()
    assert len(settings.cluster.nodes) == int(planes) + int(workers)
    assert (settings.network.vip is not None) == (planes == "3")


@pytest.mark.parametrize(
    ("chain", "more", "sync"),
    [
        ("[mine, production]", (), "automatic"),
        ("[production, mine]", (), "manual"),
        ("[dev, production]", (), "manual"),  # mine copies production, and comes behind it
        ("[production, dev]", (), "automatic"),
        ("[production]", ("--only",), "automatic"),
    ],
)
def test_the_last_environment_of_the_chain_gets_gates(
    chain: str, more: tuple[str, ...], sync: str, tmp_path: Path
) -> None:
    prepare({"write": {"apps/environments.yaml": f"chain: {chain}\n"}}, tmp_path)
    if "mine" in chain:
        (tmp_path / "apps/_settings/mine").mkdir()
    commit_all(tmp_path)
    assert main(["init", "--stack", "mine", "--like", "production", *WHO, *more, "--root", str(tmp_path)]) == 0
    gates = read_stack(tmp_path / "Pulumi.mine.yaml").require().delivery.gates
    assert (gates.sync, gates.approval) == (sync, "required" if sync == "manual" else "none")


def test_answers_that_check_refuses_leave_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({}, tmp_path)
    wrong = ("--control-planes", "2", "--subnet", "10.0.0.1/24", "--root", str(tmp_path))
    assert main(["init", "--stack", "mine", *WHO, *wrong]) == 1
    said = capsys.readouterr().err
    assert (
        "Pulumi.mine.yaml, not written: network.subnet = 10.0.0.1/24: has host bits set; did you mean 10.0.0.0/24?"
        in said
    )
    assert not (tmp_path / "Pulumi.mine.yaml").exists()


@pytest.mark.parametrize("subnet", ["255.255.255.0/24", "10.0.0.0/30"])
def test_a_subnet_without_room_is_a_problem(subnet: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({}, tmp_path)
    many = ("--workers", "300", "--root", str(tmp_path))
    assert main(["init", "--stack", "mine", *WHO, "--subnet", subnet, *many]) == 1
    assert f"is outside network.subnet (line 5) {subnet}" in capsys.readouterr().err


def test_a_subnet_that_is_one_address_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *WHO, "--subnet", "255.255.255.255/32", "--root", str(tmp_path)]) == 1
    assert "--subnet = 255.255.255.255/32: has no room for nodes; give a network such as" in capsys.readouterr().err


def test_a_missing_answer_is_named_by_its_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--root", str(tmp_path), "--issuer", "letsencrypt", *WHO[:2]]) == 1
    assert "give --domain, --email (./homelab init --help)" in capsys.readouterr().err


def test_a_stack_file_that_exists_is_not_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({}, tmp_path)
    before = (tmp_path / "Pulumi.base.yaml").read_bytes()
    assert main(["init", "--stack", "base", "--root", str(tmp_path), *WHO]) == 1
    assert "Pulumi.base.yaml exists; --replace replaces it, --stack NAME writes another" in capsys.readouterr().err
    assert (tmp_path / "Pulumi.base.yaml").read_bytes() == before


def test_only_removes_the_other_stacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    committed(tmp_path)
    assert main(["init", "--stack", "mine", "--only", "--root", str(tmp_path), *WHO]) == 0
    assert "removed Pulumi.base.yaml; git restore Pulumi.base.yaml brings it back" in capsys.readouterr().out
    assert [path.name for path in sorted(tmp_path.glob("Pulumi.*.yaml"))] == ["Pulumi.mine.yaml"]


@pytest.mark.parametrize(
    "words", [("--stack", "base", "--environment", "mine", "--replace"), ("--stack", "mine", "--only")]
)
@pytest.mark.parametrize(
    ("more", "commits", "said"),
    [
        ("# mine\n", False, "Pulumi.base.yaml: has uncommitted changes that would be lost; commit or delete it first"),
        ("encryptionsalt: v1:abc\n", True, "Pulumi.base.yaml: has secrets that would be lost; move it away"),
    ],
)
def test_what_nobody_could_bring_back_does_not_go(
    words: tuple[str, ...], more: str, commits: bool, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    committed(tmp_path)
    file = tmp_path / "Pulumi.base.yaml"
    file.write_text(file.read_text(encoding="utf-8") + more, encoding="utf-8")
    if commits:
        commit_all(tmp_path)
    before = file.read_bytes()
    assert main(["init", *words, "--root", str(tmp_path), *WHO]) == 1
    assert said in capsys.readouterr().err
    assert file.read_bytes() == before
    assert list(tmp_path.glob("Pulumi.*.yaml")) == [file]


def test_a_stack_has_a_name_and_no_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--stack", "../x", "--root", str(tmp_path), *WHO]) == 1
    assert capsys.readouterr().err.startswith("--stack = ../x: is not a name for a stack; use small letters")


def test_a_question_without_a_proposal_is_repeated_until_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare({}, tmp_path)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    answers = iter(["", "", WHO[1]])
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return next(answers) if "repository" in question else ""

    monkeypatch.setattr("builtins.input", answer)
    assert main(["init", "--stack", "mine", "--root", str(tmp_path), *WHO[2:]]) == 0
    assert ["repository" in question for question in asked[:5]] == [False, True, True, True, False]


def test_a_terminal_is_asked_and_enter_takes_the_proposal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare({}, tmp_path)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "git@git.example.com:me/homelab.git" if "repository" in question else ""

    monkeypatch.setattr("builtins.input", answer)
    assert main(["init", "--stack", "mine", "--root", str(tmp_path), "--domain", "home.example.com"]) == 0
    size = "the size of the cluster (one-node, small, ha) [small]: "
    assert asked[:2] == [size, "your Git repository (https://... or git@...): "]
    assert "its router [10.0.0.1]: " in asked
    assert not any("domain" in question for question in asked)


def test_hosts_storages_and_bridges_come_from_proxmox(
    proxmox: Proxmox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({}, tmp_path)
    proxmox.own_storages["pve-2"] = [
        storage("nfs", "import,images", avail=10),
        storage("tank", "images,rootdir", avail=1000),
        storage("full", "import", avail=5),
        storage("local-lvm", "images", active=0),
    ]
    proxmox.own_bridges["pve-2"] = ["vmbr7"]
    words = ("--stack", "mine", "--endpoint", proxmox.address, "--root", str(tmp_path))
    assert main(["init", *WHO, *words]) == 0
    written = (tmp_path / "Pulumi.mine.yaml").read_text(encoding="utf-8")
    assert (
        "    hosts:\n"
        "      - {name: pve-1, address: 10.0.0.2}\n"
        "      - {name: pve-2, address: 10.0.0.3, images: nfs, disks: tank, bridge: vmbr7}\n"
    ) in written
    assert "    certificate: self-signed # " in written
    settings = read_stack(tmp_path / "Pulumi.mine.yaml").require()
    assert {node.host for node in settings.cluster.nodes} == {"pve-1", "pve-2"}
    printed = capsys.readouterr()
    assert f"{proxmox.address} reports 2 hosts; its certificate is self-signed" in printed.out
    assert "  pve-2 at 10.0.0.3: images nfs, disks tank, bridge vmbr7" in printed.out
    assert UUID not in "".join((written, printed.out, printed.err, *proxmox.asked))


def test_a_bridge_of_all_hosts_is_named_once_and_a_trusted_certificate_is_verified(
    proxmox: Proxmox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare({}, tmp_path)
    (tmp_path / "trusted.pem").write_bytes(proxmox.certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "trusted.pem"))
    proxmox.bridges = ["vmbr1"]
    words = ("--stack", "mine", "--endpoint", proxmox.address, "--root", str(tmp_path))
    assert main(["init", *WHO, *words]) == 0
    written = (tmp_path / "Pulumi.mine.yaml").read_text(encoding="utf-8")
    assert "    certificate: verified\n" in written
    assert "    bridge: vmbr1\n    hosts:\n      - {name: pve-1, address: 10.0.0.2}\n" in written
    proxmox_settings = read_stack(tmp_path / "Pulumi.mine.yaml").require().proxmox
    assert (proxmox_settings.certificate, proxmox_settings.bridge) == ("verified", "vmbr1")


def test_a_flag_comes_before_the_answer_of_proxmox(proxmox: Proxmox, tmp_path: Path) -> None:
    prepare({}, tmp_path)
    proxmox.storages = [storage("nfs", "import,images")]
    flags = ("--hosts", "pve-2=10.0.0.4", "--disks", "pve-2=ssd", "--bridge", "vmbr9", "--certificate", "verified")
    words = ("--stack", "mine", "--endpoint", proxmox.address, "--root", str(tmp_path))
    assert main(["init", *WHO, *words, *flags]) == 0
    written = (tmp_path / "Pulumi.mine.yaml").read_text(encoding="utf-8")
    assert "    hosts:\n      - {name: pve-2, address: 10.0.0.4, images: nfs, disks: ssd}\n\n" in written
    assert "    certificate: verified\n" in written
    assert "    bridge: vmbr9\n" in written


def test_a_terminal_shows_the_values_of_proxmox_as_proposals(
    proxmox: Proxmox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({}, tmp_path)
    proxmox.own_bridges["pve-2"] = ["vmbr7"]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return ""

    monkeypatch.setattr("builtins.input", answer)
    words = ("--stack", "mine", "--endpoint", proxmox.address, "--root", str(tmp_path))
    assert main(["init", *WHO, *words]) == 0
    assert "Proxmox hosts, as name=address,... [pve-1=10.0.0.2,pve-2=10.0.0.3]: " in asked
    assert "\n  pve-2 at 10.0.0.3: images local, disks local-lvm, bridge vmbr7\n" in capsys.readouterr().err
    assert "the storage for disks of VMs; host=storage,... if they differ [local-lvm]: " in asked
    assert "the bridge of VMs; host=bridge,... if they differ [pve-1=vmbr0,pve-2=vmbr7]: " in asked


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", f"{TOKEN_OF_PROXMOX} is not set"),
        (f"homelab@pve {UUID}", "the API token is not user@realm!name=uuid"),
        (f"homelab@pve!homelab={UUID[::-1]}", "GET /cluster/status: HTTP 401: invalid token value!"),
    ],
)
def test_without_an_answer_of_proxmox_one_line_has_the_reason(
    token: str,
    reason: str,
    proxmox: Proxmox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare({}, tmp_path)
    monkeypatch.setenv(TOKEN_OF_PROXMOX, token)
    words = ("--stack", "mine", "--endpoint", proxmox.address, "--root", str(tmp_path))
    assert main(["init", *WHO, *words]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1] == f"{reason}: the usual hosts, storages and bridges are proposed"
    assert printed.err == ""
    written = (tmp_path / "Pulumi.mine.yaml").read_text(encoding="utf-8")
    assert "    hosts:\n      - {name: pve, address: 10.0.0.2}\n\n" in written
    assert "    certificate: self-signed # " in written


def test_wrong_answers_are_reported_together_and_write_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    committed(tmp_path)
    wrong = (
        *("--repository", "https://git.example.com/me/homelab", "--domain", "https://Home.example.com/"),
        *("--hosts", "a,10.0.0.3,b=10.0.0.4", "--disks", "c=nfs", "--range", "10.0.9.50-10.0.9.99"),
    )
    assert main(["init", "--stack", "mine", *wrong, "--root", str(tmp_path)]) == 1
    where, meant = "./homelab init: ", "https://git.example.com/me/homelab.git"
    example = "write NAME=ADDRESS, such as pve=10.0.0.2 [address-malformed]"
    pool = "10.0.9.50-10.0.9.99: is not wholly inside network.subnet (line 5) 10.0.0.0/24; move it into the subnet"
    assert capsys.readouterr().err.splitlines() == [
        f"{where}--disks = c=nfs: is for none of the hosts; the hosts are a, 10.0.0.3, b [host-unknown]",
        f"{where}--domain = {wrong[3]}: is not a domain; did you mean home.example.com? [domain-malformed]",
        f"{where}--hosts = 10.0.0.3: has no name; {example}",
        f"{where}--hosts = a: has no address; {example}",
        f"{where}--repository = {wrong[1]}: does not end in .git; did you mean {meant}? [repository-malformed]",
        f"Pulumi.mine.yaml, not written: network.loadBalancerRange = {pool} [range-outside-subnet]",
        "6 problems",
    ]
    assert programs.run("git", "status", "--porcelain", cwd=tmp_path).stdout == ""


@pytest.mark.parametrize(
    "repository",
    [
        "https://dev.azure.com/me/homelab/_git/homelab",
        "git@ssh.dev.azure.com:v3/me/homelab/homelab",
        "https://git-codecommit.eu-central-1.amazonaws.com/v1/repos/homelab",
        "ssh://git@git.example.com:2222/me/homelab.git",
    ],
)
def test_the_repositories_of_some_hosts_have_no_ending(repository: str, tmp_path: Path) -> None:
    prepare({}, tmp_path)
    words = ("--stack", "mine", "--repository", repository, *WHO[2:], "--root", str(tmp_path))
    assert main(["init", *words]) == 0
    assert read_stack(tmp_path / "Pulumi.mine.yaml").require().delivery.repository == repository


@pytest.mark.parametrize("answer", ["home.example.com # mine", "{a: b}", "yes", "'", "a: b", "\ttab"])
def test_an_answer_is_one_value_of_the_stack_file(
    answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({}, tmp_path)
    assert main(["init", "--stack", "mine", *WHO[:2], "--domain", answer, "--root", str(tmp_path)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Pulumi.mine.yaml, not written: network.domain = ")
    assert lines[0].endswith("is not a domain; write it as home.example.com [domain-malformed]")


def test_the_needs_of_applications_are_listed_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    committed(tmp_path)
    assert main(["init", "--list-apps", "--like", "production", "--root", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "the applications of the environment production:"
    assert printed.out.splitlines()[1].split() == ["app", "memory", "storage", "secrets", "accounts"]
    assert "  media/jellyfin" in printed.out
    assert printed.err == ""
    assert main(["init", "--list-apps", "--json", "--like", "production", "--root", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["like"] == "production"
    assert "media/jellyfin" in [one["app"] for one in found["apps"]]
    assert main(["init", "--list-apps", "--like", "dev", "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("the environment dev has no applications\n")
    assert programs.run("git", "status", "--porcelain", cwd=tmp_path).stdout == ""


def test_a_terminal_shows_the_needs_before_it_prompts_for_applications(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({}, tmp_path)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    shown: list[str] = []

    def answer(question: str) -> str:
        if question.startswith("the applications"):
            shown.append(capsys.readouterr().err)
        return ""

    monkeypatch.setattr("builtins.input", answer)
    assert main(["init", "--stack", "mine", *WHO, "--like", "production", "--root", str(tmp_path)]) == 0
    assert "the applications of the environment production:\napp " in shown[0]


def test_a_stack_can_have_no_applications(tmp_path: Path) -> None:
    prepare({}, tmp_path)
    words = ("--stack", "mine", "--like", "production", "--apps", "none", "--root", str(tmp_path))
    assert main(["init", *WHO, *words]) == 0
    tree = read_tree(tmp_path)
    assert tree.apps_in("production", "applications")
    assert tree.apps_in("mine")
    assert tree.apps_in("mine", "applications") == ()


def test_answers_can_change_before_the_first_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    committed(tmp_path)
    words = ("init", "--stack", "mine", "--replace", *WHO[:2], "--root", str(tmp_path), "--domain")
    assert main([*words, "one.example.com"]) == 0
    file = tmp_path / "Pulumi.mine.yaml"
    first = file.read_text(encoding="utf-8")
    for domain, kept in (("two.example.com", "before"), ("three.example.com", "before1")):
        before = file.read_bytes()
        capsys.readouterr()
        assert main([*words, domain]) == 0
        line = f"the old Pulumi.mine.yaml was not committed: it is Pulumi.mine.yaml.{kept} now\n"
        assert line in capsys.readouterr().out
        assert (tmp_path / f"Pulumi.mine.yaml.{kept}").read_bytes() == before
        assert read_stack(file).require().network.domain == domain
    file.write_text(f"{first}encryptionsalt: v1:abc\n", encoding="utf-8")
    assert main([*words, "four.example.com"]) == 1
    assert "Pulumi.mine.yaml: has secrets that would be lost; move it away" in capsys.readouterr().err


def test_no_environment_has_the_name_of_the_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    committed(tmp_path)
    assert main(["init", *WHO, "--environment", "base", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "--environment = base: is the folder that environments build on; choose another name\n"
    )
    assert programs.run("git", "status", "--porcelain", cwd=tmp_path).stdout == ""
