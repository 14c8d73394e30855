"""Errors of kustomize and helm, as problems with a file of the checkout.

A program's output comes in with a reader and the folder that it rendered; a problem goes out with a file, a line where
the message has one, and the program's message without its internals. `manifests.render` collects them.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from config.app_settings import NO_HOSTS
from config.rules import rule
from errors import HomelabError, Problem, ProgramFailed
from manifests.checkout import CheckoutReader

LONGEST = 700
NOISE = (
    (r"(?s)\n?: unable to run: '.*", ""),
    (r"\s*Use --debug flag to render out invalid YAML", ""),
    (r"(?m)^(?:walk\.go:\d+: |\S+ \S+ walk\.go:\d+: |# Warning: ).*\n?", ""),
    (r"^(?:Error: )+", ""),
    (r"\S*/kustomize-helm-\d+/(\S+)-kustomize-values\.yaml", r"the values of \1"),
    (r"accumulation err='accumulating resources from '[^']*': read \S+: is a directory': ", ""),
    (r"accumulation err='((?:[^']|'[^']*')*)': must build at directory: .*", r"\1"),
    (r"recursed accumulation of path '([^']*)': ", r"in \1: "),
    (r"(?:accumulating resources: )+(?=accumulating|in )", ""),
)
# kustomize's error when the settings reach a route that has no hosts.
NO_HOSTS_FIELD = 'unable to find field \\"spec.hostnames'
NETWORK = re.compile(r"proxyconnect tcp|transport '\w+' not allowed")
LINE = re.compile(r"\bline (\d+)\b")
NAMED = re.compile(
    r"'([^'\s]+)'|in File: (\S+)|\"([^\"\s]+)\"|(?:open|lstat|read|stat) ([^\s:]+)|=([^\s\]]+)"
    r"|(?:\(| on )([\w.-]+)/(?:charts|templates)/|chart\(s\): (\S+):|the values of (\S+?)[\s:]"
)

OF_VALUES = re.compile(
    r"chart\(s\): (?P<chart>\S+): .*?at '(?P<path>[^']*)': (?:additional properties '(?P<more>[^']+)')?"
)
OF_A_FIELD = re.compile(r"cannot unmarshal (?P<kind>\w+) into Go struct field \w+\.(?P<key>\w+)")
KINDS: Mapping[str, type | tuple[type, ...]] = {
    "array": list,
    "bool": bool,
    "number": (int, float),
    "object": dict,
    "string": str,
}


def cleaned(output: str, *roots: Path) -> str:
    """Return a program's message in one line, with the checkout's paths in place of absolute ones."""
    text = re.sub(r"(?s)^.*?^(?=Error: )", "", output.strip(), count=1, flags=re.MULTILINE)
    for pattern, replacement in NOISE:
        text = re.sub(pattern, replacement, text)
    for root in roots:
        for place in {str(root), os.path.realpath(root)}:
            text = text.replace(f"{place}/", "").replace(place, ".")
    text = " ".join(text.split()).strip(" ;")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


@rule("render-failed", scope="program", why="A folder that fails to render here fails in Argo CD.")
def problem(
    error: HomelabError,
    folder: str,
    files: Sequence[str],
    reader: CheckoutReader,
    *roots: Path,
    values: Sequence[str] = (),
) -> Problem:
    """Make a problem of a program's refusal; `files` are the kustomizations or charts that it went through."""
    output = error.output if isinstance(error, ProgramFailed) else str(error)
    message = cleaned(output, reader.root, *roots)
    if NETWORK.search(message):
        rule, fix = f"reads from a network, and a render does not: {message}", "keep a copy in the folder"
        return Problem(folder, 0, "", "", rule, fix, "render-failed")
    file, line = _field(message, files, values, reader) or _place(message, files, reader)
    fix = "correct it here" if line or file != folder else "correct what the message names"
    if NO_HOSTS_FIELD in message:
        fix = f"set the hostnames of each route; one without hosts needs the annotation {NO_HOSTS}: none"
    return Problem(file or folder, line, "", "", message, fix, "render-failed")


def _field(message: str, files: Sequence[str], values: Sequence[str], reader: CheckoutReader) -> tuple[str, int] | None:
    """Return the line of the key that a schema refuses: in a chart's values, or in a kustomization by its value."""
    if found := OF_VALUES.search(message):
        parts = [int(one) if one.isdigit() else one for one in found["path"].split("/") if one]
        parts += [found["more"]] if found["more"] else []
        for file in reversed(values):
            document = reader.source(file).first
            for path in (tuple(parts), (found["chart"], *parts)):  # an umbrella has them below the chart's name
                if path in document.lines and path:
                    return file, document.line(path)
    if found := OF_A_FIELD.search(message):
        for file in files:
            document = reader.source(file).first
            value = document.value.get(found["key"]) if isinstance(document.value, dict) else None
            if isinstance(value, KINDS.get(found["kind"], ())):
                return file, document.line((found["key"],))
    return None


def _place(message: str, files: Sequence[str], reader: CheckoutReader) -> tuple[str, int]:
    """Return the file of a message: one that it names, else the one with the missing name."""
    names = list(_named(message))
    for name in names:
        for path in (name, *(posixpath.normpath(f"{posixpath.dirname(file)}/{name}") for file in files)):
            if reader.is_file(path) and not path.startswith("/"):
                found = LINE.search(message)
                return path, int(found[1]) if found else 0
    for name in (name for name in names if not name.startswith("/")):
        words = "|".join(map(re.escape, {name, posixpath.basename(name)} - {""}))
        for file in files:
            for number, line in enumerate(_lines(reader, file), 1):
                if re.search(rf"(?<![\w.-])(?:{words})(?![\w-])", line):
                    return file, number
    return (files[0] if files else ""), 0


def _named(message: str) -> Iterator[str]:
    """Return the names in a message, the innermost first."""
    for found in reversed(list(NAMED.finditer(message))):
        yield next(group for group in found.groups() if group)


def _lines(reader: CheckoutReader, file: str) -> list[str]:
    try:
        return reader.text(file).splitlines()
    except OSError:
        return []
