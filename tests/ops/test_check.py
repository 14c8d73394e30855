"""`./homelab check` prints every problem, counts them, and ends with the right code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ops.__main__ import main
from ops.check import NO_REQUEST
from tests.config import scenario
from tests.config.scenario import prepare

BASE = "Pulumi.base.yaml"
TWO_MISTAKES = {
    "replace": {BASE: {"vip: 10.0.0.5": "vip: 10.0.0.60"}},
    "write": {"apps/media/stray.yaml": "kind: ConfigMap\n"},
}


def test_a_clean_checkout_ends_with_0_and_lists_unset_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({}, tmp_path)
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        (
            f"{BASE}: still to set before `up`: proxmoxToken, vaultToken "
            "(pulumi config set --stack base --secret --path homelab:secrets.NAME)"
        ),
        "apps/_settings/dev: no stack has this environment",
        "no problem in 1 stack, 6 categories, 9 apps",
    ]


def test_only_a_check_of_all_stacks_notes_unused_environments_and_apps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = (scenario.CHECKOUT / BASE).read_text(encoding="utf-8").replace("name: home", "name: second")
    shelf = {"apps/media/shelf/base/kustomization.yaml": "resources: []\n"}
    prepare({"write": {"apps/_settings/prod/README.md": "", "Pulumi.second.yaml": second, **shelf}}, tmp_path)
    unused = [
        "apps/media/shelf: runs in no environment; a folder for one starts it",
        "apps/_settings/dev: no stack has this environment",
    ]
    for stack, said in ((), unused), (("--stack", "base"), []):
        main(["check", "--shape", "--json", "--root", str(tmp_path), *stack])
        notes = json.loads(capsys.readouterr().out)["notes"]
        assert [note for note in notes if note.startswith("apps/")] == said


def test_an_app_without_an_environment_is_noted_and_is_no_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({"remove": ["apps/media/jellyfin/production"]}, tmp_path)
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "apps/media/jellyfin: runs in no environment; a folder for one starts it" in lines
    assert lines[-1] == "no problem in 1 stack, 6 categories, 8 apps"


def test_settings_and_tree_problems_are_reported_together_with_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(TWO_MISTAKES, tmp_path)
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{BASE}:7: network.vip = 10.0.0.60: lies in network.loadBalancerRange")
    assert lines[1].startswith("apps/media/stray.yaml: is in a place that is never read")
    assert lines[-1].startswith("2 problems in 1 stack")


def test_who_looks_at_the_shape_alone_cannot_ask_registries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["check", "--shape", "--online", "--root", str(tmp_path)])
    assert "argument --online: not allowed with argument --shape" in capsys.readouterr().err


def test_where_nothing_was_asked_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMELAB_OFFLINE", "0")
    prepare(TWO_MISTAKES, tmp_path)
    assert main(["check", "--online", "--root", str(tmp_path)]) == 1
    assert f"\n{NO_REQUEST}\n" in capsys.readouterr().out
    assert main(["check", "--online", "--json", "--root", str(tmp_path)]) == 1
    assert NO_REQUEST in json.loads(capsys.readouterr().out)["notes"]


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({"remove": ["apps/media/category.yaml"]}, tmp_path)
    for name in ("category.yaml", "jellyfin/base/service.yaml"):
        (tmp_path / "apps/media" / name).symlink_to("nowhere")
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    said = "No such file or directory; make it a readable file of this repository of at most 1 MiB [file-unreadable]"
    assert [line for line in lines if said in line] == [
        f"apps/media/category.yaml: {said}",
        f"apps/media/jellyfin/base/service.yaml: {said}",
    ]
    assert lines[-1].startswith("2 problems in 1 stack")


def test_json_has_the_parts_of_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(TWO_MISTAKES, tmp_path)
    assert main(["check", "--shape", "--json", "--root", str(tmp_path)]) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [problem["check"] for problem in problems] == ["address-in-range", "file-stray"]
    assert set(problems[0]) == {"file", "line", "key", "value", "rule", "fix", "check"}


def test_an_unknown_stack_is_refused_with_those_that_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({}, tmp_path)
    assert main(["check", "--stack", "prod", "--root", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said == "Pulumi.prod.yaml: does not exist; the stacks are base [stack-missing]\n1 problem\n"


def test_a_folder_without_a_stack_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 1
    assert "there is no stack file (Pulumi.<stack>.yaml); ./homelab init writes one" in capsys.readouterr().err


def test_the_stacks_of_this_project_are_without_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--root", str(Path(__file__).parents[2])]) == 0, capsys.readouterr().out
