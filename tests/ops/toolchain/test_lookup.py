"""The lookup and the build of tools, with a `go` that records its arguments and writes small scripts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

import programs
from errors import Bug, BuildFailed
from ops import __main__ as door
from ops.toolchain import builds, catalogue, lookup
from ops.toolchain.catalogue import TOOLS, ProgramVersion
from tests.ops.play import Play, alive, wait_for

# programs.follow leaves the closing of its pipe to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


def test_a_missing_tool_is_built_and_found_by_name(play: Play) -> None:
    tools = lookup.ensure(("kubeconform",))
    assert programs.find("kubeconform") is None
    assert programs.run("kubeconform", env=tools.env()).stdout == "v9.9.9\n"
    assert tools.env()["PATH"].endswith(f"{os.pathsep}{play.bin}")
    assert tools.places["kubeconform"].version == ProgramVersion(0, 8, 0)


def test_a_build_that_is_there_is_used_without_asking_go(play: Play) -> None:
    first = lookup.ensure(("kubeconform", "miniredis"))
    calls = play.calls("")
    assert lookup.ensure(("kubeconform", "miniredis")) == first
    assert play.calls("") == calls


@pytest.mark.parametrize("left", [0, 5])
def test_a_program_truncated_by_a_power_cut_is_rebuilt(play: Play, left: int) -> None:
    tools = lookup.ensure(("kubeconform",))
    program = programs.find("kubeconform", tools.env())
    assert program is not None
    whole = program.read_bytes()
    with program.open("r+b") as file:
        file.truncate(left)
    assert lookup.locate(("kubeconform",))[1], "what is damaged is not taken for a build"
    tools = lookup.ensure(("kubeconform",))
    assert program.read_bytes() == whole
    assert programs.run("kubeconform", env=tools.env()).stdout == "v9.9.9\n"


def test_only_what_is_asked_for_is_built(play: Play) -> None:
    lookup.ensure(("kubectl",))
    assert ["kubectl" in call for call in play.calls()] == [True]
    assert "kube-apiserver" not in play.calls()[0]


def test_a_build_has_version_stamps_and_its_own_environment(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "file:///a/mirror")
    monkeypatch.setenv("GOARCH", "riscv64")
    lookup.ensure(("helm",))
    assert "-X=helm.sh/helm/v4/internal/version.version=v4.3.1" in play.calls()[0]
    env = dict(line.partition("=")[::2] for line in (play.folder / "env").read_text(encoding="utf-8").splitlines())
    assert env["GOPROXY"] == "file:///a/mirror"
    assert "GOARCH" not in env
    assert env["GOTOOLCHAIN"] == "local"
    assert env["GOFLAGS"].startswith("-mod=readonly")
    assert {Path(env[name]).parent for name in ("GOCACHE", "GOMODCACHE", "GOTMPDIR")} == {play.cache / "homelab/go"}


def test_programs_get_the_names_that_they_are_called_by(play: Play) -> None:
    tools = lookup.ensure(("etcd", "etcdutl", "argocd-repo-server", "pulumi-language-python"))
    env = tools.env()
    for name in ("etcd", "etcdctl", "etcdutl", "argocd", "argocd-server", "argocd-applicationset-controller"):
        assert programs.find(name, env) is not None, name
    beside = tools.places["pulumi-language-python"].file.with_name("pulumi-language-python-exec")
    assert os.access(beside, os.X_OK)


def test_a_failed_build_reports_last_lines_and_log_file(play: Play) -> None:
    (play.folder / "broken").write_text("kustomize", encoding="utf-8")
    with pytest.raises(BuildFailed) as refused:
        lookup.ensure(("kustomize", "kubeconform"))
    log = play.cache / "homelab" / "logs" / "kustomize.log"
    assert str(refused.value).splitlines() == [
        "kustomize: not built, go ended with exit code 1",
        "    # example.com/broken",
        "    ./a.go:3:2: undefined: x",
        f"    whole output: {log}",
    ]
    assert "example.com/fine" in log.read_text(encoding="utf-8")
    assert play.half_built() == []
    assert lookup.locate(("kubeconform",))[1] == (), "one failure does not keep the others from being built"


def test_gos_caches_stay_after_a_failure_until_all_is_built(play: Play) -> None:
    (play.folder / "broken").write_text("kustomize", encoding="utf-8")
    with pytest.raises(BuildFailed):
        lookup.ensure(("kustomize",))
    assert (play.cache / "homelab" / "go").is_dir()
    (play.folder / "broken").unlink()
    lookup.ensure(("kustomize",))
    assert not (play.cache / "homelab" / "go").exists()
    wait_for(lambda: not list((play.cache / "homelab").glob(".removed-*")))


def test_gos_caches_stay_while_another_run_builds_with_them(play: Play) -> None:
    with builds.go_cache(lambda text: None):
        lookup.ensure(("kubeconform",))
        assert (play.cache / "homelab" / "go").is_dir()
    assert not (play.cache / "homelab" / "go").exists()


def test_after_a_killed_build_the_next_run_starts_clean(play: Play) -> None:
    (play.folder / "hang").touch()
    killed = play.tools("--only", "kubeconform")
    wait_for((play.folder / "building").exists)
    killed.kill()
    killed.communicate()
    assert len(play.half_built()) == 1
    assert lookup.locate(("kubeconform",))[1], "what is half is not taken for a build"
    orphan = int((play.folder / "building").read_text(encoding="utf-8"))
    os.kill(orphan, signal.SIGKILL)
    (play.folder / "hang").unlink()
    lookup.ensure(("kubeconform",))
    assert play.half_built() == []


def test_ctrl_c_ends_the_compiler_and_leaves_nothing_half(play: Play) -> None:
    (play.folder / "hang").touch()
    run = play.tools("--only", "kubeconform,redis")
    wait_for((play.folder / "building").exists)
    run.send_signal(signal.SIGINT)
    _, stderr = run.communicate(timeout=120)
    assert run.returncode == 130
    assert "kubeconform: interrupted" in stderr
    assert "run the same command again" in stderr
    assert play.half_built() == []
    compiler = int((play.folder / "building").read_text(encoding="utf-8"))
    wait_for(lambda: not alive(compiler))


def test_two_simultaneous_runs_build_once(play: Play) -> None:
    (play.folder / "hang").touch()
    first = play.tools("--only", "kubeconform")
    wait_for((play.folder / "building").exists)
    second = play.tools("--only", "kubeconform")
    assert second.stderr is not None
    assert second.stderr.readline().startswith("kubeconform: begins")
    assert second.stderr.readline() == "kubeconform: another run is bringing it: waiting\n"
    (play.folder / "hang").unlink()
    outputs = [run.communicate(timeout=120) for run in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert len(play.calls()) == 1
    assert not (play.cache / "homelab" / "go").exists()


def test_a_compatible_program_on_the_path_reports_its_version_once(play: Play) -> None:
    file = play.program("helm", "echo v4.99.1+g123")
    tools = lookup.ensure(("helm",))
    assert (tools.places["helm"].file, str(tools.places["helm"].version)) == (file, "4.99.1")
    assert tools.folders == ()
    lookup.ensure(("helm",))
    assert (play.folder / "helm-calls").read_text(encoding="utf-8") == "call\n"
    assert play.calls("") == []


def test_a_program_that_changed_is_asked_again(play: Play) -> None:
    play.program("helm", "echo v4.99.1")
    lookup.ensure(("helm",))
    play.program("helm", "echo v5.0.0 # the next major")
    assert lookup.ensure(("helm",)).places["helm"].origin is lookup.Origin.CACHE


def test_a_program_that_failed_once_is_asked_again(play: Play) -> None:
    file = play.program("helm", f"[ -e {play.folder}/busy ] && exit 1; echo v4.99.1")
    (play.folder / "busy").touch()
    assert lookup.version_of(file, "helm") is None
    (play.folder / "busy").unlink()
    assert str(lookup.version_of(file, "helm")) == "4.99.1"


def test_what_another_tool_of_a_longer_name_builds_stays(play: Play) -> None:
    theirs = play.cache / "homelab/tools/.building-kubeconform-two-4711"
    theirs.mkdir(parents=True)
    lookup.ensure(("kubeconform",))
    assert theirs.is_dir()


@pytest.mark.parametrize("says", ["echo v5.0.0", "echo no idea", "echo v4.99.0; exit 1", "echo v4.99.0-rc.1"])
def test_our_build_hides_an_incompatible_program_on_the_path(play: Play, says: str) -> None:
    play.program("helm", says)
    tools = lookup.ensure(("helm",))
    assert programs.run("helm", env=tools.env()).stdout == "v9.9.9\n"


def test_a_language_host_counts_only_beside_a_compatible_engine(play: Play) -> None:
    play.program("pulumi-language-python", "exit 1")
    assert lookup.on_path(catalogue.BY_PROGRAM["pulumi-language-python"], ["pulumi-language-python"]) == {}
    play.program("pulumi", "echo v3.100.0")
    assert lookup.on_path(catalogue.BY_PROGRAM["pulumi-language-python"], ["pulumi-language-python"]) == {}
    play.program("pulumi", "echo v3.999.0 # newer")
    tools = lookup.ensure(("pulumi", "pulumi-language-python"))
    assert {place.origin for place in tools.places.values()} == {lookup.Origin.PATH}


def test_a_part_that_a_program_plays_is_never_asked_itself(play: Play) -> None:
    play.program("argocd-repo-server", "echo v3.6.99")
    assert lookup.locate(("argocd-repo-server",))[1]
    play.program("argocd", "echo argocd: v3.6.99")
    assert lookup.locate(("argocd-repo-server",))[1] == ()
    assert not (play.folder / "argocd-repo-server-calls").exists()


def test_a_name_that_no_tool_has_is_our_own_mistake() -> None:
    with pytest.raises(Bug, match="kubecuttle"):
        lookup.ensure(("kubecuttle",))


def test_the_content_of_its_pins_alone_identifies_a_build(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = play.folder / "another checkout" / "tools"
    shutil.copytree(catalogue.FOLDER, copied)
    kubeconform, helm = catalogue.BY_PROGRAM["kubeconform"], catalogue.BY_PROGRAM["helm"]
    before = builds.built_folder(kubeconform), builds.built_folder(helm)
    monkeypatch.setattr(catalogue, "FOLDER", copied)
    assert (builds.built_folder(kubeconform), builds.built_folder(helm)) == before
    with (copied / "kubeconform" / "go.sum").open("a", encoding="utf-8") as sums:
        sums.write("\n")
    assert builds.built_folder(kubeconform) != before[0]
    assert builds.built_folder(helm) == before[1]


def test_a_replaced_build_is_removed_after_two_unused_months(play: Play) -> None:
    unused, used = (play.cache / "homelab" / "tools" / f"kubeconform-{digit * 16}" for digit in "ab")
    for folder in (unused, used):
        folder.mkdir(parents=True)
    os.utime(unused, (0, time.time() - 61 * 24 * 3600))
    lookup.ensure(("kubeconform",))
    assert (unused.exists(), used.exists()) == (False, True)


def test_the_verb_prints_json_apart_from_its_progress(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    play.program("helm", "echo v4.99.1")
    assert door.main(["tools", "--only", "kubeconform, helm,kube-scheduler", "--json"]) == 0
    out, err = capsys.readouterr()
    rows = {row["tool"]: row for row in json.loads(out)["tools"]}
    assert {name: row["where"] for name, row in rows.items()} == {
        "helm": "PATH",
        "kubeconform": "cache",
        "kubernetes": "cache",
    }
    assert rows["kubernetes"]["version"] == "1.36.3"
    assert rows["kubernetes"]["seconds"] is not None
    assert {name: row["known"] for name, row in rows.items()} == {
        "helm": "PATH",
        "kubeconform": "go.sum",
        "kubernetes": "go.sum",
    }
    assert "kubeconform: begins, about" in err
    assert "kubernetes: done after" in err


def test_a_dry_run_reports_the_builds_and_runs_none(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(["tools", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(TOOLS)
    assert all(line.endswith("to be built") for line in lines[1:])
    assert play.calls("") == []


def test_a_misspelt_tool_names_the_nearest_one(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(["tools", "--only", "kustomise,kubeconform"]) == 1
    assert capsys.readouterr().err == "--only: there is no tool 'kustomise'; did you mean kustomize?\n"
    assert play.calls("") == []
