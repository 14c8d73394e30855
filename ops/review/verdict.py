"""The verdict of a report: routine, review or dangerous, with its reasons.

Routine is conservative: versions moved by a patch or a minor step, and nothing else changed anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from manifests.comparison.versions import is_version_only
from manifests.objects import Identity
from ops.review.report import Report, Verdict
from ops.review.sides import AppPair
from ops.terminal import count

SMALL = ("patch", "minor")


def with_verdict(report: Report, apps: Sequence[AppPair]) -> Report:
    """Return a report with its verdict, reasons and counts."""
    reasons = tuple(_reasons(report, apps))
    moved = tuple(f"{one.name} {one.before} → {one.after}" for one in report.versions)
    verdict: Verdict = "dangerous" if report.dangers else "review" if reasons else "routine"
    calm = (f"only versions moved: {', '.join(moved)}",) if moved else ("nothing changes in a cluster",)
    return report.model_copy(update={"verdict": verdict, "because": reasons or calm, "counts": _counts(report)})


def _counts(report: Report) -> dict[str, int]:
    objects = [one for app in report.manifests for one in app.objects]
    return {
        "dangers": len(report.dangers),
        "resources": _resources(report),
        "nodes": len(report.machines),
        "apps": len(report.applications),
        "objects": len(objects),
        "versions": len(report.versions),
        "broken": len(report.checks.broken),
        "mended": len(report.checks.mended),
    }


def _reasons(report: Report, apps: Sequence[AppPair]) -> Iterator[str]:
    """Yield each reason why a person must read the report."""
    numbers = (
        (len(report.dangers), "danger", ""),
        (len(report.checks.broken), "check", " broken"),
        (len({one.app for one in report.manifests if one.error}), "app", " not compared: one side does not render"),
        (_resources(report), "resource", " of the infrastructure changed"),
        (sum(one.against == "not run" for one in report.infrastructure), "stack", " with infrastructure not compared"),
        (len(report.machines), "node", " with another machine configuration"),
        (len({one.app for one in report.applications if one.operation == "added"}), "app", " added"),
        (len({one.app for one in report.applications if one.operation == "removed"}), "app", " removed"),
        (len(_beyond_versions(apps)), "object", " changed in more than versions"),
        (sum(one.jump not in SMALL for one in report.versions), "version", " moved by more than a minor step"),
        (sum(one.stand_in for one in report.versions), "version", " rendered from a stand-in"),
        (sum(one.kind == "platform" for one in report.versions), "version", " of the platform moved"),
        (len(report.notes), "note", " about content that is missing or simulated"),
    )
    yield from (f"{count(number, noun)}{rest}" for number, noun, rest in numbers if number)


def _resources(report: Report) -> int:
    return sum(sum(one.counts.values()) for one in report.infrastructure)


def _beyond_versions(apps: Sequence[AppPair]) -> set[tuple[str, Identity]]:
    """Return the objects of apps on both sides in which something else than a version changed."""
    kept = [app for app in apps if app.before and app.after]
    return {(app.label, pair.identity) for app in kept for pair in app.pairs if not is_version_only(pair)}
