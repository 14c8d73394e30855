"""Tools that are no programs: manifests copied from Go modules, CRDs and schemas made from a module's content.

A tool of `ops.toolchain.catalogue` comes in; a folder goes out, with one subfolder for each part and a note of the
versions, `modules.json`. go.sum pins the content of each module, as for programs. `ops.toolchain.builds` places the
folder in the cache; `standins.crds` and `standins.bases` read it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import programs
from manifests import kubernetes_yaml, objects
from manifests.rules.schemas import of_openapi
from ops.toolchain.catalogue import FOLDER, Generated, Tool

NOTE = "modules.json"
SLOW = 600.0
# Descriptions are nine tenths of these CRDs, and a rehearsal does not read them.
OPTIONS = "crd:maxDescLen=0"
KUSTOMIZATION = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n"


def fill(tool: Tool, into: Path, env: Mapping[str, str], update: Callable[[str], None]) -> None:
    """Write all parts of a tool into a folder, and note the versions of their modules."""
    into.mkdir(parents=True)
    noted = {}
    update("downloading modules")
    names = [*(one.module for one in tool.files), *(one.module for one in tool.schemas)]
    modules = downloaded(tool.folder, names, env)
    for files in tool.files:
        module = modules[files.module]
        update(f"copying {files.name}")
        _copy(Path(module["Dir"]) / files.folder, into / files.name, whole=files.whole)
        noted[files.name] = {"module": files.module, "version": module["Version"], "made": "copied"}
    for schemas in tool.schemas:
        module = modules[schemas.module]
        update(f"making schemas of {schemas.name}")
        _make_schemas(Path(module["Dir"]) / schemas.file, into / schemas.name)
        noted[schemas.name] = {"module": schemas.module, "version": module["Version"], "made": "converted"}
    for generated in tool.generated:
        update(f"generating {generated.name}")
        pins = FOLDER / generated.pins
        (module,) = downloaded(pins, [generated.module], env).values()
        _generate(generated, pins, into / generated.name, env)
        noted[generated.name] = {"module": generated.module, "version": module["Version"], "made": "generated"}
    (into / NOTE).write_text(json.dumps(noted, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def downloaded(pins: Path, modules: Iterable[str], env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Download modules in the versions that a go.mod pins, and return the report of Go on each."""
    names = dict.fromkeys(modules)
    said = programs.run("go", "mod", "download", "-json", *names, cwd=pins, env=env, timeout=SLOW) if names else None
    return dict(zip(names, _documents(said.stdout if said else ""), strict=True))


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """Yield JSON documents that follow one another."""
    reader, place = json.JSONDecoder(), 0
    while place < len(text.rstrip()):
        document, place = reader.raw_decode(text, place)
        place += len(text[place:]) - len(text[place:].lstrip())
        yield document


def _copy(source: Path, target: Path, *, whole: bool) -> None:
    """Copy the manifests of a folder and no code; the files of a module are read-only, the copies are not."""
    for file in sorted(source.rglob("*.yaml")):
        copied = target / file.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copied)
        if not whole:
            _shorten(copied)
    if not target.exists():
        raise FileNotFoundError(f"{source} holds no manifests")


def _shorten(file: Path) -> None:
    """Remove the descriptions from CRDs, and write JSON, which every parser of YAML reads in the same way."""
    documents = kubernetes_yaml.documents(file.read_text(encoding="utf-8"))
    if not any(isinstance(one, dict) and one.get("kind") == objects.CRD for one in documents):
        return
    for document in documents:
        for version in (document or {}).get("spec", {}).get("versions", ()):
            _without_descriptions(version.get("schema", {}).get("openAPIV3Schema", {}))
    texts = [json.dumps(document, indent=1, ensure_ascii=False) for document in documents if document]
    file.write_text("\n---\n".join(texts) + "\n", encoding="utf-8")


def _without_descriptions(schema: dict[str, Any]) -> None:
    """Remove the descriptions of a schema and of all schemas below it, but no property of that name."""
    schema.pop("description", None)
    below = [schema.get(key) for key in ("items", "additionalProperties", "not")]
    below += [one for key in ("allOf", "anyOf", "oneOf") for one in schema.get(key) or ()]
    below += (schema.get("properties") or {}).values()
    for inner in below:
        if isinstance(inner, dict):
            _without_descriptions(inner)


def _make_schemas(document: Path, target: Path) -> None:
    for name, schema in of_openapi(json.loads(document.read_text(encoding="utf-8"))):
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(schema) + "\n", encoding="utf-8")


def _generate(generated: Generated, pins: Path, target: Path, env: Mapping[str, str]) -> None:
    paths = [f"paths={generated.module}/{package}" for package in generated.packages]
    programs.run(
        "go", "tool", "controller-gen", OPTIONS, *paths, f"output:crd:dir={target}", cwd=pins, env=env, timeout=SLOW
    )
    names = sorted(file.name for file in target.iterdir())
    (target / "kustomization.yaml").write_text(
        "".join([KUSTOMIZATION, *(f"  - {name}\n" for name in names)]), encoding="utf-8"
    )
