"""The reference of settings and checks, generated from the models and rules.

Models and rules come in, Markdown goes out; `./homelab test --update` writes docs/reference/settings.md and
docs/reference/checks.md, and a test refuses an outdated one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.category import Category
from config.explain import kinds
from config.model import Settings
from config.rules import LOCAL, SCOPES, Check

WORDS = {
    "IPv4Address": "address",
    "IPv4Network": "network",
    "AddressRange": "range",
    "Version": "version",
    "Size": "size",
    "Duration": "duration",
    "Schedule": "schedule",
    "SecretStr": "secret",
    "str": "text",
    "int": "number",
    "NoneType": "",
}


def documents(register: Mapping[str, Check]) -> dict[str, str]:
    """Return every generated document by its path."""
    return {"docs/reference/settings.md": settings(), "docs/reference/checks.md": checks(register)}


def settings() -> str:
    """Return every key of stack files and category files."""
    lines = [
        "# Settings",
        "",
        "Made from the models by `./homelab test --update`. A stack file is `Pulumi.<stack>.yaml`; every section",
        "is a key `homelab:<section>` in it. Unknown keys are refused, and facts that follow from others cannot be",
        "set.",
        "",
    ]
    for field in Settings.model_fields.values():
        lines += _section(f"homelab:{field.alias}", field.annotation)
    lines += ["# apps/&lt;category&gt;/category.yaml", ""]
    lines += _section("category.yaml", Category)
    return "\n".join(lines).rstrip() + "\n"


def checks(register: Mapping[str, Check]) -> str:
    """Return the page of every check with its scopes and its reason."""
    lines = [
        "# Checks",
        "",
        "Made from the register of `config/rules.py` by `./homelab test --update`. Every refusal ends with one of",
        "these ids. A finding of some checks can be accepted: with the annotation `homelab.dev/accept-<id>`, whose",
        "value is the reason. The last column shows where that annotation stands, and is empty for the checks that no",
        "annotation can accept.",
        "",
        "The scope of a check is the input that decides it:",
        "",
        *(f"* **{scope}**: {meaning}" for scope, meaning in SCOPES.items()),
        "",
        f"`check --changed-since` reports {' and '.join(f'`{scope}`' for scope in LOCAL)} for changed apps only. It",
        "reports the others for every app, since a change elsewhere can cause them.",
        "",
        "| id | scope | why | accepted by the annotation of |",
        "| --- | --- | --- | --- |",
    ]
    for name, check in sorted(register.items()):
        lines.append(f"| {name} | {', '.join(check.scopes)} | {check.why} | {check.accepted_by or ''} |")
    return "\n".join(lines) + "\n"


def _section(title: str, annotation: Any) -> Iterator[str]:
    """Yield a section's table, then the sections inside it."""
    for model in (kind for kind in kinds(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)):
        named = model.model_fields.get("kind")
        chosen = named if named and len(get_args(named.annotation)) == 1 else None  # one of a union of sections
        tag = f" (kind: {get_args(chosen.annotation)[0]})" if chosen else ""
        yield from (f"## {title}{tag}", "", " ".join((model.__doc__ or "").split()), "")
        yield from ("| key | value | default | description |", "| --- | --- | --- | --- |")
        inner = []
        for field in model.model_fields.values():
            if field is chosen:
                continue
            value, nested = _value(field.annotation)
            yield f"| `{field.alias}` | {value} | {_default(field)} | {field.description or ''} |"
            inner += [(f"{title}.{field.alias}{mark}", kind) for mark, kind in nested]
        yield ""
        for inside, kind in inner:
            yield from _section(inside, kind)


def _value(annotation: Any) -> tuple[str, list[tuple[str, Any]]]:
    """Return the type of a value in words, and the sections inside."""
    words: list[str] = []
    nested: list[tuple[str, Any]] = []
    for kind in kinds(annotation):
        name = getattr(kind, "__name__", str(kind))
        arguments = get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            words, nested = ["section"], [*nested, ("", kind)]
        elif name in ("tuple", "list"):
            word, inside = _value(arguments[0])
            words.append(f"list of {word}")
            nested += [(f"[]{mark}", model) for mark, model in inside]
        elif name == "dict":
            word, inside = _value(arguments[1])
            words.append(f"map to {word}")
            nested += [(f".&lt;name&gt;{mark}", model) for mark, model in inside]
        elif name == "Literal":
            words.append(", ".join(f"`{argument}`" for argument in arguments))
        else:
            words.append(WORDS[name])
    return " or ".join(word for word in words if word), nested


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is PydanticUndefined or value is None or value == ():
        return ""
    return f"`{json.dumps(value) if isinstance(value, tuple) else value}`"
