"""A report as one HTML file that needs no other file and no server.

Jinja2 escapes every text; differences travel as JSON in the file and become text nodes in the browser when a part of
the page opens, so that thousands of objects cost nothing at first. The Content-Security-Policy allows the style and the
script of this folder by their digests: neither another script nor a request is possible, whatever a report contains.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from ops.review.formats import summary
from ops.review.report import ManifestChange, Report

FOLDER = Path(__file__).parent


def page(report: Report) -> str:
    """Return the whole page."""
    shown = summary.visible(report)
    style, script = (FOLDER.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return template().render(
        report=shown,
        policy=policy(style, script),
        style=style,
        script=script,
        data=data(shown),
        categories=categories(shown),
        removed=[(app.app, one) for app in shown.applications for one in app.removed_objects],
        counts=[tuple(one.split(" ", 1)) for one in summary.totals(shown)],
        words=summary,
    )


@cache
def template(folder: Path = FOLDER) -> Template:
    """Return the template of a page, in which a missing value is an error."""
    loader = FileSystemLoader(folder)
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("page.html.jinja")


def policy(style: str, script: str = "") -> str:
    """Return the Content-Security-Policy: this style, this script if there is one, and nothing else."""
    rules = {
        "default-src": "'none'",
        "style-src": digest(style),
        "script-src": digest(script) if script else "'none'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def digest(text: str) -> str:
    """Return a text's digest as the policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def data(report: Report) -> Mapping[str, Any]:
    """Return the parts that the browser draws when they open."""
    objects = [
        [
            {
                "name": one.object,
                "operation": one.operation,
                "note": summary.folded(one),
                "lines": summary.body(one.difference),
            }
            for one in app.objects
        ]
        for app in report.manifests
    ]
    return {"objects": objects, "machines": [summary.body(node.difference) for node in report.machines]}


def categories(report: Report) -> Mapping[str, list[tuple[int, str, ManifestChange]]]:
    """Return the apps with changed manifests by category, each with its number and its name in the category."""
    times = Counter(one.app for one in report.manifests)
    found: dict[str, list[tuple[int, str, ManifestChange]]] = {}
    for number, one in enumerate(report.manifests):
        category, _, name = one.app.rpartition("/")
        # An app whose change differs between stacks is there several times.
        label = f"{name} ({', '.join(one.stacks)})" if times[one.app] > 1 else name
        found.setdefault(category, []).append((number, label, one))
    return {category: sorted(found[category], key=lambda entry: entry[1]) for category in sorted(found)}
