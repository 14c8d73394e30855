"""No report shows a secret: each shape in each place, on the old side, on the new one, and changed from one to another.

The shapes are those that `check` refuses in Git (tests/config/test_leaks.py). A review shows them all the same where a
branch has one, and its report is a public comment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import programs
from ops.preview import FORMATS
from ops.review.report import Report
from tests.config.test_leaks import AUTHS, PW, SECRETS, coded
from tests.ops.review.library.example import branch, commit, copied
from tests.ops.review.library.test_library import reported
from tests.repository import AUTHOR

pytestmark = pytest.mark.xdist_group("library")

OTHER, CODED = PW[:-1] + "3", "\0"
RUN = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9+/]{16,}")
NAME = re.compile(r"[\w.-]+")
WORDS = ("correct-horse", "correct horse battery staple", "p%40ss/w0rd!", "12345678")
TOKENS = {name: text.rpartition(": ")[2].strip() for name, (_, text) in SECRETS.items() if name.startswith("the token")}
TEXTS = {name: text for name, (_, text) in SECRETS.items() if text != "UTF-16"}
PATCHES = {file: text for file, text in SECRETS.values() if file.startswith("patches/")}
DEPLOYMENT = "apps/media/whoami/base/deployment.yaml"


def again(text: str) -> str:
    """Return a text with other secrets of the same shapes."""
    for old in (f"password: {PW}\nuser: x1", f"me:{PW}", PW):
        new = old.replace(PW, OTHER)
        text = text.replace(coded(old), f"{CODED}{new}{CODED}").replace(old, new)
    text = text.replace("12345678", "87654321").replace("correct", "incorrect")
    text = RUN.sub(lambda found: found[0][:4] + found[0][:3:-1], text)
    return re.sub(f"{CODED}(.*?){CODED}", lambda found: coded(found[1]), text, flags=re.DOTALL)


def canaries() -> set[str]:
    """Return every text that no report may contain."""
    both = [*TEXTS.values(), *map(again, TEXTS.values()), *TOKENS.values(), AUTHS]
    runs = {found for text in both for found in RUN.findall(text)}
    words = {*WORDS, *(coded(f"{user}{one}") for one in (PW, OTHER) for user in ("", "me:"))}
    return runs | words | {PW, OTHER, "87654321"}


CANARIES = canaries()


def shown(report: Report) -> Mapping[str, str]:
    """Return a report in every format."""
    return {name: made(report) for name, made in FORMATS.items()}


def leaked(texts: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the canaries in each text, with the line of the first."""
    found: dict[str, set[str]] = {}
    for name, text in texts.items():
        for line in text.splitlines():
            seen = [one for one in CANARIES if one in line]
            if seen:
                found.setdefault(name, set()).add(line.strip()[:300])
    return found


def objects(texts: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield each shape that is an object, with a name of its own."""
    for index, text in enumerate(texts.values()):
        try:
            found = list(yaml.safe_load_all(text))
        except yaml.YAMLError:
            continue
        for item in found:
            metadata = item.get("metadata") if isinstance(item, dict) else None
            if isinstance(metadata, dict) and metadata.get("name") and item.get("apiVersion"):
                own = {"name": f"shape-{index}", "annotations": {"homelab.dev/hosts": "none"}}
                yield item | {"metadata": metadata | own}


def places(root: Path, texts: Mapping[str, str], tokens: Mapping[str, str]) -> None:
    """Write each shape to each place of a checkout that the render reads."""
    base = root / "apps" / "media" / "whoami" / "base"
    table = {f"shape-{index}": text for index, text in enumerate(texts.values())}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts"}, "data": table}
    (base / "texts.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (base / "objects.yaml").write_text(yaml.safe_dump_all(objects(texts)), encoding="utf-8")
    kustomization = yaml.safe_load((base / "kustomization.yaml").read_text(encoding="utf-8"))
    named = [f"{token}.txt" for token in tokens.values() if NAME.fullmatch(token)]
    for name in named:
        (base / name).write_text("text\n", encoding="utf-8")
    kustomization["resources"] = [*kustomization["resources"][:4], "texts.yaml", "objects.yaml"]
    kustomization["configMapGenerator"] = [{"name": "named", "files": [f"a{i}={one}" for i, one in enumerate(named)]}]
    (base / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    deployment = yaml.safe_load((root / DEPLOYMENT).read_text(encoding="utf-8"))
    deployment["metadata"]["annotations"] = {f"example.com/a{i}": one for i, one in enumerate(tokens.values())}
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [
        container["env"][0],
        *({"name": f"A{i}", "value": one} for i, one in enumerate(tokens.values())),
    ]
    container["args"] = [*tokens.values()]
    (root / DEPLOYMENT).write_text(yaml.safe_dump(deployment), encoding="utf-8")
    for environment in ("dev", "production"):
        greeter = root / "apps" / "tools" / "greeter" / environment / "kustomization.yaml"
        value = yaml.safe_load(greeter.read_text(encoding="utf-8"))
        value["helmCharts"][0]["valuesInline"] = {
            "who": " ".join(tokens.values()),
            "lines": next(iter(tokens.values())),
        }
        greeter.write_text(yaml.safe_dump(value), encoding="utf-8")


def nodes(root: Path, patches: Mapping[str, str]) -> None:
    """Write each patch of nodes."""
    (root / "patches").mkdir(exist_ok=True)
    for file, text in patches.items():
        (root / file).write_text(text, encoding="utf-8")
    stack = root / "Pulumi.home.yaml"
    listed = f"host: pve-2, patches: [{', '.join(patches)}]}}\n  homelab:platform:"
    text = stack.read_text(encoding="utf-8")
    if "patches:" not in text:
        stack.write_text(text.replace("host: pve-2}\n  homelab:platform:", listed), encoding="utf-8")


def first(root: Path) -> None:
    places(root, TEXTS, TOKENS)
    nodes(root, PATCHES)


def second(root: Path) -> None:
    places(
        root, {name: again(text) for name, text in TEXTS.items()}, {name: again(one) for name, one in TOKENS.items()}
    )
    nodes(root, {file: again(text) for file, text in PATCHES.items()})


def nothing(root: Path) -> None:
    assert root.is_dir()


def reverted(root: Path) -> None:
    programs.run("git", "-C", root, *AUTHOR, "revert", "--no-commit", "HEAD")


@pytest.mark.parametrize(
    ("before", "after"), [(nothing, first), (first, reverted), (first, second)], ids=["new", "old", "changed"]
)
def test_no_secret_of_a_tree_is_in_a_report(
    before: Callable[[Path], None], after: Callable[[Path], None], template: Path, tmp_path: Path
) -> None:
    root = copied(template, tmp_path / "checkout")
    before(root)
    commit(root, "Change the base")
    branch(root)
    after(root)
    commit(root, "Change secrets")
    report = reported(root)
    assert len([one for app in report.manifests for one in app.objects]) > 50
    assert {one.node for one in report.machines} == {"worker-1"}
    assert leaked(shown(report)) == {}


def test_no_token_in_a_name_or_a_message_is_in_a_report(template: Path, tmp_path: Path) -> None:
    root = copied(template, tmp_path / "checkout")
    branch(root)
    tokens = [one for one in TOKENS.values() if NAME.fullmatch(one)]
    for index, token in enumerate(tokens):
        folder = root / "apps" / "media" / "whoami" / "base"
        (folder / f"{token}.yaml").write_text("a: [\n", encoding="utf-8")
        (root / "apps" / "data" / f"app-{index}").mkdir()
        (root / "apps" / "data" / f"app-{index}" / token).mkdir()
    kustomization = root / "apps/media/whoami/base/kustomization.yaml"
    text = kustomization.read_text(encoding="utf-8")
    kustomization.write_text(text + "".join(f"  - {token}.yaml\n" for token in tokens), encoding="utf-8")
    for name in ("media", "tools"):
        category = root / "apps" / name / "category.yaml"
        text = category.read_text(encoding="utf-8")
        category.write_text(text + "".join(f"{token}: {token}\n" for token in tokens), encoding="utf-8")
    stack = root / "Pulumi.lab.yaml"
    text = stack.read_text(encoding="utf-8").replace("domain: lab.example.com", f"domain: {tokens[0]}")
    stack.write_text(text.replace("name: lab", f"name: {tokens[1]}"), encoding="utf-8")
    commit(root, f"Use {' '.join(tokens)} and password={PW}")
    report = reported(root)
    assert len(report.checks.broken) > 2 * len(tokens)
    assert leaked(shown(report)) == {}
