"""Find pinned versions without Renovate's help: the files of a checkout come in, each pin with its file goes out.

Two searches, each by other means than `tests.renovate.extraction`: by the shape of a pin (an image, a chart, an action,
a tool), and by everything that looks like a version and is in no list of exceptions.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ops.toolchain.catalogue import EVERY_TOOL
from tests.renovate.extraction import load, tracked
from tests.renovate.rules import ROOT


class FoundPin(NamedTuple):
    """A version of something in a file."""

    file: str
    name: str
    version: str


# Pins that one expression finds, by the files that can contain them.
SHAPES = (
    ("apps/*", r"(?<![\w/:.-])(?P<name>(?:[\w-]+\.)+[a-z]{2,}/[\w./-]+):(?P<version>\w[\w.-]*)"),
    ("apps/*", r"github\.com/(?P<name>[\w-]+/[\w-]+)/\S+[?&]ref=(?:[0-9a-f]{40} # )?(?P<version>v\S+)"),
    ("apps/*", r"github\.com/(?P<name>[\w-]+/[\w-]+)/releases/download/(?P<version>[^/\s]+)/"),
    ("docs/how-to/other-forges.md", r"image: (?P<name>[\w./-]+):(?P<version>[\w.-]+)"),
    ("docs/how-to/*.md", r"uses: (?P<name>[\w./-]+)@[0-9a-f]{40} # (?P<version>\S+)"),
    (".github/*", r"uses: (?P<name>[\w-]+/[\w-]+)[\w./-]*@[0-9a-f]{40} # (?P<version>\S+)"),
    (".github/*", r"runs-on: [^\n]*\b(?P<name>ubuntu|macos|windows)-(?P<version>[\d.]+)"),
    ("requirements*.in", r"(?m)^(?P<name>[A-Za-z][\w-]+)(?P<version>(?:==\S+)?)"),
    ("tools/*/requirements.in", r"(?m)^(?P<name>[A-Za-z][\w-]+)(?P<version>(?:==\S+)?)"),
)
# The stack of the first environment, and the versions of new stacks.
SETTINGS = {"talosVersion": "siderolabs/talos", "kubernetesVersion": "kubernetes/kubernetes"}
TRIED = {"talos": "siderolabs/talos", "kubernetes": "kubernetes/kubernetes"}

PAGES = ("docs/how-to/other-forges.md", "docs/how-to/own-images.md")  # with files to copy
VERSION = re.compile(r"(?<![\w.])v?\d+\.\d+\.\d+[\w.+-]*")
PROMOTED = "raised by a promotion"
EXAMPLE = "an example or a message"
# Files, and lines of files, whose versions nobody raises by hand or by a bot.
UNPINNED = {
    "*.lock": "written by the tool that reads it",
    "*/go.mod": "found by the table of tools; the rest is chosen by Go",
    "*/go.sum": "checksums",
    "requirements*.txt": "compiled from the file beside it",
    "tools/go/requirements.txt": "compiled from the file beside it",
    "tools/*.go": "code",
    "*.py": EXAMPLE,
    "homelab": EXAMPLE,
    "tests/*": EXAMPLE,
    "bench/*": EXAMPLE,
    "docs/*": "prose",
    "*.md": "prose",
    "lab/plugins/schemas/*": "of the plugins that requirements.txt names",
    "config/gitleaks/*": "copied from its project, with its licence",
    "standins/*": "the real chart at the time of its facts",
    "renovate.json": "limits: tests.renovate.test_rules compares them with config/compatibility.yaml",
    "Pulumi.homelab.yaml": PROMOTED,
    "Pulumi.staging.yaml": PROMOTED,
}
LINES = (
    ("*", r"^\s*#", "a comment"),
    ("apps/*/Chart.yaml", r"^version:|file:|^    version: 1\.0\.0$", "the tree's own chart"),
    ("apps/*", r"accept-base-by-tag:", "a reason"),
    ("config/compatibility.yaml", r"^    [\w-]+: ", "known releases: a report compares pins with them"),
    ("docs/how-to/own-images.md", r"1\.4\.0", EXAMPLE),
    ("pyproject.toml", r"^version = ", "the project's own version"),
)


@cache
def chain() -> tuple[str, ...]:
    """Return the environments in order: the first one follows the branch."""
    return tuple(load((ROOT / "apps/environments.yaml").read_text(encoding="utf-8"))["chain"])


def first(app: str) -> str:
    """Return the first environment that an app (`apps/category/name`) runs in."""
    return next((one for one in chain() if (ROOT / app / one).is_dir()), "")


def later(file: str) -> bool:
    """Return true if a file belongs to an environment after the first one of its app."""
    found = re.match(r"(apps/[^_][^/]*/[^/]+)/(?!base/)([^/]+)/", file)
    return found is not None and found[2] != first(found[1])


def shaped(root: Path = ROOT) -> Iterator[FoundPin]:
    """Yield the pins of known shapes."""
    for file in tracked(root):
        text = (root / file).read_text(encoding="utf-8", errors="replace")
        lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        for files, shape in SHAPES:
            if fnmatch.fnmatch(file, files):
                yield from (FoundPin(file, one["name"], one["version"]) for one in re.finditer(shape, lines))
        if file.startswith("apps/") and file.endswith((".yaml", ".yml")):
            yield from _nested(file, load(text))
        if file == "mise.toml":
            mise: dict[str, Any] = tomllib.loads(text)["tools"]
            for name, tool in mise.items():
                yield FoundPin(file, name, tool if isinstance(tool, str) else tool["version"])
    yield from _stacks(root)
    yield from _modules(root)


def _nested(file: str, node: Any) -> Iterator[FoundPin]:
    """Yield charts, and images whose name and tag are two keys, in parsed YAML."""
    if isinstance(node, list):
        for one in node:
            yield from _nested(file, one)
    if not isinstance(node, dict):
        return
    name, at = node.get("name"), str(node.get("repo", node.get("repository", "")))
    if name and at and "version" in node and not at.startswith("file:"):
        yield FoundPin(file, name, str(node["version"]))
    elif "repository" in node and "tag" in node:
        registry = f"{node['registry']}/" if "registry" in node else ""
        yield FoundPin(file, f"{registry}{at}", str(node["tag"]).partition("@")[0])
    elif name and "newTag" in node:
        yield FoundPin(file, str(node.get("newName", name)), str(node["newTag"]).partition("@")[0])
    for value in node.values():
        yield from _nested(file, value)


def _stacks(root: Path) -> Iterator[FoundPin]:
    cluster = load((root / "Pulumi.dev.yaml").read_text(encoding="utf-8"))["config"]["homelab:cluster"]
    tried = load((root / "config/compatibility.yaml").read_text(encoding="utf-8"))["tried"]
    yield from (FoundPin("Pulumi.dev.yaml", name, cluster[key]) for key, name in SETTINGS.items())
    yield from (FoundPin("config/compatibility.yaml", name, tried[key]) for key, name in TRIED.items())


def _modules(root: Path) -> Iterator[FoundPin]:
    """Yield the Go modules of the table of tools, and those that a go.mod requires for its own code."""
    packages: dict[str, set[str]] = {}
    for tool in EVERY_TOOL:
        for folder, programs in tool.by_folder.items():
            packages.setdefault(folder.name, set()).update(program.package for program in programs)
    for place, wanted in packages.items():
        file = f"tools/{place}/go.mod"
        text = (root / file).read_text(encoding="utf-8")
        required = {one[1]: (one[2], one[3]) for one in re.finditer(r"(?m)^(?:require)?\s+(\S+) (v\S+)(.*)$", text)}
        named = set(re.findall(r"(?m)^(?:tool )?\s*([\w-]+\.[\w./-]+)$", text)) | wanted
        for name, (version, comment) in required.items():
            if "indirect" not in comment or name in {_owner(one, required) for one in named}:
                yield FoundPin(file, name, version)


def _owner(package: str, modules: Iterable[str]) -> str:
    """Return the module that contains a package."""
    return max((one for one in modules if f"{package}/".startswith(f"{one}/")), key=len, default="")


def versions(root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Yield each version in a file that no exception covers."""
    for file in tracked(root):
        if later(file) or (file not in PAGES and any(fnmatch.fnmatch(file, one) for one in UNPINNED)):
            continue
        for line in (root / file).read_text(encoding="utf-8", errors="replace").splitlines():
            if not any(fnmatch.fnmatch(file, files) and re.search(shape, line) for files, shape, _ in LINES):
                yield from ((file, found) for found in of_text(line))


def of_text(text: str) -> list[str]:
    """Return the versions in a text; addresses and their ranges are none."""
    return [found for found in VERSION.findall(text) if not _is_address(found.partition("-")[0])]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
