"""`./homelab check --online --write-digests`: digests, checksums and commits, written behind the versions of the tree.

A validation and the answers from online come in. In the files of the checkout, the lines that pin an image, a plugin or
a base by its version alone are rewritten; a report lists the changes, and the versions that have no line of their own.
A pin that has a digest is not changed: another answer for it is a problem that `ops.checking.online` reports.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import requests

from config import files
from config.pins import IS_COMMIT, reference
from config.tree import MANIFESTS
from errors import Problem
from manifests.rules import base_pins
from ops.checking.digests import ControllerPlugin, has_digest, plugins
from ops.checking.online import Online
from ops.checking.validation import Validation
from ops.upstream.guarded_session import TIMEOUT, GuardedSession, is_public
from ops.upstream.registries import State

LINE_END = "\n"
LARGEST = 512 << 20
CHUNK = 1 << 20
IMAGE_LINE = re.compile(r"\s*(?:- )?(?:.*[{,]\s*)?[\"']?(?:image|imageName)[\"']?:\s")
Line = Callable[[str], str]


def write(validation: Validation, online: Online) -> tuple[list[str], list[Problem]]:
    """Write the digests; return a line for each one, written or without a place, and the problems of changed ones."""
    problems: list[Problem] = []
    told = [*_images(validation, online), *_bases(validation, online), *_plugins(validation, problems)]
    return told or ([] if problems else ["everything that has a place for a digest has one"]), problems


def _images(validation: Validation, online: Online) -> Iterator[str]:
    there = {row.name: row.answer.digest for row in online.rows if row.kind == "image" and not has_digest(row.name)}
    paths = sorted({file for found in validation.contents.values() for file in found.files if file.endswith(MANIFESTS)})
    for image, digest in sorted(there.items()):
        if not digest:
            yield f"image {image}: no digest"
            continue
        # A letter would continue the tag, and an at sign begins a digest that is already there.
        named = re.compile(rf"(?<![\w./@-]){re.escape(image)}(?![\w.@:/+-])")

        def pin(line: str, named: re.Pattern[str] = named, new: str = f"{image}@{digest}") -> str:
            return named.sub(new, line) if IMAGE_LINE.match(line) else line

        changed = [path for path in paths if _rewrite(validation.root, path, pin)]
        yield (
            f"image {image}: {digest}"
            if changed
            else f"image {image}: written in no line of its own, by a chart's values"
        )
        yield from (f"  {path}" for path in changed)


def _bases(validation: Validation, online: Online) -> Iterator[str]:
    commits = {
        row.name: row.answer.digest for row in online.rows if row.kind == "base" and row.answer.state is State.THERE
    }
    for base in sorted({one for found in validation.contents.values() for one in found.bases}, key=lambda one: one.url):
        commit, tag = commits.get(base.url, ""), reference(base.url)
        if not commit or IS_COMMIT.match(tag):
            continue
        new = base.url.replace(f"ref={tag}", f"ref={commit}")
        if not base_pins.by_commit(new):
            yield f"base {base.url}: not written, its reference is no plain ref={tag}; write ?ref={commit} # {tag}"
            yield f"  {base.file}"
        elif _rewrite(validation.root, base.file, _with_commit(base.url, new, tag)):
            yield f"base {base.url}: {commit}"
            yield f"  {base.file}: the annotation that accepts {base_pins.CHECK} can go"
        else:
            yield f"base {base.url}: has no line of its own in {base.file}; write `- {new} # {tag}`"


def _with_commit(url: str, new: str, tag: str) -> Line:
    """Return the change of a line with a base's URL; another comment behind it moves to a line above."""

    def pin(line: str) -> str:
        found = re.fullmatch(rf"(\s*)(-\s+)([\"']?){re.escape(url)}\3(?:\s+#\s*(.*?))?\s*", line)
        if not found:
            return line
        comment = f"{found[1]}# {found[4]}\n" if found[4] and found[4] != tag else ""
        return f"{comment}{found[1]}{found[2]}{found[3]}{new}{found[3]} # {tag}\n"

    return pin


def _plugins(validation: Validation, problems: list[Problem]) -> Iterator[str]:
    for plugin in plugins(validation):
        try:
            found = checksum(plugin.location)
        except (requests.RequestException, ValueError) as error:
            yield f"plugin {plugin.location}: {' '.join(str(error).split())[:120]}"
            continue
        if plugin.sha256 and plugin.sha256 != found:
            rule = f"is not the checksum of the file at its location: {found}"
            fix = "ask its publisher why, and correct it"
            problems.append(Problem(plugin.file, 0, "sha256", plugin.sha256, rule, fix, "digest-differs"))
        elif plugin.sha256:
            continue
        elif _rewrite(validation.root, plugin.file, _with_checksum(plugin, found)):
            yield f"plugin {plugin.location}: sha256:{found}"
            yield f"  {plugin.file}"
        else:
            yield f"plugin {plugin.location}: has no line of its own in {plugin.file}; write sha256: {found}"


def _with_checksum(plugin: ControllerPlugin, found: str) -> Line:
    def pin(line: str) -> str:
        at = re.fullmatch(rf"(\s+)(- )?location: ([\"']?){re.escape(plugin.location)}\3(?:\s+#.*)?\s*", line)
        return f"{line.removesuffix(LINE_END)}\n{at[1]}{'  ' if at[2] else ''}sha256: {found}\n" if at else line

    return pin


def checksum(url: str) -> str:
    """Return the SHA-256 of the content of a URL."""
    if not is_public(url):
        raise ValueError("leads to this machine or its network, or is not https")
    digest, size = hashlib.sha256(), 0
    with GuardedSession() as session, session.get(url, timeout=TIMEOUT, stream=True) as answer:
        answer.raise_for_status()
        for part in answer.iter_content(CHUNK):
            size += len(part)
            if size > LARGEST:
                raise ValueError(f"is larger than {LARGEST >> 20} MiB")
            digest.update(part)
    return digest.hexdigest()


def _rewrite(root: Path, path: str, change: Line) -> bool:
    """Write a file of the checkout with some lines changed; return whether a line was changed."""
    place = root / path
    lines = files.content(place, root=root).decode("utf-8", "surrogateescape").splitlines(keepends=True)
    changed = [change(line) for line in lines]
    if changed == lines:
        return False
    place.write_bytes("".join(changed).encode("utf-8", "surrogateescape"))
    return True
