"""A client for the API server of a cluster that runs Argo CD, through kubectl and its ways to log in.

An environment with KUBECONFIG comes in, objects of the cluster and facts about its Git repository go out.
`ops.argocd.applications` reads the objects; `ops.rehearsal.client` has the client of a rehearsed cluster.
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
from config.promotion import REVISION
from config.tree import APPS, GENERATED_BY
from errors import Declined, ProgramFailed, TookTooLong
from local.files import write_private
from manifests.objects import Identity
from ops.toolchain.lookup import ensure

NAMESPACE = "argocd"
PIN = re.compile(rf"[^#]*{re.escape(REVISION)}[\"']?\s*:\s*[\"']?([0-9a-f]{{40}})\b")
COMMIT = re.compile(r"[0-9a-f]{40}\Z")
SECONDS_BETWEEN_GIT_REQUESTS = 15.0  # a wait reads the cluster more often than a Git host should get requests
SECONDS_TO_ANSWER = 5
TIMEOUT = re.compile("timeout|timed out|deadline exceeded", re.IGNORECASE)
KINDS = ("applications", "applicationsets", "appprojects")


@dataclass(frozen=True)
class ArgoCDClient:
    """One API server, with the environment in which kubectl reaches it."""

    environment: dict[str, str]
    heads: dict[str, tuple[float, str]] = field(default_factory=dict, compare=False)
    """The commit of each revision of the Git repository, and when it was read."""

    @property
    def is_rehearsed(self) -> bool:
        """Return whether the cluster is that of a rehearsal."""
        return False

    def summary(self) -> list[str]:
        """Return lines about the machines of the cluster, where these are simulated."""
        return []

    def repository(self, settings: Settings) -> str:
        """Return the URL that Argo CD reads the checkout's repository from."""
        return settings.delivery.repository

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run kubectl; on failure, report only the last line of its output."""
        try:
            return programs.run("kubectl", *arguments, env=self.environment, stdin=stdin, timeout=timeout).stdout
        except ProgramFailed as failure:
            last = next((line for line in reversed(failure.output.splitlines()) if line.strip()), "it failed")
            kubeconfig = self.environment.get("KUBECONFIG", "")
            message = f"kubectl, KUBECONFIG = {kubeconfig}: {last.removeprefix('error: ')}"
            raise ProgramFailed(message, status=failure.status, output=failure.output) from None

    def answers(self) -> bool:
        """Return whether the API server answers."""
        try:
            self.kubectl("get", "--raw", "/readyz", timeout=15)
        except (ProgramFailed, TookTooLong):
            return False
        return True

    def refuse_timeout(self) -> None:
        """Refuse an API that takes longer than a few seconds; one that refuses connections at once does no harm."""
        try:
            self.kubectl(
                "get", "--raw", "/readyz", f"--request-timeout={SECONDS_TO_ANSWER}s", timeout=2 * SECONDS_TO_ANSWER
            )
        except (ProgramFailed, TookTooLong) as failure:
            if isinstance(failure, ProgramFailed) and not TIMEOUT.search(failure.output):
                return
            server = self.kubectl("config", "view", "--minify", "--output", "jsonpath={.clusters[0].cluster.server}")
            raise TookTooLong(
                f"the Kubernetes API at {server} does not answer within {SECONDS_TO_ANSWER} s: the plugin kubernetes "
                "would wait longer for each custom resource, minutes in all; connect this machine to the cluster's "
                "network, or mend the API server, then run the same command again"
            ) from None

    def argocd(self) -> dict[str, list[dict[str, Any]]]:
        """Return all objects of Argo CD by kind, read in one request."""
        found: dict[str, list[dict[str, Any]]] = {"Application": [], "ApplicationSet": [], "AppProject": []}
        try:
            listed = json.loads(self.kubectl("--namespace", NAMESPACE, "get", ",".join(KINDS), "--output", "json"))
        except ProgramFailed as failure:
            if "the server doesn't have a resource type" in failure.output:
                return found
            raise
        for item in listed["items"]:
            found[item["kind"]].append(item)
        return found

    def objects(self, identities: Sequence[Identity]) -> list[dict[str, Any]]:
        """Return single objects with their managed fields; those that no longer exist are left out."""
        found = []
        options = ("--output", "json", "--show-managed-fields", "--ignore-not-found")
        for one in identities:
            scope = ("--namespace", one.namespace) if one.namespace else ()
            resource = f"{one.kind}.{one.group}" if one.group else one.kind
            text = self.kubectl(*scope, "get", resource, one.name, *options)
            if text.strip():
                found.append(json.loads(text))
        return found

    def has_secret(self, path: str) -> bool:
        """Return whether a Secret exists, by namespace and name."""
        namespace, _, name = path.partition("/")
        return bool(self.kubectl("--namespace", namespace, "get", "secret", name, "--ignore-not-found", "-o", "name"))

    def patch(self, name: str, change: dict[str, Any], kind: str = "application") -> None:
        """Change an Application, or another object of Argo CD."""
        options = ("--type", "merge", "--patch", json.dumps(change))
        self.kubectl("--namespace", NAMESPACE, "patch", kind, name, *options)

    def head(self, settings: Settings) -> str:
        """Return the commit of the stack's revision in Git; nothing where Git does not answer."""
        repository, revision = settings.delivery.repository, settings.delivery.revision
        if COMMIT.match(revision):
            return revision
        read_at, commit = self.heads.get(revision, (-SECONDS_BETWEEN_GIT_REQUESTS, ""))
        if time.monotonic() - read_at > SECONDS_BETWEEN_GIT_REQUESTS:
            commit = _head(repository, revision)
            self.heads[revision] = time.monotonic(), commit
        return commit

    def holds(self, settings: Settings, commit: str, folders: Sequence[str]) -> set[str]:
        """Return the folders that Git has at a commit; all of them where the commit is not known here."""
        return folders_at(commit, folders, programs.on_checkout(Path.cwd()))

    def pins(self, settings: Settings, commit: str) -> dict[str, str] | None:
        """Return the pins that Git has at a commit, by the paths of the folders; None where it is not known here."""
        return pins_at(commit, programs.on_checkout(Path.cwd()), settings.delivery.path)


def folders_at(commit: str, folders: Sequence[str], options: Sequence[str | Path], above: str = "") -> set[str]:
    """Return the folders that a Git repository has at a commit; all of them where it does not know the commit."""
    paths = {str(PurePosixPath(above, folder)): folder for folder in folders}
    if not paths or not commit:
        return set(folders)
    try:
        # git and not GitPython, whose import takes longer than this command.
        listed = programs.run("git", *options, "ls-tree", "--name-only", "-z", commit, "--", *paths).stdout
    except ProgramFailed:
        return set(folders)
    return {paths[name] for name in listed.split("\0") if name in paths}


def pins_at(commit: str, options: Sequence[str | Path], above: str) -> dict[str, str] | None:
    """Return the pins of a commit by the paths of their folders in the repository."""
    if not commit:
        return None
    top = str(PurePosixPath(above, APPS))
    try:
        # git and not GitPython, whose import takes longer than this command.
        programs.run("git", *options, "cat-file", "-e", f"{commit}^{{tree}}")
        files = (f":(top,glob){top}/*/*/*/{name}" for name in GENERATED_BY)
        asked = ("grep", "--full-name", "--no-color", "-z", "-e", REVISION, commit, "--", *files)
        listed = programs.run("git", *options, *asked).stdout
    except ProgramFailed as failure:
        return {} if failure.status == 1 and not failure.output.strip() else None
    found = {}
    for line in listed.splitlines():
        name, _, text = line.partition("\0")
        if pin := PIN.match(text):
            found[str(PurePosixPath(name.partition(":")[2]).parent)] = pin[1]
    return found


def refuse_kubeconfig(kubeconfig: str, stack: str) -> None:
    """Refuse a KUBECONFIG without a file that has content."""
    advice = f"pulumi stack output kubeconfig --stack {stack} --show-secrets > FILE writes one"
    if not kubeconfig:
        raise Declined(
            f"there is no rehearsal of {stack}, and KUBECONFIG is not set; {advice}, then: export KUBECONFIG=FILE"
        )
    files = [Path(name) for name in kubeconfig.split(os.pathsep) if name]
    if not any(file.is_file() and file.stat().st_size for file in files):
        state = "is an empty file" if any(file.is_file() for file in files) else "does not exist"
        raise Declined(f"KUBECONFIG = {kubeconfig}: {state}; {advice}; without KUBECONFIG the rehearsal is used")


@contextmanager
def with_kubeconfig(kubeconfig: str) -> Iterator[ArgoCDClient]:
    """Yield a client that uses the text of a kubeconfig, as the engine has it among a stack's outputs."""
    with TemporaryDirectory(prefix="homelab-") as folder:
        file = Path(folder) / "kubeconfig"
        write_private(file, kubeconfig)
        yield ArgoCDClient(dict(os.environ, KUBECONFIG=str(file)))


def kubectl_environment() -> dict[str, str]:
    """Return an environment that has kubectl."""
    return ensure(("kubectl",)).env()


def _head(repository: str, revision: str) -> str:
    """Read a revision from Git by full names: a bare name matches every ref that ends in it, such as feature/main."""
    names = ("HEAD",) if revision == "HEAD" else (f"refs/heads/{revision}", *_tags(f"refs/tags/{revision}"))
    names = _tags(revision) if revision.startswith("refs/") else names
    try:
        # git and not GitPython, which starts the same command without a timeout.
        asked = (*programs.on_checkout(Path.cwd()), "ls-remote", "--", repository, *names)
        listed = programs.run("git", *asked, timeout=20).stdout
    except (ProgramFailed, TookTooLong):
        return ""
    commits = {name: commit for commit, _, name in (line.partition("\t") for line in listed.splitlines())}
    return next((commits[name] for name in names if name in commits), "")


def _tags(name: str) -> tuple[str, ...]:
    """Return the names of a tag: the commit of an annotated tag comes before the tag object."""
    return f"{name}^{{}}", name
