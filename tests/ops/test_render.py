"""`./homelab render` writes the objects that Pulumi makes, the same in every run, and overwrites no file of a user."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.load import read_stack
from config.tree import read_tree
from errors import Declined
from manifests.redact import redacted
from ops import terminal
from ops.__main__ import main
from ops.render import handed_over, write
from ops.upstream.originals import LONG_LIMIT, Fetched
from tests.components.mocks import ROOT, run
from tests.manifests.rules.scenario import prepare
from tests.ops.checking.test_validation import with_chart

MADE = ("kubernetes:argoproj.io/", "kubernetes:admissionregistration.k8s.io/", "kubernetes:core/v1:Namespace")


def documents(files: dict[str, str], *names: str) -> list[dict[str, Any]]:
    return [one for name in names for one in yaml.safe_load_all(files[name])]


def identities(items: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(item["kind"], item["metadata"]["name"]) for item in items]


def without_directives(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata without the annotations for the provider of Pulumi."""
    said = {key: value for key, value in metadata.get("annotations", {}).items() if not key.startswith("pulumi.com/")}
    return {
        **{key: value for key, value in metadata.items() if key != "annotations"},
        **({"annotations": said} if said else {}),
    }


@pytest.fixture(scope="module", params=["homelab", "staging", "dev"])
def files(request: pytest.FixtureRequest) -> tuple[str, dict[str, str]]:
    settings = read_stack(ROOT / f"Pulumi.{request.param}.yaml").require()
    return request.param, handed_over(settings, read_tree(ROOT), request.param)


def test_the_files_hold_what_pulumi_makes_and_nothing_else(files: tuple[str, dict[str, str]]) -> None:
    stack, made = files
    layers = ("crds", "infrastructure", "applications")
    entries = ("namespaces.yaml", "guard.yaml", *(f"{layer}/application-set.yaml" for layer in layers))
    program = run(stack)
    by_pulumi = [
        {"metadata": without_directives(one.inputs["metadata"]), "spec": one.inputs.get("spec")}
        for one in program.resources
        if one.type.startswith(MADE)
    ]
    written = [{"metadata": one["metadata"], "spec": one.get("spec")} for one in documents(made, *entries)]

    def key(item: dict[str, Any]) -> str:
        return json.dumps(item, sort_keys=True)

    assert sorted(written, key=key) == sorted(by_pulumi, key=key)


def test_every_entry_point_combines_the_files_beside_it(files: tuple[str, dict[str, str]]) -> None:
    _, made = files
    for layer in ("crds", "infrastructure", "applications"):
        entry = f"{layer}/application-set.yaml"
        beside = [name for name in made if name.startswith(f"{layer}/") and name != entry]
        assert sorted(identities(documents(made, entry))) == sorted(identities(documents(made, *beside)))
        kinds = [kind for kind, _ in identities(documents(made, entry))]
        assert kinds == sorted(kinds, reverse=True, key=lambda kind: kind == "AppProject")


def test_the_page_applies_namespaces_guard_crds_and_then_the_rest(files: tuple[str, dict[str, str]]) -> None:
    _, made = files
    steps = [line.split()[-1] for line in made["README.md"].splitlines() if line.startswith("    kubectl")]
    assert steps == [
        "namespaces.yaml",
        "guard.yaml",
        "crds/application-set.yaml",
        "infrastructure/application-set.yaml",
        "applications/application-set.yaml",
    ]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    prepare({}, tmp_path)
    monkeypatch.setattr("ops.stack.check_stack", lambda root, stack, tree: [])  # no platform in a checkout this small
    return tmp_path


def rendered(checkout: Path, *options: str) -> dict[str, str]:
    assert main(["render", "--stack", "home", "--root", str(checkout), *options]) == 0
    output = checkout / "rendered" / "home"
    return {str(file.relative_to(output)): file.read_text(encoding="utf-8") for file in output.rglob("*.*")}


def test_a_render_is_repeatable_and_removes_stale_files(checkout: Path) -> None:
    first = rendered(checkout, "--manifests")
    assert rendered(checkout, "--manifests") == first
    assert not [name for name in rendered(checkout) if name.startswith("manifests/")]


def test_every_app_is_written_as_its_environment_runs_it(checkout: Path) -> None:
    made = rendered(checkout, "--manifests")
    assert sorted(name for name in made if name.startswith("manifests/")) == [
        "manifests/crds/definitions.yaml",
        "manifests/media/jellyfin.yaml",
        "manifests/media/whoami.yaml",
        "manifests/networking/gateways.yaml",
    ]
    whoami = made["manifests/media/whoami.yaml"]
    assert "# of apps/media/whoami/production\n" in whoami
    (deployment,) = [one for one in documents(made, "manifests/media/whoami.yaml") if one["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "WHOAMI_NAME", "value": "whoami.home.example.com"}]


def test_a_file_lists_the_charts_that_a_stand_in_replaces(checkout: Path) -> None:
    with_chart(checkout, "nobody-has-this")
    text = rendered(checkout, "--manifests")["manifests/media/charted.yaml"]
    assert text.startswith(
        "# Made by ./homelab render\n# of apps/media/charted/production\n"
        "# chart nobody-has-this 1.0.0 is not on this machine: a stand-in was used\n"
    )


def test_a_tree_that_does_not_render_is_refused(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "apps/media/whoami/base/service.yaml").unlink()
    assert main(["render", "--stack", "home", "--root", str(checkout), "--manifests"]) == 1
    assert capsys.readouterr().err.rstrip().endswith("1 problem")
    assert not (checkout / "rendered").exists()


def test_values_of_secrets_are_left_out() -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "a"},
        "data": {"b": "Yw=="},
        "stringData": None,
    }
    assert redacted(secret)["data"] == {"b": "(redacted)"}
    assert redacted(secret)["stringData"] is None
    other = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"b": "c"}}
    assert redacted(other) == other


def test_a_folder_of_a_person_is_left_alone(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "mine").mkdir()
    (checkout / "mine/letter.txt").write_text("dear", encoding="utf-8")
    assert main(["render", "--stack", "home", "--root", str(checkout), "--output", str(checkout / "mine")]) == 1
    assert "holds files that ./homelab render has not written" in capsys.readouterr().err
    assert (checkout / "mine/letter.txt").read_text(encoding="utf-8") == "dear"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", {"README.md": "x"})
    assert (tmp_path / "empty/README.md").exists()


def test_a_users_file_stays_and_a_stale_file_is_removed(tmp_path: Path) -> None:
    first = {"README.md": "Made by ./homelab render: see", "crds/old.yaml": "# Made by ./homelab render: apply\n"}
    write(tmp_path / "out", first)
    (tmp_path / "out/crds/mine.txt").write_text("dear", encoding="utf-8")
    (tmp_path / "out/kept").mkdir()
    write(tmp_path / "out", {"README.md": first["README.md"], "new.yaml": "# Made by ./homelab render: apply\n"})
    left = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.*")}
    assert left == {"README.md", "new.yaml", "crds/mine.txt"}


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear", encoding="utf-8")
    with pytest.raises(Declined, match=r"--output = .*letter/x: Not a directory: .*; choose another folder"):
        write(tmp_path / "letter/x", {"README.md": "x"})


def test_a_readme_of_other_bytes_is_a_persons(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"\xff\xfe")
    with pytest.raises(Declined, match=r"holds files that .*homelab render has not written"):
        write(tmp_path, {"README.md": "x"})


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(Declined, match=r"--output = .*: Permission denied: .*; choose another folder"):
        write(tmp_path, {"README.md": "x"})


def test_a_fetch_has_a_longer_limit_and_reports_to_stderr(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def fetch(*arguments: Any, **options: Any) -> Fetched:
        given.update(options)
        print("greeter 1.0.0: done", file=sys.stderr)
        return Fetched()

    monkeypatch.setenv("HOMELAB_OFFLINE", "0")
    monkeypatch.setattr("ops.render.fetch", fetch)
    assert main(["render", "--stack", "home", "--root", str(checkout), "--fetch", "--json"]) == 0
    said = capsys.readouterr()
    assert "README.md" in json.loads(said.out)["files"]
    assert said.err == "greeter 1.0.0: done\n"
    assert given == {"limit": LONG_LIMIT}


def test_a_path_is_meant_from_where_the_launcher_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMELAB_CALLED_FROM", str(tmp_path))
    assert terminal.path("here") == tmp_path / "here"
    assert terminal.path("/there") == Path("/there")
    monkeypatch.delenv("HOMELAB_CALLED_FROM")
    assert terminal.path("here") == Path("here")


def test_a_link_in_the_output_is_never_written_through(tmp_path: Path) -> None:
    output, victim = tmp_path / "out", tmp_path / "victim"
    write(output, {"README.md": "Made by ./homelab render", "guard.yaml": "# Made by ./homelab render\n"})
    (output / "guard.yaml").unlink()
    victim.write_text("mine", encoding="utf-8")
    (output / "guard.yaml").symlink_to(victim)
    with pytest.raises(Declined, match=r"guard\.yaml: is a link"):
        write(output, {"README.md": "Made by ./homelab render", "guard.yaml": "new"})
    assert victim.read_text(encoding="utf-8") == "mine"
