"""A dry run of a change on an API server: what it refuses is certain, what it accepts is no danger.

A client of one cluster and the changed objects of its stack come in, verdicts go out; nothing is written.
`ops.review.dangers.verdicts` puts them in place of guesses. The objects are applied as Argo CD applies them: on the
server, by its field manager, with force; a conflict of field owners would hide the verdict.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from errors import ProgramFailed, TookTooLong
from manifests.objects import is_hook
from ops.argocd.client import ArgoCDClient
from ops.review.dangers.context import ObjectPair
from ops.review.dangers.texts import place_of
from ops.review.dangers.verdicts import UNKNOWN, Verdict, read

OPTIONS = ("--server-side", "--force-conflicts", "--field-manager=argocd-controller", "--validate=false")
SECONDS, AT_ONCE = 60, 4


def verdicts(client: ArgoCDClient, subjects: Iterable[ObjectPair]) -> dict[str, Verdict]:
    """Return the verdict on each object that a change adds or changes, by its place; none without an answer."""
    asked = [one for one in subjects if one.pair.after is not None and not is_hook(one.after)]
    if not asked or not client.answers():
        return {}
    together = _verdict(client, asked)
    if together.answer == "accepted":
        return {place_of(one.where): together for one in asked}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda one: _verdict(client, [one]), asked)
        return {place_of(one.where): verdict for one, verdict in zip(asked, found, strict=True)}


def _verdict(client: ArgoCDClient, subjects: Sequence[ObjectPair]) -> Verdict:
    """Apply objects in a dry run, and read the answer."""
    listed = {"apiVersion": "v1", "kind": "List", "items": [_placed(one) for one in subjects]}
    try:
        client.kubectl("apply", "--dry-run=server", *OPTIONS, "--filename=-", stdin=json.dumps(listed), timeout=SECONDS)
    except ProgramFailed as failure:
        return read(failure.output)
    except TookTooLong:
        return UNKNOWN
    return Verdict("accepted")


def _placed(subject: ObjectPair) -> Mapping[str, object]:
    """Return an object in its namespace, as Argo CD fills it in."""
    namespace = subject.identity.namespace
    return {
        **subject.after,
        "metadata": {**subject.after["metadata"], **({"namespace": namespace} if namespace else {})},
    }
