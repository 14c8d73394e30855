"""Downloads of pinned tools from a release server of our own: each line of the fallback table, with its message."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from errors import DownloadFailed, DownloadRefused, HomelabError, MachineNotReady
from lab.control_plane.certificates import Authority, Subject, split
from ops import __main__ as door
from ops.toolchain import archives, catalogue, downloads, lockfile, lockfile_writer, lookup, releases, transfers
from ops.toolchain.catalogue import TOOLS
from ops.toolchain.releases import PLATFORMS, Platform
from tests.ops.play import CHECKOUT, Play, wait_for
from tests.ops.toolchain.release_server import Proxy, ReleaseServer, publish, tar_of

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

SAYS = b"#!/bin/sh\necho from the publisher\n"
LINUX, MAC = PLATFORMS[0], PLATFORMS[3]


@dataclass
class Publishers:
    """All publishers on one server, and a lock that starts empty."""

    server: ReleaseServer
    play: Play
    lock: Path

    def publish(self, name: str, place: Platform = LINUX, *, locked: bool = False, sums: bool = True) -> Path:
        """Publish a tool, and return the file of its (first) asset."""
        tool = catalogue.BY_PROGRAM[name]
        members = {member: SAYS for asset in releases.assets(tool, place) for member in asset.members}
        entries = publish(self.server.root, tool, place, members, sums=sums)
        if locked:
            lockfile.write({**lockfile.read(), **entries})
        return self.server.root / releases.assets(tool, place)[0].url(tool, place).removeprefix(self.server.address)[1:]

    def run(self, *arguments: str) -> subprocess.Popen[str]:
        """Run a verb in a process of its own that takes its releases from this server."""
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.ops.toolchain.release_server",
                self.server.address,
                str(self.lock),
                *arguments,
            ],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,  # noqa: PLW1509 - one thread
        )


@pytest.fixture
def publishers(play: Play, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publishers]:
    monkeypatch.delenv("HOMELAB_TOOLS")
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(releases, "here", lambda: LINUX)
    lock = play.folder / "mise.lock"
    with ReleaseServer(play.folder / "releases") as server:
        monkeypatch.setattr(releases, "SERVERS", {name: f"{server.address}/{name}" for name in releases.SERVERS})
        monkeypatch.setattr(lockfile, "FILE", lock)
        monkeypatch.setattr(transfers, "TIMEOUT", (5.0, 0.3))
        yield Publishers(server, play, lock)


def refusal(name: str) -> HomelabError:
    """Request a tool and return the error; check that nothing is left in the cache."""
    with pytest.raises(HomelabError) as refused:
        lookup.ensure((name,))
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "homelab" / "tools"
    assert [file.name for file in cache.glob("*") if not file.name.startswith(".lock-")] == []
    return refused.value


def built(play: Play, name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Request a tool that is built in the end, and return the one line with the reason against a download."""
    (place,) = lookup.ensure((name,)).places.values()
    assert (place.known, len(play.calls())) == ("go.sum", 1)
    said = [line for line in capsys.readouterr().err.splitlines() if "not downloaded:" in line]
    assert len(said) == 1, said
    return re.sub(r"http://127[^/]*", "SERVER", said[0])


def test_a_release_with_the_locked_checksum_needs_one_request(publishers: Publishers) -> None:
    publishers.publish("helm", locked=True)
    tools = lookup.ensure(("helm",))
    assert tools.places["helm"].known == "lock"
    assert tools.places["helm"].file.read_bytes() == SAYS
    assert os.access(tools.places["helm"].file, os.X_OK)
    assert [path.rpartition("/")[2] for path in publishers.server.asked] == ["helm-v4.3.1-linux-amd64.tar.gz"]
    assert publishers.play.calls("") == []
    assert publishers.play.half_built() == []


@pytest.mark.parametrize(
    "name", ["kustomize", "helm", "kubeconform", "pulumi", "talosctl", "kubectl", "etcd", "argocd"]
)
def test_without_a_lock_the_publishers_checksum_must_match(publishers: Publishers, name: str) -> None:
    publishers.publish(name)
    tools = lookup.ensure(catalogue.BY_PROGRAM[name].names)
    assert {place.known for place in tools.places.values()} == {"publisher's checksum"}
    assert {place.file.read_bytes() for place in tools.places.values()} == {SAYS}
    assert publishers.play.calls("") == []


def test_every_server_of_the_control_plane_is_downloaded_and_verified(publishers: Publishers) -> None:
    publishers.publish("kube-apiserver")
    tools = lookup.ensure(("kube-apiserver", "kube-controller-manager", "kube-scheduler"))
    assert all(place.file.read_bytes() == SAYS for place in tools.places.values())
    assert len(publishers.server.asked) == 6


def test_the_argocd_cli_plays_every_role(publishers: Publishers) -> None:
    publishers.publish("argocd")
    places = lookup.ensure(("argocd-repo-server", "argocd-application-controller")).places
    assert {place.file.resolve().name for place in places.values()} == {"argocd"}


def test_the_language_host_and_its_script_lie_beside_the_engine(publishers: Publishers) -> None:
    publishers.publish("pulumi")
    folder = lookup.ensure(("pulumi",)).places["pulumi"].file.parent
    assert sorted(file.name for file in folder.iterdir()) == [
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
    ]


def test_a_zip_is_unpacked_where_the_publisher_packs_one(
    publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "here", lambda: MAC)
    assert publishers.publish("etcd", MAC, locked=True).suffix == ".zip"
    places = lookup.ensure(("etcd", "etcdctl", "etcdutl")).places
    assert {place.file.read_bytes() for place in places.values()} == {SAYS}


def test_a_file_that_differs_from_the_lock_is_refused(publishers: Publishers) -> None:
    file = publishers.publish("helm", locked=True)
    wanted = lockfile.checksum(catalogue.BY_PROGRAM["helm"], releases.RELEASES["helm"][0], LINUX)
    tar_of(file, {"linux-amd64/helm": b"evil"})
    error = refusal("helm")
    assert isinstance(error, DownloadRefused)
    assert re.fullmatch(
        r"helm: http://\S+/helm-v4\.3\.1-linux-amd64\.tar\.gz: its SHA-256 is [0-9a-f]{64}, mise\.lock requires "
        rf"{wanted}: this is not the pinned file, nothing of it was kept; .* HOMELAB_TOOLS=build",
        str(error),
    )
    assert publishers.play.calls() == []


@pytest.mark.parametrize(("name", "kind"), [("helm", "SHA-256"), ("pulumi", "SHA-512")])
def test_another_file_than_the_publishers_checksum_says_is_an_error(
    publishers: Publishers, name: str, kind: str
) -> None:
    publishers.publish(name).write_bytes(b"evil")
    error = refusal(name)
    assert isinstance(error, DownloadRefused)
    assert f"its {kind} is" in str(error)
    assert re.search(r"(sha256sum|SHA512SUMS) requires", str(error))
    assert publishers.play.calls() == []


def test_one_refused_release_does_not_keep_the_others_from_coming(publishers: Publishers) -> None:
    publishers.publish("helm").write_bytes(b"evil")
    publishers.publish("kubectl")
    with pytest.raises(DownloadRefused, match=r"^helm: .*this is not the pinned file"):
        lookup.ensure(("helm", "kubectl"))
    assert lookup.locate(("kubectl",))[1] == ()


def test_a_sha512_that_mise_locked_counts_and_stays(publishers: Publishers, capsys: pytest.CaptureFixture[str]) -> None:
    for place in PLATFORMS:
        file = publishers.publish("pulumi", place)
    published = file.with_name("SHA512SUMS").read_text(encoding="utf-8").split()
    lockfile.write({("pulumi", LINUX.name): {"checksum": f"sha512:{published[2]}", "url": url_of("pulumi")}})
    assert lookup.ensure(("pulumi",)).places["pulumi"].known == "lock"
    before = publishers.lock.read_text(encoding="utf-8")
    assert door.main(["tools", "--lock", "--only", "pulumi"]) == 0
    assert re.search(r"pulumi +linux-x64 +same", capsys.readouterr().out)
    assert before.count("sha512:") == publishers.lock.read_text(encoding="utf-8").count("sha512:") == 1


def test_a_lock_with_another_kind_of_digest_is_refused(publishers: Publishers) -> None:
    publishers.publish("helm")
    lockfile.write({("helm", LINUX.name): {"checksum": "blake3:0123", "url": url_of("helm")}})
    with pytest.raises(
        MachineNotReady, match=r"helm linux-x64: checksum = 'blake3:0123': is neither a sha256 nor a sha512"
    ):
        lookup.ensure(("helm",))


def url_of(name: str) -> str:
    return releases.RELEASES[name][0].url(catalogue.BY_PROGRAM[name], LINUX)


def test_a_lock_of_another_version_says_nothing_about_this_one(publishers: Publishers) -> None:
    publishers.publish("helm", locked=True)
    publishers.lock.write_text(publishers.lock.read_text().replace('"4.3.1"', '"4.3.0"'), encoding="utf-8")
    assert lookup.ensure(("helm",)).places["helm"].known == "publisher's checksum"


def test_a_later_checksum_in_the_lock_replaces_the_download(publishers: Publishers) -> None:
    publishers.publish("helm")
    first = lookup.ensure(("helm",)).places["helm"]
    publishers.publish("helm", locked=True)
    again = lookup.ensure(("helm",)).places["helm"]
    assert (first.known, again.known) == ("publisher's checksum", "lock")
    assert first.file != again.file


def test_without_any_checksum_a_tool_is_built(
    publishers: Publishers, play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    publishers.publish("kwok")
    assert built(play, "kwok", capsys) == (
        "kwok: built from source, not downloaded: its publisher serves no checksum and mise.lock has none for linux-x64"
    )
    assert publishers.server.asked == []


def test_with_the_locks_checksum_kwok_is_downloaded(publishers: Publishers) -> None:
    publishers.publish("kwok", locked=True)
    assert lookup.ensure(("kwok",)).places["kwok"].known == "lock"


def test_without_a_release_for_the_platform_a_tool_is_built(
    publishers: Publishers, play: Play, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "here", lambda: MAC)
    assert built(play, "kube-scheduler", capsys) == (
        "kubernetes: built from source, not downloaded: its publisher has no release for macos-arm64"
    )
    assert publishers.server.asked == []


def test_a_platform_that_no_publisher_knows_builds_everything(
    publishers: Publishers, play: Play, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "here", lambda: Platform("freebsd", "riscv64"))
    assert built(play, "helm", capsys).endswith("its publisher has no release for freebsd-riscv64")


def test_what_has_no_release_is_built_without_a_word(
    publishers: Publishers, play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lookup.ensure(("miniredis",)).places["miniredis"].known == "go.sum"
    assert "not downloaded" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("404", "SERVER/helm/helm-v4.3.1-linux-amd64.tar.gz does not exist (HTTP 404)"),
        ("503", "127.0.0.1 answers HTTP 503"),
        ("truncated", "the connection to 127.0.0.1 broke in the middle of the file"),
        ("stalls", "127.0.0.1 sent nothing for 0.3 s"),
    ],
)
def test_a_release_that_does_not_arrive_is_built(
    publishers: Publishers, play: Play, capsys: pytest.CaptureFixture[str], fault: str, reason: str
) -> None:
    publishers.publish("helm", locked=True)
    publishers.server.faults["amd64.tar.gz"] = fault
    assert built(play, "helm", capsys) == f"helm: built from source, not downloaded: {reason}"
    assert len(publishers.server.asked) == (1 if fault == "404" else transfers.ATTEMPTS)
    assert play.half_built() == []


def test_a_release_that_crawls_is_built(
    publishers: Publishers, play: Play, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "SLOWEST", 0.5)
    monkeypatch.setattr(transfers, "CHUNK", 1)
    publishers.publish("kubectl", locked=True).write_bytes(b"x" * 10_000)
    publishers.server.faults["kubectl"] = "crawls"
    assert built(play, "kubectl", capsys).endswith("/kubectl: 0 MB in 0.5 s is too slow")


def test_without_a_network_a_tool_is_built(
    publishers: Publishers, play: Play, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(releases, "SERVERS", dict.fromkeys(releases.SERVERS, nowhere))
    assert built(play, "helm", capsys) == "helm: built from source, not downloaded: 127.0.0.1 cannot be reached"


def test_an_unreachable_host_is_tried_once_for_all_tools(
    publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def unplugged(session: object, url: str) -> None:
        asked.append(url.rpartition("/")[2])
        raise requests.ConnectionError

    monkeypatch.setattr(transfers.Network, "_answer", unplugged)
    monkeypatch.setattr(releases, "SERVERS", {"github": "https://a", "helm": "https://b", "kubernetes": "https://a"})
    assert lookup.locate(lookup.ensure(("helm", "kubectl", "kustomize", "etcd")).places)[1] == ()
    assert asked == ["checksums.txt", "helm-v4.3.1-linux-amd64.tar.gz.sha256sum"]


def test_a_name_that_does_not_resolve_is_no_network(
    publishers: Publishers, play: Play, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "SERVERS", dict.fromkeys(releases.SERVERS, "https://releases.invalid"))
    assert built(play, "helm", capsys).endswith("not downloaded: releases.invalid cannot be reached")


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "tar.gz.sha256sum does not exist (HTTP 404)"), ("0" * 64 + "  other\n", "has no checksum of helm-v4")],
)
def test_a_checksum_file_that_does_not_help_means_a_build(
    publishers: Publishers, play: Play, capsys: pytest.CaptureFixture[str], text: str | None, reason: str
) -> None:
    file = publishers.publish("helm")
    sums = file.with_name(f"{file.name}.sha256sum")
    sums.unlink() if text is None else sums.write_text(text, encoding="utf-8")
    assert reason in built(play, "helm", capsys)
    assert not any(path.endswith(".tar.gz") for path in publishers.server.asked)


def test_a_redirect_on_the_same_kind_of_server_is_followed(publishers: Publishers) -> None:
    file = publishers.publish("helm", locked=True)
    (publishers.server.root / "elsewhere").write_bytes(file.read_bytes())
    publishers.server.faults["amd64.tar.gz"] = "/elsewhere"
    assert lookup.ensure(("helm",)).places["helm"].known == "lock"


def test_a_redirect_to_anything_but_https_is_an_error(publishers: Publishers) -> None:
    publishers.publish("helm", locked=True)
    publishers.server.faults["amd64.tar.gz"] = "http://mirror.example.com/helm"
    error = refusal("helm")
    assert isinstance(error, DownloadRefused)
    assert str(error).endswith(
        "redirects to http://mirror.example.com/helm: only https is followed; nothing was downloaded"
    )


def test_a_redirect_in_a_circle_ends(publishers: Publishers, play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    publishers.publish("helm", locked=True)
    publishers.server.faults["amd64.tar.gz"] = "/helm/helm-v4.3.1-linux-amd64.tar.gz"
    assert built(play, "helm", capsys).endswith("redirects more than 5 times")


@pytest.mark.parametrize(
    ("members", "links", "fault"),
    [
        ({"../helm": SAYS}, {}, "has an entry outside of its folder: ../helm"),
        ({"linux-amd64/helm": SAYS, "a/../../b": b""}, {}, "has an entry outside of its folder: a/../../b"),
        ({"/etc/helm": SAYS}, {}, "has an entry outside of its folder: /etc/helm"),
        ({"linux-amd64/helm": SAYS}, {"linux-amd64/out": "../../out"}, "has a link outside of its folder"),
        ({"linux-amd64/helm": SAYS}, {"out": "/etc/passwd"}, "has a link outside of its folder: out -> /etc/passwd"),
        ({}, {"linux-amd64/helm": "LICENSE"}, "linux-amd64/helm in the archive is no regular file"),
        ({"linux-amd64/tiller": SAYS}, {}, "the archive has no linux-amd64/helm"),
    ],
)
def test_a_tar_that_escapes_or_lacks_the_program_is_refused(
    publishers: Publishers, members: dict[str, bytes], links: dict[str, str], fault: str
) -> None:
    publishers.publish("helm")
    tool, file = catalogue.BY_PROGRAM["helm"], publishers.server.root / "helm/helm-v4.3.1-linux-amd64.tar.gz"
    tar_of(file, members, links)
    digest = locked_by_hand(file)
    lockfile.write({("helm", LINUX.name): {"version": str(tool.version), **digest}})
    error = refusal("helm")
    assert isinstance(error, DownloadRefused)
    assert fault in str(error)
    assert str(error).endswith("nothing of it was kept")
    assert not (publishers.play.cache / "homelab" / "helm").exists()


def locked_by_hand(file: Path) -> dict[str, str]:
    """Return an entry of the lock that holds a file's checksum."""
    tool = catalogue.BY_PROGRAM["helm"]
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"checksum": f"sha256:{sha256}", "url": releases.RELEASES["helm"][0].url(tool, LINUX)}


@pytest.mark.parametrize(
    ("name", "mode", "content", "fault"),
    [
        ("../etcd", 0o100755, SAYS, "has an entry outside of its folder: ../etcd"),
        ("out", 0o120777, b"../../out", "has a link outside of its folder: out -> ../../out"),
        ("folder/etcd", 0o120777, b"other", "folder/etcd in the archive is no regular file"),
        ("folder/etcdctl", 0o100755, SAYS, "the archive has no folder/etcd"),
    ],
)
def test_a_zip_that_escapes_or_lacks_the_program_is_refused(
    tmp_path: Path, name: str, mode: int, content: bytes, fault: str
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as pack:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        pack.writestr(info, content)
    with pytest.raises(DownloadRefused, match=re.escape(fault)):
        archives.unpack(tmp_path / "a.zip", "https://a/a.zip", {"etcd": "folder/etcd"}, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.zip"]


def test_a_hard_link_to_another_place_is_an_error(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("folder/etcd")
        link.type, link.linkname = tarfile.LNKTYPE, "../../passwd"
        tar.addfile(link)
    with pytest.raises(DownloadRefused, match="has a link outside of its folder: folder/etcd -> "):
        archives.unpack(tmp_path / "a.tar.gz", "https://a/a.tar.gz", {"etcd": "folder/etcd"}, tmp_path)


def test_an_archive_that_is_none_is_an_error(publishers: Publishers) -> None:
    file = publishers.publish("helm")
    file.write_bytes(b"<html>please log in</html>")
    lockfile.write({("helm", LINUX.name): {"version": "4.3.1", **locked_by_hand(file)}})
    assert "the archive cannot be read" in str(refusal("helm"))


def test_a_file_that_is_far_too_large_is_an_error(publishers: Publishers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "LARGEST", 10)
    publishers.publish("kubectl", locked=True)
    assert str(refusal("kubectl")).endswith("/kubectl: larger than 0 MB: this is not the pinned file")


def test_a_full_disk_is_said_and_nothing_is_left(publishers: Publishers, monkeypatch: pytest.MonkeyPatch) -> None:
    publishers.publish("kubectl", locked=True)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transfers.Network, "_receive", full)
    error = refusal("kubectl")
    assert str(error) == "kubectl: not downloaded: [Errno 28] No space left on device"


def test_https_proxy_is_the_way_out_where_it_is_set(
    publishers: Publishers, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishers.publish("helm", locked=True)
    authority = Authority.self_signed("a test")
    certificate, key = split(authority.sign(Subject("releases.example.com"), ["releases.example.com"]))
    for name, text in {"ca": authority.pem, "certificate": certificate, "key": key}.items():
        (play.folder / name).write_bytes(text)
    publishers.server.secure(play.folder / "certificate", play.folder / "key")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(play.folder / "ca"))
    base = "https://releases.example.com"
    monkeypatch.setattr(releases, "SERVERS", {name: f"{base}/{name}" for name in releases.SERVERS})
    with Proxy(publishers.server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address)
        assert lookup.ensure(("helm",)).places["helm"].known == "lock"
    assert proxy.asked == ["releases.example.com:443"]


def test_a_certificate_that_is_not_trusted_gives_nothing(
    publishers: Publishers, play: Play, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = split(Authority.self_signed("another").sign(Subject("a"), ["127.0.0.1"]))
    for name, text in {"certificate": certificate, "key": key}.items():
        (play.folder / name).write_bytes(text)
    publishers.server.secure(play.folder / "certificate", play.folder / "key")
    address = publishers.server.address.replace("http:", "https:")
    monkeypatch.setattr(releases, "SERVERS", {name: f"{address}/{name}" for name in releases.SERVERS})
    assert built(play, "helm", capsys).endswith("the certificate of 127.0.0.1 is not trusted")


def test_two_simultaneous_runs_download_once(publishers: Publishers) -> None:
    publishers.publish("kubectl", locked=True).write_bytes(big := b"x" * 2_000_000)
    lockfile.write(publish(publishers.server.root, catalogue.BY_PROGRAM["kubectl"], LINUX, {"kubectl": big}))
    publishers.server.bytes_a_second = 20_000
    first = publishers.run("tools", "--only", "kubectl")
    wait_for(lambda: bool(publishers.server.asked))
    second = publishers.run("tools", "--only", "kubectl")
    assert second.stderr is not None
    assert second.stderr.readline().startswith("kubectl: begins")
    assert second.stderr.readline() == "kubectl: another run is bringing it: waiting\n"
    publishers.server.bytes_a_second = 0.0  # the first run must not end before the second one waits for it
    outputs = [run.communicate(timeout=120) for run in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert len(publishers.server.asked) == 1
    assert re.search(r"kubectl +1\.36\.3 +lock +[\d.]+ s +cache: ", outputs[1][0])


def test_after_a_killed_download_the_next_run_starts_clean(publishers: Publishers, play: Play) -> None:
    publishers.publish("helm", locked=True)
    publishers.server.faults["amd64.tar.gz"] = "stalls"
    killed = publishers.run("tools", "--only", "helm")
    wait_for(lambda: bool(list(play.cache.glob("homelab/tools/.building-helm-*/asset"))))
    killed.kill()
    killed.communicate()
    assert len(play.half_built()) == 1
    assert lookup.locate(("helm",))[1], "what is half is not taken for a download"
    publishers.server.faults.clear()
    assert lookup.ensure(("helm",)).places["helm"].known == "lock"
    assert play.half_built() == []


def test_ctrl_c_ends_a_download_at_once(publishers: Publishers, play: Play) -> None:
    publishers.publish("helm", locked=True)
    publishers.server.faults["amd64.tar.gz"] = "stalls"
    run = publishers.run("tools", "--only", "helm")
    wait_for(lambda: bool(publishers.server.asked))
    began = time.monotonic()
    run.send_signal(signal.SIGINT)
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "run the same command again" in stderr
    assert time.monotonic() - began < 20


def test_downloads_and_builds_run_beside_each_other(publishers: Publishers, play: Play) -> None:
    publishers.publish("helm", locked=True)
    (play.folder / "hang").touch()
    run = publishers.run("tools", "--only", "helm,redis", "--json")
    wait_for((play.folder / "building").exists)
    wait_for(lambda: lookup.locate(("helm",))[1] == ())
    (play.folder / "hang").unlink()
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert {row["tool"]: row["known"] for row in json.loads(out)["tools"]} == {"helm": "lock", "redis": "go.sum"}


def test_a_build_stays_valid_beside_a_later_download(publishers: Publishers, monkeypatch: pytest.MonkeyPatch) -> None:
    publishers.publish("helm", locked=True)
    monkeypatch.setenv("HOMELAB_TOOLS", "build")
    build = lookup.ensure(("helm",)).places["helm"]
    monkeypatch.delenv("HOMELAB_TOOLS")
    assert lookup.ensure(("helm",)).places["helm"] == build
    downloads.download(catalogue.BY_PROGRAM["helm"], Silent(), transfers.Network())
    taken = lookup.ensure(("helm",)).places["helm"]
    assert (build.known, taken.known) == ("go.sum", "lock")
    monkeypatch.setenv("HOMELAB_TOOLS", "build")
    assert lookup.ensure(("helm",)).places["helm"] == build


class Silent:
    """A listener that ignores every report."""

    def update(self, text: str) -> None:
        """Ignore it."""

    def announce(self, text: str) -> None:
        """Ignore it."""


def test_homelab_tools_build_downloads_no_release(publishers: Publishers, monkeypatch: pytest.MonkeyPatch) -> None:
    publishers.publish("helm", locked=True)
    monkeypatch.setenv("HOMELAB_TOOLS", "build")
    assert lookup.ensure(("helm",)).places["helm"].known == "go.sum"
    assert publishers.server.asked == []


def test_homelab_tools_download_builds_nothing(
    publishers: Publishers, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishers.publish("helm", locked=True)
    publishers.publish("kubectl", locked=True)
    publishers.server.faults["kubectl"] = "503"
    monkeypatch.setenv("HOMELAB_TOOLS", "download")
    assert lookup.ensure(("helm",)).places["helm"].known == "lock"
    with pytest.raises(DownloadFailed) as failed:
        lookup.ensure(("kubectl",))
    assert str(failed.value) == (
        "kubectl: not downloaded: 127.0.0.1 answers HTTP 503; HOMELAB_TOOLS=download builds nothing: unset it to build"
    )
    with pytest.raises(MachineNotReady) as refused:
        lookup.ensure(("kwok", "miniredis"))
    assert str(refused.value) == (
        "HOMELAB_TOOLS=download builds nothing, and these cannot be downloaded: kwok (its publisher serves no checksum"
        " and mise.lock has none for linux-x64), redis (it has no release); unset HOMELAB_TOOLS"
    )
    assert play.calls() == []


def test_homelab_tools_path_brings_nothing(publishers: Publishers, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    publishers.publish("helm", locked=True)
    cached = lookup.ensure(("helm",)).places["helm"]
    monkeypatch.setenv("HOMELAB_TOOLS", "path")
    assert lookup.ensure(("helm",)).places["helm"] == cached
    with pytest.raises(MachineNotReady) as refused:
        lookup.ensure(("helm", "kubectl"))
    assert str(refused.value) == (
        "HOMELAB_TOOLS=path downloads and builds nothing, and neither the PATH in a compatible version nor the cache"
        " has: kubectl 1.36.3 (at most one minor version away); install them, `mise install` for instance, or unset"
        " HOMELAB_TOOLS"
    )
    play.program("kubectl", "echo v1.36.9")
    assert lookup.ensure(("kubectl",)).places["kubectl"].known == "PATH"


def test_another_word_for_homelab_tools_is_refused(
    publishers: Publishers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOMELAB_TOOLS", "downlaod")
    assert door.main(["tools"]) == 1
    assert capsys.readouterr().err == (
        "HOMELAB_TOOLS = 'downlaod': is none of path, download, build; unset it to look on the PATH, download and"
        " build\n"
    )


def test_a_broken_lock_is_refused_with_the_fix(publishers: Publishers) -> None:
    publishers.lock.write_text("[[tools.helm]\n", encoding="utf-8")
    with pytest.raises(MachineNotReady, match=r"mise\.lock: not a lock file of mise .*; git restore mise\.lock"):
        lookup.locate(("helm",))


def test_a_dry_run_reports_the_way_of_each_missing_tool(
    publishers: Publishers, play: Play, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publishers.publish("helm", locked=True)
    play.program("kubectl", "echo v1.36.9")
    assert door.main(["tools", "--dry-run"]) == 0
    lines = [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["tool", "version", "known by", "took", "where"]
    said = {line[0]: (line[2], line[-1]) for line in lines[1:]}
    assert said["kubectl"] == ("PATH", f"PATH: {play.bin}")
    assert said["helm"] == ("lock", "to be downloaded")
    assert said["etcd"] == ("publisher's checksum", "to be downloaded")
    assert said["crds"] == ("go.sum", "to be built: it has no release")
    assert said["kwok"][1].startswith("to be built: its publisher serves no checksum")
    monkeypatch.setenv("HOMELAB_TOOLS", "path")
    assert door.main(["tools", "--dry-run", "--only", "etcd"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith(" -     refused: HOMELAB_TOOLS=path")
    assert publishers.server.asked == []


def test_the_lock_is_filled_from_the_publishers_for_every_platform(
    publishers: Publishers, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in PLATFORMS:
        for name in ("helm", "pulumi", "kwok"):
            publishers.publish(name, place)
    assert door.main(["tools", "--lock", "--only", "helm,pulumi,kwok"]) == 0
    lines = [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]
    sources = {line[0]: line[4] for line in lines[1:]}
    assert sources == {
        "helm": "publisher's checksum",
        "pulumi": "the file, by the publisher's checksum",
        "github:kubernetes-sigs/kwok": "the file, first seen",
    }
    assert {line[2] for line in lines[1:]} == {"new"}
    assert len(lines) == 13
    assert not any(path.endswith(".tar.gz") and "/helm" in path for path in publishers.server.asked)
    assert lookup.ensure(("helm", "pulumi", "kwok")).places["kwok"].known == "lock"
    assert door.main(["tools", "--lock", "--only", "helm"]) == 0
    assert "new" not in capsys.readouterr().out


def test_a_checksum_that_cannot_be_had_stays_and_is_said(
    publishers: Publishers, capsys: pytest.CaptureFixture[str]
) -> None:
    publishers.publish("helm", locked=True)
    publishers.server.faults["linux-amd64.tar.gz.sha256sum"] = "503"
    assert door.main(["tools", "--lock", "--only", "helm"]) == 1
    lines = [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]
    assert [(line[1], line[2]) for line in lines[1:]] == [
        ("linux-x64", "stays"),
        ("linux-arm64", "none"),
        ("macos-x64", "none"),
        ("macos-arm64", "none"),
    ]
    assert lockfile.checksum(catalogue.BY_PROGRAM["helm"], releases.RELEASES["helm"][0], LINUX)


def test_a_release_replaced_under_its_version_leaves_the_lock_unchanged(publishers: Publishers) -> None:
    file = publishers.publish("helm", locked=True)
    before = publishers.lock.read_text(encoding="utf-8")
    file.with_name(f"{file.name}.sha256sum").write_text(f"{'0' * 64}  {file.name}\n", encoding="utf-8")
    with pytest.raises(
        DownloadRefused, match=r"^mise\.lock: helm linux-x64: has [0-9a-f]{64}, and .* a release is not"
    ):
        lockfile_writer.lock([catalogue.BY_PROGRAM["helm"]], lambda text: None)
    assert publishers.lock.read_text(encoding="utf-8") == before


def test_every_tool_with_a_release_names_its_programs() -> None:
    for tool in TOOLS:
        for place in PLATFORMS:
            members = {name for asset in releases.assets(tool, place) for name in asset.members}
            if members:
                assert {program.name for program in tool.programs} <= members, tool.name
