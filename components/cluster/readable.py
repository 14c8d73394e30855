"""A node's configuration as a person may read it, and how two of them differ.

The engine keeps machine configurations secret and therefore shows no difference of them. Patches carry what the
operator decides and no key material, so this merges them into one text, with everything that looks like a credential
covered, and compares texts line by line. `components.cluster.cluster` shows the difference in a preview; other commands
compare what it exports.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

COVERED = "(covered)"
CREDENTIAL = re.compile(r"(?i)(password|passphrase|secret|token|auth|identitytoken|key|crt|privatekey)\Z")
PEM = re.compile(r"-----BEGIN")
REPLACED = ("auditPolicy", "podSubnets", "serviceSubnets")  # Talos marks them as replaced by a merge
TAINT = {"key", "value", "effect"}  # its key is no credential
CONTEXT = 1


def readable(patches: Iterable[str], versions: Mapping[str, str]) -> str:
    """Merge patches into one text; the versions decide what Talos generates around them."""
    documents: dict[str, Any] = {"versions": dict(versions)}
    for patch in patches:
        for document in yaml.safe_load_all(patch):
            if not isinstance(document, Mapping):
                continue
            kind = str(document.get("kind", "machine configuration"))
            named = f"{kind} {document['name']}" if "name" in document else kind
            documents[named] = _merged(documents.get(named), document)
    return yaml.safe_dump(_covered(documents), sort_keys=True)


def difference(before: str, after: str) -> str:
    """Show changed lines with a little around them, nothing where nothing changed."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=CONTEXT)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


def _merged(one: Any, other: Any, key: str = "") -> Any:
    """Merge as Talos does: maps key by key, lists one after the other, anything else replaced."""
    if key in REPLACED:
        return other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {
            name: _merged(one.get(name), other[name], name) if name in other else one[name] for name in [*one, *other]
        }
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *(item for item in other if item not in one)]
    return other


def _covered(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping) and set(value) == TAINT:
        return value
    if isinstance(value, Mapping):
        return {name: _covered(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [_covered(inner) for inner in value]
    if isinstance(value, str) and value and (CREDENTIAL.search(key) or PEM.search(value)):
        return COVERED
    return value
