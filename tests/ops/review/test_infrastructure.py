"""The infrastructure of a change, compared without state and credentials; and when the engine has nothing to do."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from config import derive
from config.load import read_stack
from config.model import Patches
from config.tree import read_tree
from lab.delivery.prepared_tree import secret_values
from ops.engine.engine import Engine
from ops.review.engine_inputs import touches_engine
from ops.review.infrastructure import _lay_out, absolute, infrastructure
from ops.review.report import Infrastructure, ResourceChange
from ops.toolchain.lookup import ensure

ROOT = Path(__file__).parents[3]
TOOLS = ("pulumi", "pulumi-language-python", "kubectl")
FAKE = "/nonexistent/" + "credential"


def checkout(folder: Path, *changes: tuple[str, str]) -> Path:
    """Copy the parts of this checkout that a program reads, with changes of the stack file."""
    for name in ("apps", "patches"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    text = (ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "Pulumi.dev.yaml").write_text(text, encoding="utf-8")
    return folder


def digest(folder: Path) -> str:
    """Return a digest of every name, mode and content below a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found.update(f"{path.relative_to(folder)} {path.lstat().st_mode}\n".encode() + content)
    return found.hexdigest()


def resources(found: Infrastructure) -> Mapping[str, ResourceChange]:
    return {one.name: one for component in found.components for one in component.resources}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("before"))


def test_both_revisions_are_compared_and_nothing_is_written(before: Path, tmp_path: Path) -> None:
    changes = (
        ("firstVmId: 3000", "firstVmId: 3100"),
        ("1.13.10", "1.13.9"),
        ("memory: 16GiB", "memory: 8GiB"),
    )
    after = checkout(tmp_path / "after", *changes)
    digests = [digest(before), digest(after)]
    found = infrastructure(ROOT, before, after, "dev")
    assert [digest(before), digest(after)] == digests
    assert found.against == "base"
    assert found.note == (
        "secrets are not set (proxmoxToken); compared without an engine: values that only the hosts know are not in "
        "the comparison"
    )
    assert [one.component for one in found.components] == ["machines", "cluster"]
    assert found.counts == {"update": 4, "replace": 5}
    shown = resources(found)
    worker = shown["machines-worker-1"]
    assert worker.operation == "replace"
    assert {(one.path, one.before, one.after) for one in worker.properties} == {
        ("vmId", "3020", "3120"),
        ("memory.dedicated", "16384", "8192"),
    }
    image = shown["machines-image-pve-1-amd64-6b918383"]
    assert (image.operation, {one.path for one in image.properties}) == ("replace", {"url", "fileName"})
    configuration = shown["cluster-configuration-worker-1"]
    assert [(one.path, one.before, one.after) for one in configuration.properties] == [
        ("replacementTrigger", "1.1.3020", "1.1.3120")
    ]


def test_a_base_that_does_not_run_is_an_empty_state(before: Path, tmp_path: Path) -> None:
    broken = checkout(tmp_path / "broken", ("host: pve-1", "host: pve-9"))
    found = infrastructure(ROOT, broken, before, "dev", source="base")
    assert found.against == "empty state"
    assert found.note.startswith("credentials are not used for this revision; compared without an engine")
    assert "; the program does not run on the base: SettingsRefused: Pulumi.dev.yaml:" in found.note
    assert set(found.counts) == {"create"}
    assert not any(one.properties for one in resources(found).values())


def test_a_change_that_does_not_run_is_not_compared(before: Path, tmp_path: Path) -> None:
    broken = checkout(tmp_path / "broken")
    (broken / "apps/media/category.yaml").write_text("layer: [", encoding="utf-8")
    (broken / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    found = infrastructure(ROOT, before, broken, "dev", source="base")
    assert (found.against, found.components) == ("not run", ())
    assert "the program does not run with this change: SettingsRefused" in found.note


def test_a_removed_stack_is_not_destroyed(before: Path, tmp_path: Path) -> None:
    found = infrastructure(ROOT, before, tmp_path, "dev")
    assert (found.against, found.counts) == ("not run", {})
    assert found.note.startswith("Pulumi.dev.yaml is removed: the resources of the stack stay")


def test_the_program_of_a_revision_does_not_run_and_sees_no_credential(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = checkout(tmp_path / "after", ("tags: [talos]", "tags: [talos, x]"))
    trace = tmp_path / "trace"
    for name in ("__main__.py", "stacks/homelab.py", "config/__init__.py", "sitecustomize.py"):
        (after / name).parent.mkdir(exist_ok=True)
        (after / name).write_text(f"open({str(trace)!r}, 'a').write({name!r})\n", encoding="utf-8")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", FAKE)
    monkeypatch.chdir(after)
    kept = dict(os.environ)
    found = infrastructure(ROOT, before, after, "dev", source="base")
    assert not trace.exists()
    assert found.counts == {"update": 2}
    assert dict(os.environ) == kept


CHANGES = {
    ("apps/media/jellyfin/base/deployment.yaml",): False,
    ("docs/README.md", "README.md"): False,
    ("Pulumi.homelab.yaml",): False,
    ("Pulumi.dev.yaml",): True,
    ("apps/media/jellyfin/base/x.yaml", "patches/openebs.yaml"): True,
    ("components/cluster/cluster.py",): True,
    ("Pulumi.yaml",): True,
}


def test_the_engine_reads_a_patch_anywhere_in_the_repository(before: Path, tmp_path: Path) -> None:
    after = checkout(tmp_path / "after")
    settings = read_stack(before / "Pulumi.dev.yaml").require()
    patched = settings.cluster.model_copy(update={"patches": Patches(all=("talos/x.yaml",))})
    settings = settings.model_copy(update={"cluster": patched})
    tree = read_tree(before)
    assert touches_engine(("talos/x.yaml",), tree, tree, "dev", settings)
    assert not touches_engine(("talos/y.yaml",), tree, tree, "dev", settings)
    (after / "talos").mkdir()
    (after / "talos/x.yaml").write_text("machine: {}\n", encoding="utf-8")
    shutil.copyfile(ROOT / "Pulumi.yaml", after / "Pulumi.yaml")
    _lay_out(tmp_path / "folder", ROOT, after, "dev", derive.patch_files(settings))
    assert (tmp_path / "folder/talos/x.yaml").read_text(encoding="utf-8") == "machine: {}\n"


@pytest.mark.parametrize("changed", CHANGES)
def test_the_engine_runs_for_files_that_the_program_reads(changed: tuple[str, ...], before: Path) -> None:
    tree, settings = read_tree(before), read_stack(before / "Pulumi.dev.yaml").require()
    assert touches_engine(changed, tree, tree, "dev", settings) is CHANGES[changed]


def test_the_engine_runs_for_another_shape_of_the_tree(before: Path, tmp_path: Path) -> None:
    settings, tree = read_stack(before / "Pulumi.dev.yaml").require(), read_tree(before)

    def touched(after: Path, file: str) -> bool:
        return touches_engine((file,), tree, read_tree(after), "dev", settings)

    policy = checkout(tmp_path / "policy")
    file = policy / "apps/media/category.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(f"# a comment\n{text}", encoding="utf-8")
    assert not touched(policy, "apps/media/category.yaml")
    file.write_text(text.replace("layer: applications", "layer: infrastructure"), encoding="utf-8")
    assert touched(policy, "apps/media/category.yaml")
    fewer = checkout(tmp_path / "fewer")
    shutil.rmtree(fewer / "apps/media/sonarr")
    assert not touched(fewer, "apps/media/sonarr/base/kustomization.yaml")
    last = checkout(tmp_path / "last")
    for app in (last / "apps/media").iterdir():
        shutil.rmtree(app / "dev", ignore_errors=True)
    assert touched(last, "apps/media/sonarr/dev/kustomization.yaml")
    bundle = checkout(tmp_path / "bundle")
    shutil.rmtree(bundle / "apps/crds/prometheus-operator")
    assert touched(bundle, "apps/crds/prometheus-operator/dev/kustomization.yaml")


@pytest.mark.nightly
def test_a_reachable_state_is_previewed_and_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after, state = checkout(tmp_path / "after"), tmp_path / "state"
    shutil.copyfile(ROOT / "Pulumi.yaml", after / "Pulumi.yaml")
    state.mkdir()
    settings = read_stack(after / "Pulumi.dev.yaml").require()
    values = {
        "PULUMI_BACKEND_URL": f"file://{state}",
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "x",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "HOMELAB_PYTHON": sys.executable,
        "HOMELAB_LAB": str(tmp_path / "lab"),
        "PATH": os.pathsep.join((ensure(TOOLS).env()["PATH"], str(ROOT / "lab/plugins/bin"))),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    Engine(after, "dev").set_secrets(secret_values(settings))
    kept, digests = dict(os.environ), [digest(after), digest(state)]
    found = infrastructure(ROOT, None, after, "dev")
    assert (found.against, found.note) == ("state", "")
    assert set(found.counts) == {"create"}
    assert {"machines-cp-1", "handover-set-media"} <= set(resources(found))
    assert [digest(after), digest(state)] == digests
    assert dict(os.environ) == kept
    shutil.rmtree(state / ".pulumi/stacks")
    again = infrastructure(ROOT, None, after, "dev")
    assert (again.against, again.note, again.counts) == ("empty state", "nothing is deployed yet", found.counts)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "wrong")
    other = infrastructure(ROOT, after, after, "dev")
    assert (other.against, other.counts) == ("base", {})
    assert "PULUMI_CONFIG_PASSPHRASE" in other.note


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"PULUMI_BACKEND_URL": "file://./state"}, {"PULUMI_BACKEND_URL": "file:///checkout/state"}),
        ({"PULUMI_BACKEND_URL": "file:///state"}, {}),
        ({"PULUMI_BACKEND_URL": "file://~/state"}, {}),
        ({"PULUMI_BACKEND_URL": "s3://bucket"}, {}),
        ({"PULUMI_CONFIG_PASSPHRASE_FILE": "secret"}, {"PULUMI_CONFIG_PASSPHRASE_FILE": "/checkout/secret"}),
        ({"PULUMI_CONFIG_PASSPHRASE_FILE": "/secret"}, {"PULUMI_CONFIG_PASSPHRASE_FILE": "/secret"}),
        ({}, {}),
    ],
)
def test_places_are_those_of_the_checkout_in_another_folder_too(given: dict[str, str], found: dict[str, str]) -> None:
    assert absolute(given, Path("/checkout")) == found
