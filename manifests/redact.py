"""Hiding what must not be read in a report: data of Secrets, and whatever looks like a credential.

An object comes in, a copy goes out in which every such value is replaced by a digest: that it changed can be seen, what
it is cannot. The digest is keyed, so that a short password cannot be found by trying; the key is made anew for every
process unless one is given. `manifests.compare` shows nothing else.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from typing import Any

from config.leaks import HARMLESS, SECRET_NAME, TOKEN
from manifests.objects import Object

KEY = secrets.token_bytes(16)
DIGITS = 10
DATA = ("data", "stringData")
COPIES = ("kubectl.kubernetes.io/last-applied-configuration",)
PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
NAME = r"[\w.-]*(?:passwords?|passwd|passphrase|secret|token|(?:secret|api|private|access|auth|encryption)[_-]?key)"
# A line of a settings file, a field of JSON, an argument: the name with what stands around it, then the value.
SETTING = re.compile(
    rf"((?:^|[\s,;&?{{\"'-]){NAME}[\"']?\s*[:=]\s*|--{NAME}\s+)(?!\(redacted )(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;&}}\"']+)",
    re.IGNORECASE | re.MULTILINE,
)
ARGUMENT = re.compile(rf"--?{NAME}\Z", re.IGNORECASE)
IN_URL = re.compile(r"(?<=://)([^\s/:@]*):([^\s/@]+)(?=@)")
JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")

Hide = Callable[[str], str]


def redacted(item: Object, key: bytes = KEY) -> Object:
    """Copy an object without what is secret in it."""

    def hide(value: str) -> str:
        return f"(redacted {hmac.new(key, value.encode('utf-8', 'surrogatepass'), 'sha256').hexdigest()[:DIGITS]})"

    secret = item.get("kind") == "Secret" and item.get("apiVersion") == "v1"
    copy: Object = {name: _plain(value, hide) for name, value in item.items() if not (secret and name in DATA)}
    if secret:
        for name in DATA:
            if name in item:
                copy[name] = _hidden(item[name], hide)
    metadata = copy.get("metadata")
    notes = metadata.get("annotations") if isinstance(metadata, dict) else None
    if isinstance(notes, dict):
        notes |= {name: hide(str(item["metadata"]["annotations"][name])) for name in COPIES if name in notes}
    return copy


def _hidden(value: Any, hide: Hide) -> Any:
    """Hide every value below, and keep the keys."""
    if isinstance(value, dict):
        return {name: _hidden(inner, hide) for name, inner in value.items()}
    return hide(str(value)) if value not in (None, "") else value


def _plain(value: Any, hide: Hide) -> Any:
    """Hide what its name or its form gives away."""
    if isinstance(value, dict):
        named = value.get("name")
        variable = isinstance(named, str) and SECRET_NAME.match(named) and _is_literal(value.get("value"))
        return {
            name: hide(str(inner))
            if (SECRET_NAME.match(name) and _is_literal(inner)) or (variable and name == "value")
            else _plain(inner, hide)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        named = [isinstance(inner, str) and ARGUMENT.match(inner) for inner in value]
        return [
            hide(inner) if before and _is_literal(inner) else _plain(inner, hide)
            for before, inner in zip([None, *named], value, strict=False)
        ]
    return _text(value, hide) if isinstance(value, str) else value


def _text(text: str, hide: Hide) -> str:
    """Hide the parts of a text that look like credentials."""
    for pattern in (PRIVATE, TOKEN, JWT):
        text = pattern.sub(lambda found: hide(found[0]), text)
    text = IN_URL.sub(lambda found: f"{found[1]}:{hide(found[2])}", text)
    return SETTING.sub(
        lambda found: found[1] + (hide(found[2]) if _is_literal(found[2].strip("\"'")) else found[2]), text
    )


def _is_literal(value: Any) -> bool:
    return isinstance(value, str) and not HARMLESS.match(value)
