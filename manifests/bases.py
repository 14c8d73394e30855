"""Remote bases in the user's cache: what a kustomization refers to by URL, localized once and explicitly.

An URL goes in, the copy's folder comes out. `CachedBases.fetch` is the only place that clones; it lets kustomize do it,
with the operator's own git and its credentials, so that what is kept is what `kustomize build` would have read.
`manifests.render` continues.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import programs
from manifests import reading
from manifests.sources import cache, environment, locked, slug

SLOW = 300.0
ENTRY = "entry"


@dataclass(frozen=True)
class CachedBases:
    """The remote bases of the user's cache."""

    home: Path = field(default_factory=lambda: cache() / "bases")

    def base(self, url: str) -> Path | None:
        """Give the copy of a folder or file if it was fetched."""
        kept = self.home / slug(url)
        try:
            entry = kept / (kept / ENTRY).read_text(encoding="utf-8")
        except OSError:
            return None
        return entry if entry.exists() else None

    def fetch(self, url: str, env: Mapping[str, str] | None = None) -> Path:
        """Localize an URL unless it is there, whole or not at all."""
        kept = self.home / slug(url)
        with locked(self.home / f".lock-{kept.name}"):
            found = self.base(url)
            if found:
                return found
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=self.home) as fresh:
                _localize(url, Path(fresh), environment(env))
                shutil.rmtree(kept, ignore_errors=True)
                (Path(fresh) / "kept").rename(kept)
            return kept / (kept / ENTRY).read_text(encoding="utf-8")


def _localize(url: str, into: Path, env: dict[str, str]) -> None:
    """Let kustomize copy what a kustomization of nothing but this URL needs, and note where it put it."""
    asking = into / "asking"
    asking.mkdir()
    (asking / "kustomization.yaml").write_text(f"resources: [{json.dumps(url)}]\n", encoding="utf-8")
    programs.run("kustomize", "localize", asking, into / "kept", "--no-verify", env=env, timeout=SLOW)
    written = into / "kept" / "kustomization.yaml"
    entry = reading.document(written.read_text(encoding="utf-8"))["resources"][0]
    written.unlink()
    (into / "kept" / ENTRY).write_text(str(entry), encoding="utf-8")
