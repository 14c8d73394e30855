"""The JSON of a report and its documented schema."""

from __future__ import annotations

import json
from typing import Any

from ops.review.formats.schema import PATH, schema
from ops.review.report import Report
from tests.docs.pages import ROOT
from tests.ops.review import example_report


def models() -> dict[str, Any]:
    document = json.loads(schema())
    return {"Report": document, **document["$defs"]}


def test_the_documented_schema_is_that_of_the_models() -> None:
    assert (ROOT / PATH).read_text(encoding="utf-8") == schema(), "./homelab test --update"


def test_every_key_of_the_schema_has_a_description() -> None:
    missing = [
        f"{name}.{key}"
        for name, model in models().items()
        for key, value in model["properties"].items()
        if not value.get("description")
    ]
    assert missing == []


def test_the_json_of_a_report_has_the_keys_of_the_schema() -> None:
    found = json.loads(example_report.rich().model_dump_json(by_alias=True))
    assert set(found) == set(models()["Report"]["properties"])
    assert set(found["manifests"][0]) == set(models()["ManifestChange"]["properties"])
    assert found["applications"][0]["removedObjects"][0]["fate"] == "pruned"


def test_a_report_is_the_same_behind_its_json() -> None:
    report = example_report.rich()
    assert Report.model_validate_json(report.model_dump_json(by_alias=True)) == report
