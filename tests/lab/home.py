"""A small home, rehearsed completely: the platform, one category that retains its objects and one that deletes them.

A copy of the checkout whose tree is trimmed before the first run; the product is unchanged. The tests then act as
users: they change files and push them, without any `up`. Tests that change something revert it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

import programs
from config.load import read_stack
from config.model import Settings
from config.tree import read_tree
from lab import caretaker
from lab.api import MERGE, Object, condition
from lab.control_plane import kubernetes
from lab.delivery import git_server, prepared_tree
from lab.running import servers
from ops.__main__ import main
from ops.argocd.report import REFRESH_SET
from ops.rehearsal.entry import PROGRAMS, refresh_argocd
from ops.rehearsal.sources import publish, sources
from ops.toolchain.lookup import ensure
from tests.lab.checkout import Checkout

STRATEGIC = "application/strategic-merge-patch+json"
ARGOPROJ = "argoproj.io/v1alpha1"
SEEDED = (
    "cert-manager/cert-manager",
    "cert-manager/issuers",
    "crds/gateway-api",
    "kube-system/cilium",
    "security/external-secrets",
    "security/secret-stores",
    "system/argocd",
)
# Argo CD's folder has a ServiceMonitor, and a claim for a provisioner of volumes.
KEPT = {*SEEDED, "crds/prometheus-operator", "openebs/openebs"}
OWN = {"media": "shelf", "ai": "toy"}
SHELF = "apps/media/shelf/base/app.yaml"
ENVIRONMENT = "dev"
KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [RESOURCES]
"""
IN_ENVIRONMENT = f"{KUSTOMIZATION.replace('RESOURCES', '../base')}components: [../../../_settings/{ENVIRONMENT}]\n"
WORKLOAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: APP}
spec:
  replicas: 1
  selector: {matchLabels: {app.kubernetes.io/name: APP}}
  template:
    metadata: {labels: {app.kubernetes.io/name: APP}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: app
          image: example.com/APP:1.0.0
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          resources: {limits: {memory: 64Mi}}
          volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: APP}}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: APP
  annotations: {argocd.argoproj.io/sync-options: "Prune=false,Delete=false"}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: APP}
data: {colour: red}
"""
GADGETS = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Gadget, listKind: GadgetList, plural: gadgets, singular: gadget}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object}}
"""
# In a folder that `up` seeds: its objects existed before Argo CD did.
NOTES = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: stays, namespace: security, labels: {goes: "yes", stays: "yes"}}
data: {goes: "yes", stays: "yes"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: goes, namespace: security}
data: {goes: "yes"}
"""
NOTES_FILE = f"apps/security/secret-stores/{ENVIRONMENT}/notes.yaml"


class Home(Checkout):
    """A checkout whose rehearsal runs, and the actions of its users."""

    @classmethod
    def trimmed(cls, root: Path) -> Home:
        """Copy the checkout and retain the part of its tree that a small home needs."""
        made = Checkout.make(root)
        for folder in root.glob("apps/[!_]*/[!_]*/"):
            if str(folder.relative_to(root / "apps")) not in KEPT:
                shutil.rmtree(folder)
        used = {name.partition("/")[0] for name in KEPT} | set(OWN)
        for folder in root.glob("apps/[!_]*/"):
            if folder.name not in used:
                shutil.rmtree(folder)
        for described in root.glob("apps/*/category.yaml"):
            described.write_text(founded(described), encoding="utf-8")
        (root / NOTES_FILE).write_text(NOTES, encoding="utf-8")
        made.edit(
            "components:\n",
            "resources: [notes.yaml]\ncomponents:\n",
            str(Path(NOTES_FILE).with_name("kustomization.yaml")),
        )
        healed = "sync: {drift: healed, reason: so that a test sees the difference to media}\n"
        with (root / "apps/ai/category.yaml").open("a", encoding="utf-8") as opened:
            opened.write(healed)
        home = cls(made.root, made.stack)
        for category, app in OWN.items():
            home.write_app(f"{category}/{app}", WORKLOAD.replace("APP", app))
        home.write_settings()
        return home

    @property
    def settings(self) -> Settings:
        return read_stack(self.root / f"Pulumi.{self.stack}.yaml").require()

    def write(self, file: str, text: str) -> None:
        """Write a file, which has no effect before it is pushed."""
        laid(self.root, {file: text})

    def write_app(self, app: str, text: str) -> None:
        """Write an app, such as media/lamp, whose base is one file, and the folder of its environment."""
        laid(self.root, of_app(app, text))

    def write_settings(self) -> None:
        """Write the settings of the stack files to the tree, as their users do."""
        assert main(["settings", "--root", str(self.root)]) == 0

    def read(self, file: str) -> str:
        return (self.root / file).read_text(encoding="utf-8")

    def remove(self, folder: str) -> None:
        """Remove a folder, which is an app's or that of its environment."""
        shutil.rmtree(self.root / folder)

    def push(self, *, look: bool = True) -> str:
        """Commit the checkout, prepared as for a rehearsal, to the branch that the stack follows; return the commit."""
        prepared_tree.prepare(self.lab, self.root, self.stack)
        given = sources(self.lab.root / "charts", ensure(PROGRAMS))
        commit = publish(self.lab, self.root, self.settings, read_tree(self.lab.tree), *given)
        if look:
            refresh_argocd(self.lab)
        return commit

    def app(self, name: str) -> Object | None:
        return self.api.get(ARGOPROJ, "Application", name, "argocd")

    def apps(self) -> list[Object]:
        return self.api.list(ARGOPROJ, "Application", "argocd")

    def wait_healthy(self, name: str, commit: str = "", seconds: float = 90, *, ask: bool = True) -> Object:
        """Wait until an Application is Synced and Healthy, at a commit."""

        def there(found: Object | None) -> bool:
            status = (found or {}).get("status", {})
            sync, health = status.get("sync", {}), status.get("health", {})
            ended = status.get("operationState", {}).get("phase", "Succeeded") == "Succeeded"
            at = not commit or sync.get("revision") == commit
            return at and ended and (sync.get("status"), health.get("status")) == ("Synced", "Healthy")

        return self.wait_for(name, there, "Synced and Healthy", seconds, ask=ask)

    def wait_for(
        self, name: str, until: Callable[[Object | None], bool], what: str, seconds: float = 90, *, ask: bool = True
    ) -> Object:
        """Wait for an Application; repeat the refresh request, which is lost while a refresh runs."""
        began = asked = time.monotonic()
        while not until(found := self.app(name)):
            assert time.monotonic() < began + seconds, f"{name}: not {what} after {seconds:.0f} s: {complaints(found)}"
            if ask and time.monotonic() > asked + 5:
                asked = time.monotonic()
                self.refresh(name, how="normal") if found else self.refresh_sets()
            time.sleep(0.2)
        return found or {}

    def push_change(self, colour: str) -> None:
        """Push a small change of the kept app, and wait until it is live."""
        text = self.read(SHELF)
        self.write(SHELF, f"{text[: text.index('colour:')]}colour: {colour}}}\n")
        self.wait_healthy("media-shelf", self.push())

    def refresh(self, *names: str, how: str = "hard") -> None:
        """Request a hard refresh of these Applications."""
        for name in names:
            self.api.annotate(ARGOPROJ, "Application", name, {"argocd.argoproj.io/refresh": how}, "argocd")

    def refresh_sets(self) -> None:
        """Request a refresh of every ApplicationSet."""
        for one in self.api.metadata(ARGOPROJ, "ApplicationSet", "argocd"):
            for wish in REFRESH_SET:
                self.api.annotate(ARGOPROJ, "ApplicationSet", one["name"], wish, "argocd")

    def failing_sets(self) -> set[str]:
        """Return the names of the ApplicationSets whose refresh failed."""
        sets = self.api.list(ARGOPROJ, "ApplicationSet", "argocd")
        return {one["metadata"]["name"] for one in sets if condition(one, "ErrorOccurred")}

    def delete_application(self, name: str) -> None:
        """Delete an Application that is retired, as a user does."""
        self.api.delete(ARGOPROJ, "Application", name, "argocd")
        eventually("gone", lambda: self.app(name) is None)

    def wait_for_condition(self, name: str, text: str, seconds: float = 60) -> None:
        """Wait until a condition of an Application contains these words."""
        self.wait_for(name, lambda found: text in complaints(found), f"saying {text!r}", seconds)

    def merge(
        self, version: str, kind: str, namespace: str, name: str, change: Object, by: str = "kubectl-edit"
    ) -> None:
        """Edit a live object by a merge patch."""
        path = self.api.path(version, kind, namespace, name)
        answer = self.api.request("PATCH", path, query={"fieldManager": by}, content=MERGE, body=change)
        assert answer.ok, answer.message

    @contextmanager
    def without_cluster(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Stop every answer of the cluster's address for a while."""
        monkeypatch.setenv("PATH", ensure(PROGRAMS).env()["PATH"])
        configuration = next(node.configuration for node in self.rack.nodes() if node.role == "control-plane")
        servers.stop(self.lab, "kube-apiserver")
        try:
            yield
        finally:
            kubernetes.start(self.lab, next(yaml.safe_load_all(configuration)))

    @contextmanager
    def without_git(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Stop the Git server for a while."""
        servers.stop(self.lab, git_server.NAME)
        try:
            yield
        finally:
            for name, value in {"PYTHONPATH": str(self.root), **self.lab.environment}.items():
                monkeypatch.setenv(name, value)
            git_server.serve(self.lab, self.settings.delivery.repository)
            port = servers.port(self.lab, git_server.NAME)
            eventually("listening", lambda: servers.listens(port))

    @contextmanager
    def without_repo_server(self) -> Iterator[None]:
        """Stop the repo-server for a while: the caretaker, which would start it again, is paused."""
        pids = {one.name: one.pid for one in servers.alive(self.lab)}
        os.kill(pids[caretaker.NAME], signal.SIGSTOP)
        try:
            os.kill(pids["argocd-repo-server"], signal.SIGKILL)
            yield
        finally:
            os.kill(pids[caretaker.NAME], signal.SIGCONT)

    def strategic_merge(self, version: str, kind: str, namespace: str, name: str, change: Object) -> None:
        """Edit a live object as `kubectl edit` does: lists are merged by their items' names."""
        path = self.api.path(version, kind, namespace, name)
        query = {"fieldManager": "kubectl-edit"}
        answer = self.api.request("PATCH", path, query=query, content=STRATEGIC, body=change)
        assert answer.ok, answer.message

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Pulumi in the rehearsal as a user does, with its programs on the PATH."""
        environment = prepared_tree.environment(self.lab, ensure(PROGRAMS).env(), Path(sys.executable), self.root)
        command = ["pulumi", *arguments, "--stack", self.stack, "--non-interactive"]
        return subprocess.run(
            command, cwd=self.lab.tree, env=environment, capture_output=True, text=True, check=False, timeout=300
        )

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl as a user does, and return its output."""
        environment = {**ensure(("kubectl",)).env(), "KUBECONFIG": str(self.lab.kubeconfig)}
        return programs.run("kubectl", *arguments, env=environment).stdout

    def status(self) -> str:
        """Return the text output of `status`."""
        return self.run("status").out

    def settled(self) -> str:
        """Require that everything is healthy within a while, and return the output of `status`."""
        ran = self.run("status", "--wait")
        assert ran.code == 0, ran.out
        return ran.out


def founded(category: Path) -> str:
    """Return a category file whose foundation lists the remaining apps."""
    lines = category.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [name for name in yaml.safe_load("".join(lines)).get("foundation", ()) if (category.parent / name).is_dir()]
    foundation = f"foundation: [{', '.join(kept)}]\n"
    return "".join(foundation if line.startswith("foundation:") else line for line in lines)


def of_app(app: str, text: str) -> dict[str, str]:
    """Return the files of an app whose base is one file."""
    return {
        f"apps/{app}/base/app.yaml": text,
        f"apps/{app}/base/kustomization.yaml": KUSTOMIZATION.replace("RESOURCES", "app.yaml"),
        f"apps/{app}/{ENVIRONMENT}/kustomization.yaml": IN_ENVIRONMENT,
    }


def laid(root: Path, files: Mapping[str, str]) -> None:
    """Write files to folders, and make missing ones."""
    for file, content in files.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(content, encoding="utf-8")


def complaints(found: Object | None) -> str:
    """Return all conditions of an Application, as one text."""
    status = (found or {}).get("status", {})
    said = [one["message"] for one in status.get("conditions", [])]
    operation = status.get("operationState", {})
    said += [operation.get("message", "")]
    said += [one.get("message", "") for one in (operation.get("syncResult") or {}).get("resources") or []]
    return "\n".join(said)


def eventually(what: str, true: Callable[[], bool], seconds: float = 60) -> None:
    """Poll until a condition is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not {what} after {seconds:.0f} s"
        time.sleep(0.2)
