"""Objects against the schemas of their kinds, by kubeconform: Kubernetes' own and those of the CRDs around them.

The objects of stacks come in; findings go out, and the objects as far as the other rules can read them. Schemas of
Kubernetes lie in the folder of the pinned tool `schemas`, of the version that a rehearsal runs, for every stack; a kind
that neither they nor a CRD of the stack defines is refused here. Results are cached by the program, the schemas and the
objects.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import programs
from config.rules import rule
from config.source import KeyPath
from errors import ProgramFailed
from local.cache import cache_folder, digest
from manifests.objects import CRD, Object
from manifests.render_cache import RenderCache
from manifests.rules.ownership import removed_in
from manifests.rules.schemas import FORMAT, LOCATION, file_of, of_crd, served
from manifests.rules.stack_objects import AppObject, ObjectFinding, StackObjects

REASON = re.compile(r"- at '(?P<path>[^']*)': (?P<said>.*?)(?=\s+- at '|\Z)", re.DOTALL)
SLOW = 300.0  # seconds for all objects of a checkout
VAGUE = re.compile(r"validation failed|'(?:allOf|anyOf)' failed|got \w+, want null\Z")


@dataclass(frozen=True)
class Conformer:
    """The schemas of Kubernetes, the environment of kubeconform, and the cache of its results."""

    schemas: Path
    env: Mapping[str, str]
    kept: RenderCache | None = field(default_factory=lambda: RenderCache(cache_folder() / "verdicts"))

    def known(self) -> frozenset[str]:
        """Return the kinds of Kubernetes itself."""
        return frozenset(str(file.relative_to(self.schemas)) for file in self.schemas.rglob("*_*.json"))


@rule(
    "kind-unknown",
    scope="program",
    why="The API server would reject the object: no CRD of this environment defines its kind.",
)
@rule(
    "schema-refused",
    scope="program",
    why="The API server would reject the object, or drop the field without a message.",
)
def check(conformer: Conformer, stacks: Iterable[StackObjects]) -> tuple[list[ObjectFinding], list[StackObjects]]:
    """Check every object; return the findings, and the stacks with refused objects reduced to their identity."""
    known, found, sound = conformer.known(), list[ObjectFinding](), list[StackObjects]()
    for objects in stacks:
        own = [obj for obj in objects.of(CRD) if _served(obj.item)]
        # A definition comes before what it defines: one that is refused defines nothing.
        refused = list(_judged(conformer, _by_app(own), []))
        wrong = {id(one.obj) for one in refused}
        crds = [*objects.registered, *(obj.item for obj in own if id(obj) not in wrong)]
        defined = known | {name for crd in crds for name in _served(crd)}
        for obj in objects.all:
            if obj.kind == CRD or not objects.whole or _file(obj) in defined or removed_in(objects, obj):
                continue
            kind = f"{obj.item['apiVersion']} {obj.kind}"
            rule = f"is a kind that neither Kubernetes {objects.kubernetes} nor a CRD of {objects.environment} defines"
            fix = "add the app that brings its CRD, or correct apiVersion and kind"
            refused.append(ObjectFinding("kind-unknown", obj, ("kind",), kind, rule, fix))
        ours = {id(obj) for obj in own} | {id(one.obj) for one in refused}
        refused += _judged(conformer, _by_app(obj for obj in objects.all if id(obj) not in ours), crds)
        found += refused
        wrong = {id(one.obj) for one in refused}
        every = tuple(one.bare if id(one) in wrong else one for one in objects.all)
        sound.append(replace(objects, all=every, unread=frozenset(one.obj.namespace for one in refused)))
    return found, sound


def _by_app(every: Iterable[AppObject]) -> dict[str, list[AppObject]]:
    apps: dict[str, list[AppObject]] = {}
    for obj in every:
        apps.setdefault(obj.app.path, []).append(obj)
    return apps


def _file(obj: AppObject) -> str:
    return file_of(str(obj.item["apiVersion"]), obj.kind)


def _served(crd: Object) -> list[str]:
    """Return the kinds that a definition serves, none if it is malformed, which its schema reports."""
    try:
        return [name for name, _ in served(crd)]
    except (AttributeError, KeyError, TypeError):
        return []


def _judged(
    conformer: Conformer, apps: Mapping[str, Sequence[AppObject]], crds: Sequence[Object]
) -> Iterator[ObjectFinding]:
    """Yield the findings of each app, from the cache or from one run of the program."""
    program = programs.fingerprint("kubeconform", conformer.env)
    judge = digest(json.dumps([FORMAT, str(conformer.schemas), program, crds]))
    keys = {path: digest(json.dumps([judge, [obj.item for obj in every]])) for path, every in apps.items()}
    verdicts = {path: conformer.kept.read(key) if conformer.kept else None for path, key in keys.items()}
    new = [path for path, verdict in verdicts.items() if verdict is None]
    if new:
        verdicts |= _run(conformer, {path: apps[path] for path in new}, crds)
        for path in new:
            if conformer.kept:
                conformer.kept.write(keys[path], verdicts[path] or [])
        if conformer.kept:
            conformer.kept.prune()
    for path, every in apps.items():
        for reason in verdicts[path] or ():
            obj = every[reason["piece"]]
            rule, fix = f"is refused by the schema of its kind: {reason['said']}", "kubectl explain lists the fields"
            yield ObjectFinding("schema-refused", obj, _path(obj.item, reason["path"]), "", rule, fix)


def _run(
    conformer: Conformer, apps: Mapping[str, Sequence[AppObject]], crds: Sequence[Object]
) -> dict[str, list[Object]]:
    """Run kubeconform once on all these apps."""
    verdicts: dict[str, list[Object]] = {path: [] for path in apps}
    with tempfile.TemporaryDirectory(prefix="homelab-conform-") as temporary:
        place = Path(temporary)
        for name, schema in (one for crd in crds for one in of_crd(crd)):
            file = place / "schemas" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(schema), encoding="utf-8")
        (place / "objects").mkdir()
        files: dict[
            str, tuple[str, int]
        ] = {}  # one for each object: kubeconform reports kind and name, and two objects may share both
        for path, every in apps.items():
            for number, obj in enumerate(every):
                file = place / "objects" / f"{len(files)}.json"
                file.write_text(json.dumps(obj.item), encoding="utf-8")
                files[str(file)] = path, number
        places = (f"{folder}/{LOCATION}" for folder in (conformer.schemas, place / "schemas"))
        options = [part for one in places for part in ("-schema-location", one)]
        results = _results(conformer, *options, "-ignore-missing-schemas", str(place / "objects"))
        for one in sorted(results, key=lambda one: files[one["filename"]]):
            path, number = files[one["filename"]]
            verdicts[path] += _parts(one, number)
    return verdicts


def _results(conformer: Conformer, *arguments: str) -> list[dict[str, Any]]:
    """Return kubeconform's results; its exit code is 1 if an object is invalid."""
    output = programs.converse(["kubeconform", "-output", "json", *arguments], env=conformer.env, timeout=SLOW)
    try:
        found: list[dict[str, Any]] = json.loads(output.stdout)["resources"] or []
    except (ValueError, KeyError, TypeError):
        raise ProgramFailed(
            f"kubeconform: {output.together.strip()[:500]}", status=output.exit_code, output=output.together
        ) from None
    return found


def _parts(one: Mapping[str, Any], number: int) -> list[Object]:
    """Return the innermost reasons of a message that begins with the outermost."""
    reasons = [
        (found["path"], found["said"]) for found in REASON.finditer(one["msg"]) if not VAGUE.match(found["said"])
    ]
    return [
        {"piece": number, "path": path, "said": reason.replace("null or ", "")}
        for path, reason in dict.fromkeys(reasons or [("", one["msg"])])
    ]


def _path(item: Object, pointer: str) -> KeyPath:
    """Return kubeconform's path of a field as our key path, as far as the field exists."""
    path: list[str | int] = []
    value: Any = item
    for part in (one.replace("~1", "/").replace("~0", "~") for one in pointer.strip("/").split("/") if one):
        if isinstance(value, list):
            path.append(int(part))
            value = value[int(part)]
        else:
            path.append(part)
            value = value.get(part) if isinstance(value, dict) else None
    return tuple(path)
