"""Remote bases by commit, and the versions in their comments.

The text of a kustomization comes in, the version behind each URL goes out. A commit cannot be moved, and does not show
its version; `- https://…?ref=<commit> # v1.2.3` has a hash for programs and a version for people, and Renovate raises
both. `config.tree` and `manifests.contents` read the versions, `manifests.rules.base_pins` requires the commits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

COMMIT = r"[0-9a-f]{40}"
IS_COMMIT = re.compile(rf"{COMMIT}\Z")
# A prefix before the number, as in controller-v1.10.0, has a limit: `manifests.contents` accepts the same.
PREFIX = r"(?:[\w.-]{1,60}[-/])?"
COMMENTED = re.compile(
    rf"[ \t]*-[ \t]+([\"']?)(?P<url>[^\s\"'#]+)\1[ \t]+#[ \t]*(?P<version>{PREFIX}v?\d[\w.+-]*)[ \t]*\Z"
)


def references(url: str) -> Mapping[str, list[str]]:
    """Return the values of `ref` and `version` in a URL as Go reads them, with escapes in the keys decoded."""
    found: dict[str, list[str]] = {"ref": [], "version": []}
    for key, value in parse_qsl(url.partition("?")[2], keep_blank_values=True):
        if key in found:
            found[key].append(value)
    return found


def reference(url: str) -> str:
    """Return the reference that kustomize checks out: the first `ref`, else the first `version`."""
    found = references(url)
    return (found["ref"] or [""])[0] or (found["version"] or [""])[0]


def versions(text: str) -> Mapping[str, str]:
    """Return the version in the comment behind each URL of a list."""
    found = filter(None, map(COMMENTED.match, text.splitlines()))
    return {one["url"]: one["version"] for one in found if "?" in one["url"] or "://" in one["url"]}
