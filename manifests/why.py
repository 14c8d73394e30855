"""Why each refusal of a render exists, by its id: what `config.why` is for settings.

A test keeps it complete in both directions: every id is produced by a test here, and no message carries another.
"""

from __future__ import annotations

from collections.abc import Mapping

WHY: Mapping[str, str] = {
    "base-changed": "A tag that was moved brings what nobody has looked at; Argo CD would apply it.",
    "base-missing": "A render that fetched would give another result tomorrow, and none without a network.",
    "base-unpinned": "A branch changes without a commit here.",
    "base-unreachable": "What cannot be fetched now cannot be rendered here.",
    "chart-changed": "A version that was published anew brings what nobody has looked at; Argo CD would apply it.",
    "chart-lock-missing": "Without a lock Argo CD takes whatever version is newest that day.",
    "chart-lock-old": "Argo CD refuses a lock of another Chart.yaml, and takes an old copy in charts/ without a word.",
    "chart-missing": "A render that fetched would give another result tomorrow, and none without a network.",
    "chart-name": "A name with slashes or a leading hyphen is a path to elsewhere, or an option of helm.",
    "chart-unpinned": "A range means one version today and another tomorrow.",
    "chart-unreachable": "What cannot be fetched now cannot be rendered here.",
    "manifest-malformed": "Argo CD would show an error instead of the app, or leave the file out without a word.",
    "nothing-to-render": "Argo CD would make an Application of no objects and call it Synced.",
    "reference-outside": "Argo CD has this repository and nothing around it.",
    "reference-url": "An URL is read from the machine that renders: its loopback services answer, and Argo CD's too.",
    "render-executes": "A plugin runs as the user who checks a pull request, and in Argo CD as the repo-server.",
    "render-failed": "What does not render here does not render in Argo CD.",
    "render-key": "Kustomize ignores capital letters in keys: a reviewer and each check would see another key.",
    "render-unstable": "Argo CD would see a difference for ever, and each sync would change a running secret.",
}
