"""The laws of the house that import-linter cannot see."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median

import pytest

import errors
from config.reference import documents
from ops.checking.register import every_check

ROOT = Path(__file__).parents[2]
ROOMS = ("local", "config", "manifests", "stacks", "components", "standins", "lab", "ops")
BESIDE = ("tests", "docs", "bench", "apps", "tools")
PRODUCT = ("__main__.py", "errors.py", "programs.py")


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


SOURCES = [*(ROOT / name for name in PRODUCT if (ROOT / name).exists()), *python_files(*ROOMS)]
EVERYTHING = [*SOURCES, *python_files("tests", "bench")]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(ROOT)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_no_file_exceeds_500_lines_nor_the_median_150() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > 500} == {}
    assert median(lengths.values()) <= 150


def test_functions_have_at_most_80_lines_and_95_percent_50() -> None:
    lengths = dict(pair for path in SOURCES for pair in functions(path))
    assert {name: length for name, length in lengths.items() if length > 80} == {}
    assert sum(length <= 50 for length in lengths.values()) >= 0.95 * len(lengths)


def test_every_error_stands_in_the_drawn_tree() -> None:
    drawn = re.findall(r"^ *[│ ├└─]* ?([A-Z][A-Za-z]+)(?: {2,}|$)", errors.__doc__ or "", re.MULTILINE)
    real = [cls.__name__ for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, Exception)]
    assert sorted(drawn) == sorted(real)


def test_errors_are_made_in_one_file_only() -> None:
    made = [
        f"{path.relative_to(ROOT)}:{node.name}"
        for path in SOURCES
        if path.name != "errors.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and any("Error" in ast.unparse(base) or "Exception" in ast.unparse(base) for base in node.bases)
    ]
    assert made == []


def test_a_class_name_means_one_thing() -> None:
    owners: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                owners.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
            elif isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
                owners.setdefault(ast.unparse(node.target), []).append(str(path.relative_to(ROOT)))
    assert {name: files for name, files in owners.items() if len(files) > 1} == {}


@pytest.mark.parametrize(
    ("pattern", "owners"),
    [
        (r"\bpulumi\.Config\b", ("config/load.py",)),
        (r"^\s*(import|from) subprocess\b", ("programs.py",)),
        (r"^\s*(import|from) git(db)?\b", ("lab/delivery/commits.py", "ops/promotion/git_store.py")),
    ],
)
def test_only_these_modules_do_this(pattern: str, owners: tuple[str, ...]) -> None:
    said = re.compile(pattern, re.MULTILINE)
    others = [str(path.relative_to(ROOT)) for path in SOURCES if said.search(_code(path))]
    assert [name for name in others if name not in owners] == []


@cache
def _code(path: Path) -> str:
    """Return the code of a module without its docstrings and comments."""
    return ast.unparse(_without_docstrings(ast.parse(path.read_text(encoding="utf-8"))))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0].value = ast.Constant("")
    return tree


@pytest.mark.parametrize(("file", "allowed"), [("errors.py", set()), ("programs.py", {"errors"})])
def test_the_two_lowest_modules_import_nothing_above_them(file: str, allowed: set[str]) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {name.split(".")[0] for name in names} & {*ROOMS, "errors", "programs", "tests"}
    assert ours == allowed


def test_the_product_does_not_know_that_it_is_rehearsed() -> None:
    said = re.compile(r"\b(lab|rehears\w*)\b", re.IGNORECASE)
    assert [str(p.relative_to(ROOT)) for p in python_files("stacks", "components") if said.search(p.read_text())] == []


def test_names_in_module_docstrings_exist() -> None:
    missing = []
    for path in EVERYTHING:
        if not path.read_text(encoding="utf-8"):
            continue  # an empty __init__.py of tests
        document = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert document, f"{path} says nothing about itself"
        for name in re.findall(r"`((?:\w+\.)+\w+)`", document):
            if name.split(".")[0] in (*ROOMS, "errors", "programs", "tests") and not _exists(name):
                missing.append(f"{path.relative_to(ROOT)}: {name}")
    assert missing == []


def _exists(name: str) -> bool:
    """Return true if a dotted name is a module, a file, or a name in a module."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:cut])
        if place.is_dir() or place.with_suffix(".py").is_file() or (ROOT / name).exists():
            module = place.with_suffix(".py")
            return cut == len(parts) or (module.is_file() and parts[cut] in module.read_text(encoding="utf-8"))
    return False


def test_names_in_the_documents_exist() -> None:
    missing = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text):
            if not (page.parent / link).exists():
                missing.append(f"{page.relative_to(ROOT)}: {link}")
        for name in re.findall(rf"`((?:{'|'.join((*ROOMS, *BESIDE))})/[\w./-]+)`", text):
            if not (ROOT / name).exists():
                missing.append(f"{page.relative_to(ROOT)}: {name}")
    assert missing == []


def test_the_architecture_lists_the_rooms_in_order_of_the_layers() -> None:
    page = (ROOT / "docs" / "understanding" / "architecture.md").read_text(encoding="utf-8")
    walked = re.findall(r"^## `([a-z]+)[/.]", page, re.MULTILINE)
    layers = re.search(
        r"^layers = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert layers
    names = [name for name in re.findall(r'"(\w+)"', layers[1]) if name != "tests"]
    assert walked == [*names, "programs", "errors"]
    on_disk = {room for room in ROOMS if (ROOT / room).is_dir()}
    assert on_disk <= set(walked)
    paragraphs = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert all("**Law:**" in paragraph for paragraph in paragraphs if re.match(r"`[a-z]+[/.]", paragraph))


def test_generated_documents_are_current() -> None:
    old = [path for path, text in documents(every_check()).items() if (ROOT / path).read_text(encoding="utf-8") != text]
    assert old == [], "./homelab test --update writes them"


def test_nothing_committed_names_this_machine_or_a_registry() -> None:
    forbidden = re.compile(
        r"/(?:root|home/\w+|work/main|tmp/\w+)/|proxy\.golang\.org|sum\.golang\.org|pypi\.org|files\.pythonhosted"
    )
    found = []
    for path in [
        *EVERYTHING,
        *ROOT.glob("*.*"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("apps/**/*.yaml"),
        *ROOT.glob("tools/**/*.*"),
    ]:
        if (
            path.is_file()
            and path != Path(__file__)
            and path.name != "go.sum"
            and forbidden.search(path.read_text(encoding="utf-8", errors="replace"))
        ):
            found.append(str(path.relative_to(ROOT)))
    assert found == []
