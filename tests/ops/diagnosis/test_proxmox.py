"""`./homelab doctor --stack` against a Proxmox API on loopback: each thing that is missing, and how to mend it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from config import derive, rights
from config.load import read_stack
from config.model import Settings
from ops import __main__ as door
from ops.diagnosis import proxmox as hosts
from ops.diagnosis.finding import Finding
from ops.diagnosis.proxmox import Hosts, ProxmoxApi
from tests.config.scenario import prepare
from tests.ops.diagnosis.proxmox import TOKEN, UUID, Proxmox, served, storage

PLAIN = {"https://10.0.0.2:8006": "https://10.0.0.2:8006\n    certificate: self-signed"}
WORKER = "- {name: worker-1, role: worker, address: 10.0.0.20, host: pve-2"


@pytest.fixture
def proxmox(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxmox]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setattr(hosts, "factory", lambda settings: [])
    with served(Proxmox(), tmp_path_factory.mktemp("pve")) as found:
        yield found


def settings_with(folder: Path, *edits: tuple[str, str]) -> Settings:
    """Read the small checkout with some text replaced."""
    prepare({"replace": {"Pulumi.base.yaml": dict([*PLAIN.items(), *edits])}}, folder)
    return read_stack(folder / "Pulumi.base.yaml").require()


def look(proxmox: Proxmox, settings: Settings, token: str = TOKEN) -> dict[str, Finding]:
    api = ProxmoxApi(proxmox.address, settings.proxmox.certificate == "verified", token)
    with api.session:
        return {finding.thing: finding for finding in Hosts(settings, api).examine()}


def missing(found: dict[str, Finding]) -> dict[str, Finding]:
    return {thing: finding for thing, finding in found.items() if finding.state == "missing"}


def test_a_cluster_that_has_everything_is_ready(proxmox: Proxmox, tmp_path: Path) -> None:
    found = look(proxmox, settings_with(tmp_path))
    assert missing(found) == {}
    assert found["VM ids"].found == "4 free, 0 of this stack"
    assert found["host pve-1"].found == "online, in the cluster home"
    assert found["nodes' ports"].state == "optional"
    assert {"storage local of pve-2", "storage local-lvm of pve-1", "bridge vmbr0 of pve-2", "Proxmox VE"} < set(found)


@pytest.mark.parametrize("version", ["8.3.5", "7.4-17"])
def test_a_proxmox_before_import_storages_is_too_old(version: str, proxmox: Proxmox, tmp_path: Path) -> None:
    proxmox.version = version
    found = look(proxmox, settings_with(tmp_path))
    assert list(found) == ["Proxmox VE"]
    assert (found["Proxmox VE"].state, found["Proxmox VE"].found) == ("missing", version)
    assert "8.4 or newer" in found["Proxmox VE"].todo


def test_proxmox_8_knows_the_agents_right_under_its_old_name(proxmox: Proxmox, tmp_path: Path) -> None:
    proxmox.version, proxmox.granted = "8.4.1", {"/": set(rights.privileges(8))}
    assert missing(look(proxmox, settings_with(tmp_path))) == {}
    proxmox.granted = {"/": set(rights.privileges(9))}
    assert "VM.Monitor" in missing(look(proxmox, settings_with(tmp_path)))["rights"].todo


def test_a_wrong_token_is_reported_with_the_command_for_another(proxmox: Proxmox, tmp_path: Path) -> None:
    found = look(proxmox, settings_with(tmp_path), "homelab@pve!homelab=" + TOKEN.partition("=")[2].replace("1", "2"))
    assert "HTTP 401: invalid token value!" in found["Proxmox VE"].found
    assert "pveum user token add homelab@pve homelab --privsep 0" in found["Proxmox VE"].todo


def test_a_privilege_separated_token_has_no_rights_at_all(proxmox: Proxmox, tmp_path: Path) -> None:
    proxmox.granted = {}
    found = look(proxmox, settings_with(tmp_path))["rights"]
    assert (found.state, found.found) == ("missing", "the token has none")
    assert found.todo.startswith("pveum user token modify homelab@pve homelab --privsep 0")


def test_a_missing_right_is_told_with_its_path_and_command(proxmox: Proxmox, tmp_path: Path) -> None:
    proxmox.granted["/"].discard("SDN.Use")
    found = look(proxmox, settings_with(tmp_path))["rights"]
    assert found.found == "on /sdn/zones/localnetwork/vmbr0: SDN.Use"
    assert found.todo == 'pveum role modify Homelab -append 1 -privs "SDN.Use"'


def test_a_right_that_a_deeper_path_takes_away_is_missed(proxmox: Proxmox, tmp_path: Path) -> None:
    proxmox.granted["/storage/local"] = {"Datastore.Audit", "Datastore.AllocateTemplate"}
    found = look(proxmox, settings_with(tmp_path))["rights"]
    assert found.found == "on /storage/local: Datastore.Allocate"


def test_a_missing_content_type_joins_those_of_a_storage(proxmox: Proxmox, tmp_path: Path) -> None:
    proxmox.storages[0] = storage("local", "iso,vztmpl")
    found = missing(look(proxmox, settings_with(tmp_path)))["storage local of pve-1"]
    assert found.todo == "pvesm set local --content iso,vztmpl,import"


def test_a_missing_or_inactive_storage_is_reported(proxmox: Proxmox, tmp_path: Path) -> None:
    proxmox.storages = [storage("local", "import", active=0)]
    found = missing(look(proxmox, settings_with(tmp_path)))
    assert found["storage local-lvm of pve-2"].found == "is not there"
    assert found["storage local of pve-2"].found == "is not active"


def test_a_shared_image_storage_must_be_shared_on_proxmox(proxmox: Proxmox, tmp_path: Path) -> None:
    shared = ("hosts:\n", "imageStorage: shared\n    hosts:\n")
    found = missing(look(proxmox, settings_with(tmp_path, shared)))
    assert found["storage local of pve-1"].found == "is not shared, and proxmox.imageStorage is"
    proxmox.storages[0]["shared"] = 1
    assert missing(look(proxmox, settings_with(tmp_path, shared))) == {}


def test_hosts_that_form_no_cluster_are_told(proxmox: Proxmox, tmp_path: Path) -> None:
    del proxmox.hosts["pve-2"], proxmox.members["pve-2"]
    found = missing(look(proxmox, settings_with(tmp_path)))
    assert found["host pve-2"].found == "not in the cluster, which has pve-1"
    assert found["host pve-2"].todo.startswith("pvecm add pve-1, on pve-2")
    assert "hostname lookup 'pve-2' failed" in found["storages of pve-2"].found


def test_an_offline_host_and_a_lost_quorum_are_reported(proxmox: Proxmox, tmp_path: Path) -> None:
    proxmox.hosts["pve-2"] = proxmox.members["pve-2"] = proxmox.quorate = 0
    found = missing(look(proxmox, settings_with(tmp_path)))
    assert found["host pve-2"].found == "offline"
    assert found["quorum of hosts"].found == "lost"
    assert "HTTP 595" in found["storages of pve-2"].found


def test_missing_bridges_pools_and_mappings_are_reported(proxmox: Proxmox, tmp_path: Path) -> None:
    edits = (("hosts:\n", "pool: talos\n    hosts:\n"), (WORKER, f"{WORKER}, bridge: vmbr7, usb: [zigbee], pci: [gpu]"))
    proxmox.mappings["pci"] = [{"id": "gpu", "map": ["node=pve-1,path=0000:01:00.0,id=8086:56a0"]}]
    found = missing(look(proxmox, settings_with(tmp_path, *edits)))
    assert found["bridge vmbr7 of pve-2"].todo.startswith("pvesh create /nodes/pve-2/network --iface vmbr7")
    assert found["pool talos"].todo == "pvesh create /pools --poolid talos"
    assert found["USB mapping zigbee of pve-2"].todo.startswith("pvesh create /cluster/mapping/usb --id zigbee --map")
    gpu = found["PCI mapping gpu of pve-2"]
    assert gpu.found == "not for pve-2"
    assert gpu.todo.startswith(
        "pvesh set /cluster/mapping/pci/gpu --map node=pve-1,path=0000:01:00.0,id=8086:56a0 --map"
    )
    proxmox.pools, proxmox.bridges = ["talos"], ["vmbr0", "vmbr7"]
    proxmox.mappings["pci"][0]["map"].append("node=pve-2,path=0000:01:00.0,id=8086:56a0")
    proxmox.mappings["usb"] = [{"id": "zigbee", "map": ["node=pve-2,id=10c4:ea60"]}]
    assert missing(look(proxmox, settings_with(tmp_path, *edits))) == {}


def test_a_taken_vm_id_is_reported_even_if_hidden(proxmox: Proxmox, tmp_path: Path) -> None:
    proxmox.vms = [{"vmid": 1011, "name": "nas", "node": "pve-1", "status": "running"}]
    proxmox.hidden = [1012]
    found = missing(look(proxmox, settings_with(tmp_path)))
    assert found["VM id 1011"].found == "is taken by nas on pve-1"
    assert found["VM id 1012"].found == "is taken by a VM that the token may not see"


def test_a_processor_that_is_not_the_nodes_is_told(proxmox: Proxmox, tmp_path: Path) -> None:
    proxmox.machine = "aarch64"
    found = missing(look(proxmox, settings_with(tmp_path)))
    assert found["processor of pve-1"].found == "aarch64, and its nodes are amd64"


def test_ports_of_running_nodes_are_tried_and_no_others(
    proxmox: Proxmox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxmox.vms = [
        {"vmid": 1011, "name": "cp-1", "node": "pve-1", "status": "running"},
        {"vmid": 1020, "name": "worker-1", "node": "pve-2", "status": "running"},
        {"vmid": 1012, "name": "cp-2", "node": "pve-2", "status": "stopped"},
    ]
    tried: list[tuple[str, int]] = []

    def reaches(address: str, port: int) -> bool:
        tried.append((address, port))
        return port == hosts.TALOS_PORT

    monkeypatch.setattr(hosts, "reaches", reaches)
    found = look(proxmox, settings_with(tmp_path))
    assert tried == [("10.0.0.11", 50000), ("10.0.0.11", 6443), ("10.0.0.20", 50000)]
    assert found["ports of cp-1"].found == "no way to 6443"
    assert found["ports of worker-1"].state == "ok"
    assert found["nodes' ports"].found == "2 nodes not there yet"


def test_a_refused_connection_came_through_and_silence_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        listening.listen()
        assert hosts.reaches("127.0.0.1", port)
    assert hosts.reaches("127.0.0.1", port)  # the port is closed now: the kernel refuses the connection

    def silence(*arguments: Any, **options: Any) -> Any:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silence)
    assert not hosts.reaches("127.0.0.1", port)


def test_a_self_signed_certificate_is_refused_unless_accepted(proxmox: Proxmox, tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    verified = settings.model_copy(update={"proxmox": settings.proxmox.model_copy(update={"certificate": "verified"})})
    found = look(proxmox, verified)["Proxmox VE"]
    assert found.found.endswith("the certificate is not trusted here")
    assert "proxmox.certificate: self-signed" in found.todo
    assert proxmox.asked == []


def test_a_certificate_that_this_machine_trusts_is_accepted(
    proxmox: Proxmox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trusted.pem").write_bytes(proxmox.certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "trusted.pem"))
    assert ProxmoxApi(proxmox.address, verify=True, token=TOKEN).get("/version")["version"] == "9.0.3"


def test_a_host_that_is_silent_is_given_up(proxmox: Proxmox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "SECONDS", (1.0, 0.2))
    proxmox.delay = 1.0
    assert look(proxmox, settings_with(tmp_path))["Proxmox VE"].found.endswith("no answer in time")


def test_an_unreachable_host_is_reported_with_the_setting(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    api = ProxmoxApi(f"https://127.0.0.1:{port}", verify=False, token=TOKEN)
    finding = next(Hosts(settings, api).examine())
    assert finding.found.endswith("cannot be reached")
    assert "proxmox.endpoint" in finding.todo


@pytest.fixture
def stack(proxmox: Proxmox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout whose stack is the served cluster; a pulumi on the PATH decrypts its token."""
    root, folder = tmp_path / "checkout", tmp_path / "bin"
    text = f"{proxmox.address}\n    certificate: self-signed"
    secrets = (
        "config:\n  homelab:secrets:\n    proxmoxToken:\n      secure: v1:abc\n    vaultToken:\n      secure: v1:def\n"
    )
    prepare({"replace": {"Pulumi.base.yaml": {"https://10.0.0.2:8006": text, "config:\n": secrets}}}, root)
    folder.mkdir()
    program = f'#!/bin/sh\n[ "$1" = version ] && echo v3.260.0 && exit\necho "$@" >>{tmp_path}/asked\necho "{TOKEN}"\n'
    (folder / "pulumi").write_text(program, encoding="utf-8")
    (folder / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(root)
    return root


def test_the_verb_reports_without_showing_the_token(
    stack: Path, proxmox: Proxmox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main(["doctor", "--stack", "base", "--json"]) == 0
    out = capsys.readouterr()
    told = json.loads(out.out)
    assert told["ready"] is True
    assert told["findings"][0] == {
        "thing": "API token",
        "state": "ok",
        "found": "of homelab@pve, named homelab",
        "todo": "",
    }
    asked = (tmp_path / "asked").read_text(encoding="utf-8")
    assert asked == "config get --path homelab:secrets.proxmoxToken --stack base\n"
    proxmox.granted["/"].discard("SDN.Use")
    assert door.main(["doctor", "--stack", "base"]) == 1
    again = capsys.readouterr()
    # Proxmox lists a bridge only for a token that may use it.
    assert again.out.splitlines()[-1] == "not ready: rights, bridge vmbr0 of pve-1, bridge vmbr0 of pve-2"
    assert UUID not in out.out + out.err + again.out + again.err
    assert all(UUID not in path for path in proxmox.asked)


def test_an_undecryptable_token_is_reported_with_the_missing_passphrase(
    stack: Path, proxmox: Proxmox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "error: getting secrets manager: passphrase must be set with PULUMI_CONFIG_PASSPHRASE"
    program = f'#!/bin/sh\n[ "$1" = version ] && echo v3.260.0 && exit\necho "{said}" >&2\nexit 255\n'
    (tmp_path / "bin" / "pulumi").write_text(program, encoding="utf-8")
    assert door.main(["doctor", "--stack", "base", "--json"]) == 1
    finding = json.loads(capsys.readouterr().out)["findings"][0]
    assert (finding["thing"], finding["state"]) == ("API token", "missing")
    assert "export PULUMI_CONFIG_PASSPHRASE_FILE=FILE" in finding["todo"]
    assert proxmox.asked == []


def test_a_missing_token_is_reported_with_the_command(
    stack: Path, proxmox: Proxmox, capsys: pytest.CaptureFixture[str]
) -> None:
    file = stack / "Pulumi.base.yaml"
    file.write_text(file.read_text().replace("    proxmoxToken:\n      secure: v1:abc\n", ""), encoding="utf-8")
    assert door.main(["doctor", "--stack", "base", "--json"]) == 1
    finding = json.loads(capsys.readouterr().out)["findings"][0]
    assert "pulumi config set --stack base --secret --path homelab:secrets" in finding["todo"]
    assert proxmox.asked == []


@pytest.mark.parametrize(("status", "state"), [(200, "ok"), (404, "missing"), (500, "optional")])
def test_the_factory_builds_each_image_before_hosts_need_it(
    status: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    asked: list[str] = []

    class Factory(BaseHTTPRequestHandler):
        """A factory that builds, or does not."""

        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.answer(201)

        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.answer(status)

        def answer(self, code: int) -> None:
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Do nothing: the log would disturb the output of the tests."""

    settings = settings_with(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), Factory) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
        thread.start()
        own = settings.cluster.model_copy(update={"image_factory": f"127.0.0.1:{server.server_port}"})
        (finding,) = hosts.factory(settings.model_copy(update={"cluster": own}), "http")
        server.shutdown()
        thread.join()
    assert finding.state == state
    assert asked[0].startswith("customization:")
    assert asked[1].endswith("/v1.13.0/nocloud-amd64.qcow2")


def test_the_required_rights_are_those_of_the_documented_role(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, (WORKER, f"{WORKER}, usb: [zigbee]"), ("hosts:\n", "pool: talos\n    hosts:\n"))
    asked = {name for _, names in rights.paths(settings) for name in names}
    assert asked - {*rights.PRIVILEGES} == set()
    # With Sys.Audit and Sys.Modify on /, a download does not need the remaining right.
    assert {*rights.PRIVILEGES} - asked == {"Sys.AccessNetwork"}
    assert {f"/vms/{machine.vm_id}" for machine in derive.machines(settings)} < {
        path for path, _ in rights.paths(settings)
    }


def test_high_availability_needs_proxmox_9_shared_disks_and_sys_console(proxmox: Proxmox, tmp_path: Path) -> None:
    settings = settings_with(tmp_path, ("hosts:\n", "highAvailability: restart\n    hosts:\n"))
    found = missing(look(proxmox, settings))
    assert found["rights"].found == "on /: Sys.Console"
    assert found["storage local-lvm of pve-1"].found == "is not shared, and proxmox.highAvailability needs it"
    proxmox.granted["/"].add("Sys.Console")
    proxmox.storages[1]["shared"] = 1
    assert missing(look(proxmox, settings)) == {}
    proxmox.version = "8.4.1"
    assert missing(look(proxmox, settings))["Proxmox VE"].found.startswith("8.4.1, which has no rules")
