"""Each line of the requirements is used by the file that its reason names, and each use of git has a reason."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"^(?P<name>[A-Za-z][\w-]*)(?:==[\w.]+)? +# (?P<reason>.+): (?P<file>[\w./-]+)$")
GIT = re.compile(r"programs\.(?:run|pipe|follow|start|converse)\(\s*\"git\"")
REASON = "# git and not GitPython"
ABOVE = 4  # lines that a statement may take between its reason and the call
installed = cache(packages_distributions)


def lines(file: str) -> list[str]:
    return [one for one in (ROOT / file).read_text(encoding="utf-8").splitlines() if one and one[0].isalpha()]


def modules(name: str) -> list[str]:
    """Return the modules that a distribution contains."""
    plain = name.lower().replace("_", "-")
    return [
        module
        for module, distributions in installed().items()
        if plain in {one.lower().replace("_", "-") for one in distributions}
    ]


@pytest.mark.parametrize("line", lines("requirements.in"))
def test_named_file_imports_the_requirement(line: str) -> None:
    found = LINE.match(line)
    assert found, f"{line}: write `NAME  # REASON: FILE`, with a file that imports it"
    source = (ROOT / found["file"]).read_text(encoding="utf-8")
    imported = re.compile(
        rf"^\s*(?:import|from) (?:{'|'.join(map(re.escape, modules(found['name'])))})\b", re.MULTILINE
    )
    assert imported.search(source), f"{found['file']} does not import {found['name']}"


@pytest.mark.parametrize("line", lines("requirements-dev.in"))
def test_named_file_runs_or_imports_the_development_requirement(line: str) -> None:
    found = LINE.match(line)
    assert found, f"{line}: write `NAME  # REASON: FILE`, with a file that runs or imports it"
    if found["name"].startswith("types-"):
        typed = found["name"].removeprefix("types-")
        (runtime,) = [one for one in lines("requirements.in") if one.lower().startswith(typed.lower())]
        assert found["file"] in runtime, f"{found['file']} is not the file that imports {typed}"
        return
    names = {found["name"], found["name"].removesuffix("-py"), *modules(found["name"])}
    source = (ROOT / found["file"]).read_text(encoding="utf-8")
    assert any(re.search(rf"\b{re.escape(name)}\b", source) for name in names), f"{found['file']} has no {names}"


def test_every_use_of_git_has_a_reason() -> None:
    missing = []
    for room in ("config", "components", "lab", "local", "manifests", "ops", "stacks", "standins"):
        for path in sorted((ROOT / room).rglob("*.py")):
            text = path.read_text(encoding="utf-8").splitlines()
            for number, _ in enumerate(text):
                here = "\n".join(text[number : number + 2])
                found = GIT.search(here)
                if found and found.start() < len(text[number]):
                    above = text[max(0, number - ABOVE) : number + 1]
                    if not any(line.lstrip().startswith(REASON) for line in above):
                        missing.append(f"{path.relative_to(ROOT)}:{number + 1}")
    assert missing == []
