"""The images, charts, Talos images and programs of a tree that have no digest: their version alone pins them.

A validation comes in, counts go out; no request leaves this machine. Git has no place for the digest of a chart: that
of a fetched one is in the user's cache. `ops.check` prints one line; `ops.checking.digest_writer` writes the digests
that have a place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from components.machines.images import images_of, path
from manifests.charts import CachedCharts
from manifests.fields import mapping, mappings, text
from manifests.rules.workloads import IMAGE
from ops.checking.online import wanted_images
from ops.checking.validation import Validation
from ops.terminal import count

COMMAND = "./homelab check --online --write-digests"


@dataclass(frozen=True, order=True)
class ControllerPlugin:
    """A program that a chart's values have a controller download."""

    file: str
    location: str
    sha256: str


def line(validation: Validation) -> str:
    """Return one line that counts the missing digests, or nothing where none is missing."""
    counted = [one for one in _counts(validation) if one[1]]
    told = ", ".join(f"{without} of {count(of, kind)}" for kind, without, of in counted)
    return f"without a digest: {told}; {COMMAND} writes those of images and programs" if told else ""


def _counts(validation: Validation) -> Iterator[tuple[str, int, int]]:
    images = wanted_images([validation.stack_objects(stack) for stack in validation.stacks])
    yield "image", sum(not has_digest(one) for one in images), len(images)
    charts = {one.chart for found in validation.contents.values() for one in found.charts}
    cached = CachedCharts()
    yield "chart", sum(not cached.receipt(one).is_file() for one in charts if one.is_named), len(charts)
    talos = {
        (image := path(one, one.schematic_id, str(stack.settings.cluster.talos_version))): image
        in stack.settings.cluster.image_checksums
        for stack in validation.stacks
        if stack.settings
        for one in images_of(stack.settings)
    }
    yield "Talos image", sum(not listed for listed in talos.values()), len(talos)
    found = plugins(validation)
    yield "plugin", sum(not one.sha256 for one in found), len(found)


def has_digest(image: str) -> bool:
    """Return whether the reference to an image has its digest, with a tag or alone."""
    found = IMAGE.fullmatch(image)
    return bool(found and found["digest"])


def plugins(validation: Validation) -> list[ControllerPlugin]:
    """Return the plugins of Argo Rollouts in the files of values."""
    files = {file for found in validation.contents.values() for file in found.values}
    return sorted(
        ControllerPlugin(file, text(one, "location"), text(one, "sha256"))
        for file in files
        for key, listed in mapping(_values(validation, file), "controller").items()
        if key.endswith("Plugins") and isinstance(listed, list)
        for one in mappings({"listed": listed}, "listed")
        if text(one, "location").startswith("https://")
    )


def _values(validation: Validation, file: str) -> Any:
    """Return the content of a file of values, or nothing where it has an error: its render reports that."""
    try:
        return validation.reader.value(file)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None
