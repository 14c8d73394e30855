"""Which of a folder's objects kustomize made of a chart: those that no file of the folder holds.

A reader, a folder's contents and its rendered objects come in; the positions of the charts' objects go out. Charts do
not label every object, so labels alone are not enough. `ops.checking.validation` notes it on each object of a stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from manifests.checkout import CheckoutReader
from manifests.contents import Contents
from manifests.fields import mappings, text
from manifests.objects import Object
from manifests.rules.generators import GENERATORS

KINDS = {"configMapGenerator": "ConfigMap", "secretGenerator": "Secret"}


def of_charts(reader: CheckoutReader, contents: Contents, objects: Sequence[Object]) -> frozenset[int]:
    """Return the positions of the objects that came out of `helmCharts`.

    An object that a component renames leaves no trace but its kind: every object of that kind counts as the folder's
    own. The objects of a remote base are in no file of the checkout, so a folder that has one is not looked at.
    """
    if contents.shape != "kustomization" or not contents.inflates or contents.bases:
        return frozenset()
    own = set(_written(reader, contents))
    made = [(str(item["kind"]), text(item, "metadata", "name")) for item in objects]
    renamed = {kind for kind, _ in own - set(made)}
    return frozenset(index for index, one in enumerate(made) if one not in own and one[0] not in renamed)


def _written(reader: CheckoutReader, contents: Contents) -> Iterator[tuple[str, str]]:
    """Yield kind and name of every object that a listed file holds or a generator makes."""
    for file in contents.listed:
        for document in reader.source(file).documents:
            yield text(document.value, "kind"), text(document.value, "metadata", "name")
    for file in contents.kustomizations.values():
        for generator in GENERATORS:
            for entry in mappings(reader.value(file), generator):
                yield KINDS[generator], text(entry, "name")
