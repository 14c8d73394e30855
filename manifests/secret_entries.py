"""The entries of the secret store that objects read, and the annotation with the origin of each value.

    homelab.dev/entries: |
      sonarr-api-key: random hex 32
      grafana-username: text admin
      cloudflare-token: given, an API token with Zone Read and DNS Edit

An ExternalSecret comes in; the entries that it reads and those that it declares go out. `manifests.rules.entries`
compares the two, `ops.secrets` lists and makes entries, and `lab.secret_store` fills the simulated store with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from config.source import KeyPath
from manifests.fields import mapping, mappings, text
from manifests.objects import notes

ENTRIES = "homelab.dev/entries"
STORE = "homelab"
Origin = Literal["random", "text", "given"]
FORM = re.compile(
    r"(?P<random>random(?: (?P<hex>hex))?(?: (?P<length>[1-9]\d{0,3}))?)\Z"
    r"|text (?P<text>\S+)\Z|given(?P<optional> or none)?, (?P<given>\S.*)\Z"
)
HOW = (
    "write `random`, `random 32`, `random hex 32`, `text VALUE`, `given, WHERE IT COMES FROM` or, where the app starts "
    "without it, `given or none, WHERE IT COMES FROM`"
)
LENGTH = 40


@dataclass(frozen=True, order=True)
class StoreEntry:
    """One entry of the store: its name and the origin of its value."""

    name: str
    origin: Origin
    detail: str = ""
    """The text of a fixed value, or the origin of a given one."""
    length: int = LENGTH
    hexadecimal: bool = False
    optional: bool = False
    """Whether its readers start without a real value."""


@dataclass(frozen=True, order=True)
class Reading:
    """One reference of an object to an entry."""

    path: KeyPath
    name: str
    part: str


def entry(name: str, declared: object) -> StoreEntry | None:
    """Return the entry that a declaration describes; nothing where it has no known form."""
    found = FORM.match(declared) if isinstance(declared, str) else None
    if not found:
        return None
    if found["random"]:
        return StoreEntry(name, "random", "", int(found["length"] or LENGTH), bool(found["hex"]))
    if found["text"]:
        return StoreEntry(name, "text", found["text"])
    return StoreEntry(name, "given", found["given"], optional=bool(found["optional"]))


def declarations(item: Any) -> dict[str, Any] | None:
    """Return the text of an object's declaration of entries, None if it is not a map."""
    try:
        written = yaml.safe_load(notes(item).get(ENTRIES, "{}"))
    except yaml.YAMLError:
        return None
    return {str(name): how for name, how in written.items()} if isinstance(written, dict) else None


def declared(item: Any) -> dict[str, StoreEntry]:
    """Return the entries that an object declares in a known form, by their names."""
    found = ((name, entry(name, how)) for name, how in (declarations(item) or {}).items())
    return {name: one for name, one in found if one}


def read_by(item: Any) -> Iterator[Reading]:
    """Yield every entry of the store that an ExternalSecret reads by its name."""
    spec = mapping(item, "spec")
    if mapping(spec, "secretStoreRef") != {"kind": "ClusterSecretStore", "name": STORE}:
        return
    for index, one in enumerate(mappings(spec, "data")):
        if key := text(one, "remoteRef", "key"):
            yield Reading(("spec", "data", index, "remoteRef", "key"), key, text(one, "remoteRef", "property"))
    for index, one in enumerate(mappings(spec, "dataFrom")):
        if key := text(one, "extract", "key"):
            yield Reading(("spec", "dataFrom", index, "extract", "key"), key, text(one, "extract", "property"))
