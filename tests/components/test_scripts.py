"""The scripts of the components, run with a test's own kubectl and without a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

import programs
from components import shell
from components.handover import handover
from components.platform.seed import text
from ops.toolchain.lookup import ensure
from tests.polling import until
from tests.repository import AUTHOR, commit_all

ROOT = Path(__file__).parents[2]
WAIT = handover.script()
SCRIPTS = {name: text(name) for name in ("seed", "definitions")}
GONE = "Failed to load target state: apps/media/gone/dev: app path does not exist"


def environment(tmp_path: Path, kubectl: str, **more: str) -> dict[str, str]:
    """Return an environment with a kubectl on the PATH, and a folder for temporary files."""
    programs, temporary = tmp_path / "bin", tmp_path / "tmp"
    programs.mkdir()
    temporary.mkdir()
    (programs / "kubectl").write_text(f"#!/bin/sh\n{kubectl}\n", encoding="utf-8")
    (programs / "kubectl").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "TMPDIR": str(temporary), "KUBECONFIG_TEXT": "secret", "PAUSE": "0", **more}


def ran(script: str, given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script], env=given, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


GENERATED = "ApplicationSet|media||||True|||||"


def layer(*rows: str, foundation: str = "media-a", stall: str = "0") -> tuple[str, dict[str, str]]:
    """Return a kubectl that reports these rows, and the variables of the script."""
    reported = "\n".join([GENERATED, *rows])
    more = {"LAYER": "infrastructure", "SETS": "media", "FOUNDATION": foundation, "STALL_SECONDS": stall, "GATED": ""}
    return f"cat <<'ROWS'\n{reported}\nROWS", more


def waited(tmp_path: Path, *rows: str, foundation: str = "media-a") -> subprocess.CompletedProcess[str]:
    kubectl, more = layer(*rows, foundation=foundation)
    return ran(WAIT, environment(tmp_path, kubectl, **more))


@pytest.mark.parametrize(
    ("row", "keeps"),
    [
        ("Application|media-a|Synced|Healthy|{}||||||", ""),
        ("Application|media-a|OutOfSync|Missing|{}||||||", "media-a (OutOfSync, Missing)"),
        ("Application|media-a|||{}||||||", "media-a (not reconciled yet)"),
        ("Application|media-a|OutOfSync|Missing|||||||", ""),
        (f"Application|media-a|Unknown|Healthy|{{}}|||||{GONE}|", ""),
        (
            "Application|media-a|Unknown|Healthy|{}|||||authentication required|",
            "media-a (Unknown, Healthy: authentication required)",
        ),
        (
            "Application|media-a|Synced|Progressing|{}|||Service/a Synced Healthy;Cluster/db Synced Progressing;|||",
            "media-a (Synced, Progressing: Cluster/db Synced Progressing)",
        ),
        (
            "Application|media-a|OutOfSync|Healthy|{}||Failed||||no matches for kind Cluster",
            "media-a (OutOfSync, Healthy: no matches for kind Cluster)",
        ),
        ("Application|media-b|Synced|Healthy|{}||||||", "media-a (no Application: is its folder pushed?)"),
    ],
    ids=[
        *("good", "on its way", "new", "waits for a sync by hand", "its folder left Git", "Git does not open"),
        *("an object is not ready", "its sync failed", "not generated"),
    ],
)
def test_a_layer_waits_for_its_foundation(tmp_path: Path, row: str, keeps: str) -> None:
    done = waited(tmp_path, row)
    assert done.returncode == (1 if keeps else 0), done.stderr
    assert keeps in done.stderr
    assert ("1 applications generated, of these 1 Synced and Healthy" in done.stdout) == (not keeps)


def test_what_is_no_foundation_keeps_no_layer(tmp_path: Path) -> None:
    rows = ("Application|media-a|Synced|Healthy|{}||||||", "Application|media-b|Synced|Degraded|{}||||||")
    assert waited(tmp_path, *rows).returncode == 0


def test_without_a_foundation_generation_is_enough(tmp_path: Path) -> None:
    done = waited(tmp_path, "Application|media-a|OutOfSync|Missing|{}||||||", foundation="")
    assert done.stdout == "infrastructure: 1 applications generated, of these 0 Synced and Healthy as the foundation\n"


def test_a_layer_is_not_there_while_a_set_is_not(tmp_path: Path) -> None:
    more = {"LAYER": "applications", "SETS": "media", "FOUNDATION": "", "GATED": "", "STALL_SECONDS": "0"}
    done = ran(WAIT, environment(tmp_path, "echo 'ApplicationSet|media||||False|||no such branch||'", **more))
    assert done.returncode == 1
    assert "ApplicationSet media (no such branch)" in done.stderr


MOVES = """\
count=$(($(cat "$COUNT" 2>/dev/null || echo 0) + 1))
echo $count >"$COUNT"
echo "$SET"
echo "Application|media-a|Synced|Progressing|{}|||Pod/$(EXPRESSION) Synced Progressing;|||"
"""


@pytest.mark.parametrize(
    ("expression", "turns"), [("echo $((count < 12 ? count : 12))", 12), ("echo $((count % 2))", 2)]
)
def test_a_layer_fails_when_nothing_changes_for_a_while(tmp_path: Path, expression: str, turns: int) -> None:
    _, more = layer(stall="2")
    kubectl = MOVES.replace("EXPRESSION", expression)
    more |= {"COUNT": str(tmp_path / "count"), "SET": GENERATED, "PAUSE": "0.5"}
    began = time.monotonic()
    done = ran(WAIT, environment(tmp_path, kubectl, **more))
    took = time.monotonic() - began
    assert done.returncode == 1
    assert "infrastructure: nothing has changed for" in done.stderr
    assert "(delivery.stallTimeout)" in done.stderr
    assert took > turns * 0.5, "it gave up while something moved"
    assert took < 20, "to and fro is no progress"


AGAIN = """\
case "$*" in
*patch*) echo "$*" >>"$PATCHED" ;;
*automated.prune*) echo true ;;
*syncOptions*) echo '["ServerSideApply=true"]' ;;
*retry*) echo '{"limit":125}' ;;
*)
    echo "$SET"
    if [ -s "$PATCHED" ]; then
        echo 'Application|media-a|Synced|Healthy|{}||||||'
    else
        echo 'Application|media-a|OutOfSync|Missing|{}||Failed||||a webhook did not answer'
    fi
    echo 'Application|media-b|OutOfSync|Missing|||Failed||||waits for a person'
    ;;
esac
"""


def test_a_failed_sync_of_the_foundation_is_retried(tmp_path: Path) -> None:
    _, more = layer(stall="30", foundation="media-a media-b")
    more |= {"PATCHED": str(tmp_path / "patched"), "SET": GENERATED, "SYNC_AGAIN": "0", "PAUSE": "0.1"}
    done = ran(WAIT, environment(tmp_path, AGAIN, **more))
    assert done.returncode == 0, done.stderr
    (patch,) = (tmp_path / "patched").read_text(encoding="utf-8").splitlines()
    assert "patch application media-a --type merge" in patch
    wish = json.loads(patch.partition("--patch ")[2])["operation"]
    assert wish["sync"] == {"prune": True, "syncOptions": ["ServerSideApply=true"]}
    assert (wish["retry"], wish["initiatedBy"]) == ({"limit": 125}, {"username": "homelab up"})


HELD = "Application|media-a|OutOfSync|Healthy|||Succeeded|2026-11-29T07:00:00Z;ConfigMap/a OutOfSync ;|||"


@pytest.mark.parametrize(
    ("row", "keeps"),
    [
        (HELD, ""),
        (HELD.replace("|||Succeeded", "|{}||Succeeded"), ""),
        (
            "Application|media-a|Synced|Progressing|||Succeeded|2026-11-29T07:00:00Z;Pod/a Synced Progressing;|||",
            "Pod/a",
        ),
        (
            "Application|media-a|OutOfSync|Missing|||Running||||Sync operation blocked by sync window",
            "media-a (OutOfSync, Missing: Sync operation blocked by sync window)",
        ),
        (f"Application|media-a|Unknown|Healthy||||||{GONE}|", ""),
    ],
    ids=[
        "a held change",
        "a closed window",
        "on its way",
        "a window refuses even the first sync",
        "its folder left Git",
    ],
)
def test_a_gate_holds_changes_of_the_foundation_and_not_its_first_sync(tmp_path: Path, row: str, keeps: str) -> None:
    kubectl, more = layer(row)
    done = ran(WAIT, environment(tmp_path, kubectl, **more | {"GATED": "media-a"}))
    assert done.returncode == (1 if keeps else 0), done.stderr
    assert keeps in done.stderr


def test_the_first_sync_of_a_gated_foundation_is_requested_once(tmp_path: Path) -> None:
    new = "Application|media-a|OutOfSync|Missing||||ConfigMap/a OutOfSync Missing;|||"
    kubectl = AGAIN.replace("|{}||Failed||||a webhook did not answer", "||||||||").replace(
        "Application|media-a|Synced|Healthy|{}||||||",
        "Application|media-a|Synced|Healthy|||Succeeded|2026-11-29T07:00:00Z;|||",
    )
    assert kubectl != AGAIN
    _, more = layer(stall="30", foundation="media-a media-b")
    more |= {"PATCHED": str(tmp_path / "patched"), "SET": GENERATED, "PAUSE": "0.1", "GATED": "media-a"}
    kubectl = kubectl.replace("Application|media-a|OutOfSync|Missing|||||||||", new)
    done = ran(WAIT, environment(tmp_path, kubectl, **more))
    assert done.returncode == 0, done.stderr
    (patch,) = (tmp_path / "patched").read_text(encoding="utf-8").splitlines()
    assert "patch application media-a --type merge" in patch
    assert "media-a: first sync, which the gates of the stack do not hold back" in done.stderr


@pytest.mark.parametrize("categories", ["", "nothing"])
def test_where_nobody_brings_definitions_nothing_is_applied(tmp_path: Path, categories: str) -> None:
    more = {"CATEGORIES": categories, "SEEDED": "", "ENVIRONMENT": "dev", "KUBERNETES": "1.36.3"}
    done = ran(SCRIPTS["definitions"], environment(tmp_path, "exit 1", **more))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "0 definitions"


def test_definitions_of_apps_that_the_environment_runs_and_no_seed_applies_are_applied(tmp_path: Path) -> None:
    crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: of-FOLDER}\n"
    checkout = tmp_path / "checkout"
    for folder in (
        *("system/one/dev", "system/two/dev", "system/seeded/dev", "ai/toy/dev"),
        *("system/one/base", "system/one/production", "system/three/production", "media/shelf/dev"),
    ):
        (checkout / "apps" / folder).mkdir(parents=True)
        written = checkout / "apps" / folder / "kustomization.yaml"
        written.write_text(crd.replace("FOLDER", folder.replace("/", "-")), encoding="utf-8")
    (checkout / "apps/system/umbrella/dev").mkdir(parents=True)
    (checkout / "apps/system/umbrella/dev/Chart.yaml").write_text("name: umbrella\n", encoding="utf-8")
    kubectl = f'while [ $# -gt 0 ]; do if [ "$1" = -f ]; then cat "$2" >>{tmp_path}/applied; fi; shift; done'
    more = {"CATEGORIES": "system ai", "SEEDED": "system/seeded", "ENVIRONMENT": "dev", "KUBERNETES": "1.36.3"}
    given = environment(tmp_path, f"{kubectl}\necho one serverside-applied", **more)
    kustomize = tmp_path / "bin/kustomize"
    kustomize.write_text('#!/bin/sh\nfor last; do :; done\ncat "$last/kustomization.yaml"\n', encoding="utf-8")
    kustomize.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", SCRIPTS["definitions"]],
        env=given,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 definitions\n"
    applied = (tmp_path / "applied").read_text(encoding="utf-8")
    named = {line.partition("of-")[2].rstrip("}") for line in applied.splitlines() if "of-" in line}
    assert named == {"system-one-dev", "system-two-dev", "ai-toy-dev"}


def test_credentials_do_not_outlive_a_script_that_a_signal_ends(tmp_path: Path) -> None:
    more = {
        "LAYER": "applications",
        "SETS": "media",
        "FOUNDATION": "",
        "GATED": "",
        "STALL_SECONDS": "60",
        "PAUSE": "0.1",
    }
    given = environment(tmp_path, "exit 0", **more)
    process = subprocess.Popen(["sh", "-c", WAIT], env=given, stderr=subprocess.DEVNULL)
    until(lambda: list((tmp_path / "tmp").glob("*/state")), 30)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("script", ["seed", "definitions"])
@pytest.mark.parametrize("prepared", [True, False])
def test_a_seed_renders_the_prepared_tree_where_there_is_one(script: str, prepared: bool, tmp_path: Path) -> None:
    checkout, other = tmp_path / "checkout", tmp_path / "prepared"
    crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: of-PLACE}\n"
    for place in (checkout, other):
        folder = place / "apps/system/one/dev"
        folder.mkdir(parents=True)
        (folder / "kustomization.yaml").write_text(crd.replace("PLACE", place.name), encoding="utf-8")
    # A kustomize of the test's own prints the file itself; kubectl records each file that it applies.
    kubectl = f'while [ $# -gt 0 ]; do if [ "$1" = -f ]; then cat "$2" >>{tmp_path}/applied; fi; shift; done'
    more = {"FOLDER": "apps/system/one/dev", "NAMESPACE": "system", "WAITS": "", "KUBERNETES": "1.36.3"}
    more |= {"CATEGORIES": "system", "SEEDED": "", "ENVIRONMENT": "dev"}
    given = environment(tmp_path, f"{kubectl}\necho one serverside-applied", **more)
    kustomize = tmp_path / "bin/kustomize"
    kustomize.write_text('#!/bin/sh\nfor last; do :; done\ncat "$last/kustomization.yaml"\n', encoding="utf-8")
    kustomize.chmod(0o755)
    given |= {"HOMELAB_SEEDS": str(other)} if prepared else {}
    done = subprocess.run(
        ["sh", "-c", SCRIPTS[script]], env=given, cwd=checkout, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert f"name: of-{'prepared' if prepared else 'checkout'}" in (tmp_path / "applied").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", ["seed", "definitions"])
@pytest.mark.parametrize("source", ["prepared", "git", "outside", "neither"])
def test_a_pinned_app_is_seeded_from_its_commit(script: str, source: str, tmp_path: Path) -> None:
    """Argo CD would install the old version again over a newer one."""
    checkout, pins = tmp_path / "checkout", tmp_path / "pins"
    folder = "apps/system/one/dev"
    crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: of-PLACE}\n"
    (checkout / folder).mkdir(parents=True)
    file = checkout / folder / "kustomization.yaml"
    file.write_text(crd.replace("PLACE", "git"), encoding="utf-8")
    commit_all(checkout)
    commit = programs.run("git", "rev-parse", "HEAD", cwd=checkout).stdout.strip()
    programs.run("git", *AUTHOR, "commit", "--allow-empty", "--message", "outside", cwd=checkout)
    outside = programs.run("git", "rev-parse", "HEAD", cwd=checkout).stdout.strip()
    programs.run("git", "reset", "--quiet", "--hard", commit, cwd=checkout)
    pin = {"neither": "8" * 40, "outside": outside}.get(source, commit)
    (pins / commit / folder).mkdir(parents=True)
    (pins / commit / folder / file.name).write_text(crd.replace("PLACE", "prepared"), encoding="utf-8")
    file.write_text(f"{crd.replace('PLACE', 'checkout')}# homelab.dev/revision: '{'7' * 40}'\n", encoding="utf-8")
    file.write_text(f'{file.read_text()}    homelab.dev/revision: "{pin}"\n', encoding="utf-8")
    kubectl = f'while [ $# -gt 0 ]; do if [ "$1" = -f ]; then cat "$2" >>{tmp_path}/applied; fi; shift; done'
    more = {"FOLDER": folder, "NAMESPACE": "system", "WAITS": "", "KUBERNETES": "1.36.3"}
    more |= {"CATEGORIES": "system", "SEEDED": "", "ENVIRONMENT": "dev"}
    given = environment(tmp_path, f"{kubectl}\necho one serverside-applied", **more)
    kustomize = tmp_path / "bin/kustomize"
    kustomize.write_text('#!/bin/sh\nfor last; do :; done\ncat "$last/kustomization.yaml"\n', encoding="utf-8")
    kustomize.chmod(0o755)
    given |= {"HOMELAB_PINS": str(pins)} if source == "prepared" else {}
    done = subprocess.run(
        ["sh", "-c", SCRIPTS[script]], env=given, cwd=checkout, capture_output=True, text=True, check=False, timeout=60
    )
    if source in ("neither", "outside"):
        assert (
            f"{folder} is pinned to {pin}, which is no commit of the history here: git fetch --unshallow" in done.stderr
        )
        assert done.returncode == (1 if script == "seed" else 0), "a definition is left to Argo CD"
        return
    assert done.returncode == 0, done.stderr
    assert f"name: of-{source}" in (tmp_path / "applied").read_text(encoding="utf-8")


BUILT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  namespace: ai
spec: {template: {metadata: {name: other}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  annotations:
    colour: red
  labels:
    name: other
  name: shop:admin
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: shop
  namespace: ai
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: new
  namespace: ai
"""
# Kinds of two namespaces, a name with a colon, and an object that Argo CD does not know yet.
NOTES = """\
ai-shop:apps/Deployment:ai/shop
ai-shop:rbac.authorization.k8s.io/ClusterRole:ai/shop:admin
ai-shop:/ConfigMap:elsewhere/shop
ai-shop:/ConfigMap:ai/shop
<none>
"""
KUBECTL = """\
case "$*" in
    *" config "*) ;;
    *" get "*) printf '%s' "$NOTES"; exit "$KNOWN" ;;
    *" apply "*) for file; do :; done; cp "$file" "{0}/applied.yaml"
        echo "$SAID"; exit "$APPLIED" ;;
esac
"""


def sown(tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Seed a folder; its objects are those that a kustomize of the test's own builds."""
    given = {"FOLDER": "apps/ai/ollama/dev", "NAMESPACE": "ai", "KUBERNETES": "1.36.3", "WAITS": "", "TRIES": "1"}
    given |= {"NOTES": "", "KNOWN": "0", "SAID": "object serverside-applied", "APPLIED": "0", **more}
    made = environment(tmp_path, KUBECTL.replace("{0}", str(tmp_path)), **given)
    (tmp_path / "bin/kustomize").write_text(f"#!/bin/sh\ncat <<'BUILT'\n{BUILT}BUILT\n", encoding="utf-8")
    (tmp_path / "bin/kustomize").chmod(0o755)
    return ran(SCRIPTS["seed"], made)


def notes(tmp_path: Path) -> list[str | None]:
    applied = yaml.safe_load_all((tmp_path / "applied.yaml").read_text(encoding="utf-8"))
    annotations = (one["metadata"].get("annotations", {}) for one in applied)
    return [found.get("argocd.argoproj.io/tracking-id") for found in annotations]


@pytest.mark.parametrize("known", ["0", "1"], ids=["all kinds are known", "some kind is not known yet"])
def test_a_seed_keeps_argo_cds_tracking_of_what_lives_already(tmp_path: Path, known: str) -> None:
    done = sown(tmp_path, NOTES=NOTES, KNOWN=known)
    assert done.returncode == 0, done.stderr
    lines = NOTES.splitlines()
    assert notes(tmp_path) == [lines[0], lines[1], lines[3], None]
    applied = list(yaml.safe_load_all((tmp_path / "applied.yaml").read_text(encoding="utf-8")))
    assert applied[1]["metadata"]["annotations"]["colour"] == "red"
    for one in applied:
        one["metadata"].get("annotations", {}).pop("argocd.argoproj.io/tracking-id", None)
        if not one["metadata"].get("annotations", True):
            del one["metadata"]["annotations"]
    assert applied == list(yaml.safe_load_all(BUILT))


def test_the_first_seed_applies_what_was_built(tmp_path: Path) -> None:
    assert sown(tmp_path).returncode == 0
    assert (tmp_path / "applied.yaml").read_text(encoding="utf-8") == BUILT


def test_a_refusal_that_quotes_a_whole_object_is_cut(tmp_path: Path) -> None:
    done = sown(tmp_path, SAID=f"error: is invalid: {'x' * 100_000}", APPLIED="1")
    assert done.returncode == 1
    assert "apps/ai/ollama/dev cannot be applied:\nerror: is invalid: xxx" in done.stderr
    assert max(map(len, done.stderr.splitlines())) <= 2000


@pytest.mark.parametrize("script", ["seed", "definitions"])
def test_kustomize_gets_no_credentials_and_no_plugins(tmp_path: Path, script: str) -> None:
    secrets = {"PULUMI_CONFIG_PASSPHRASE": "secret", "GITHUB_TOKEN": "secret", "AWS_SECRET_ACCESS_KEY": "secret"}
    more = {
        "CATEGORIES": "system",
        "SEEDED": "",
        "ENVIRONMENT": "dev",
        "KUBERNETES": "1.36",
        "HTTPS_PROXY": "http://a:1",
    }
    folder = {"FOLDER": "apps/system/argocd/dev", "NAMESPACE": "argocd", "WAITS": "", "TRIES": "1"}
    given = environment(tmp_path, "cat >/dev/null; echo serverside-applied", **more, **folder, **secrets)
    seen = tmp_path / "seen"
    kustomize = tmp_path / "bin/kustomize"
    kustomize.write_text(f"#!/bin/sh\nenv >>{seen}\n", encoding="utf-8")
    kustomize.chmod(0o755)
    done = ran(SCRIPTS[script], given)
    assert done.returncode == 0, done.stderr
    names = {line.partition("=")[0] for line in seen.read_text(encoding="utf-8").splitlines()}
    known = {"PATH", "HOME", "TMPDIR", "HELM_PLUGINS", "GIT_ALLOW_PROTOCOL", "HTTPS_PROXY"}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == known
    assert "HELM_PLUGINS=/dev/null" in seen.read_text(encoding="utf-8")


AWAY = 'Error: looks like "https://charts.test" is not a valid chart repository: dial tcp 192.0.2.1:443: i/o timeout'
BUSY = "error: RPC failed; HTTP 503 while fetching https://git.test/base: unable to access: error: 503"
WRONG = "Error: accumulating resources: deployment.yaml: no such file or directory"
HICCUP = """\
#!/bin/sh
count=$(($(cat "{0}" 2>/dev/null || echo 0) + 1))
echo $count >"{0}"
[ $count -gt {1} ] || {{ echo '{2}' >&2; {3}; }}
echo 'kind: CustomResourceDefinition'
"""


def built(
    tmp_path: Path, script: str, failures: int, error: str, ends: str = "exit 1"
) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run a script whose kustomize fails a number of times, and count its calls for one folder."""
    checkout, count = tmp_path / "checkout", tmp_path / "count"
    (checkout / "apps/system/one/dev").mkdir(parents=True)
    (checkout / "apps/system/one/dev/kustomization.yaml").write_text("", encoding="utf-8")
    more = {"FOLDER": "apps/system/one/dev", "NAMESPACE": "system", "WAITS": "", "KUBERNETES": "1.36.3"}
    more |= {"RENDER_SECONDS": "1", "BUILDS": "2"} if "sleep" in ends else {}
    more |= {"CATEGORIES": "system", "SEEDED": "", "ENVIRONMENT": "dev", "HOMELAB_SEEDS": str(checkout)}
    given = environment(tmp_path, "echo one serverside-applied", **more)
    (tmp_path / "bin/kustomize").write_text(HICCUP.format(count, failures, error, ends), encoding="utf-8")
    (tmp_path / "bin/kustomize").chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", SCRIPTS[script]], env=given, cwd=checkout, capture_output=True, text=True, check=False, timeout=60
    )
    return done, int(count.read_text(encoding="utf-8"))


@pytest.mark.parametrize("script", ["seed", "definitions"])
@pytest.mark.parametrize("error", [AWAY, BUSY])
def test_an_unreachable_chart_repository_is_retried(tmp_path: Path, script: str, error: str) -> None:
    done, asked = built(tmp_path, script, 2, error)
    assert (done.returncode, asked) == (0, 3), done.stderr
    assert f"building apps/system/one/dev again, attempt 2 of 5: {error}\n" in done.stderr
    assert "1 objects applied" in done.stdout or "1 definitions" in done.stdout


@pytest.mark.parametrize("script", ["seed", "definitions"])
def test_a_network_that_stays_away_ends_the_attempts(tmp_path: Path, script: str) -> None:
    done, asked = built(tmp_path, script, 9, AWAY)
    assert asked == 5
    assert "apps/system/one/dev: the network failed 5 times" in done.stderr
    assert done.returncode == (1 if script == "seed" else 0), "definitions leaves the folder to Argo CD"


@pytest.mark.parametrize("script", ["seed", "definitions"])
def test_a_render_that_hangs_is_ended_named_and_tried_again(tmp_path: Path, script: str) -> None:
    done, asked = built(tmp_path, script, 9, "pulling", "exec sleep 600")
    assert asked == 2
    assert "building apps/system/one/dev again, attempt 2 of 2: apps/system/one/dev: timed out after 1 s" in done.stderr
    assert "apps/system/one/dev: the network failed 2 times" in done.stderr


@pytest.mark.parametrize("script", ["seed", "definitions"])
def test_a_folder_that_is_wrong_is_built_once(tmp_path: Path, script: str) -> None:
    done, asked = built(tmp_path, script, 9, WRONG)
    assert asked == 1
    assert WRONG in done.stderr
    assert "again" not in done.stderr


TALOS = shell.script(ROOT / "components/cluster/scripts/talos.sh")
HANGS = """#!/bin/sh
case "$*" in gen*) ;; *) exec sleep 600 ;; esac
"""


def of_a_node(tmp_path: Path, script: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script about one node, whose talosctl and kubectl accept a connection and never answer."""
    given = environment(tmp_path, "exec sleep 600", SECRETS="x", CLUSTER="x", ENDPOINT="https://10.0.0.1:6443", **more)
    (tmp_path / "bin/talosctl").write_text(HANGS, encoding="utf-8")
    (tmp_path / "bin/talosctl").chmod(0o755)
    return ran(TALOS + script, given | {"CONTROL_PLANES": "cp-1=10.0.0.1", "PAUSE": "0.1"})


def test_a_silent_node_does_not_exceed_a_timeout(tmp_path: Path) -> None:
    began = time.monotonic()
    done = of_a_node(tmp_path, 'wait_for 2 "cp-1 to answer" talos 10.0.0.1 version --short\n', ANSWER_SECONDS="1")
    assert done.returncode == 1
    assert "still waiting for cp-1 to answer after" in done.stderr
    assert time.monotonic() - began < 30


def test_a_program_in_go_ends_without_the_timeout_command(tmp_path: Path) -> None:
    """Perl replaces `timeout`; Go programs ignore SIGALRM."""
    kubectl = ensure(("kubectl",)).places["kubectl"].file
    asks = f'mkfifo "$work/never" && exec 3<>"$work/never"; within 1 {kubectl} apply -f - <&3 || echo "code $?"'
    given = environment(tmp_path, "exit 0", SECRETS="x", CLUSTER="x", ENDPOINT="https://10.0.0.1:6443")
    for name, does in (("timeout", "exit 1"), ("talosctl", "exit 0")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
        (tmp_path / "bin" / name).chmod(0o755)
    done = ran(f"{TALOS}\n{asks}\n", given | {"CONTROL_PLANES": "cp-1=10.0.0.1"})
    assert done.stdout == "code 124\n", done.stderr


@pytest.mark.parametrize("jump", ["100000", "-100000"])
def test_a_changed_clock_ends_no_wait(tmp_path: Path, jump: str) -> None:
    clock = f"""
turns=0 clock=500000
read_clock() {{ turns=$((turns + 1)); clock=$((clock + {jump})); }}
answers() {{ [ "$turns" -ge 3 ]; }}
wait_for 600 "three turns" answers && echo "$turns turns, $waited s"
"""
    done = of_a_node(tmp_path, clock)
    assert done.stdout == f"3 turns, {120 if int(jump) > 0 else 0} s\n", done.stderr


@pytest.mark.parametrize("script", sorted(ROOT.glob("components/**/scripts/*.sh")), ids=lambda path: path.stem)
def test_a_script_measures_by_no_clock_that_can_be_set(script: Path) -> None:
    lines = [line for line in script.read_text(encoding="utf-8").splitlines() if "date +%s" in line]
    assert all("/proc/uptime" in line for line in lines), "date is for machines without /proc alone"
