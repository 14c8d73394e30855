"""The JSON schema of a matrix, which docs/reference shows: `./homelab test --update` writes it."""

from __future__ import annotations

import json

from ops.promotion.report import VersionMatrix

PATH = "docs/reference/versions.schema.json"
ABOUT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "The matrix of `./homelab versions --format json`",
}


def schema() -> str:
    """Return the schema as a file."""
    found = VersionMatrix.model_json_schema(by_alias=True, mode="serialization")
    return json.dumps({**found, **ABOUT}, indent=2) + "\n"
