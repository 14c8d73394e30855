"""The JSON schema of a report, which docs/reference shows: `./homelab test --update` writes it."""

from __future__ import annotations

import json

from ops.review.report import Report

PATH = "docs/reference/preview-report.schema.json"
ABOUT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "The report of `./homelab preview --format json`",
}


def schema() -> str:
    """Return the schema as a file."""
    return json.dumps({**Report.model_json_schema(by_alias=True, mode="serialization"), **ABOUT}, indent=2) + "\n"
