"""Two sets of objects: what was added, removed and changed, readable and without secrets."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.compare import Change, Comparison, compare, written
from manifests.kubernetes_yaml import documents
from manifests.objects import Identity, Object
from manifests.redact import redacted
from tests.config.test_leaks import PW, SECRETS, coded

KEY = b"a key of the tests"


def made(kind: str = "ConfigMap", name: str = "a", api: str = "v1", **rest: Any) -> Object:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "media"}, **rest}


def test_added_removed_and_changed_are_told_by_identity() -> None:
    before = [made(name="kept"), made(name="gone"), made("Deployment", "app", "apps/v1", spec={"replicas": 1})]
    after = [made(name="new"), made("Deployment", "app", "apps/v1", spec={"replicas": 2}), made(name="kept")]
    found = compare(before, after)
    assert str(found).splitlines() == [
        "+ ConfigMap media/new",
        "- ConfigMap media/gone",
        "~ Deployment.apps media/app (+1 -1)",
        "    @@ -5,3 +5,3 @@",
        "       namespace: media",
        "     spec:",
        "    -  replicas: 1",
        "    +  replicas: 2",
        "1 added, 1 removed, 1 changed",
    ]
    machine = found.as_dict()
    assert machine["added"] == [{"group": "", "kind": "ConfigMap", "namespace": "media", "name": "new"}]
    assert machine["changed"][0]["name"] == "app"
    assert machine["changed"][0]["lines"] == {"added": 1, "removed": 1}
    assert json.loads(json.dumps(machine)) == machine


def test_nothing_differs_is_said_by_nothing() -> None:
    found = compare([made()], [made()])
    assert found == Comparison()
    assert not found
    assert str(found) == ""


def test_another_version_of_one_api_is_a_change_and_another_group_another_object() -> None:
    (change,) = compare([made("A", api="x/v1beta1")], [made("A", api="x/v1")]).changed
    assert "-apiVersion: x/v1beta1" in change.diff
    other = compare([made("A", api="x/v1")], [made("A", api="y/v1")])
    assert (len(other.added), len(other.removed), len(other.changed)) == (1, 1, 0)


def test_several_objects_of_one_identity_are_kept_apart() -> None:
    found = compare([made(data={"a": "1"})], [made(data={"a": "1"}), made(data={"a": "2"})])
    assert found.added == (Identity("", "ConfigMap", "media", "a"),)


def test_the_order_of_objects_and_keys_does_not_count() -> None:
    one, other = made(data={"a": "1", "b": "2"}), made("Secret")
    turned = dict(reversed(list(one.items()))) | {"data": {"b": "2", "a": "1"}}
    assert not compare([one, other], [other, turned])


def test_texts_of_several_lines_differ_line_by_line() -> None:
    before, after = ({"settings.ini": f"[one]\nx = {number}\n[two]\ny = 1\n"} for number in (1, 2))
    (change,) = compare([made(data=before)], [made(data=after)]).changed
    assert [line for line in change.diff.splitlines() if line[0] in "+-"] == ["-    x = 1", "+    x = 2"]


def test_a_custom_resource_definition_is_summed_up() -> None:
    def crd(versions: list[str], text: str) -> Object:
        served = [{"name": name, "served": True, "schema": {"description": text}} for name in versions]
        return made(
            "CustomResourceDefinition", "things.example.com", "apiextensions.k8s.io/v1", spec={"versions": served}
        )

    (change,) = compare([crd(["v1beta1"], "old")], [crd(["v1beta1", "v1"], "new")]).changed
    assert (change.note, change.diff) == ("served v1beta1, now v1beta1, v1", "")
    assert change.added > change.removed > 0
    (same,) = compare([crd(["v1"], "old")], [crd(["v1"], "new")]).changed
    assert str(same).endswith("(+1 -1): serves v1")


def test_what_is_huge_is_summed_up_and_what_is_long_is_cut() -> None:
    def long(lines: int, start: int) -> Object:
        return made(data={f"k{number}": str(number + start) for number in range(lines)})

    (huge,) = compare([long(3000, 0)], [long(3000, 1)]).changed
    assert (huge.note, huge.diff) == ("too large to show", "")
    (cut,) = compare([long(300, 0)], [long(300, 1)]).changed
    lines = cut.diff.splitlines()
    assert len(lines) == 81
    assert lines[-1].startswith("... ")
    assert lines[-1].endswith(" more lines")
    assert cut.added == 300


SECRET = "correct-horse-battery"
HIDDEN: list[tuple[str, Object]] = [
    ("data of a Secret", made("Secret", data={"any": base64.b64encode(SECRET.encode()).decode()})),
    ("stringData of a Secret", made("Secret", stringData={"any": SECRET})),
    ("nested data of a Secret", made("Secret", data={"any": {"deeper": [SECRET]}})),
    ("a key's name", made(data={"password": SECRET})),
    ("a longer name", made(spec={"values": {"adminPassword": SECRET, "clientSecret": SECRET}})),
    ("a variable", made(spec={"env": [{"name": "DB_PASSWORD", "value": SECRET}]})),
    ("an argument", made(spec={"args": [f"--api-key={SECRET}"]})),
    ("the argument after", made(spec={"args": ["--token", SECRET]})),
    ("a command", made(spec={"command": ["sh", "-c", f"login --password {SECRET} && run"]})),
    ("a settings file", made(data={"app.ini": f"[db]\nuser = x\npassword = {SECRET}\n"})),
    ("a JSON file", made(data={"app.json": json.dumps({"auth": {"token": SECRET}})})),
    ("an URL", made(data={"url": f"postgres://user:{SECRET}@db/x"})),
    (
        "a private key",
        made(data={"tls": "-----BEGIN RSA " + f"PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----\n"}),
    ),
    ("a cut private key", made(data={"tls": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n"})),  # gitleaks:allow
    ("a token's form", made(data={"x": f"eyJhbGciOiJIUzI1NiJ9.{SECRET}.{SECRET}"})),  # gitleaks:allow
    (
        "kubectl's copy",
        made("Secret")
        | {"metadata": {"name": "a", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": SECRET}}},
    ),
]


@pytest.mark.parametrize("item", [item for _, item in HIDDEN], ids=[name for name, _ in HIDDEN])
def test_a_changed_secret_is_seen_and_cannot_be_read(item: Object) -> None:
    other = json.loads(
        json.dumps(item)
        .replace(SECRET, "staple-gun")
        .replace(base64.b64encode(SECRET.encode()).decode(), base64.b64encode(b"staple-gun").decode())
    )
    (change,) = compare([item], [other], KEY).changed
    assert change.added >= 1
    assert "redacted" in change.diff
    for value in (SECRET, "staple-gun", base64.b64encode(SECRET.encode()).decode()):
        assert value not in str(change)
        assert value not in json.dumps(compare([item], [other], KEY).as_dict())


WRITTEN = {
    name: text for name, (file, text) in SECRETS.items() if file.endswith((".yaml", ".json")) and "{{ if" not in text
}
MORE: list[tuple[str, Object]] = [
    ("binary data", made(binaryData={"x": base64.b64encode(PW.encode()).decode()})),
    ("an annotation of a Secret", made("Secret") | {"metadata": {"name": "a", "annotations": {"any": PW}}}),
    ("a List", {"apiVersion": "v1", "kind": "List", "items": [made("Secret", stringData={"any": PW})]}),
    (
        "a List in a List",
        {"kind": "List", "items": [{"kind": "SecretList", "items": [made("Secret", data={"a": PW})]}]},
    ),
    ("folded YAML", made(data={"x.yaml": f"db:\n  password: >-\n    {PW}\n    {PW}\n"})),
    ("a value with blanks", made(data={"x.ini": f"password = correct {PW} battery\n"})),
    ("JSON with quotes", made(data={"x": json.dumps({"password": f'a"{PW}'})})),
    ("XML", made(data={"x": f"<password>{PW}</password>"})),
    ("a word after a name", made(data={"x": f"bridge_password {PW}\n"})),
    ("a short option", made(spec={"args": ["-p", PW]})),
    ("a map below a password", made(spec={"password": {"plain": PW}})),
    ("a list below a password", made(spec={"passwords": [PW]})),
    ("a header", made(data={"x": f"Authorization: Bearer {PW}{PW}{PW}"})),
    ("a token before a host", made(data={"x": f"https://{PW}{PW}{PW}@example.com/x"})),
    ("a password with an at", made(data={"x": f"redis://:{PW}@/x@redis:6379"})),
    ("a number", made(spec={"env": [{"name": "DB_PASS", "value": 12345678}]})),
    ("Docker's settings", made(data={"x": json.dumps({"auths": {"ghcr.io": {"auth": coded(f"me:{PW}")}}})})),
    ("a nested Secret", made(data={"x": f"apiVersion: v1\nkind: Secret\nstringData: {{a: {PW}}}\n"})),
]


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_a_secret_in_git_is_one_in_an_output(name: str) -> None:
    for document in documents(WRITTEN[name]):
        shown = json.dumps(redacted(document, KEY))
        assert PW not in shown
        assert coded(f"me:{PW}") not in shown


@pytest.mark.parametrize("item", [item for _, item in MORE], ids=[name for name, _ in MORE])
def test_a_canary_is_found_in_no_output(item: Object) -> None:
    shown = json.dumps(redacted(item, KEY))
    for canary in (PW, base64.b64encode(PW.encode()).decode(), coded(f"me:{PW}"), "12345678"):
        assert canary not in shown


HARMLESS: list[Object] = [
    made(spec={"secretName": "tls", "existingSecret": "db", "passwordSecretRef": {"name": "db", "key": "password"}}),
    made(spec={"env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]}),
    made(spec={"env": [{"name": "DB_PASSWORD", "value": "$(OTHER)"}, {"name": "TOKEN", "value": ""}]}),
    made(spec={"automountServiceAccountToken": False, "url": "https://example.com:8080/x?y=1"}),
    made(data={"text": "The token is checked; see the password policy.\n"}),
    made("SealedSecret", api="bitnami.com/v1alpha1", spec={"encryptedData": {"x": "AgB"}}),
]


@pytest.mark.parametrize("item", HARMLESS)
def test_what_only_names_a_secret_stays_readable(item: Object) -> None:
    assert redacted(item, KEY) == item


def test_a_digest_is_the_same_for_the_same_value_and_key_only() -> None:
    item = made("Secret", data={"a": "x", "b": "x", "c": "y", "empty": ""})
    data = redacted(item, KEY)["data"]
    assert data["a"] == data["b"] != data["c"]
    assert data["empty"] == ""
    assert redacted(item, b"another")["data"]["a"] != data["a"]
    assert item["data"]["a"] == "x", "the object itself is left alone"


def test_a_change_is_written_with_its_note() -> None:
    assert str(Change(Identity("", "Pod", "", "a"), 1, 2, "-a\n+b")) == "~ Pod a (+1 -2)\n    -a\n    +b"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.builds(
    lambda kind, name, api, rest: made(kind, name, api, spec=rest),
    st.sampled_from(["Secret", "ConfigMap", "Deployment", "CustomResourceDefinition"]),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["v1", "apps/v1", "apps/v1beta1"]),
    st.dictionaries(st.sampled_from(["password", "x", "y"]), VALUES, max_size=3),
)


@given(st.lists(OBJECTS, max_size=4), st.lists(OBJECTS, max_size=4))
def test_a_comparison_is_empty_only_for_equals_and_turns_around(one: list[Object], other: list[Object]) -> None:
    kept = copy.deepcopy((one, other))
    there, back = compare(one, other, KEY), compare(other, one, KEY)
    assert (one, other) == kept
    assert not compare(one, copy.deepcopy(one), KEY)
    assert (there.added, there.removed) == (back.removed, back.added)
    assert [change.identity for change in there.changed] == [change.identity for change in back.changed]
    assert len(one) - len(there.removed) == len(other) - len(there.added)
    assert str(there) == str(compare(one, other, KEY))


@given(OBJECTS)
def test_an_object_is_written_the_same_whatever_the_order_of_its_keys(item: Object) -> None:
    assert written(dict(reversed(list(item.items())))) == written(item)
