"""YAML as Kubernetes reads it.

Text comes in, plain values go out. Between a file and the API stand Go's YAML 1.1 and JSON: there `on` and `y` are
booleans, `0755` is octal, `1.0` is the number one, dates are text and keys always are. `config.source` reads settings
by other rules; a manifest must have the meaning here that it has in Argo CD. `manifests.render` reads the output of
programs with this.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Hashable
from typing import Any

import yaml

from config import bounds

try:
    from yaml import CSafeLoader as BaseLoader
except ImportError:  # a PyYAML without libyaml: slower, the same answers
    from yaml import SafeLoader as BaseLoader  # type: ignore[assignment]

TAG = "tag:yaml.org,2002:"
TEXT = f"{TAG}str"
PLAIN_KINDS = (
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"[yY]|yes|Yes|YES|[nN]|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    (
        "int",
        r"[-+]?(?:0[bB][01][01_]*|0[xX][0-9a-fA-F][0-9a-fA-F_]*|0[oO][0-7][0-7_]*|0[0-7_]*|[1-9][0-9_]*)",
        "-+0123456789",
    ),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
)
TRUE = ("y", "yes", "true", "on")
LARGEST = 1 << 64
LONGEST_NUMBER = 300  # Python refuses to read thousands of digits


class KubernetesLoader(BaseLoader):
    """PyYAML's loader with the scalar types of Go's YAML."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Make every key text before keys are compared: to Python 1 and true are one key, in JSON they are two."""
        self.flatten_mapping(node)
        return {self._key(key): self.construct_object(value, deep=deep) for key, value in node.value}

    def _key(self, node: Any) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key has to be plain", node.start_mark)
        return str(node.value) if node.tag == TEXT else json.dumps(self.construct_object(node))


KubernetesLoader.yaml_implicit_resolvers = {}
for kind, pattern, first in PLAIN_KINDS:
    signs = ["" if sign == "\0" else sign for sign in first]
    KubernetesLoader.add_implicit_resolver(TAG + kind, re.compile(rf"(?:{pattern})\Z"), signs)


def documents(text: str, most: int = bounds.MOST_NODES, *, flow: bool = True) -> list[Any]:
    """Read every document; raises PyYAML's error where the text is not YAML, or breaks a bound."""
    if rule := bounds.broken(text, most, flow=flow):
        raise yaml.YAMLError(rule)
    return list(yaml.load_all(text, KubernetesLoader))


def document(text: str) -> Any:
    """Read the first document, nothing where there is none."""
    found = documents(text)
    return found[0] if found else None


def _bool(loader: Any, node: Any) -> bool:
    return str(node.value).lower() in TRUE


def _binary(loader: Any, node: Any) -> str:
    """Return the text that Go reads; PyYAML's bytes would pass by each rule for text."""
    try:
        return base64.b64decode("".join(str(node.value).split()), validate=True).decode("utf-8", "replace")
    except ValueError as error:
        raise yaml.constructor.ConstructorError(None, None, f"is not base64: {error}", node.start_mark) from None


def _unknown(loader: Any, node: Any) -> Any:
    raise yaml.constructor.ConstructorError(None, None, f"the tag {node.tag} has no meaning here", node.start_mark)


def _int(loader: Any, node: Any) -> int | float | str:
    text = str(node.value).replace("_", "")
    if len(text) > LONGEST_NUMBER:
        return text
    sign, digits = (text[0], text[1:]) if text[0] in "-+" else ("", text)
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        digits = f"0o{digits[1:]}"
    number = int(f"{sign}{digits}", 0)
    return number if abs(number) < LARGEST else float(number)


def _float(loader: Any, node: Any) -> int | float:
    number = float(str(node.value).replace("_", ""))
    return int(number) if number.is_integer() and abs(number) < LARGEST else number


for name, constructor in (("bool", _bool), ("int", _int), ("float", _float)):
    KubernetesLoader.add_constructor(TAG + name, constructor)
KubernetesLoader.add_constructor(f"{TAG}binary", _binary)
for name in ("set", "omap", "pairs", "timestamp"):
    KubernetesLoader.add_constructor(TAG + name, _unknown)
