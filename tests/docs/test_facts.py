"""The documents state the truth about settings, folders, categories and each other."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

import programs
from components.handover.application_defaults import RETRY
from config import rights
from config.model import Settings
from config.reference import documents
from config.tree import APPS, read_tree
from ops.checking.register import every_check
from tests.docs.pages import PAGES, ROOT

GENERATED = {"settings.md", "checks.md"}
WRITTEN = [page for page in PAGES if page.name not in GENERATED]
DECISIONS = sorted((ROOT / "docs" / "understanding" / "decisions").glob("0*.md"))
SECTIONS = ("network", "proxmox", "cluster", "platform", "delivery", "secrets")


def inline() -> Iterator[tuple[str, str]]:
    for page in WRITTEN:
        for text in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")):
            yield str(page.relative_to(ROOT)), text


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Find the models that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, tuple, dict) or hasattr(annotation, "__metadata__"):
        for argument in get_args(annotation):
            yield from models(argument)


def is_setting(path: list[str], model: type[BaseModel] = Settings) -> bool:
    head, *rest = path
    field = next((field for name, field in model.model_fields.items() if (field.alias or name) == head), None)
    if field is None or not rest:
        return field is not None
    return any(is_setting(rest, inner) for inner in models(field.annotation)) or head == "repositories"


def test_every_setting_that_is_named_exists() -> None:
    dotted = re.compile(rf"(?:homelab:)?(?:{'|'.join(SECTIONS)})\.[A-Za-z.\[\]]+\Z")
    named = [(page, text) for page, text in inline() if dotted.match(text) and not text.endswith((".md", ".py"))]
    assert len(named) > 20
    wrong = [
        f"{page}: {text}"
        for page, text in named
        if not is_setting(text.removeprefix("homelab:").replace("[]", "").strip(".").split("."))
    ]
    assert wrong == []


def test_every_path_of_the_apps_tree_that_is_named_exists() -> None:
    pattern = re.compile(rf"{APPS}/[\w./-]+\Z")
    named = {(page, text) for page, text in inline() if pattern.match(text)}
    named -= {("docs/start/make-it-yours.md", "apps/_settings/homelab")}  # `init` writes it
    assert len(named) > 30
    assert [f"{page}: {text}" for page, text in sorted(named) if not (ROOT / text).exists()] == []


def test_every_check_that_is_named_exists() -> None:
    known = set(re.findall(r"^\| ([a-z0-9-]+) \|", documents(every_check())["docs/reference/checks.md"], re.MULTILINE))
    shown = {
        name for page in WRITTEN for name in re.findall(r"\[([a-z]+(?:-[a-z]+)+)\]$", page.read_text(), re.MULTILINE)
    }
    shown |= {name for page in WRITTEN for name in re.findall(r"\(`([a-z]+(?:-[a-z]+)+)`\)", page.read_text())}
    assert shown
    assert shown <= known


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8"))
        ahead += [(page.parent / link).resolve() for link in links]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in seen] == []


def test_every_page_that_a_file_names_exists() -> None:
    listed = programs.run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).stdout.splitlines()
    read = [file for file in listed if file.endswith((".py", ".yaml", ".json", ".toml", ".sh", ".md", ".in"))]
    named = {
        (file, page)
        for file in read
        if (ROOT / file).is_file()
        for page in re.findall(
            r"(?<![\w/.-])docs/[\w/-]+\.md\b", (ROOT / file).read_text(encoding="utf-8", errors="replace")
        )
    }
    assert len(named) > 20
    assert [f"{file}: {page}" for file, page in sorted(named) if not (ROOT / page).is_file()] == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_the_cost_of_the_alternative(page: Any) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "Why",
        "Cost of the alternative",
        "Reconsider when",
    ]


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_every_deviation_from_the_sync_policy_is_listed() -> None:
    page = (ROOT / "docs/understanding/sync.md").read_text(encoding="utf-8")
    table = page.split("## Deviations in this tree")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE))
    assert listed == {category.name for category in read_tree(ROOT).categories if category.settings.sync.reason}


def test_what_is_deleted_with_its_folder_is_named() -> None:
    deleted = {category.name for category in read_tree(ROOT).categories if category.settings.removal == "delete"}
    page = (ROOT / "docs/understanding/handover.md").read_text(encoding="utf-8")
    assert deleted == set(re.findall(r"`([a-z-]+)` has it", page))


def test_the_retries_are_as_long_as_the_documents_say() -> None:
    page = (ROOT / "docs/understanding/sync.md").read_text(encoding="utf-8")
    assert RETRY == {"limit": 125, "refresh": True, "backoff": {"duration": "15s", "factor": 2, "maxDuration": "1m"}}
    assert "125 retries, a minute apart at most" in page


def test_the_documented_token_has_the_rights_of_the_rehearsal() -> None:
    page = (ROOT / "docs/start/go-live.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^ +(pveum .*)$", page, re.MULTILINE)) == rights.commands()
    renamed = re.search(r"On Proxmox VE 8 write `([A-Za-z.]+)` in the place of `([A-Za-z.]+)`", page)
    assert renamed
    assert {renamed[2]: renamed[1]} == rights.BEFORE_RENAMED
    assert f"Proxmox VE {'.'.join(map(str, rights.OLDEST))} or newer" in page


def test_every_refusal_of_the_rehearsal_has_a_test() -> None:
    page = (ROOT / "docs/understanding/rehearsal.md").read_text(encoding="utf-8")
    table = page.split("## Simulated refusals and failures")[1].split("\n## ")[0]
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(test_\w+)`", table)
    assert named
    assert [test for file, test in named if f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8")] == []
