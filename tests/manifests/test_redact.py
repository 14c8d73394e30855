"""No output shows a secret, and the same object is the same text."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.kubernetes_yaml import documents
from manifests.object_text import as_yaml
from manifests.objects import Object
from manifests.redact import redacted
from tests.config.test_leaks import PW, SECRETS, coded


def made(kind: str = "ConfigMap", name: str = "a", api: str = "v1", **rest: Any) -> Object:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "media"}, **rest}


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
    ("a parameter of an URL", made(data={"url": f"https://x.example.com/?a=b&jointoken={SECRET}"})),
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
def test_a_secret_cannot_be_read_in_an_output(item: Object) -> None:
    shown = json.dumps(redacted(item))
    assert "redacted" in shown
    for value in (SECRET, base64.b64encode(SECRET.encode()).decode()):
        assert value not in shown


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
def test_a_secret_in_git_is_hidden_in_an_output(name: str) -> None:
    for document in documents(WRITTEN[name]):
        shown = json.dumps(redacted(document))
        assert PW not in shown
        assert coded(f"me:{PW}") not in shown


@pytest.mark.parametrize("item", [item for _, item in MORE], ids=[name for name, _ in MORE])
def test_a_canary_is_found_in_no_output(item: Object) -> None:
    shown = json.dumps(redacted(item))
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
def test_a_reference_to_a_secret_stays_readable(item: Object) -> None:
    assert redacted(item) == item


def test_the_object_itself_stays_as_it_is() -> None:
    item = made("Secret", data={"a": "x", "empty": ""})
    assert redacted(item)["data"] == {"a": "(redacted)", "empty": ""}
    assert item["data"]["a"] == "x"


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


@given(OBJECTS)
def test_the_order_of_keys_does_not_change_the_text(item: Object) -> None:
    assert as_yaml(dict(reversed(list(item.items())))) == as_yaml(item)
