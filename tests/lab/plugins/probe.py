"""A plugin for the tests: files on the disk as resources, and resources that fail in every possible way."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from errors import HomelabError
from lab.plugins.base import ResourceKind, StandIn, Unfinished
from lab.plugins.properties import Plain
from lab.plugins.schema import Schema
from lab.plugins.server import serve

TEXT = {"type": "string"}
FILE = {
    "path": {"type": "string", "willReplaceOnChanges": True},
    "content": TEXT,
    "mode": {"type": "integer"},
    "owner": {"$ref": "#/types/Owner"},
    "labels": {"type": "object", "additionalProperties": TEXT},
}
TABLES: dict[str, Any] = {
    "provider": {"inputProperties": {"root": TEXT, "strict": {"type": "boolean"}}},
    "types": {
        "Owner": {"type": "object", "properties": {"name": TEXT, "id": {"type": "integer"}}, "required": ["name"]},
        "Level": {"type": "string", "enum": [{"value": "high"}, {"value": "low"}]},
    },
    "resources": {
        "probe:index:File": {
            "inputProperties": FILE,
            "requiredInputs": ["path"],
            "properties": {**FILE, "size": {"type": "integer"}, "digest": {"type": "string", "secret": True}},
            "required": ["path", "size", "digest"],
        },
        "probe:index:Trouble": {
            "inputProperties": {"kind": TEXT, "level": {"$ref": "#/types/Level"}},
            "requiredInputs": ["kind"],
            "properties": {"kind": TEXT, "mended": {"type": "boolean"}},
        },
    },
    "functions": {
        "probe:index:shout": {
            "inputs": {"properties": {"text": TEXT}, "required": ["text"]},
            "outputs": {"properties": {"loud": {"type": "string", "secret": True}}},
        }
    },
}


class ProbeFile(ResourceKind):
    """A file."""

    unknown_on_update = ("size",)

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        Path(inputs["path"]).write_text(inputs.get("content", ""))
        return inputs["path"], self._seen(inputs["path"])

    def read(self, id: str, outputs: Plain) -> Plain | None:  # noqa: A002 - the base\'s word
        if not Path(id).exists():
            return None
        return {**outputs, "path": id, "content": Path(id).read_text(), **self._seen(id)}

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002 - the base\'s word
        Path(id).write_text(inputs.get("content", ""))
        return self._seen(id)

    def delete(self, id: str, outputs: Plain) -> None:  # noqa: A002 - the base\'s word
        Path(id).unlink(missing_ok=True)

    def _seen(self, path: str) -> Plain:
        content = Path(path).read_text()
        return {"size": len(content), "digest": f"digest-of-{content}"}


class Trouble(ResourceKind):
    """A resource that fails."""

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain] | Unfinished:
        if inputs["kind"] == "refused":
            raise HomelabError("pve9: no such host; known are pve1 and pve2")
        if inputs["kind"] == "half":
            return Unfinished("half-1", {"mended": False}, "half-1 was made and does not start")
        return str(1 / 0), {}

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002 - the base\'s word
        return {"mended": True}


def shout(provider: StandIn, arguments: Plain) -> Plain:
    """Return a text in capitals."""
    return {"loud": arguments["text"].upper()}


class Probe(StandIn):
    """The plugin."""

    package, distribution = "probe", "pulumi"
    kinds: ClassVar = {"probe:index:File": ProbeFile, "probe:index:Trouble": Trouble}
    functions: ClassVar = {"probe:index:shout": shout}
    config_replace_on = ("root",)

    @cached_property
    def schema(self) -> Schema:
        return Schema(TABLES)


if __name__ == "__main__":
    serve(Probe())
