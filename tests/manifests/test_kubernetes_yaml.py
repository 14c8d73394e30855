"""YAML is read as Kubernetes reads it: helm, which uses the same Go library, is the reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import programs
from manifests import kubernetes_yaml
from tests.manifests.checkout import lay

SCALARS = """
y n yes No ON off true False TRUE ~ null NULL 0 1 -1 +1 007 0755 08 0o17 0x1F 0b101 1_000 0x 0o 0b2 1.0 1.50 .5 -.5
1e3 1E-2 1.e1 12:30:45 2001-01-01 2001-01-01T00:00:00Z 1.2.3 v1 <<x 1_0.5_0 .e1 - 0_7 1e400x 123456789012 yEs nULL
"""


def test_scalars_have_the_types_of_argo_cd(tmp_path: Path, env: dict[str, str]) -> None:
    words = [word for word in SCALARS.split() if word != "-"]
    text = "".join(f"k{index}: {word}\n" for index, word in enumerate(words))
    text += "empty:\nquoted: 'yes'\nlong: |\n  1\n1: int\ntrue: bool\nlist: [yes, '1', 1]\n"
    text += "base: &b {x: 1}\nmerged:\n  <<: *b\n  y: 2\n"
    lay(
        tmp_path,
        {
            "Chart.yaml": "apiVersion: v2\nname: asked\nversion: 1.0.0\n",
            "templates/a.yaml": 'data: {{ .Files.Get "scalars.yaml" | fromYaml | toJson | quote }}\n',
        },
    )
    (tmp_path / "scalars.yaml").write_text(text, encoding="utf-8")
    said = programs.run("helm", "template", "x", ".", cwd=tmp_path, env=env).stdout
    expected: dict[str, Any] = json.loads(yaml.safe_load(said)["data"])
    found = kubernetes_yaml.document(text)
    differing = {
        words[int(key[1:])]: (found[key], value)
        for key, value in expected.items()
        if key[1:].isdigit() and found[key] != value
    }
    assert differing == {}
    assert found == expected
    kinds = {key: type(value) for key, value in found.items()}
    assert kinds == {key: type(value) for key, value in expected.items()}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("# nothing\n", []),
        ("---\na: 1\n---\n---\nb: 2\n", [{"a": 1}, None, {"b": 2}]),
        ("{a: 1.0}", [{"a": 1}]),
        ("a: 18446744073709551616", [{"a": 18446744073709551616.0}]),
    ],
)
def test_documents_are_separated(text: str, values: list[Any]) -> None:
    assert kubernetes_yaml.documents(text) == values


def test_invalid_yaml_is_an_error() -> None:
    with pytest.raises(yaml.YAMLError):
        kubernetes_yaml.documents("a: [")
