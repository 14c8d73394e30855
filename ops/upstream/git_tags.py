"""The current commit of a tag of a remote base: its host's answer to `git ls-remote`, which follows no redirect.

A base comes in; an `Answer` whose digest is the commit goes out. Credentials are the operator's own, and git never
prompts for any. `ops.checking.online` compares it with the commit in the tree, `ops.checking.digest_writer` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import programs
from config.pins import IS_COMMIT, reference
from errors import ProgramFailed, TookTooLong
from manifests import boundary
from manifests.contents import WantedBase
from manifests.sources import environment
from ops.upstream.registries import Answer, State

TIMEOUT = 30.0
GITHUB = re.compile(r"(?P<repository>(?:https?://|ssh://(?:git@)?)?github\.com/[^/?]+/[^/?]+)")
MARKED = re.compile(r"(?P<repository>\w+://[^?]+?(?:\.git(?=/|\Z)|(?=//)))")


def repository_of(url: str) -> str:
    """Return the repository of a base as kustomize finds it, or nothing where only a clone could find it."""
    place = url.removeprefix("git::").partition("?")[0]
    found = GITHUB.match(place) or MARKED.match(place)
    if not found:
        return ""
    return found["repository"] if "://" in found["repository"] else f"https://{found['repository']}"


def tag_of(base: WantedBase) -> str:
    """Return the tag of a base: the version behind its commit, or its reference."""
    named = reference(base.url)
    return base.version if IS_COMMIT.match(named) else named


def ask(base: WantedBase, env: Mapping[str, str] | None = None) -> Answer:
    """Read the commit of a base's tag from its host, and compare it with the commit that the base references."""
    repository, tag = repository_of(base.url), tag_of(base)
    if boundary.remote_rule(repository) or not boundary.HARMLESS_REFERENCE.match(tag):
        return Answer(State.SILENT, "has a repository or a tag that gets no request")
    quiet = environment(env) | {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": ""}
    names = (f"refs/tags/{tag}", f"refs/tags/{tag}^{{}}")
    try:
        options = (*programs.on_checkout(Path.cwd()), "-c", "http.followRedirects=false")
        asked = (*options, "ls-remote", "--", repository, *names)
        # git and not GitPython, which starts the same command without a timeout.
        listed = programs.run("git", *asked, env=quiet, timeout=TIMEOUT).stdout
    except (ProgramFailed, TookTooLong) as error:
        return Answer(State.SILENT, " ".join(str(error).split())[-120:])
    found = {name: commit for commit, _, name in (line.partition("\t") for line in listed.splitlines())}
    commit = found.get(names[1]) or found.get(names[0], "")
    if not IS_COMMIT.match(commit):
        return Answer(State.MISSING, f"no tag {tag}")
    named = reference(base.url)
    if IS_COMMIT.match(named) and named != commit:
        return Answer(State.DIFFERENT, f"the tag {tag} is {commit}", commit)
    return Answer(State.THERE, "", commit)
