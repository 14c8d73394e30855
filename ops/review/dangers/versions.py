"""Dangers of versions: major steps, steps back, and tags that are not those of their content."""

from __future__ import annotations

from collections.abc import Iterator

from ops.review.dangers.rules import rule
from ops.review.report import Danger, VersionChange

MAJOR = {"chart": "major-chart-bump", "image": "major-image-bump", "base": "major-base-bump"}


@rule("major-chart-bump", reads="version", why="Values change their names and meanings, and objects theirs.")
@rule("major-image-bump", reads="version", why="Data may be migrated, and the old version cannot read it afterwards.")
@rule("major-base-bump", reads="version", why="APIs may disappear, with the objects that use them.")
def major(subject: VersionChange) -> Iterator[Danger]:
    """Yield major steps."""
    if subject.jump == "major" and subject.kind in MAJOR:
        yield _danger(MAJOR[subject.kind], subject, f"{subject.before} → {subject.after}")


@rule("downgrade", reads="version", why="Data that the newer version wrote may be unreadable to the older one.")
def lowered(subject: VersionChange) -> Iterator[Danger]:
    """Yield versions that are older than before; the settings have a danger of their own for the platform's."""
    if subject.jump == "downgrade" and subject.kind != "platform":
        yield _danger("downgrade", subject, f"{subject.before} → {subject.after}")


@rule("tag-without-digest", reads="version", why="The registry decides at each pull what the tag means.")
@rule(
    "digest-changed-under-tag", reads="version", why="The content was replaced under its name, by its owner or another."
)
@rule("digest-stale", reads="version", why="The digest decides: the old image runs on under the name of the new one.")
def digests(subject: VersionChange) -> Iterator[Danger]:
    """Yield images that lose their digest or keep that of another tag, and tags with another content than before."""
    if subject.digest_before and not subject.digest_after and subject.after:
        reason = f"{subject.before} had a digest, {subject.after} has none"
        yield _danger("tag-without-digest", subject, reason)
    if subject.digest_after and subject.digest_before == subject.digest_after and subject.before != subject.after:
        reason = f"{subject.before} → {subject.after}, and both have {_short(subject.digest_after)}"
        yield _danger("digest-stale", subject, reason)
    digests = {subject.digest_before, subject.digest_after} - {""}
    if subject.before and subject.before == subject.after and len(digests) > 1:
        reason = f"{subject.after}: {_short(subject.digest_before)} → {_short(subject.digest_after)}"
        yield _danger("digest-changed-under-tag", subject, reason)


def _short(digest: str) -> str:
    return digest[: len("sha256:") + 12]


def _danger(name: str, subject: VersionChange, reason: str) -> Danger:
    return Danger(rule=name, where=f"{subject.app}: {subject.name}", reason=reason, stacks=subject.stacks)
