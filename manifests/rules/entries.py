"""Entries of the secret store: each is declared beside its reader, in one way, and the foundation needs no account.

An application reads and writes its own entries alone. The objects of a stack come in, findings go out;
`manifests.secret_entries` reads the objects.
"""

from __future__ import annotations

from collections.abc import Iterator

from config.rules import rule
from config.source import KeyPath
from config.tree import App
from manifests.fields import at, entries, mapping, mappings, text
from manifests.objects import notes
from manifests.rules.stack_objects import AppObject, ObjectFinding, StackObjects
from manifests.secret_entries import ENTRIES, HOW, STORE, StoreEntry, declarations, entry, read_by

EVERY = "*"
ANNOTATION = ("metadata", "annotations", ENTRIES)


@rule(
    "entry-declared-twice",
    scope="stack",
    why="One entry has one value: a random one for the first app would be wrong for the second.",
)
@rule("entry-malformed", scope="stack", why="`./homelab secrets` could not report where the value comes from.")
@rule(
    "entry-undeclared",
    scope="stack",
    why="`./homelab secrets` would neither list nor create it, and the app would wait for ever.",
)
@rule("entry-unread", scope="stack", why="An operator would look for a value that no app needs.")
@rule("foundation-needs-entry", scope="stack", why="An account that does not exist would block every application.")
def declared(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require one origin for each entry, the same everywhere, and a reader for each declaration."""
    first: dict[str, tuple[StoreEntry, AppObject]] = {}
    for obj in objects.of("ExternalSecret"):
        listed, readings = declarations(obj.item), list(read_by(obj.item))
        if listed is None:
            written = notes(obj.item)[ENTRIES].strip()
            yield ObjectFinding(
                "entry-malformed", obj, ANNOTATION, written, "is no map of entries", "write ENTRY: random"
            )
            continue
        for reading in readings:
            if reading.name not in listed:
                rule = f"is an entry of the secret store that the annotation {ENTRIES} does not declare"
                yield ObjectFinding("entry-undeclared", obj, reading.path, reading.name, rule, f"{HOW} for it")
        for name, how in listed.items():
            one = entry(name, how)
            if one is None:
                yield ObjectFinding("entry-malformed", obj, ANNOTATION, f"{name}: {how}", "has no known form", HOW)
            elif name not in {reading.name for reading in readings}:
                rule = "is declared and not read"
                yield ObjectFinding("entry-unread", obj, ANNOTATION, name, rule, "remove it from the annotation")
            elif (other := first.setdefault(name, (one, obj)))[0] != one:
                rule = f"is declared in another way by {other[1]} of {other[1].app.folder}"
                yield ObjectFinding(
                    "entry-declared-twice", obj, ANNOTATION, f"{name}: {how}", rule, "declare it in one way"
                )
            if one and one.origin == "given" and not one.optional and obj.app.name in obj.folder.settings.foundation:
                rule = "comes from outside, and the app is of the foundation that all applications wait for"
                fix = f"take {obj.app.name} out of `foundation` in {obj.folder.path}/category.yaml"
                yield ObjectFinding("foundation-needs-entry", obj, ANNOTATION, name, rule, fix)


@rule(
    "secret-foreign",
    scope="stack",
    why="The store returns every entry by its name: one app could read the token of another.",
)
def foreign(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require entries of an application to begin with its own name or its category's."""
    asked = [(obj, *one) for obj in objects.of("ExternalSecret", "PushSecret") for one in _asked(obj)]
    readers: dict[str, set[App]] = {}
    for obj, _, name in asked:
        readers.setdefault(name, set()).add(obj.app)
    owners: dict[str, set[str]] = {}
    for obj in objects.all:
        owners.setdefault(obj.app.name, set()).add(obj.app.label)
        owners.setdefault(obj.app.category, set()).add(obj.app.category)
    for obj, path, name in asked:
        if obj.folder.settings.layer == "applications" and (whose := _whose(obj, name, readers, owners)):
            fix = f"name it {obj.app.name}-..., or accept it with a reason"
            yield ObjectFinding("secret-foreign", obj, path, name, whose, fix)


def _whose(obj: AppObject, name: str, readers: dict[str, set[App]], owners: dict[str, set[str]]) -> str:
    """Return the reason why an entry is not the app's own, nothing where it is."""
    app = obj.app
    if name == EVERY:
        return "reads or writes entries by a pattern: every app's may fit"
    others = sorted(one.label for one in readers[name] if one.category != app.category)
    if others:
        return f"is an entry of {others[0]}"
    longest = max((one for one in owners if f"{name}-".startswith(f"{one}-")), key=len, default="")
    own = {app.label, app.category}
    if not longest:
        return f"begins with the name of neither {app.name} nor {app.category}"
    return "" if owners[longest] & own else f"is an entry of {min(owners[longest])} by its name"


def _asked(obj: AppObject) -> Iterator[tuple[KeyPath, str]]:
    """Yield each entry of the store that an object reads or writes."""
    if obj.kind == "PushSecret":
        for index, one in enumerate(mappings(obj.spec, "data")):
            yield ("spec", "data", index, "match", "remoteRef"), text(one, "match", "remoteRef", "remoteKey") or EVERY
        if entries(obj.spec, "dataTo"):
            yield ("spec", "dataTo"), EVERY
        return
    everywhere = _is_store(mapping(obj.spec, "secretStoreRef"))
    for index, one in enumerate(mappings(obj.spec, "data")):
        named = at(one, "sourceRef", "storeRef")
        if _is_store(named) if named else everywhere:
            yield ("spec", "data", index, "remoteRef", "key"), text(one, "remoteRef", "key") or EVERY
    for index, one in enumerate(mappings(obj.spec, "dataFrom")):
        named = at(one, "sourceRef", "storeRef")
        if (_is_store(named) if named else everywhere) and not at(one, "sourceRef", "generatorRef"):
            yield ("spec", "dataFrom", index), text(one, "extract", "key") or EVERY


def _is_store(reference: object) -> bool:
    return text(reference, "kind") == "ClusterSecretStore" and text(reference, "name") == STORE
