"""The matrix of versions: what each environment runs by its pins, since when, and what differs from the one before."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

import programs
from errors import ProgramFailed
from ops.promotion.matrix import NO_CHAIN, NO_COMMIT, NO_REPOSITORY
from ops.promotion.report import VersionStep
from tests.ops.promotion.promoted import (
    BEGIN,
    CILIUM,
    DATABASE,
    DIGEST,
    SERVER,
    Promoted,
    cells,
    checkout,
    cilium,
    overlay,
    server,
)
from tests.repository import AUTHOR

DAY = timedelta(days=1)
STEP = VersionStep(name="ghcr.io/immich-app/immich-server", here="v2.6.0", before="v2.7.0", jump="minor")


@pytest.fixture
def made(tmp_path: Path) -> Promoted:
    return checkout(tmp_path / "checkout")


def test_an_environment_without_pins_runs_the_working_tree(made: Promoted) -> None:
    matrix = made.matrix()
    found = cells(matrix, SERVER)
    assert [cell.version for cell in found.values()] == ["v2.6.0"] * 3
    assert [cell.difference for cell in found.values()] == ["", "same", "same"]
    assert {cell.follows for cell in found.values()} == {"main"}
    assert {cell.since for cell in found.values()} == {BEGIN}
    assert matrix.summary == "2 apps; every environment has what the one before it has"


def test_a_pinned_environment_runs_its_commit_and_not_the_branch(made: Promoted) -> None:
    first = made.head
    made.pin(SERVER, "staging", first)
    made.server("v2.7.0")
    made.pin(SERVER, "production", first)
    matrix = made.matrix()
    found = cells(matrix, SERVER)
    assert [cell.version for cell in found.values()] == ["v2.7.0", "v2.6.0", "v2.6.0"]
    assert [cell.difference for cell in found.values()] == ["", "versions", "same"]
    assert [cell.pin for cell in found.values()] == ["", first, first]
    assert found["staging"].steps == (STEP,)
    assert found["staging"].versions[0].digest == DIGEST
    assert [one.behind for one in matrix.environments] == [(), (SERVER,), ()]
    assert matrix.summary == "1 app is behind (staging 1) of 2 apps"


def test_an_app_that_follows_the_branch_can_be_ahead_and_is_not_behind(made: Promoted) -> None:
    made.pin(SERVER, "staging", made.head)
    made.server("v2.7.0")
    matrix = made.matrix()
    assert cells(matrix, SERVER)["production"].steps[0].jump == "downgrade"
    assert [one.behind for one in matrix.environments] == [(), (SERVER,), ()]
    made.put("apps/_shared/hardened/kustomization.yaml", "kind: Component\nresources: []\n")
    made.commit()
    made.pin(SERVER, "staging", made.head)
    made.put("apps/_shared/hardened/kustomization.yaml", "kind: Component\n")
    made.commit()
    matrix = made.matrix()
    assert [cell.difference for cell in cells(matrix, SERVER).values()] == ["", "manifests", "manifests"]
    assert [one.behind for one in matrix.environments] == [(), (SERVER,), ()]


def test_an_age_is_that_of_the_commit_that_moved_the_pin(made: Promoted) -> None:
    first = made.head
    made.pin(SERVER, "staging", first)
    path = made.root / f"apps/{SERVER}/staging/kustomization.yaml"
    path.write_text(f"{path.read_text()}# A comment moves no pin.\n")
    made.commit()
    second = made.server("v2.7.0")
    made.pin(SERVER, "production", second)
    found = cells(made.matrix(), SERVER)
    assert [found[one].since for one in ("dev", "staging", "production")] == [
        BEGIN + 3 * DAY,
        BEGIN + DAY,
        BEGIN + 4 * DAY,
    ]


def test_an_app_without_a_pin_is_as_old_as_its_inputs(made: Promoted) -> None:
    made.put(f"apps/{DATABASE}/base/volume.yaml", "kind: PersistentVolumeClaim\nspec: {}\n")
    made.commit("Change another app")
    assert {cell.since for cell in cells(made.matrix(), SERVER).values()} == {BEGIN}
    made.put("apps/_settings/dev/kustomization.yaml", "kind: Component\nresources: []\n")
    made.commit("Change settings of dev")
    found = cells(made.matrix(), SERVER)
    assert [cell.since for cell in found.values()] == [BEGIN + 2 * DAY, BEGIN, BEGIN]


def test_other_manifests_with_the_same_versions_are_a_difference_of_their_own(made: Promoted) -> None:
    made.pin(SERVER, "staging", made.head)
    made.put("apps/_shared/hardened/kustomization.yaml", "kind: Component\nresources: []\n")
    made.commit()
    matrix = made.matrix()
    assert [cell.difference for cell in cells(matrix, SERVER).values()] == ["", "manifests", "manifests"]
    assert cells(matrix, SERVER)["staging"].steps == ()
    assert [one.behind for one in matrix.environments] == [(), (SERVER,), ()]


def test_a_file_beside_the_shared_folders_is_no_difference(made: Promoted) -> None:
    made.pin(SERVER, "staging", made.head)
    made.put("apps/media/README.md", "# Media\n")
    made.put(f"apps/{SERVER}/README.md", "# Immich\n")
    made.put(f"apps/{SERVER}/dev/patch.yaml", "kind: Deployment\n")
    made.commit()
    assert [cell.difference for cell in cells(made.matrix(), SERVER).values()] == ["", "same", "same"]


def test_own_changes_after_the_pin_wait_for_the_next_promotion(made: Promoted) -> None:
    made.pin(SERVER, "staging", made.head)
    assert not cells(made.matrix(), SERVER)["staging"].own_changes  # the pin itself is no such change
    made.put("apps/_settings/staging/values/media/postgres.yaml", "a: 1\n")
    made.commit("Change the values of another app")
    assert not cells(made.matrix(), SERVER)["staging"].own_changes
    path = made.root / f"apps/{SERVER}/staging/kustomization.yaml"
    path.write_text(f"{path.read_text()}namePrefix: a-\n")
    made.commit()
    found = cells(made.matrix(), SERVER)
    assert [cell.own_changes for cell in found.values()] == [False, True, False]


def test_an_app_can_be_absent_and_the_difference_is_to_the_nearest_environment_with_it(made: Promoted) -> None:
    found = cells(made.matrix(), DATABASE)
    assert [cell.version == "" for cell in found.values()] == [True, False, False]
    assert [cell.difference for cell in found.values()] == ["", "", "same"]
    assert found["staging"].version == made.head[:8]  # no version in its files
    shutil.rmtree(made.root / f"apps/{SERVER}/staging")
    made.pin(SERVER, "production", made.head)
    made.server("v2.7.0")
    found = cells(made.matrix(), SERVER)
    assert [cell.difference for cell in found.values()] == ["", "absent", "versions"]
    assert found["production"].steps == (STEP,)


def test_what_is_not_committed_has_no_age(made: Promoted) -> None:
    made.put(f"apps/{SERVER}/base/server.yaml", server("v2.8.0"))
    made.pinned(SERVER, "staging", made.head)
    made.put(f"apps/{DATABASE}/production/more.yaml", "kind: ConfigMap\n")
    found = cells(made.matrix(), SERVER)
    assert [cell.version for cell in found.values()] == ["v2.8.0", "v2.6.0", "v2.8.0"]
    assert [cell.uncommitted for cell in found.values()] == [True, True, True]
    assert [cell.since for cell in found.values()] == [None, None, None]
    assert [cell.uncommitted for cell in cells(made.matrix(), DATABASE).values()] == [False, False, True]
    assert made.git("status", "--porcelain").splitlines() == [  # and the repository stays as it was
        "M apps/media/immich/base/server.yaml",
        " M apps/media/immich/staging/kustomization.yaml",
        "?? apps/media/postgres/production/more.yaml",
    ]


def test_a_hold_is_shown_with_its_reason(made: Promoted) -> None:
    made.pin(SERVER, "production", made.head, hold='v2.7 loses "albums"')
    assert [cell.hold for cell in cells(made.matrix(), SERVER).values()] == ["", "", 'v2.7 loses "albums"']


def test_the_infrastructure_is_compared_too(made: Promoted) -> None:
    path = made.root / "Pulumi.dev.yaml"
    path.write_text(path.read_text().replace("talosVersion: 1.13.0", "talosVersion: 1.13.2"))
    made.put(f"apps/{CILIUM}/dev/kustomization.yaml", cilium("1.20.2", "dev"))
    made.commit("Raise Talos and Cilium in dev")
    matrix = made.matrix()
    assert [row.name for row in matrix.infrastructure] == ["talos", "kubernetes", "extensions", "cilium"]
    talos, network = cells(matrix, "talos"), cells(matrix, "cilium")
    assert [cell.version for cell in talos.values()] == ["1.13.2", "1.13.0", "1.13.0"]
    assert [cell.difference for cell in talos.values()] == ["", "versions", "same"]
    assert [cell.since for cell in talos.values()] == [BEGIN + DAY, BEGIN, BEGIN]
    assert talos["staging"].steps[0].jump == "patch"
    assert [cell.version for cell in network.values()] == ["1.20.2", "1.20.1", "1.20.1"]
    assert matrix.summary == "2 parts of the infrastructure are behind (staging 2) of 2 apps"


def test_a_hold_of_the_infrastructure_is_shown_with_its_reason(made: Promoted) -> None:
    path = made.root / "Pulumi.staging.yaml"
    path.write_text(f"{path.read_text().rstrip()}\n    holds: {{talos: 1.13.2 loses the disks}}\n")
    assert [cell.hold for cell in cells(made.matrix(), "talos").values()] == ["", "1.13.2 loses the disks", ""]


def test_extensions_differ_by_design_and_nothing_is_behind(made: Promoted) -> None:
    path = made.root / "Pulumi.production.yaml"
    more = "    extensions: [siderolabs/qemu-guest-agent, siderolabs/iscsi-tools]\n    talosVersion"
    path.write_text(path.read_text().replace("    talosVersion", more))
    made.commit()
    matrix = made.matrix()
    found = cells(matrix, "extensions")
    assert [cell.difference for cell in found.values()] == ["", "same", "versions"]
    assert [cell.version.partition(" ")[2] for cell in found.values()] == [
        "(1 extension)",
        "(1 extension)",
        "(2 extensions)",
    ]
    assert [one.behind for one in matrix.environments] == [(), (), ()]


def test_a_pin_that_the_repository_lacks_is_shown_as_such(made: Promoted) -> None:
    made.pin(SERVER, "staging", "0" * 39 + "1")
    made.server("v2.7.0")
    found = cells(made.matrix(), SERVER)
    assert found["staging"].version == "00000000"
    assert found["staging"].problem == "the commit is not in this repository; git fetch, or promote the app again"
    assert [cell.difference for cell in found.values()] == ["", "unknown", "unknown"]


def test_a_pin_to_a_commit_without_the_folder_is_shown_as_such(made: Promoted) -> None:
    made.put("apps/media/new/base/kustomization.yaml", "kind: Kustomization\n")
    made.put("apps/media/new/staging/kustomization.yaml", overlay("staging"))
    made.pin("media/new", "staging", made.head)
    (found,) = (cell for cell in cells(made.matrix(), "media/new").values() if cell.problem)
    assert found.problem == (
        "the commit has no folder apps/media/new/staging; ./homelab promote media/new --to staging"
    )


def test_a_shallow_clone_says_what_it_lacks(made: Promoted, tmp_path: Path) -> None:
    first = made.head
    made.pin(SERVER, "staging", first)
    made.server("v2.7.0")
    made.server("v2.8.0")
    clone = tmp_path / "clone"
    programs.run("git", *AUTHOR, "clone", "--quiet", "--depth", "2", made.root.as_uri(), clone)
    matrix = Promoted(clone).matrix()
    found = cells(matrix, SERVER)
    assert found["staging"].problem == "the commit is not in this shallow clone; git fetch --unshallow"
    assert [cell.since for cell in found.values()] == [BEGIN + 3 * DAY, None, BEGIN + 3 * DAY]
    assert not any(cell.uncommitted for cell in found.values())
    assert matrix.notes[0] == (
        "this is a shallow clone: ages and pins beyond its end are unknown; git fetch --unshallow"
    )
    programs.run("git", *AUTHOR, "fetch", "--quiet", "--unshallow", cwd=clone)
    assert cells(Promoted(clone).matrix(), SERVER)["staging"].problem == ""


def test_without_a_repository_the_working_tree_is_shown_and_pins_are_unknown(tmp_path: Path) -> None:
    made = checkout(tmp_path / "checkout", with_git=False)
    made.pinned(SERVER, "staging", "0" * 40)
    matrix = made.matrix()
    found = cells(matrix, SERVER)
    assert [cell.version for cell in found.values()] == ["v2.6.0", "00000000", "v2.6.0"]
    assert found["staging"].problem == "the pin is unknown: this is no Git repository"
    assert [cell.since for cell in found.values()] == [None, None, None]
    assert not any(cell.uncommitted for cell in found.values())
    assert matrix.notes[0] == NO_REPOSITORY
    assert not (made.root / ".git").exists()


def test_before_the_first_commit_ages_are_unknown(tmp_path: Path) -> None:
    made = checkout(tmp_path / "checkout", with_git=False)
    made.git("init", "--quiet", "--initial-branch", "main")
    matrix = made.matrix()
    assert [cell.version for cell in cells(matrix, SERVER).values()] == ["v2.6.0"] * 3
    assert matrix.notes[0] == NO_COMMIT


def test_without_a_chain_the_environments_of_stacks_are_shown_and_none_is_behind(made: Promoted) -> None:
    (made.root / "apps/environments.yaml").unlink()
    made.pin(SERVER, "staging", made.head)
    made.server("v2.7.0")
    matrix = made.matrix()
    assert matrix.chain == ()
    assert [one.name for one in matrix.environments] == ["dev", "production", "staging"]  # in the order of stack files
    assert {cell.difference for cell in cells(matrix, SERVER).values()} == {""}
    assert matrix.summary == f"2 apps; {NO_CHAIN}"


def test_a_checkout_in_a_folder_of_its_repository_is_read_from_there(tmp_path: Path) -> None:
    made = checkout(tmp_path / "repository" / "cluster", with_git=False)
    above = Promoted(tmp_path / "repository")
    above.git("init", "--quiet", "--initial-branch", "main")
    first = above.commit()
    made.at = above.at
    made.pin(SERVER, "staging", first)
    made.server("v2.7.0")
    found = cells(made.matrix(), SERVER)
    assert [cell.version for cell in found.values()] == ["v2.7.0", "v2.6.0", "v2.7.0"]
    assert [cell.since for cell in found.values()] == [BEGIN + 2 * DAY, BEGIN + DAY, BEGIN + 2 * DAY]


def test_conflicts_of_a_merge_do_not_hide_the_matrix(made: Promoted) -> None:
    made.git("switch", "--quiet", "--create", "other")
    made.server("v2.7.0")
    made.git("switch", "--quiet", "main")
    made.server("v2.8.0")
    with pytest.raises(ProgramFailed):
        made.git("merge", "other")
    assert [cell.uncommitted for cell in cells(made.matrix(), SERVER).values()] == [True] * 3


def test_files_that_git_cannot_add_are_left_out_and_named(made: Promoted) -> None:
    made.put(f"apps/{SERVER}/base/server.yaml", server("v2.8.0"))
    nested = made.root / f"apps/{DATABASE}/base/nested"
    programs.run("git", *AUTHOR, "init", "--quiet", nested)
    (nested / "file.yaml").write_text("image: ghcr.io/example/other:v1.0.0\n")
    matrix = made.matrix()
    assert cells(matrix, SERVER)["dev"].version == "v2.8.0"
    assert [cell.version for cell in cells(matrix, DATABASE).values()] == ["", made.head[:8], made.head[:8]]
    (note,) = (note for note in matrix.notes if note.startswith("files"))
    place = f"apps/{DATABASE}/base/nested/"
    assert note == f"files of the working tree are left out: error: '{place}' does not have a commit checked out"


def test_named_rows_alone_are_shown(made: Promoted) -> None:
    matrix = made.matrix(SERVER, "talos")
    assert [row.name for row in (*matrix.infrastructure, *matrix.applications)] == ["talos", SERVER]


def test_a_stack_with_problems_is_named(made: Promoted) -> None:
    path = made.root / "Pulumi.staging.yaml"
    path.write_text(path.read_text().replace("talosVersion: 1.13.0", "talosVersion: latest"))
    matrix = made.matrix()
    assert "Pulumi.staging.yaml: has problems, and its versions are unknown; ./homelab check" in matrix.notes
    assert cells(matrix, "talos")["staging"].version == ""
