"""The hosts that `init` proposes are online, have an address, and take a storage and a bridge that they really have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from errors import HardwareRefused
from ops.diagnosis.hosts_found import FoundHost, FoundHosts, hosts_at
from tests.ops.diagnosis.proxmox import TOKEN, UUID, Proxmox, served, storage

USUAL = FoundHost("pve-1", "10.0.0.2", "local", "local-lvm", "vmbr0")


@pytest.fixture
def proxmox(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxmox]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with served(Proxmox(hosts={"pve-1": 1}, members={"pve-1": 1}), tmp_path_factory.mktemp("pve")) as found:
        yield found


def test_a_host_on_its_own_has_the_usual_storages_and_bridge(proxmox: Proxmox) -> None:
    assert hosts_at(proxmox.address, TOKEN) == FoundHosts((USUAL,), "self-signed")


def test_usual_names_come_first_and_then_the_most_free_space(proxmox: Proxmox) -> None:
    proxmox.storages = [
        storage("small", "images", avail=10),
        storage("large", "images", avail=99),
        storage("local", "iso,import", avail=1),
        storage("share", "import", avail=50),
        storage("disabled", "images", avail=1000, enabled=0),
        storage("lost", "images", avail=1000, active=0),
    ]
    proxmox.bridges = ["vmbr9", "vmbr1"]
    assert hosts_at(proxmox.address, TOKEN).hosts == (FoundHost("pve-1", "10.0.0.2", "local", "large", "vmbr1"),)


def test_a_host_without_a_fitting_storage_is_found_without_one(proxmox: Proxmox) -> None:
    proxmox.storages, proxmox.bridges = [storage("local", "iso")], []
    (found,) = hosts_at(proxmox.address, TOKEN).hosts
    assert found == FoundHost("pve-1", "10.0.0.2", "", "", "")
    assert str(found) == "pve-1 at 10.0.0.2: nothing for images, nothing for disks, nothing for bridge"


def test_hosts_are_in_the_order_of_their_addresses_and_unusable_ones_are_left_out(proxmox: Proxmox) -> None:
    proxmox.hosts = proxmox.members = {"b": 1, "a": 1, "off": 0, "v6": 1}
    proxmox.addresses = {"a": "10.0.0.10", "b": "10.0.0.9", "off": "10.0.0.11", "v6": "fd00::1"}
    found = hosts_at(proxmox.address, TOKEN)
    assert [one.name for one in found.hosts] == ["b", "a"]
    assert found.left_out == ("off", "v6")
    assert not any("/off/" in path or "/v6/" in path for path in proxmox.asked)


def test_a_cluster_without_a_usable_host_is_refused(proxmox: Proxmox) -> None:
    proxmox.members = {"pve-1": 0}
    with pytest.raises(HardwareRefused, match="reports no host that is online and has an IPv4 address"):
        hosts_at(proxmox.address, TOKEN)


def test_a_token_without_the_right_is_refused(proxmox: Proxmox) -> None:
    proxmox.granted = {}
    with pytest.raises(HardwareRefused, match=r"GET /cluster/status: HTTP 403: Permission check failed"):
        hosts_at(proxmox.address, TOKEN)


@pytest.mark.parametrize(
    ("scheme", "token", "reason"),
    [
        ("http", TOKEN, "is not an https URL"),
        ("https", UUID, "the API token is not user@realm!name=uuid"),
        ("https", f"{TOKEN}\nX-More: 1", "the API token is not user@realm!name=uuid"),
    ],
)
def test_a_token_is_sent_over_https_and_in_one_header_only(
    scheme: str, token: str, reason: str, proxmox: Proxmox
) -> None:
    with pytest.raises(HardwareRefused, match=reason) as refused:
        hosts_at(proxmox.address.replace("https", scheme), token)
    assert UUID not in str(refused.value)
    assert proxmox.asked == []


def test_a_silent_host_is_given_up(proxmox: Proxmox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.diagnosis.hosts_found.SECONDS", (1.0, 0.2))
    proxmox.delay = 1.0
    with pytest.raises(HardwareRefused, match="no answer in time"):
        hosts_at(proxmox.address, TOKEN)


def test_a_certificate_that_this_machine_trusts_is_verified(
    proxmox: Proxmox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trusted.pem").write_bytes(proxmox.certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "trusted.pem"))
    assert hosts_at(proxmox.address, TOKEN).certificate == "verified"
