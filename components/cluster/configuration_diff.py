"""A node's configuration in readable form, and the difference of two.

The engine keeps machine configurations secret and therefore shows no difference of them. Patches contain the operator's
decisions, and may contain credentials as well, so this module merges them into one text in which credentials are
covered and compares texts line by line. `components.cluster.cluster` shows the difference in a preview; other commands
compare the exported texts.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from config import secret_patterns
from manifests.redact import covered

COVERED = "(covered)"
CREDENTIAL = re.compile(r"(?i)(?:auth|key|crt|secret)\Z")
FILES = ("content", "contents")
VARIABLES = ("environment", "env", "variables", "extraKernelArgs")
DIGITS = 10
REPLACED = ("auditPolicy", "podSubnets", "serviceSubnets")  # Talos marks them as replaced by a merge
TAINT = {"key", "value", "effect"}  # its key is no credential
CONTEXT = 1


def readable(patches: Iterable[str], versions: Mapping[str, str]) -> str:
    """Return the patches, merged into one text without credentials."""
    return yaml.safe_dump(covered(_covered(merged(patches, versions)), _cover), sort_keys=True)


def merged(patches: Iterable[str], versions: Mapping[str, str]) -> dict[str, Any]:
    """Return the merged documents, credentials included; the versions decide the parts that Talos generates."""
    documents: dict[str, Any] = {"versions": dict(versions)}
    for patch in patches:
        for document in yaml.safe_load_all(patch):
            if not isinstance(document, Mapping):
                continue
            kind = str(document.get("kind", "machine configuration"))
            named = f"{kind} {document['name']}" if "name" in document else kind
            documents[named] = _merged(documents.get(named), document)
    return documents


def difference(before: str, after: str) -> str:
    """Return the changed lines with some context, empty where nothing changed."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=CONTEXT)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


def _merged(one: Any, other: Any, key: str = "") -> Any:
    """Return the merge of two values as Talos merges: maps key by key, lists concatenated, anything else replaced."""
    if key in REPLACED:
        return other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {
            name: _merged(one.get(name), other[name], name) if name in other else one[name] for name in [*one, *other]
        }
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *(item for item in other if item not in one)]
    return other


def _cover(value: str) -> str:
    return COVERED


def _covered(value: Any, key: str = "") -> Any:
    """Cover credentials that only Talos' key names identify; `manifests.redact` covers all other names and patterns."""
    if isinstance(value, Mapping) and set(value) == TAINT:
        return value
    if isinstance(value, Mapping):
        inner = {name: _covered(one, str(name)) for name, one in value.items()}
        return {name: _variable(str(name), one) for name, one in inner.items()} if key in VARIABLES else inner
    if isinstance(value, list):
        if key in VARIABLES:
            return [_assignment(item) if isinstance(item, str) else item for item in value]
        return [_covered(item) for item in value]
    if isinstance(value, str) and value and key in FILES:
        # A file may hold a credential of any form. For other values a digest shows that they changed.
        rest = str(covered(value, _cover))
        return f"(covered {hashlib.sha256(rest.encode()).hexdigest()[:DIGITS]})"
    if isinstance(value, str) and value and CREDENTIAL.search(key):
        return COVERED
    return value


def _assignment(text: str) -> str:
    name, sign, value = text.partition("=")
    return f"{name}{sign}{_variable(name, value)}" if sign else str(covered(text, _cover))


def _variable(name: str, value: Any) -> Any:
    """Cover a variable by its name, by its pattern, and where it looks random."""
    if not isinstance(value, str):
        return value
    secret = secret_patterns.is_secret(name, value, in_doubt=True) or secret_patterns.RANDOM.match(value)
    return COVERED if secret else covered(value, _cover)
