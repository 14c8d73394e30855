"""A chart's archive is unpacked as by helm; links, paths that lead out, excess content and damage are refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from errors import OriginalRefused
from manifests import archive
from manifests.archive import unpack


def packed(place: Path, *members: tuple[str, bytes | str]) -> Path:
    """Pack members into an archive: bytes are the content of a file, a text is the target of a link."""
    with tarfile.open(place / "it.tgz", "w:gz") as file:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                file.addfile(member)
            else:
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
    return place / "it.tgz"


def test_files_are_unpacked_without_folder_name_and_byte_order_mark(tmp_path: Path) -> None:
    file = packed(tmp_path, ("./a/Chart.yaml", b"\xef\xbb\xbfname: a\n"), ("a\\templates\\b.yaml", b"b"))
    unpack(file, tmp_path / "out")
    assert (tmp_path / "out/Chart.yaml").read_bytes() == b"name: a\n"
    assert (tmp_path / "out/templates/b.yaml").read_bytes() == b"b"


@pytest.mark.parametrize("name", ["a/../../b", "/a/b", "b", "../a/b"])
def test_a_path_that_leads_out_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(OriginalRefused, match="lies outside of the chart's folder"):
        unpack(packed(tmp_path, (name, b"x")), tmp_path / "out")
    assert not (tmp_path / "b").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OriginalRefused, match="holds a/b, which is a link or a device"):
        unpack(packed(tmp_path, ("a/b", "/etc/passwd")), tmp_path / "out")


def test_more_than_helm_takes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST", 1 << 20)
    with pytest.raises(OriginalRefused, match="is larger than 1 MiB when unpacked"):
        unpack(packed(tmp_path, ("a/b", bytes(1 << 19)), ("a/c", bytes((1 << 19) + 1))), tmp_path / "out")


@pytest.mark.parametrize("content", [b"<html>", b""], ids=["a page", "nothing"])
def test_a_file_that_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "it.tgz").write_bytes(content)
    with pytest.raises(OriginalRefused, match="is not an archive that can be unpacked"):
        unpack(tmp_path / "it.tgz", tmp_path / "out")


def test_an_archive_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    whole = packed(tmp_path, ("a/b", bytes(range(256)) * 400)).read_bytes()
    (tmp_path / "it.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OriginalRefused, match="is not an archive that can be unpacked"):
        unpack(tmp_path / "it.tgz", tmp_path / "out")
