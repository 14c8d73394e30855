"""How the project reads: habits of its prose, and the lengths of functions, names of tests and commit subjects.

    .venv/bin/python bench/words.py [--rev REV] [--since REV] [--json]
    .venv/bin/python bench/words.py --find HABIT

Reads the checkout, or an older commit, and prints a table. Only prose is counted (no code block, no inline code, no
address of a link): per 1,000 words, three habits that hide the subject of a sentence, and the verbs of instructions.
`tests/house/test_words.py` bounds the habits.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import sys
import tarfile
import tempfile
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import programs  # noqa: E402 - found after sys.path knows the checkout

GENERATED = ("settings.md", "checks.md")
HABITS = {
    "what": re.compile(r"\b(?:what|whatever)\b", re.IGNORECASE),
    "who": re.compile(r"\b(?:who|whoever|nobody|somebody)\b", re.IGNORECASE),
    "say": re.compile(r"\b(?:say|says|said|saying|tell|tells|told|telling|ask|asks|asked|asking)\b", re.IGNORECASE),
    "can": re.compile(r"\b(?:can|must|should)\b", re.IGNORECASE),
}
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
ODD = frozenset(["Give", "Say", "Name", "Tell", "Let", "Have", "Whether", "What", "Whatever", "Who", "Whoever"])
"""Openings of docstrings that hide the action of a function."""
SUBJECT = 72
"""The characters that a commit subject may have."""
NAME = 10
"""The words that a test's name should have at most."""


@dataclass(frozen=True)
class Text:
    """One piece of prose: of which kind, out of which room, and in which file."""

    kind: str
    room: str
    file: str
    text: str


def texts(root: Path, files: Iterable[str]) -> Iterator[Text]:
    """Yield the docs, docstrings, comments and messages of a checkout."""
    for name in files:
        room = name.split("/")[0] if "/" in name else "top"
        if name.endswith(".md"):
            kind = "generated docs" if name.endswith(GENERATED) else "docs"
            yield Text(kind, room, name, prose((root / name).read_text(encoding="utf-8")))
        elif name.endswith(".py"):
            source = (root / name).read_text(encoding="utf-8")
            tree = ast.parse(source)
            documents = set(_docstrings(tree))
            yield from (Text("docstrings", room, name, prose(str(node.value))) for node in documents)
            yield from (Text("comments", room, name, prose(text)) for text in _comments(source))
            if room not in ("tests", "bench"):
                yield from (Text("messages", room, name, prose(text)) for text in _messages(tree, documents))


def prose(text: str) -> str:
    """Return the running text of a page: without code, addresses of links, and tags."""
    plain = "\n".join(line for line, code in marked(text) if not code)
    plain = re.sub(r"``.+?``|`[^`]+`", " code ", plain, flags=re.DOTALL)
    return re.sub(r"\]\([^)]*\)|<[^>\n]+>|https?://\S+", " ", plain)


def marked(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each line of a page, with true for a code block: fenced, or four spaces deeper than its list or note."""
    fenced, inside = False, 0
    for line in text.splitlines():
        fence, indent = line.lstrip().startswith(("```", "~~~")), len(line) - len(line.lstrip())
        code = fenced or fence or (bool(line.strip()) and indent >= inside + 4)
        fenced ^= fence
        yield line, code
        if line.strip() and not code:
            item = re.match(r" *(?:[-*]|\d+\.) +", line)
            inside = len(item[0]) if item else 4 if line.startswith(("!!!", "???", "===")) else min(inside, indent)


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value


def _comments(source: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not re.match(r"#!|# (?:noqa|type:)", token.string):
            yield token.string.lstrip("# ")


def _messages(tree: ast.Module, documents: set[ast.Constant]) -> Iterator[str]:
    """Yield the strings of two words and more that are no docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documents:
            yield from [node.value] if re.search(r"[A-Za-z]{2,},? [A-Za-z]{2,}", node.value) else []


def rates(pieces: Iterable[Text]) -> dict[str, float]:
    """Return the number of words, and each habit per 1,000 of them."""
    whole = "\n".join(piece.text for piece in pieces)
    words = len(WORD.findall(whole))
    return {"words": words} | {
        habit: round(1000 * len(pattern.findall(whole)) / words, 1) if words else 0.0
        for habit, pattern in HABITS.items()
    }


def found(pieces: Iterable[Text], habit: str) -> Iterator[str]:
    """Yield each place of a habit, with the words around it."""
    for piece in pieces:
        text = " ".join(piece.text.split())
        for match in HABITS[habit].finditer(text):
            around = text[max(0, match.start() - 50) : match.end() + 50]
            yield f"{piece.file}: {piece.kind}: {around}"


def openings(root: Path, files: Iterable[str]) -> Counter[str]:
    """Count the first words of the docstrings of functions."""
    counted: Counter[str] = Counter()
    for node in _functions(root, files):
        if word := WORD.match(ast.get_docstring(node) or ""):
            counted[word[0]] += 1
    return counted


def function_lengths(root: Path, files: Iterable[str]) -> list[int]:
    """Return the lines of every function."""
    return [(node.end_lineno or 0) - node.lineno + 1 for node in _functions(root, files)]


def names_of_tests(root: Path, files: Iterable[str]) -> list[str]:
    """Return the names of all tests."""
    return [node.name for node in _functions(root, files) if node.name.startswith("test_")]


def odd(counted: Counter[str]) -> int:
    """Return the number of docstrings that open with an odd word."""
    return sum(counted[word] for word in ODD)


def _functions(root: Path, files: Iterable[str]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for name in files:
        for node in ast.walk(ast.parse((root / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


def subjects(*revisions: str, root: Path = ROOT) -> list[str]:
    """Return the subjects of commits, merges left out."""
    return _git(root, "log", "--no-merges", "--format=%s", *revisions).splitlines()


def tracked(root: Path = ROOT) -> list[str]:
    """Return the files of the checkout that Git has or would take, sorted."""
    listed = _git(root, "ls-files", "--cached", "--others", "--exclude-standard", "*.md", "*.py").splitlines()
    return sorted(name for name in set(listed) if (root / name).is_file())


def _git(root: Path, *words: str) -> str:
    return programs.run("git", *words, cwd=root).stdout


def measure(root: Path, files: Sequence[str], commits: Sequence[str]) -> dict[str, object]:
    """Return every figure."""
    pieces = list(texts(root, files))
    sources = [name for name in files if name.endswith(".py") and not name.startswith(("tests/", "bench/"))]
    opened = openings(root, sources)
    tests = names_of_tests(root, [name for name in files if name.startswith("tests/") and name.endswith(".py")])
    kinds = ("docs", "generated docs", "docstrings", "comments", "messages")
    return {
        "per 1,000 words": {kind: rates(piece for piece in pieces if piece.kind == kind) for kind in kinds},
        "docstrings by room": {
            room: rates(piece for piece in pieces if piece.kind == "docstrings" and piece.room == room)
            for room in sorted({piece.room for piece in pieces if piece.kind == "docstrings"})
        },
        "docstring openings": dict(opened.most_common(12)),
        "odd openings": f"{odd(opened)} of {opened.total()}",
        "function lines": _spread(function_lengths(root, sources)),
        "test name characters": _spread([len(name) for name in tests]),
        f"test names of over {NAME} words": sum(name.count("_") > NAME for name in tests),
        "commit subject characters": _spread([len(subject) for subject in commits]),
        f"commit subjects over {SUBJECT}": f"{sum(len(one) > SUBJECT for one in commits)} of {len(commits)}",
    }


def _spread(lengths: Sequence[int]) -> dict[str, float]:
    ordered = sorted(lengths) or [0]
    at = {f"p{share}": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (90, 95)}
    return {"count": len(lengths), "median": median(ordered), **at, "max": ordered[-1]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure how the project reads.")
    parser.add_argument("--rev", help="measure this commit, not the files of the checkout")
    parser.add_argument("--since", help="count only the subjects of commits after this one")
    parser.add_argument("--find", choices=HABITS, help="print each place of one habit in the checkout")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.find:
        print("\n".join(found(texts(ROOT, tracked()), options.find)))
        return
    last = options.rev or "HEAD"
    commits = subjects(f"{options.since}..{last}" if options.since else last)
    figures = _of_commit(options.rev, commits) if options.rev else measure(ROOT, tracked(), commits)
    print(json.dumps(figures, indent=2) if options.json else "\n".join(_rows(figures)))


def _of_commit(revision: str, commits: Sequence[str]) -> dict[str, object]:
    """Measure the files of a commit in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        root, packed = Path(folder) / "tree", Path(folder) / "tree.tar"
        _git(ROOT, "archive", "--output", str(packed), revision)
        with tarfile.open(packed) as archive:
            archive.extractall(root, filter="data")
        files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.suffix in (".md", ".py"))
        return measure(root, files, commits)


def _rows(measured: dict[str, Any]) -> Iterator[str]:
    for title, figures in measured.items():
        if not isinstance(figures, dict):
            yield f"{title:<34}{figures}"
        elif all(isinstance(inner, dict) for inner in figures.values()):
            names = list(next(iter(figures.values())))
            yield f"\n{title:<34}" + "".join(f"{name:>8}" for name in names)
            for name, inner in figures.items():
                yield f"  {name:<32}" + "".join(f"{inner[column]:>8}" for column in names)
        else:
            yield f"{title:<34}" + "  ".join(f"{name} {value}" for name, value in figures.items())


if __name__ == "__main__":
    main()
