"""The manifests that a rehearsed Argo CD's repo-server renders, compared with those of `manifests`.

`differences` empties Argo CD's cache, has every Application rendered again, and reads the results from the cache. Each
is compared with our own render of the same folder, object by object.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping

from config.load import read_stack
from config.tree import read_tree
from lab.api import Api, Object
from lab.delivery import argocd, argocd_cache
from lab.delivery.repo_server import untracked
from lab.layout import Lab
from ops.checking.validation import Validation, places_of
from tests.lab.checkout import Checkout

ARGOPROJ = "argoproj.io/v1alpha1"
REFRESH = "argocd.argoproj.io/refresh"
SECONDS, PAUSE = 300.0, 1.0


def differences(checkout: Checkout) -> tuple[int, list[str]]:
    """Return the number of compared objects, and each difference as a line."""
    theirs = _rendered_by_argo_cd(checkout)
    stack = read_stack(checkout.root / f"Pulumi.{checkout.stack}.yaml")
    validation = Validation(checkout.root, [stack], read_tree(checkout.root))
    validation.render()
    assert validation.problems == []
    places = {place.app.full_name: place for place in places_of(stack, validation.tree)}
    assert set(theirs) == set(places)
    found: list[str] = []
    for name, place in sorted(places.items()):
        ours = _by_identity(validation.objects_of(stack, place.app.path))
        found += _compared(name, ours, _by_identity(theirs[name]))
    return sum(map(len, theirs.values())), found


def _compared(app: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> Iterable[str]:
    for identity in sorted({*ours, *theirs}):
        if identity not in theirs:
            yield f"{app}: {identity}: only rendered by us"
        elif identity not in ours:
            yield f"{app}: {identity}: only rendered by Argo CD"
        elif ours[identity] != theirs[identity]:
            yield f"{app}: {identity}:\n  ours   {ours[identity]}\n  theirs {theirs[identity]}"


def _by_identity(objects: Iterable[Object]) -> dict[str, str]:
    """Return each object's canonical text by its identity; two objects of one identity are an error."""
    texts: dict[str, str] = {}
    for item in objects:
        meta = item["metadata"]
        identity = f"{item['apiVersion']} {item['kind']} {meta.get('namespace', '')}/{meta['name']}"
        assert identity not in texts, identity
        texts[identity] = json.dumps(untracked(item), sort_keys=True)
    return texts


def _rendered_by_argo_cd(checkout: Checkout) -> dict[str, list[Object]]:
    """Return the objects of every Application as the repo-server renders them now."""
    api = checkout.api
    names = {one["name"] for one in api.metadata(ARGOPROJ, "Application", argocd.NAMESPACE)}
    argocd_cache.ask(checkout.lab, "FLUSHALL")
    for name in names:
        api.annotate(ARGOPROJ, "Application", name, {REFRESH: "hard"}, argocd.NAMESPACE)
    deadline = time.monotonic() + SECONDS
    while missing := names - set(made := _cached(checkout.lab)) or _refreshing(api):
        assert time.monotonic() < deadline, f"not rendered after {SECONDS:.0f} s: {', '.join(sorted(missing))}"
        time.sleep(PAUSE)
    return made


def _refreshing(api: Api) -> set[str]:
    found = api.metadata(ARGOPROJ, "Application", argocd.NAMESPACE)
    return {one["name"] for one in found if REFRESH in (one.get("annotations") or {})}


def _cached(lab: Lab) -> dict[str, list[Object]]:
    """Return the objects in the repo-server's cache by Application; a failed render has none."""
    made: dict[str, list[Object]] = {}
    for key, entry in argocd_cache.values(lab, "mfst|*").items():
        if answer := entry.get("manifestResponse"):
            made[key.split("|")[2]] = [json.loads(one) for one in answer.get("manifests") or ()]
    return made
