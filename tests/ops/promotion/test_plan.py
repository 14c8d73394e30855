"""The pins that a promotion chooses, and each reason to refuse it with its whole message."""

from __future__ import annotations

import re
from typing import Any

from config.promotion import HOLD, REVISION, edited
from tests.ops.promotion.example import IMMICH, JELLYFIN, NOW, OVERLAY, STAGING, Example, deployment

BASE = "apps/media/immich/base/deployment.yaml"


def pinned(repository: Example, commit: str, hold: str = "", name: str = STAGING) -> str:
    """Commit a pin, and return that commit."""
    text = edited(name, repository.text(name), {REVISION: commit, **({HOLD: hold} if hold else {})})
    assert text
    return repository.commit({name: text}, "Pin")


def messages(repository: Example, *labels: str, **more: Any) -> list[str]:
    return [str(one) for one in repository.plan(*labels, **more).problems]


def test_the_pin_is_the_last_commit_that_changed_an_input(repository: Example) -> None:
    old = repository.head
    pinned(repository, old)
    new = repository.commit({BASE: deployment("v2")}, "Raise immich to v2")
    repository.commit({"README.md": "x\n", "apps/media/jellyfin/base/deployment.yaml": deployment("v9")})
    repository.runs(IMMICH)
    move = repository.move()
    assert (move.was, move.now, move.revision) == (old, new, repository.head)
    assert move.versions == (("ghcr.io/immich/server", "v1", "v2"),)
    assert move.commits == (f"{new[:8]} Raise immich to v2",)
    assert move.files[STAGING].content.decode() == repository.text().replace(old, new)
    assert move.evidence == (
        f"Synced and Healthy since 2026-11-29T07:00:00Z at {repository.head[:8]}, stack dev (rehearsal)"
    )


def test_a_second_promotion_changes_nothing(repository: Example) -> None:
    pinned(repository, repository.head)
    repository.commit({BASE: deployment("v2")})
    repository.runs(IMMICH)
    now = repository.move().now
    repository.applied(repository.move())
    repository.runs(IMMICH)
    assert repository.plan().unchanged == {IMMICH: f"staging has this version already, at {now[:8]}"}


def test_a_newer_base_that_the_source_does_not_run_stays_behind(repository: Example) -> None:
    pinned(repository, repository.head)
    new = repository.commit({BASE: deployment("v2")})
    repository.runs(IMMICH)
    repository.commit({BASE: deployment("v3")})
    assert repository.move().now == new


def test_the_target_takes_its_own_newest_files_with_the_version(repository: Example) -> None:
    pinned(repository, repository.head)
    ran = repository.commit({BASE: deployment("v2")})
    repository.runs(IMMICH)
    own = repository.commit({"apps/_settings/staging/settings.yaml": "domain: other.example.com\n"})
    repository.commit({"apps/_settings/production/settings.yaml": "domain: no.example.com\n"})
    assert repository.move().now == own != ran


def test_own_changes_after_the_version_are_announced(repository: Example) -> None:
    pinned(repository, repository.head)
    new = repository.commit({BASE: deployment("v2")})
    repository.runs(IMMICH)
    repository.commit({BASE: deployment("v3")})
    repository.commit({STAGING: repository.text() + "patches: []\n"})
    move = repository.move()
    assert move.now == new
    assert move.notes == ("1 later change of staging's own files or settings wait for the next promotion",)


def test_an_app_without_a_pin_gets_one(repository: Example) -> None:
    first = repository.head
    repository.runs(IMMICH)
    move = repository.move()
    assert (move.was, move.now) == ("", first)
    assert move.notes == ("followed the branch until now, and is pinned from here on",)
    assert move.files[STAGING].content.decode() == OVERLAY.format("staging").replace(
        "kind: Kustomization\n",
        f'kind: Kustomization\nmetadata:\n  annotations:\n    homelab.dev/revision: "{first}"\n',
    )


def test_an_app_without_a_pin_that_loses_content_is_announced(repository: Example) -> None:
    repository.runs(IMMICH)
    repository.commit({BASE: deployment("v2")})
    (note,) = repository.move().notes
    assert note == (
        "followed the branch until now, and is pinned from here on; HEAD has other content, which staging loses until"
        " it is promoted"
    )


def test_production_takes_the_pin_of_staging(repository: Example) -> None:
    first = repository.head
    pinned(repository, first)
    repository.commit({BASE: deployment("v2")})
    repository.runs(IMMICH, first)
    assert repository.move(source="staging", target="production").now == first


def test_an_app_that_is_new_in_the_target_is_copied_and_follows_the_branch(repository: Example) -> None:
    repository.commit({STAGING: None})
    pinned(repository, repository.head, name="apps/media/immich/dev/kustomization.yaml")
    repository.runs(IMMICH)
    move = repository.move()
    assert move.now == ""
    assert {name: one.content.decode() for name, one in move.files.items()} == {STAGING: OVERLAY.format("staging")}
    assert move.notes == (
        (
            "is new in staging: it follows the branch there until the next promotion pins it, because a pin names a"
            " commit"
            " that has the folder"
        ),
    )


def test_an_absent_app_is_refused(repository: Example) -> None:
    repository.commit({"apps/media/immich/dev/kustomization.yaml": None})
    assert messages(repository) == [
        (
            "apps/media/immich/staging: media/immich: has no folder in dev, so that there is no version to promote; add"
            " apps/media/immich/dev first [promotion-absent]"
        )
    ]


def test_a_source_that_is_not_healthy_is_refused_unless_there_is_a_reason(repository: Example) -> None:
    repository.runs(IMMICH, sync="OutOfSync", health="Degraded", detail="Deployment/immich: no image")
    assert messages(repository) == [
        (
            "apps/media/immich/dev/kustomization.yaml: media/immich: is OutOfSync and Degraded in dev"
            " (Deployment/immich: no"
            " image); mend it there, or give a reason that is recorded: --reason TEXT [promotion-unhealthy]"
        )
    ]
    move = repository.move(reason="dev has no GPU")
    assert move.reason == "dev has no GPU"
    assert move.notes[0] == (
        "is OutOfSync and Degraded in dev (Deployment/immich: no image); promoted for this reason: dev has no GPU"
    )


def test_a_running_sync_is_refused(repository: Example) -> None:
    repository.runs(IMMICH, is_syncing=True)
    assert messages(repository) == [
        (
            "apps/media/immich/dev/kustomization.yaml: media/immich: is Synced and Healthy, during a sync in dev;"
            " mend it"
            " there, or give a reason that is recorded: --reason TEXT [promotion-unhealthy]"
        )
    ]


def test_a_soak_that_has_not_ended_is_refused(repository: Example) -> None:
    repository.runs(IMMICH, hours=0.5)
    assert messages(repository) == [
        (
            "apps/media/immich/dev/kustomization.yaml: media/immich: is Healthy in dev for 30m, and the soak is 1h;"
            " wait"
            " until 2026-11-29 12:30 UTC, or give a reason that is recorded: --reason TEXT [promotion-soaking]"
        )
    ]


def test_a_resync_of_the_same_content_does_not_start_the_soak_again(repository: Example) -> None:
    first = repository.head
    second = repository.commit({"README.md": "x\n"})
    late, early, health = (f"2026-11-29T{time}:00Z" for time in ("11:50", "08:00", "07:00"))
    repository.runs(IMMICH, second, healthy_at=health, syncs=((second, late), (first, early)))
    assert "since 2026-11-29T08:00:00Z" in repository.move().evidence
    other = repository.commit({BASE: deployment("v2")})
    repository.runs(IMMICH, other, healthy_at=health, syncs=((other, late), (first, early)))
    assert [one.check for one in repository.plan().problems] == ["promotion-soaking"]


def test_a_source_that_has_not_synced_its_pin_is_refused(repository: Example) -> None:
    first = repository.head
    new = repository.commit({BASE: deployment("v2")})
    pinned(repository, new)
    repository.runs(IMMICH, first)
    assert messages(repository, source="staging", target="production") == [
        (
            f"apps/media/immich/staging/kustomization.yaml: media/immich: runs {first[:8]} in staging, whose content"
            " differs"
            f" from {new[:8]}; wait until staging has synced it, or give a reason that is recorded: --reason TEXT"
            " [promotion-unhealthy]"
        )
    ]


def test_an_app_that_argo_cd_does_not_have_is_refused(repository: Example) -> None:
    assert messages(repository) == [
        (
            "apps/media/immich/dev/kustomization.yaml: media/immich: is no Application in dev, or was never"
            " compared with"
            " Git; ./homelab status; wait for its first sync, or give a reason that is recorded: --reason TEXT"
            " [promotion-unhealthy]"
        )
    ]


def test_an_unreachable_source_is_refused_once(repository: Example) -> None:
    repository.problem = "kubectl: connection refused"
    assert messages(repository, IMMICH, JELLYFIN) == [
        (
            "environment dev: does not answer: kubectl: connection refused; reach it, or give a reason that is"
            " recorded:"
            " --reason TEXT [promotion-unreachable]"
        )
    ]
    move = repository.move(reason="dev is switched off")
    assert (move.now, move.evidence) == (repository.head, "none")
    assert move.notes[0] == (
        "does not answer: kubectl: connection refused; promoted for this reason: dev is switched off"
    )


def test_a_held_app_is_refused(repository: Example) -> None:
    pinned(repository, repository.head, hold="the migration fails")
    repository.commit({BASE: deployment("v2")})
    repository.runs(IMMICH)
    assert messages(repository) == [
        (
            f"{STAGING}: homelab.dev/hold = the migration fails: media/immich is held in staging: the migration"
            " fails; lift"
            " it: ./homelab promote --lift media/immich --to staging, or give a reason that is recorded: --reason TEXT"
            " [promotion-held]"
        )
    ]
    move = repository.move(reason="v2 mends it")
    assert b"hold" not in move.files[STAGING].content


def test_a_downgrade_is_refused(repository: Example) -> None:
    old = repository.head
    new = repository.commit({BASE: deployment("v2")})
    pinned(repository, new)
    repository.runs(IMMICH, old)
    assert messages(repository) == [
        (
            f"{STAGING}: homelab.dev/revision = {new[:8]}: is newer than {old[:8]}, the version of dev; undo a"
            " promotion with"
            " ./homelab promote --revert media/immich --to staging, or give a reason that is recorded: --reason TEXT"
            " [promotion-lowers]"
        )
    ]


def test_a_commit_that_is_not_here_is_refused_also_with_a_reason(repository: Example) -> None:
    repository.runs(IMMICH, "c" * 40)
    expected = [
        (
            "apps/media/immich/dev/kustomization.yaml: media/immich at cccccccc: is a commit that this checkout"
            " does not"
            " have; git fetch, then git merge --ff-only [promotion-foreign]"
        )
    ]
    assert messages(repository) == expected
    assert messages(repository, reason="hurry") == expected


def test_a_commit_of_another_branch_is_refused(repository: Example) -> None:
    repository.git("switch", "--quiet", "--create", "feature")
    other = repository.commit({BASE: deployment("v2")})
    repository.git("switch", "--quiet", "main")
    repository.runs(IMMICH, other)
    assert messages(repository) == [
        (
            f"apps/media/immich/dev/kustomization.yaml: media/immich at {other[:8]}: is a commit outside of the"
            " history of"
            " HEAD: another branch has it; git pull, or git switch to the branch that has it [promotion-foreign]"
        )
    ]


def test_a_folder_that_is_younger_than_the_version_is_refused(repository: Example) -> None:
    repository.commit({STAGING: None})
    ran = repository.commit({BASE: deployment("v2")})
    repository.commit({BASE: deployment("v3")})
    repository.commit({STAGING: OVERLAY.format("staging")})
    repository.runs(IMMICH, ran)
    assert messages(repository) == [
        (
            f"{STAGING}: media/immich: has no folder in staging at {ran[:8]}, the commit with the version of dev;"
            " let dev sync"
            " a commit that has the folder, then promote that [promotion-too-young]"
        )
    ]


def test_an_unmerged_commit_is_never_pinned(repository: Example) -> None:
    main = repository.head
    pinned(repository, repository.commit({BASE: deployment("v2")}))
    old = repository.head
    repository.commit({STAGING: repository.text() + "patches: []\n"})
    repository.runs(IMMICH, main)
    assert repository.move(limit=main, reason="a test").now == main
    assert old != main


def test_everything_that_is_ready_moves_and_the_rest_is_listed(repository: Example) -> None:
    pinned(repository, repository.head)
    pinned(repository, repository.head, name="apps/media/jellyfin/staging/kustomization.yaml")
    repository.commit({BASE: deployment("v2"), "apps/media/jellyfin/base/deployment.yaml": deployment("v3")})
    repository.runs(IMMICH)
    repository.runs(JELLYFIN, hours=0.1)
    plan = repository.plan(IMMICH, JELLYFIN, every=True)
    assert [move.label for move in plan.moves] == [IMMICH]
    assert plan.left_out == {JELLYFIN: "is Healthy in dev for 6m, and the soak is 1h"}
    assert plan.problems == []
    assert NOW.hour == 12


CHARTED = """\
kind: Kustomization
components: [../../../_settings/{}]
helmCharts:
  - name: cilium
    repo: https://helm.cilium.io
    version: 1.19.4   # the comment stays
    valuesFile: ../base/values.yaml
"""


def charted(repository: Example) -> None:
    """Make immich an app with a chart in each environment, pinned in staging."""
    repository.commit(
        {f"apps/media/immich/{one}/kustomization.yaml": CHARTED.format(one) for one in ("dev", "staging", "production")}
    )
    pinned(repository, repository.head)


def test_a_chart_is_raised_first_and_pinned_once_that_is_merged(repository: Example) -> None:
    charted(repository)
    dev = "apps/media/immich/dev/kustomization.yaml"
    repository.commit({dev: repository.text(dev).replace("1.19.4", "1.20.1")})
    repository.runs(IMMICH)
    before = repository.text()
    move = repository.move()
    assert move.now == move.was != ""
    assert move.versions == (("cilium", "1.19.4", "1.20.1"),)
    assert move.files[STAGING].content.decode() == before.replace("1.19.4", "1.20.1")
    assert move.notes == (
        (
            "raises the chart in the folder of staging, and takes effect once the pin names this commit: promote it"
            " again after the merge"
        ),
    )
    merged = repository.applied(move)
    move = repository.move()
    assert (move.now, move.versions) == (merged, (("cilium", "1.19.4", "1.20.1"),))
    repository.applied(move)
    assert repository.plan().unchanged == {IMMICH: f"staging has this version already, at {merged[:8]}"}


def test_a_chart_that_would_be_lowered_is_refused(repository: Example) -> None:
    charted(repository)
    repository.commit({STAGING: repository.text().replace("1.19.4", "1.20.1")})
    repository.runs(IMMICH)
    assert messages(repository) == [
        (
            f"{STAGING}: cilium = 1.20.1: is newer than 1.19.4, the version of dev; raise it in dev first, or give a"
            " reason that is recorded: --reason TEXT [promotion-lowers]"
        )
    ]


def test_a_raised_chart_behind_another_change_waits(repository: Example) -> None:
    charted(repository)
    dev = "apps/media/immich/dev/kustomization.yaml"
    ran = repository.commit({dev: repository.text(dev).replace("1.19.4", "1.20.1")})
    repository.commit({BASE: deployment("v2")})
    repository.commit({STAGING: repository.text().replace("1.19.4", "1.20.1")})
    repository.runs(IMMICH, ran)
    (message,) = messages(repository)
    assert re.fullmatch(
        rf"{STAGING}: media/immich: has cilium 1\.19\.4 at [0-9a-f]{{8}}, and 1\.20\.1 in a later commit that changes"
        r" more; let dev sync that commit, then promote it \[promotion-too-young\]",
        message,
    )


def test_a_chart_that_is_raised_in_all_folders_reaches_one_environment_after_the_other(repository: Example) -> None:
    charted(repository)
    names = [f"apps/media/immich/{one}/kustomization.yaml" for one in ("dev", "staging", "production")]
    pinned(repository, repository.head, name=names[2])
    old = repository.commit({BASE: deployment("v2")})
    pinned(repository, old)
    raised = repository.commit({name: repository.text(name).replace("1.19.4", "1.20.1") for name in names})
    repository.runs(IMMICH, old)
    # Staging runs the version before: production gets it from the commit before its folder was raised.
    move = repository.move(source="staging", target="production")
    assert (move.now, move.versions) == (old, (("ghcr.io/immich/server", "v1", "v2"),))
    repository.runs(IMMICH, raised)
    move = repository.move()
    assert (move.now, move.versions) == (raised, (("cilium", "1.19.4", "1.20.1"),))


def test_a_lock_moves_with_the_versions_of_its_chart(repository: Example) -> None:
    text = "apiVersion: v2\nname: x\nversion: 0.0.0\ndependencies:\n  - name: nextcloud\n    version: {}\n"
    folders = {one: f"apps/media/next/{one}" for one in ("dev", "staging")}
    versions = {"dev": "2.0.0", "staging": "1.0.0"}
    files = {f"{folders[one]}/Chart.yaml": text.format(version) for one, version in versions.items()}
    locks = {f"{folders[one]}/Chart.lock": f"digest: {version}\n" for one, version in versions.items()}
    repository.commit({**files, **locks, "apps/media/next/base/values.yaml": "a: 1\n"})
    repository.runs("media/next")
    move = repository.move("media/next")
    assert {name: one.content.decode() for name, one in move.files.items()} == {
        f"{folders['staging']}/Chart.yaml": text.format("2.0.0"),
        f"{folders['staging']}/Chart.lock": "digest: 2.0.0\n",
    }
    assert move.notes[-1].endswith("and takes effect with the merge: the app follows the branch there")


def test_a_version_in_the_own_folder_of_the_source_is_never_passed_over(repository: Example) -> None:
    dev = "apps/media/immich/dev/kustomization.yaml"
    images = "images:\n  - {name: ghcr.io/immich/server, newTag: v2}\n"
    repository.commit({dev: repository.text(dev) + images}, "Raise dev alone")
    pinned(repository, repository.head)
    repository.runs(IMMICH)
    left = (
        "dev has ghcr.io/immich/server v2 in its own folder, and staging not: no promotion moves that, move it to"
        " apps/media/immich/base"
    )
    pin = repository.git("rev-parse", "HEAD~1")
    assert repository.plan().unchanged == {IMMICH: f"staging has this version already, at {pin[:8]}; {left}"}
    assert repository.plan(every=True).left_out == {IMMICH: left}
    repository.commit({BASE: deployment("v3")})
    repository.runs(IMMICH)
    assert left in repository.move().notes


def test_without_evidence_an_unmerged_commit_is_not_pinned_either(repository: Example) -> None:
    pinned(repository, repository.head)
    merged = repository.commit({BASE: deployment("v2")})
    repository.commit({BASE: deployment("v3")}, "Not merged")
    repository.problem = "no answer"
    assert repository.move(reason="dev is gone", limit=merged).now == merged
