"""Versions that moved between two renders: the images of both sides, and the steps between them.

Objects of both sides come in, `Moved`s go out. `ops.review.changes` makes a part of the report of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from manifests.comparison.alignment import Path, aligned
from manifests.comparison.difference import is_noise
from manifests.comparison.pairs import Pair
from manifests.comparison.references import ImageReference, Jump, full_name, jump, numbers, parsed
from manifests.fields import text
from manifests.objects import CRD, Identity, Object, identity

FIELD = re.compile(r"(?:.*I|i)mage(?:Name)?\Z")
VARIABLE = re.compile(r"(?:[A-Z0-9]+_)*IMAGE(?:_[A-Z0-9]+)*\Z")
ARGUMENT = re.compile(r"--[\w.-]+=(?P<reference>[\w-]+(?:\.[\w-]+)+(?::\d+)?/\S+)\Z")


@dataclass(frozen=True)
class Moved:
    """An image whose tag or digest is another one after the change."""

    name: str
    before: str
    after: str
    digest_before: str
    digest_after: str
    jump: Jump


def images(objects: Iterable[Object]) -> frozenset[ImageReference]:
    """Return the images that objects name: in workloads, and in the fields, variables and arguments of others."""
    return frozenset(image for item in objects if item.get("kind") != CRD for image in _images(item, ()))


def _images(value: Any, path: Path) -> Iterator[ImageReference]:
    if image := _image_at(path, value):
        yield image
    elif isinstance(value, dict):
        name = (text(value, "name"),)
        for key, inner in value.items():
            yield from _images(inner, (*path[:-1], name, key) if key == "value" else (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _images(inner, (*path, place))


def _image_at(path: Path, value: Any) -> ImageReference | None:
    """Return the image of a field; the path of a variable has its name, as that of an aligned object does."""
    key, above = path[-1] if path else "", path[-2] if len(path) > 1 else ""
    if isinstance(value, dict):
        return _described(value)
    if not isinstance(value, str) or "://" in value:
        return None
    if isinstance(key, str) and (FIELD.match(key) or VARIABLE.match(key)):
        return parsed(value)
    if key == "reference" and above == "image":
        return parsed(value)
    if key == "value" and isinstance(above, tuple) and VARIABLE.match(str(above[0])):
        return parsed(value)
    found = ARGUMENT.match(value) if above in ("args", "command") else None
    return parsed(found["reference"]) if found else None


def _described(value: Mapping[str, Any]) -> ImageReference | None:
    """Return an image that is described by its parts, as the values of charts do."""
    registry, name, tag, digest = (value.get(key) for key in ("registry", "repository", "tag", "digest"))
    if not isinstance(name, str) or not name or "://" in name or not (isinstance(tag, str) or isinstance(digest, str)):
        return None
    whole = f"{registry}/{name}" if isinstance(registry, str) and registry else name
    return ImageReference(full_name(whole), text(tag), text(digest))


def moved(before: Iterable[Object], after: Iterable[Object]) -> list[Moved]:
    """Return the images that are on both sides in different versions.

    In an object that both sides have, the field decides which versions belong together; of all others, the order of
    the versions of one name.
    """
    one, other = _by_identity(before), _by_identity(after)
    pairs = [pair for name in one.keys() & other.keys() for pair in zip(one[name], other[name], strict=False)]
    steps = {step for pair in pairs for step in _steps(*pair)}
    old, new = (images(chain(*side.values())) for side in (one, other))
    gone, come = (
        _by_name(own - others - {step[place] for step in steps})
        for place, (own, others) in enumerate(((old, new), (new, old)))
    )
    for name in gone.keys() & come.keys():
        last = gone[name][-1], come[name][-1]
        steps |= {(was or last[0], now or last[1]) for was, now in zip_longest(gone[name], come[name])}
    return [
        Moved(was.name, was.tag, now.tag, was.digest, now.digest, jump(was.tag, now.tag))
        for was, now in sorted(steps, key=lambda step: [_order(image) for image in step])
    ]


def replaced(before: Object, after: Object) -> list[tuple[str, str]]:
    """Return the names of the images that another image takes the place of, with the names of those."""
    found = _steps(before, after, of_one_name=False)
    return sorted({(old.name, new.name) for old, new in found})


def _by_identity(objects: Iterable[Object]) -> Mapping[Identity, list[Object]]:
    found: defaultdict[Identity, list[Object]] = defaultdict(list)
    for item in objects:
        if item.get("kind") != CRD:
            found[identity(item)].append(item)
    return found


def _steps(before: Object, after: Object, *, of_one_name: bool = True) -> set[tuple[ImageReference, ImageReference]]:
    """Return the images of one object that moved in their place, or those that another one replaced."""
    found = set()

    def note(path: Path, one: Any, other: Any) -> bool:
        old, new = _image_at(path, one), _image_at(path, other)
        if old and new and old != new and (old.name == new.name) is of_one_name:
            found.add((old, new))
        return False

    aligned(before, after, note)
    return found


def _by_name(found: Iterable[ImageReference]) -> Mapping[str, list[ImageReference]]:
    names: defaultdict[str, list[ImageReference]] = defaultdict(list)
    for image in sorted(found, key=_order):
        names[image.name].append(image)
    return names


def _order(image: ImageReference) -> tuple[str, list[int], str, str]:
    return image.name, numbers(image.tag), image.tag, image.digest


def is_version_only(pair: Pair) -> bool:
    """Return whether an object differs in images and noise alone; any other field is more than a version."""
    if pair.before is None or pair.after is None:
        return False
    names_images = pair.after.get("kind") != CRD  # in a schema an image is a default
    described: set[Path] = set()

    def is_small(path: Path, before: Any, after: Any) -> bool:
        one, other = (_image_at(path, side) if names_images else None for side in (before, after))
        same = one is not None and other is not None and one.name == other.name
        if isinstance(before, dict):  # its other fields count too
            described.update([path] if same else [])
            return False
        if path[-1] in ("tag", "digest") and path[:-1] in described:
            return True
        return same or is_noise(pair, path, before, after)

    return aligned(pair.before, pair.after, is_small).is_equal
