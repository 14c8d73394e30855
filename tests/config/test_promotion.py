"""A pin is one line of a file: an edit changes no other byte, and taking it back leaves the file as it was."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config.promotion import HOLD, REVISION, edited, may_have_pin, pin_of
from config.source import parse

KUSTOMIZATION, CHART = "apps/media/immich/staging/kustomization.yaml", "apps/media/immich/staging/Chart.yaml"
ONE, OTHER = "0123456789abcdef0123456789abcdef01234567", "8" * 40
COMMENTS = st.sampled_from(["", "# a comment\n", "\n", "---\n", "# homelab.dev/revision: none yet\n"])
HEADS = st.sampled_from(
    [
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
        "kind: Kustomization # of this app\napiVersion: kustomize.config.k8s.io/v1beta1\n",
        'apiVersion: "v2"\n',
        "",
    ]
)
METADATA = st.sampled_from(
    [
        "",
        "metadata:\n  name: immich\n",
        "metadata:\n    annotations:\n        colour: red # not a pin\n    name: immich\n",
        "metadata:\n  annotations:\n    'colour': \"red\"\n",
    ]
)
BODIES = st.sampled_from(
    [
        "resources:\n  - ../base\ncomponents:\n  - ../../../_settings/staging\n",
        "resources: [../base]",
        "namespace: a\n\n",
    ]
)
HOLDS = st.from_regex(r"[ -~äß€	]{1,60}", fullmatch=True)


@st.composite
def files(draw: st.DrawFn) -> str:
    """Return a kustomization as people write them."""
    text = (
        draw(COMMENTS) + draw(HEADS) + draw(METADATA) + draw(COMMENTS.filter(lambda one: one != "---\n")) + draw(BODIES)
    )
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


@given(files(), HOLDS)
def test_a_pin_comes_and_goes_without_a_trace(text: str, reason: str) -> None:
    pinned = edited(KUSTOMIZATION, text, {REVISION: ONE})
    assert pinned is not None
    assert pin_of(parse(pinned.encode(), KUSTOMIZATION)) == (ONE, "", [])
    assert may_have_pin(pinned.encode())
    held = edited(KUSTOMIZATION, pinned, {REVISION: OTHER, HOLD: reason})
    assert held is not None
    assert pin_of(parse(held.encode(), KUSTOMIZATION)) == (OTHER, reason, [])
    again = edited(KUSTOMIZATION, held, {REVISION: ONE, HOLD: None})
    assert again == pinned
    assert edited(KUSTOMIZATION, pinned, {REVISION: None}) == text


@given(files())
def test_an_edit_adds_lines_and_keeps_all_others(text: str) -> None:
    pinned = edited(KUSTOMIZATION, text, {REVISION: ONE}) or ""
    before, after = text.splitlines(), pinned.splitlines()
    added = [line for line in after if line not in before]
    assert [line for line in after if line not in added] == before
    assert {line.strip() for line in added} <= {"metadata:", "annotations:", f'{REVISION}: "{ONE}"'}


@pytest.mark.parametrize(
    "text", ["name: a\nversion: 1.0.0\n", "apiVersion: v2\nname: a", "annotations:\n  colour: red\napiVersion: v2\n"]
)
def test_a_chart_has_its_annotations_at_the_top(text: str) -> None:
    pinned = edited(CHART, text, {REVISION: ONE})
    assert pinned is not None
    assert yaml.safe_load(pinned)["annotations"][REVISION] == ONE
    assert edited(CHART, pinned, {REVISION: None}) == text


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_replaced_pin_keeps_its_place_and_its_comment(quote: str) -> None:
    text = f"metadata:\n  annotations:\n    {REVISION}: {quote}{'a' * 40}{quote} # since Monday\nresources: []\n"
    assert edited(KUSTOMIZATION, text, {REVISION: ONE}) == (
        f'metadata:\n  annotations:\n    {REVISION}: "{ONE}" # since Monday\nresources: []\n'
    )


@pytest.mark.parametrize(
    "text",
    [
        "metadata: {name: immich}\nresources: []\n",
        "metadata:\n  annotations: {}\nresources: []\n",
        f"metadata: {{annotations: {{{REVISION}: '{OTHER}'}}}}\n",
        "{resources: [a]}\n",
        "- a\n",
        "a: [\n",
        "",
        f"metadata:\n  annotations:\n    {REVISION}: >-\n      {OTHER}\n",
        f"metadata: &one\n  annotations:\n    {REVISION}: &two {OTHER}\nother: *two\n",
    ],
)
def test_a_form_without_a_place_for_the_line_is_not_edited(text: str) -> None:
    assert edited(KUSTOMIZATION, text, {REVISION: ONE}) is None
