"""The texts of dangers without credentials: names and paths in them come from manifests."""

from __future__ import annotations

from functools import lru_cache

from manifests.redact import covered

LONGEST = 400


def reason_of(text: str) -> str:
    """Return a covered reason of bounded length: an object can have thousands of hosts or permissions."""
    return covered_text(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


@lru_cache(maxsize=4096)  # a word or a reason that many dangers share is read once
def covered_text(text: str) -> str:
    """Return a text in which everything that looks like a credential is covered."""
    return str(covered(text, lambda value: "(redacted)"))


def place_of(where: str) -> str:
    """Return a place, covered word by word: `token: Secret a` would look like the credential of a token."""
    return " ".join(covered_text(word) for word in where.split(" "))
