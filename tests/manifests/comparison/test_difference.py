"""A pair as lines: all that changed, nothing that is noise, and never a secret."""

from __future__ import annotations

import base64
import copy
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from manifests.comparison import difference as module
from manifests.comparison.difference import CHANGED, REDACTED, Difference, difference
from manifests.comparison.pairs import differing
from manifests.objects import Object
from tests.manifests.comparison.objects import TEXTS, VALUES, deployment, edited, made, of_apps, pair, pod_spec
from tests.manifests.test_redact import HIDDEN, SECRET

OTHER = "wrong-donkey-capacitor"
CONTAINERS = ("spec", "template", "spec", "containers")


def changed(lines: tuple[str, ...]) -> list[str]:
    return [line for line in lines if line.startswith(("-", "+"))]


def test_a_change_is_shown_with_three_lines_around_it_and_the_keys_above_it() -> None:
    before = deployment(pod_spec())
    after = edited(before, *CONTAINERS, 0, "image", to="ghcr.io/org/app:1.2.4")
    assert difference(pair(before, after)).lines == (
        "@@ spec.template.spec.containers @@",
        "           value: '1'",
        "         - name: B",
        "           value: '2'",
        "-        image: ghcr.io/org/app:1.2.3",
        "+        image: ghcr.io/org/app:1.2.4",
        "         name: app",
        "         ports:",
        "         - containerPort: 53",
    )


def test_an_added_object_is_its_yaml_and_a_removed_one_too() -> None:
    item = made(data={"a": "1\n2\n"})
    lines = ("apiVersion: v1", "data:", "  a: |", "    1", "    2", "kind: ConfigMap", "metadata:", "  name: a")
    assert difference(pair(None, item)).lines == tuple(f"+{line}" for line in lines)
    assert difference(pair(item, None)).lines == tuple(f"-{line}" for line in lines)


@given(st.dictionaries(st.sampled_from("abcd"), VALUES | st.lists(TEXTS, max_size=3), max_size=3))
def test_the_lines_of_an_added_object_are_yaml_of_it(value: dict[str, Any]) -> None:
    """Characters that nobody can see are the exception: they are escaped in the lines."""
    item = made("Thing", api="example.org/v1", spec=value)
    lines = difference(pair(None, item)).lines
    if not any(char in repr(value) for char in ("\\x1b", "\\u202e", "\\ue0f0", "\\ue101")):
        assert yaml.safe_load("".join(f"{line[1:]}\n" for line in lines)) == item


@given(VALUES)
def test_equal_objects_have_no_lines(value: Any) -> None:
    item = made("Thing", api="example.org/v1", spec=value)
    assert difference(pair(item, copy.deepcopy(item))) == Difference()


@given(VALUES, VALUES)
def test_each_pair_that_differs_has_lines(one: Any, other: Any) -> None:
    before, after = (made("Thing", api="example.org/v1", spec=value) for value in (one, other))
    for found in differing([before], [after], "media"):
        shown = difference(found)
        assert shown.lines
        assert shown.folded == 0


def test_a_reordered_list_adds_no_line_to_another_change() -> None:
    spec = pod_spec()
    before, other = deployment(spec), copy.deepcopy(spec)
    for lists in (other, *other["containers"]):
        for key in [key for key, value in lists.items() if isinstance(value, list)]:
            lists[key].reverse()
    other["containers"][0]["env"][0]["value"] = "3"
    after = deployment(other)
    assert changed(difference(pair(before, after)).lines) == ["-          value: '2'", "+          value: '3'"]
    assert difference(pair(before, deployment({**copy.deepcopy(other), "containers": spec["containers"][::-1]}))) == (
        Difference()
    )


def test_an_insertion_in_the_middle_adds_its_own_lines_alone() -> None:
    before = deployment(pod_spec())
    after = copy.deepcopy(before)
    containers = after["spec"]["template"]["spec"]["containers"]
    containers.insert(1, {"name": "new", "image": "ghcr.io/org/new:1"})
    containers[0]["env"].insert(1, {"name": "NEW", "value": "x"})
    assert changed(difference(pair(before, after)).lines) == [
        "+        - name: NEW",
        "+          value: x",
        "+      - image: ghcr.io/org/new:1",
        "+        name: new",
    ]


def labels(version: str, checksum: str, **other: str) -> Object:
    own = {"helm.sh/chart": f"app-{version}", "app.kubernetes.io/version": version, **other}
    item = deployment(pod_spec(), labels=own, annotations={"checksum/config": checksum})
    return edited(item, "metadata", "labels", to=own)


def test_noise_is_folded_and_counted() -> None:
    before, after = labels("1.0.0", "aaa"), labels("1.0.1", "bbb")
    assert difference(pair(before, after)) == Difference(folded=5)
    shown = difference(pair(before, labels("1.0.1", "aaa", part="x")))
    assert changed(shown.lines) == ["+    part: x", "+        part: x"]
    assert shown.folded == 4


def test_noise_on_one_side_is_noise() -> None:
    plain = made(data={"x": "1"})
    labelled = edited(plain, "metadata", "labels", to={"app.kubernetes.io/managed-by": "Helm"})
    assert difference(pair(plain, labelled)) == Difference(folded=1)
    assert difference(pair(labelled, plain)) == Difference(folded=1)


@pytest.mark.parametrize(
    "path",
    [
        ("spec", "selector", "matchLabels"),
        ("data",),
        ("metadata", "annotations"),
    ],
)
def test_the_same_words_elsewhere_are_shown(path: tuple[str, ...]) -> None:
    """A selector with a chart's version is immutable: its change must be seen."""
    before: Object = made("Deployment", api="apps/v1")
    inner = before
    for key in path:
        inner = inner.setdefault(key, {})
    name = "app.kubernetes.io/component" if path[0] == "metadata" else "helm.sh/chart"
    inner[name] = "1"
    assert len(changed(difference(pair(before, edited(before, *path, name, to="2"))).lines)) == 2


def test_a_reference_that_follows_a_generated_name_is_folded() -> None:
    def user(name: str) -> Object:
        return deployment({"volumes": [{"name": "a", "configMap": {"name": name}}]})

    old, new = "settings-2456789bcd", "settings-bcdfghkmtb"
    pairs = differing([made(name=old, data={"x": "1"}), user(old)], [made(name=new, data={"x": "2"}), user(new)], "a")
    shown = [difference(each) for each in pairs]
    assert changed(shown[0].lines) == ["-  x: '1'", "+  x: '2'", f"-  name: {old}", f"+  name: {new}"]
    assert shown[1] == Difference(folded=1)
    assert changed(difference(pair(user(old), user(new))).lines), "no such ConfigMap of the app was renamed"


def replaced(value: Any, old: str, new: str) -> Any:
    """Return a value with another secret, plain or in base64."""
    if isinstance(value, dict):
        return {key: replaced(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner, old, new) for inner in value]
    if not isinstance(value, str):
        return value
    coded, other = (base64.b64encode(text.encode()).decode() for text in (old, new))
    return value.replace(old, new).replace(coded, other)


@pytest.mark.parametrize("item", [item for _, item in HIDDEN], ids=[name for name, _ in HIDDEN])
def test_a_secret_is_in_no_line_and_a_changed_one_shows_as_changed(item: Object) -> None:
    other = replaced(item, SECRET, OTHER)
    beside = edited(item, "metadata", "labels", to={"x": "1"})
    for found in (pair(None, item), pair(item, None), pair(item, other), pair(item, beside), pair(beside, other)):
        text = "\n".join(difference(found).lines)
        for secret in (SECRET, OTHER):
            assert secret not in text
            assert base64.b64encode(secret.encode()).decode() not in text
    assert CHANGED in "\n".join(difference(pair(item, None)).lines + difference(pair(item, other)).lines)
    lines = changed(difference(pair(item, other)).lines)
    assert {line[0] for line in lines if CHANGED in line} == {"-", "+"}
    assert CHANGED not in "\n".join(difference(pair(item, beside)).lines + difference(pair(None, item)).lines)


@given(
    st.dictionaries(st.sampled_from("abc"), st.text(min_size=9, alphabet="QWXYZ0123456789"), min_size=1),
    st.dictionaries(st.sampled_from("abc"), st.text(min_size=9, alphabet="QWXYZ0123456789"), min_size=1),
    VALUES,
)
def test_no_value_of_a_secret_is_ever_shown(one: dict[str, str], other: dict[str, str], beside: Any) -> None:
    before, after = made("Secret", data=one, stringData={"x": beside}), made("Secret", data=other)
    for found in (pair(before, after), pair(after, before), pair(before, None), pair(None, after)):
        text = "\n".join(difference(found).lines)
        assert not any(value in text for value in (*one.values(), *other.values()))


def test_secrets_that_changed_places_show_as_changed() -> None:
    before = made("Secret", data={"a": "MTIzNDU2Nzg=", "b": "ODc2NTQzMjE="})
    after = made("Secret", data={"a": "ODc2NTQzMjE=", "b": "MTIzNDU2Nzg="})
    lines = {f"{sign}  {key}: {CHANGED}" for sign in "-+" for key in "ab"}
    assert set(changed(difference(pair(before, after)).lines)) == lines


def test_a_secret_beside_another_change_is_marked_by_what_happened_to_it() -> None:
    def url(secret: str, host: str) -> Object:
        return made(data={"url": f"postgres://user:{secret}@{host}/x"})

    same = changed(difference(pair(url(SECRET, "a"), url(SECRET, "b"))).lines)
    assert same == [f"-  url: postgres://user:{REDACTED}@a/x", f"+  url: postgres://user:{REDACTED}@b/x"]
    both = changed(difference(pair(url(SECRET, "a"), url(OTHER, "b"))).lines)
    assert both == [f"-  url: postgres://user:{CHANGED}@a/x", f"+  url: postgres://user:{CHANGED}@b/x"]


def test_an_argument_that_is_left_out_still_covers_the_next_one() -> None:
    arguments = [*(f"--flag-{place}" for place in range(20)), "--password", SECRET, "-v"]
    before = deployment({"containers": [{"name": "a", "args": arguments}]})
    after = deployment({"containers": [{"name": "a", "args": [*arguments, "--more"]}]})
    assert SECRET not in "\n".join(difference(pair(before, after)).lines)


def test_a_file_in_a_config_map_is_compared_line_by_line_whatever_its_characters() -> None:
    file = "server {\n\tlisten 80;  \n\tname x;\n}\n"
    shown = difference(pair(made(data={"f": file}), made(data={"f": file.replace("80", "81")})))
    assert shown.lines == (
        "@@ data.f @@",
        " data:",
        "   f: |",
        "     server {",
        "-    \tlisten 80;  ",
        "+    \tlisten 81;  ",
        "     \tname x;",
        "     }",
        " kind: ConfigMap",
    )


def test_characters_that_deceive_a_reader_are_escaped() -> None:
    lines = difference(pair(None, made(data={"a": "x\u202ey\x1b[31m\nz\u2028\r\n", "b": "x\u202ey\x9b"}))).lines
    assert [line for line in lines if "x" in line or "z" in line] == [
        "+    x\\u202ey\\u001b[31m",
        "+    z\\u2028\\u000d",
        '+  b: "x\\u202ey\\x9B"',
    ]


def test_a_long_line_is_shown_around_its_change() -> None:
    text = "".join(f'"key{place}":{place},' for place in range(500))
    one, other = changed(
        difference(pair(made(data={"f": text}), made(data={"f": text.replace(":250,", ":999,")}))).lines
    )
    assert '"key250":250,"key251"' in one
    assert '"key250":999,"key251"' in other
    assert max(map(len, (one, other))) < 500


def test_two_thousand_lines_are_the_most_and_the_rest_is_counted() -> None:
    item = made(data={"f": "\n".join(map(str, range(5_000)))})
    lines = difference(pair(None, item)).lines
    assert (len(lines), lines[-1]) == (2_001, "(cut: 3,006 more lines)")


def test_large_parts_that_both_sides_have_are_not_repeated() -> None:
    schema = {
        f"p{place}": {"type": "object", "properties": {str(i): {"type": "x"} for i in range(50)}} for place in range(50)
    }
    before = made("Thing", api="example.org/v1", spec={**schema, "p9": {"text": "long " * 1_000, "type": "array"}})
    after = edited(before, "spec", "p9", "type", to="object")
    assert difference(pair(before, after)).lines == (
        "@@ spec.p9 @@",
        "   p8: '(unchanged: 103 values)'",
        "   p9:",
        "     text: '(unchanged: 5,000 characters in 1 line)'",
        "-    type: array",
        "+    type: object",
    )
    rows = made("Thing", api="example.org/v1", spec=[{"a": place} for place in range(100)])
    lines = difference(pair(rows, edited(rows, "spec", 50, "a", to="new"))).lines
    assert lines == (
        "@@ spec @@",
        " - a: 47",
        " - a: 48",
        " - a: 49",
        "-- a: 50",
        "+- a: new",
        " - a: 51",
        " - a: 52",
        " - a: 53",
    )


def many(last: int) -> Object:
    """Return an object of a hundred thousand lines."""
    values = [{"name": f"n{place}", "value": place, "more": {"a": "1"}} for place in range(20_000)]
    return made("Thing", api="example.org/v1", spec={"values": [*values, {"name": "last", "value": last}]})


LARGE: list[tuple[str, Object, Object, str]] = [
    (
        "a text of 20 MB",
        made(data={"f": "line\n" * 4_000_000}),
        made(data={"f": "line\n" * 3_999_999 + "other\n"}),
        "the first difference is in line 4,000,000",
    ),
    ("a line of 20 MB", made(data={"f": "x" * 20_000_000}), made(data={"f": "x" * 20_000_000 + "y"}), "in line 1"),
    ("100,000 lines", many(1), many(2), "-    value: 1"),
    (
        "100,000 plain values",
        made(data={str(place): "1" for place in range(100_000)}),
        made(data={str(place): "2" for place in range(100_000)}),
        "(too large to compare: more than 50,000 values)",
    ),
    ("20,000 new maps", made("Thing", api="x.y/v1"), {**many(1), "apiVersion": "x.y/v1"}, "values are not shown"),
]


@pytest.mark.parametrize(("before", "after", "shown"), [row[1:] for row in LARGE], ids=[row[0] for row in LARGE])
def test_a_large_object_takes_little_time_and_few_lines(before: Object, after: Object, shown: str) -> None:
    started = time.process_time()
    lines = difference(pair(before, after)).lines
    assert time.process_time() - started < 10
    assert len(lines) < 2_010
    assert shown in "\n".join(lines)
    assert max(map(len, lines)) <= module.LONGEST_LINE + 200


def test_a_changed_scalar_of_any_manifest_of_apps_is_one_line_on_each_side() -> None:
    """The API version is such a scalar, and no reader wants more around it than its neighbours."""
    for name, item in of_apps().items():
        after = {**item, "apiVersion": f"{item['apiVersion']}x"}
        shown = difference(pair(item, after))
        assert changed(shown.lines) == [f"-apiVersion: {item['apiVersion']}", f"+apiVersion: {after['apiVersion']}"], (
            name
        )
        assert shown.folded == 0
