"""Entries of the secret store: each is declared beside its reader, in one way, and the foundation needs no account.

A scene comes in, findings go out; `manifests.entries` reads the objects.
"""

from __future__ import annotations

from collections.abc import Iterator

from manifests.entries import ENTRIES, HOW, Entry, declarations, entry, read_by
from manifests.objects import notes
from manifests.rules.scene import Finding, Piece, Scene

ANNOTATION = ("metadata", "annotations", ENTRIES)


def declared(scene: Scene) -> Iterator[Finding]:
    """An entry says where its value comes from, everywhere the same, and nothing is declared that is not read."""
    first: dict[str, tuple[Entry, Piece]] = {}
    for piece in scene.of("ExternalSecret"):
        said, readings = declarations(piece.item), list(read_by(piece.item))
        if said is None:
            written = notes(piece.item)[ENTRIES].strip()
            yield Finding("entry-malformed", piece, ANNOTATION, written, "is no map of entries", "write ENTRY: random")
            continue
        for reading in readings:
            if reading.name not in said:
                rule = f"is an entry of the secret store that the annotation {ENTRIES} does not declare"
                yield Finding("entry-undeclared", piece, reading.path, reading.name, rule, f"{HOW} for it")
        for name, how in said.items():
            one = entry(name, how)
            if one is None:
                yield Finding("entry-malformed", piece, ANNOTATION, f"{name}: {how}", "has no known form", HOW)
            elif name not in {reading.name for reading in readings}:
                rule = "is declared and not read"
                yield Finding("entry-unread", piece, ANNOTATION, name, rule, "remove it from the annotation")
            elif (other := first.setdefault(name, (one, piece)))[0] != one:
                rule = f"is declared in another way by {other[1]} of {other[1].app.path}"
                yield Finding(
                    "entry-declared-twice", piece, ANNOTATION, f"{name}: {how}", rule, "declare it in one way"
                )
            if (
                one
                and one.origin == "given"
                and not one.optional
                and piece.app.name in piece.folder.settings.foundation
            ):
                rule = "comes from outside, and the app is of the foundation that all applications wait for"
                fix = f"take {piece.app.name} out of `foundation` in {piece.folder.path}/category.yaml"
                yield Finding("foundation-needs-entry", piece, ANNOTATION, name, rule, fix)
