"""`./homelab versions`: its formats, its files, and the names of rows."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from errors import Declined, Refused
from ops import versions
from ops.__main__ import declare
from ops.result import Result
from tests.ops.promotion.promoted import CILIUM, SERVER, Promoted, checkout


@pytest.fixture
def made(tmp_path: Path) -> Promoted:
    made = checkout(tmp_path / "checkout")
    made.pin(SERVER, "staging", made.head)
    made.server("v2.7.0")
    return made


def run(made: Promoted, *words: str) -> Result:
    parser = argparse.ArgumentParser()
    declare(parser, versions)
    return versions.run(parser.parse_args(["--no-clusters", "--root", str(made.root), *words]))


def test_the_text_has_a_row_for_each_app_and_ends_with_the_summary(made: Promoted) -> None:
    result = run(made)
    assert result.good
    lines = result.text.splitlines()
    assert any(line.startswith(SERVER) and "minor behind" in line for line in lines)
    assert lines[-1] == "1 app is behind (staging 1) of 2 apps"
    assert lines[-2] == "note: health in dev, staging, production is unknown: --no-clusters reads Git alone"


def test_a_named_app_is_shown_in_full(made: Promoted) -> None:
    text = run(made, "immich").text
    assert f"{SERVER} in staging: ghcr.io/immich-app/immich-server v2.6.0 -> v2.7.0" in text
    assert "talos" not in text
    assert CILIUM not in run(made, "media-immich", "talos").text


def test_the_json_is_that_of_the_schema(made: Promoted) -> None:
    data = run(made, "--json").as_dict()
    assert data["environments"][1]["behind"] == [SERVER]
    assert data == json.loads(json.dumps(data))
    printed = json.loads(run(made, "--format", "json").text)
    assert printed.keys() == data.keys()
    assert printed["applications"] == data["applications"]


def test_every_format_is_written(made: Promoted, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "versions"
    run(made, "--output", str(folder))
    assert sorted(path.name for path in folder.iterdir()) == ["versions.html", "versions.json", "versions.md"]
    assert "minor behind" in (folder / "versions.html").read_text(encoding="utf-8")


def test_an_output_that_cannot_be_a_folder_is_refused(made: Promoted, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Declined, match=r"--output = .*/file/out: Not a directory: .*; choose another folder"):
        run(made, "--output", str(tmp_path / "file" / "out"))


def test_an_unknown_app_is_refused_with_the_nearest_name(made: Promoted) -> None:
    with pytest.raises(Refused) as refused:
        run(made, "immch", "talso")
    rule = "is no app, and no part of the infrastructure; did you mean"
    assert str(refused.value).splitlines() == [
        f"./homelab versions: immch: {rule} immich? [promotion-unknown]",
        f"./homelab versions: talso: {rule} talos? [promotion-unknown]",
        "2 problems",
    ]


def test_a_chain_that_cannot_be_read_is_refused(made: Promoted) -> None:
    made.put("apps/environments.yaml", "chain: dev\n")
    with pytest.raises(Refused, match=r"apps/environments\.yaml:1: chain"):
        run(made)


def test_a_checkout_without_a_stack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="there is no stack file"):
        run(Promoted(tmp_path))
