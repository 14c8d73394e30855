"""Remote bases in the user's cache: what a kustomization refers to by URL, localized once.

An URL goes in, the copy's folder comes out. `CachedBases.fetch` is the only place that clones; it lets kustomize do it,
with the operator's own git and its credentials, so that the copy is what `kustomize build` would have read. The digest
of the copy is remembered (`manifests.receipts`): another content under the same URL, as after a tag was moved, is
refused. `manifests.render` continues.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import programs
from local.cache import locked
from manifests import kubernetes_yaml, receipts
from manifests.receipts import Receipt
from manifests.sources import environment, new_entry, originals, slug

SLOW = 300.0
ENTRY = "entry"


@dataclass(frozen=True)
class CachedBases:
    """The remote bases of the user's cache."""

    home: Path = field(default_factory=lambda: originals() / "bases")
    verified: set[Path] = field(default_factory=set, compare=False, repr=False)

    def base(self, url: str, version: str = "") -> Path | None:
        """Return the copy of a folder or file if it was fetched and no file of it has changed since."""
        kept = self.home / slug(url)
        try:
            entry = kept / (kept / ENTRY).read_text(encoding="utf-8")
        except OSError:
            return None
        if not entry.exists():
            return None
        if kept not in self.verified:
            if not receipts.is_intact(kept, self.receipt(url)):
                return None
            self.verified.add(kept)
        return entry

    def is_damaged(self, url: str) -> bool:
        """Report whether there is an entry that cannot be used."""
        return (self.home / slug(url)).exists() and self.base(url) is None

    def receipt(self, url: str) -> Path:
        """Return the file in which the copy's digest is remembered."""
        return self.home / f"{slug(url)}.json"

    def fetch(self, url: str, env: Mapping[str, str] | None = None, timeout: float = SLOW) -> Path:
        """Fetch an URL unless it is cached, whole or not at all."""
        kept, receipt = self.home / slug(url), self.receipt(url)
        with locked(self.home / f".lock-{kept.name}"):
            found = self.base(url)
            if found:
                return found
            with new_entry(kept) as fresh:
                _localize(url, fresh, environment(env), timeout)
                content = receipts.content_of(fresh / "entry")
                taken = Receipt(url, content, "", content)
                receipts.check(receipt, taken)
                receipts.write(receipt, taken)
            return kept / (kept / ENTRY).read_text(encoding="utf-8")


def _localize(url: str, into: Path, env: dict[str, str], timeout: float) -> None:
    """Run kustomize on a kustomization of this URL alone, and write the path of the copy."""
    asking, kept = into / "asking", into / "entry"
    asking.mkdir()
    (asking / "kustomization.yaml").write_text(f"resources: [{json.dumps(url)}]\n", encoding="utf-8")
    programs.run("kustomize", "localize", asking, kept, "--no-verify", env=env, timeout=timeout)
    written = kept / "kustomization.yaml"
    entry = kubernetes_yaml.document(written.read_text(encoding="utf-8"))["resources"][0]
    written.unlink()
    (kept / ENTRY).write_text(str(entry), encoding="utf-8")
