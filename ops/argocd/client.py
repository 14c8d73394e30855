"""A cluster to ask: a rehearsed one, or whatever KUBECONFIG names, through kubectl and its own ways to log in.

`ops.status`, `ops.sync` and `ops.engine.run` ask through here; `ops.argocd.applications` reads what comes back.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import programs
from config.model import Settings
from errors import Declined, ProgramFailed, TookTooLong
from lab.delivery import git_server
from lab.layout import Lab
from local.files import write_private
from ops.engine.engine import Engine
from ops.toolchain.lookup import ensure

NAMESPACE = "argocd"
COMMIT = re.compile(r"[0-9a-f]{40}\Z")
ASK_AGAIN = 15.0
SECONDS_TO_ANSWER = 5
SILENCE = re.compile("timeout|timed out|deadline exceeded", re.IGNORECASE)
KINDS = ("applications", "applicationsets", "appprojects")


@dataclass(frozen=True)
class Cluster:
    """One API server, with the environment in which kubectl reaches it."""

    environment: dict[str, str]
    lab: Lab | None
    asked: dict[str, tuple[float, str]] = field(default_factory=dict, compare=False)
    """When Git was asked for which revision, and what it said: a wait looks more often than a Git host likes."""

    @classmethod
    def of(cls, root: Path, stack: str) -> Cluster:
        """Take the rehearsal of a stack where there is one, else the cluster that KUBECONFIG names."""
        tools = ensure(("kubectl",)).env()
        lab = Lab.of(root, stack)
        named = os.environ.get("KUBECONFIG", "")
        if named in ("", str(lab.kubeconfig)) and lab.kubeconfig.exists():
            return cls({**tools, "KUBECONFIG": str(lab.kubeconfig)}, lab)
        writes = f"pulumi stack output kubeconfig --stack {stack} --show-secrets > FILE writes one"
        if not named:
            raise Declined(
                f"there is no rehearsal of {stack} to ask, and KUBECONFIG names no cluster; {writes}, then: "
                "export KUBECONFIG=FILE"
            )
        files = [Path(name) for name in named.split(os.pathsep) if name]
        if not any(file.is_file() and file.stat().st_size for file in files):
            what = "is an empty file" if any(file.is_file() for file in files) else "is not there"
            raise Declined(f"KUBECONFIG = {named}: {what}; {writes}; without KUBECONFIG the rehearsal is asked")
        is_rehearsed = files[0].exists() and lab.kubeconfig.exists() and files[0].samefile(lab.kubeconfig)
        return cls(tools, lab if is_rehearsed else None)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run kubectl; of what it says when it fails, its last line is for people."""
        try:
            return programs.run("kubectl", *arguments, env=self.environment, stdin=stdin, timeout=timeout).stdout
        except ProgramFailed as failure:
            last = next((line for line in reversed(failure.output.splitlines()) if line.strip()), "it failed")
            named = self.environment.get("KUBECONFIG", "")
            said = f"kubectl, KUBECONFIG = {named}: {last.removeprefix('error: ')}"
            raise ProgramFailed(said, exit_code=failure.exit_code, output=failure.output) from None

    def answers(self) -> bool:
        """Whether somebody is there."""
        try:
            self.kubectl("get", "--raw", "/readyz", timeout=15)
        except (ProgramFailed, TookTooLong):
            return False
        return True

    def refuse_silence(self) -> None:
        """Refuse to go on where the API takes longer than a few seconds; one that refuses at once does no harm."""
        try:
            self.kubectl(
                "get", "--raw", "/readyz", f"--request-timeout={SECONDS_TO_ANSWER}s", timeout=2 * SECONDS_TO_ANSWER
            )
        except (ProgramFailed, TookTooLong) as failure:
            if isinstance(failure, ProgramFailed) and not SILENCE.search(failure.output):
                return
            server = self.kubectl("config", "view", "--minify", "--output", "jsonpath={.clusters[0].cluster.server}")
            raise TookTooLong(
                f"the Kubernetes API at {server} does not answer within {SECONDS_TO_ANSWER} s: the plugin kubernetes "
                "would wait longer for each custom resource, minutes in all; connect this machine to the cluster's "
                "network, or mend the API server, then run the same command again"
            ) from None

    def argocd(self) -> dict[str, list[dict[str, Any]]]:
        """Fetch everything of Argo CD at once, by kind."""
        try:
            listed = json.loads(self.kubectl("--namespace", NAMESPACE, "get", ",".join(KINDS), "--output", "json"))
        except ProgramFailed as failure:
            if "the server doesn't have a resource type" in failure.output:
                return {kind: [] for kind in ("Application", "ApplicationSet", "AppProject")}
            raise
        found: dict[str, list[dict[str, Any]]] = {"Application": [], "ApplicationSet": [], "AppProject": []}
        for item in listed["items"]:
            found[item["kind"]].append(item)
        return found

    def things(self, wanted: Sequence[tuple[str, str, str, str]]) -> list[dict[str, Any]]:
        """Fetch single objects with their managed fields; those that are gone are left out."""
        found = []
        for group, kind, namespace, name in wanted:
            where = ("--namespace", namespace) if namespace else ()
            what = f"{kind}.{group}" if group else kind
            text = self.kubectl(
                *where, "get", what, name, "--output", "json", "--show-managed-fields", "--ignore-not-found"
            )
            if text.strip():
                found.append(json.loads(text))
        return found

    def has_secret(self, path: str) -> bool:
        """Whether a Secret is there, by namespace and name."""
        namespace, _, name = path.partition("/")
        return bool(self.kubectl("--namespace", namespace, "get", "secret", name, "--ignore-not-found", "-o", "name"))

    def patch(self, name: str, change: dict[str, Any], kind: str = "application") -> None:
        """Change an Application, or something else of Argo CD."""
        how = ("--type", "merge", "--patch", json.dumps(change))
        self.kubectl("--namespace", NAMESPACE, "patch", kind, name, *how)

    def head(self, settings: Settings) -> str:
        """Give the commit that Git is at; nothing where it cannot be asked."""
        repository, revision = settings.delivery.repository, settings.delivery.revision
        if self.lab is not None:
            return git_server.head_of(self.lab, git_server.served_as(repository), revision)
        if COMMIT.match(revision):
            return revision
        when, said = self.asked.get(revision, (-ASK_AGAIN, ""))
        if time.monotonic() - when > ASK_AGAIN:
            said = _head(repository, revision)
            self.asked[revision] = time.monotonic(), said
        return said

    def holds(self, settings: Settings, commit: str, folders: Sequence[str]) -> set[str]:
        """Name the folders that Git has at a commit; all of them where the commit is not known here."""
        where = programs.on_checkout(Path.cwd())
        above = PurePosixPath()
        if self.lab is not None:
            own = git_server.served_as(settings.delivery.repository)
            where, above = (
                ("--git-dir", git_server.bare_repository(self.lab, own)),
                PurePosixPath(settings.delivery.path),
            )
        paths = {str(above / folder): folder for folder in folders}
        if not paths or not commit:
            return set(folders)
        try:
            # git and not GitPython, whose import takes longer than this command.
            listed = programs.run("git", *where, "ls-tree", "--name-only", "-z", commit, "--", *paths).stdout
        except ProgramFailed:
            return set(folders)
        return {paths[name] for name in listed.split("\0") if name in paths}


@contextmanager
def cluster_of(engine: Engine) -> Iterator[Cluster]:
    """Lend a way to the stack's cluster with the kubeconfig that the engine keeps."""
    with TemporaryDirectory(prefix="homelab-") as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        write_private(kubeconfig, str(engine.outputs().get("kubeconfig", "")))
        yield Cluster(dict(os.environ, KUBECONFIG=str(kubeconfig)), None)


def _head(repository: str, revision: str) -> str:
    """Ask Git; a bare name would bring every ref that ends in it: feature/main before main."""
    names = ("HEAD",) if revision == "HEAD" else (f"refs/heads/{revision}", *_tags(f"refs/tags/{revision}"))
    names = _tags(revision) if revision.startswith("refs/") else names
    try:
        # git and not GitPython, which starts the same command without a timeout.
        listed = programs.run("git", "ls-remote", "--", repository, *names, timeout=20).stdout
    except (ProgramFailed, TookTooLong):
        return ""
    commits = {name: commit for commit, _, name in (line.partition("\t") for line in listed.splitlines())}
    return next((commits[name] for name in names if name in commits), "")


def _tags(name: str) -> tuple[str, ...]:
    """Give the commit of an annotated tag before the tag itself, which is no commit."""
    return f"{name}^{{}}", name
