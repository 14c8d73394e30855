"""Checked settings from a stack file, or from a run of Pulumi.

The only reader of `pulumi.Config`. `read_stack` reads a file on disk, for `ops.check` and the lab; `from_pulumi` reads
the engine's values and takes the lines from the same file, so that both report a mistake with the same text. `stacks`
continues with the `Settings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from config.derive import missing_secrets
from config.explain import Places, explain, nearest
from config.model import Settings
from config.rules import rule
from config.source import Document, KeyPath, alone, dotted, parse, read
from errors import Problem, SettingsRefused

PROJECT = "homelab"
TOP_LEVEL = ("config", "encryptionsalt", "encryptedkey", "secretsprovider", "environment")
SECTIONS = tuple(str(field.alias) for field in Settings.model_fields.values())


@dataclass(frozen=True)
class Stack:
    """One stack file: its settings if it is valid, and its problems."""

    name: str
    places: Places
    settings: Settings | None
    problems: tuple[Problem, ...]

    def require(self, more: Callable[[Stack], Iterable[Problem]] = lambda stack: ()) -> Settings:
        """Return the settings, or refuse with every problem, those of `more` included."""
        problems = {*self.problems, *more(self)}
        if self.settings is None or problems:
            raise SettingsRefused(problems)
        return self.settings


def stack_files(root: Path) -> dict[str, Path]:
    """Return the stack files by the names of their stacks, without the project's own file."""
    return {
        path.name.removeprefix("Pulumi.").removesuffix(".yaml"): path for path in sorted(root.glob("Pulumi.*.yaml"))
    }


def read_stacks(root: Path) -> list[Stack]:
    """Read every stack file of a checkout."""
    return [read_stack(path) for path in stack_files(root).values()]


def read_stack(path: Path, raw: bytes | None = None) -> Stack:
    """Read a stack file without Pulumi; `raw` is another version of it, such as the committed one."""
    source = read(path, path.name) if raw is None else parse(raw, path.name)
    name = path.name.removeprefix("Pulumi.").removesuffix(".yaml")
    places = Places(path.name, source.first, _in_file)
    if source.problems and not source.documents:
        return Stack(name, places, None, source.problems)
    values, problems = _sections(source.first, places)
    problems = [*alone(source), *problems]
    if values is None:
        return Stack(name, places, None, (*source.problems, *problems))
    settings, refused = _validate(values, places)
    hidden = {problem.key for problem in problems if problem.check == "secret-misplaced"}
    refused = [problem for problem in refused if problem.key not in hidden]
    return Stack(name, places, settings, (*source.problems, *problems, *refused))


@rule("secret-missing", scope="file", why="Without it `up` would stop halfway.")
def from_pulumi(root: Path) -> Stack:
    """Read the engine's values, in which secrets are in plain text."""
    import pulumi  # noqa: PLC0415 - `check` reads stack files without paying for the engine's SDK
    from pulumi.runtime.config import CONFIG  # noqa: PLC0415

    name = pulumi.get_stack()
    on_disk = read_stack(root / f"Pulumi.{name}.yaml")
    config = pulumi.Config(PROJECT)
    values = {key: config.get_object(key) for key in SECTIONS if config.get(key) is not None}
    unknown = [key for key in CONFIG.get() if key.startswith(f"{PROJECT}:") and key.split(":", 1)[1] not in SECTIONS]
    in_file = [problem for problem in on_disk.problems if problem.check in ("secret-plain", "secret-misplaced")]
    problems = [*in_file, *(_unknown_section(key, on_disk.places) for key in unknown)]
    settings, refused = _validate(values, on_disk.places)
    for missing in missing_secrets(settings) if settings else ():
        fix = f"pulumi config set --secret --path '{PROJECT}:secrets.{missing}'"
        path: KeyPath = ("secrets", *missing.split("."))
        problems.append(on_disk.places.problem("secret-missing", path, None, "is required and not set", fix))
    return Stack(name, on_disk.places, settings, (*problems, *refused))


def _in_file(path: KeyPath) -> KeyPath:
    return ("config", f"{PROJECT}:{path[0]}", *path[1:]) if path else ("config",)


def _sections(document: Document, places: Places) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Return the project's sections of a stack file, and the problems of its other keys."""
    whole = Places(places.file, document)
    if not isinstance(document.value, Mapping):
        rule = "is empty" if document.value is None else "is not a map of keys"
        return None, [
            Problem(places.file, 0, "", "", rule, "begin with `config:`; ./homelab init writes one", "file-empty")
        ]
    problems = [
        whole.problem("key-unknown", (key,), None, "is not a key of a stack file", nearest(key, TOP_LEVEL, "remove it"))
        for key in document.value
        if key not in TOP_LEVEL
    ]
    config = document.value.get("config")
    if not isinstance(config, Mapping):
        rule = "is missing" if config is None else "is not a map of keys"
        return None, [*problems, whole.problem("key-missing", ("config",), None, rule, "begin with `config:`")]
    values: dict[str, Any] = {}
    for key, value in config.items():
        namespace, _, section = key.partition(":")
        if namespace == "pulumi":
            continue
        if namespace != PROJECT or section not in SECTIONS:
            problems.append(_unknown_section(key, places))
        elif section == "secrets":
            values[section] = _encrypted(value, ("secrets",), places, problems)
        else:
            problems += _misplaced(value, (section,), places)
            values[section] = value
    return values, problems


@rule("secret-plain", scope="file", why="The stack file is in Git.")
def _encrypted(value: Any, path: KeyPath, places: Places, problems: list[Problem]) -> Any:
    """Return the section with a placeholder for each ciphertext, and refuse plain text without printing it."""
    if isinstance(value, Mapping) and set(value) == {"secure"} and len(path) > 1:
        return "(encrypted)"
    if isinstance(value, Mapping) and "secure" not in value:
        return {key: _encrypted(inner, (*path, key), places, problems) for key, inner in value.items()}
    if value is None:
        return {}
    fix = f"remove the line, then: pulumi config set --secret --path '{PROJECT}:{dotted(path)}'"
    if len(path) == 1:
        fix = f"encrypt each on its own: pulumi config set --secret --path '{PROJECT}:secrets.NAME'"
    problems.append(places.problem("secret-plain", path, None, "is a secret in plain text", fix))
    return "(plain)" if len(path) > 1 else {}


@rule(
    "secret-misplaced",
    scope="file",
    why="All secrets have one section, so that they can be listed, escrowed and replaced.",
)
def _misplaced(value: Any, path: KeyPath, places: Places) -> list[Problem]:
    """Return a problem for each ciphertext outside of the one key that may contain it."""
    if isinstance(value, Mapping) and set(value) == {"secure"}:
        rule = "is encrypted, and only homelab:secrets holds encrypted values"
        return [
            places.problem(
                "secret-misplaced", path, None, rule, "write it in plain text, or move it to homelab:secrets"
            )
        ]
    if isinstance(value, Mapping):
        return [found for key, inner in value.items() for found in _misplaced(inner, (*path, key), places)]
    if isinstance(value, list):
        return [found for index, inner in enumerate(value) for found in _misplaced(inner, (*path, index), places)]
    return []


def _unknown_section(key: str, places: Places) -> Problem:
    known = [f"{PROJECT}:{section}" for section in SECTIONS]
    line = places.document.line(("config", key))
    wanted = key if ":" in key else f"{PROJECT}:{key}"
    fix = f"did you mean {wanted}?" if wanted in known else nearest(wanted, known, f"known: {', '.join(known)}")
    return Problem(places.file, line, key, "", "is not a known section", fix, "key-unknown")


@rule("section-missing", scope="file", why="Every stack has these sections.")
def _validate(values: Mapping[str, Any], places: Places) -> tuple[Settings | None, list[Problem]]:
    missing = [section for section in SECTIONS if not values.get(section) and section != "secrets"]
    problems = [
        places.problem(
            "section-missing",
            (section,),
            None,
            "is missing",
            f"add `{PROJECT}:{section}:`; see docs/reference/settings.md",
        )
        for section in missing
    ]
    present = {key: value for key, value in values.items() if value not in (None, {})}
    try:
        return Settings.model_validate(present), problems
    except ValidationError as error:
        found = explain(error, Settings, places)
    return None, [*problems, *(problem for problem in found if problem.key not in missing)]


def reveal(secret: SecretStr | None) -> str | None:
    """Return the plain text of a secret, which `stacks` passes to the engine as a secret."""
    return secret.get_secret_value() if secret else None
