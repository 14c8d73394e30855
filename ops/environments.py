"""The folders of environments: a new one as a copy of another, and the removal of those that no stack runs.

A checkout and its tree come in; `wanted` decides, `copies` and `folders` return what to write and to delete. `ops.init`
does both, and writes the settings of the environment afterwards.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

from config import chain, files
from config.chain import read_chain
from config.explain import nearest
from config.promotion import may_have_pin, without_pin
from config.source import Document, KeyPath, parse, read
from config.tree import APPS, BASE, GENERATED_BY, KUSTOMIZATION, SETTINGS, App, CategoryFolder, Tree, read_tree
from errors import Declined
from ops.scaffold import environment_file

ALL, NONE = "all", "none"
REPLACEMENTS = "replacements.yaml"  # of a base: what its environments replace


def wanted(
    tree: Tree, like: str, environment: str, names: Sequence[str], back: Collection[str] = ()
) -> tuple[App, ...]:
    """Return the apps that an environment has or takes from another: the named applications, and all of the platform.

    An app of the environment stays, even if the other environment lacks it: an interrupted run may have removed a part
    of the other one.
    """
    own = {app.label for app in tree.apps_in(environment)}
    found = [
        (
            one,
            (
                *(app for app in one.apps if app.environment == environment or _is_new(app, like, own)),
                *_back(one, environment, back),
            ),
        )
        for one in tree.categories
    ]
    known = {one.name: apps for one, apps in found if apps and one.settings.layer == "applications"}
    known |= {app.label: (app,) for apps in tuple(known.values()) for app in apps}
    if not names:
        raise Declined(f"--apps: has no application; write {ALL}, {NONE}, or names with commas between them")
    for name in names:
        if name not in (ALL, NONE, *known):
            categories = ", ".join(one for one in known if "/" not in one)
            fix = nearest(name, list(known), f"the categories are {categories}; an app is category/app")
            raise Declined(f"--apps = {name}: is no category of applications and no app of {like}; {fix}")
    taken = known if ALL in names else [name for name in names if name in known]
    named = {app.label for name in taken for app in known[name]}
    return tuple(
        app for one, apps in found for app in apps if one.settings.layer != "applications" or app.label in named
    )


def _back(category: CategoryFolder, environment: str, labels: Collection[str]) -> Iterator[App]:
    for category_name, _, name in (label.partition("/") for label in labels):
        if category_name == category.name:
            yield App(category.name, name, environment, "kustomization")


def _is_new(app: App, like: str, own: Collection[str]) -> bool:
    return app.environment == like and app.label not in own


def with_environment(tree: Tree, environment: str, apps: Collection[App]) -> Tree:
    """Return a tree as it is once an environment runs these apps and no others."""
    labels = {app.label for app in apps}
    categories = (
        replace(
            category,
            apps=(
                *(app for app in category.apps if app.environment != environment),
                *(replace(app, environment=environment) for app in apps if app.category == category.name),
            ),
        )
        for category in tree.categories
    )
    unused = tuple(folder for folder in tree.unused if folder.removeprefix(f"{APPS}/") not in labels)
    environments = tuple(dict.fromkeys((*tree.environments, environment)))
    return replace(tree, categories=tuple(categories), environments=environments, unused=unused)


@dataclass(frozen=True)
class Copy:
    """A file that is written: its path in the app's folder, its content and its mode."""

    path: str
    content: bytes
    mode: int = 0o644


def copies(root: Path, environment: str, apps: Collection[App]) -> dict[str, list[Copy]]:
    """Return the folders of an environment that the checkout lacks, with copies of the files of others."""
    targets = {replace(app, environment=environment).path: app for app in apps}
    lacking = {path: app for path, app in targets.items() if not os.path.lexists(root / path)}
    return {path: list(copied_files(root, app, environment)) for path, app in lacking.items()}


def brought_back(root: Path, tree: Tree, environment: str, names: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Return folders for the named applications that no environment runs, and the ones whose folder has another form.

    The texts are kustomizations by the labels of the apps, as `./homelab new` writes them.
    """
    found, others = {}, []
    layers = {one.path: one.settings.layer for one in tree.categories}
    for folder in tree.unused:
        path, _, _ = folder.rpartition("/")
        label = folder.removeprefix(f"{APPS}/")
        if layers.get(path) != "applications" or not {ALL, label, label.partition("/")[0]} & {*names}:
            continue
        base = root / folder / BASE
        if (base / KUSTOMIZATION).is_file() and not any(base.glob("*values*.yaml")):
            own = f"replacements:\n  - path: ../{BASE}/{REPLACEMENTS}\n" if (base / REPLACEMENTS).is_file() else ""
            found[label] = environment_file(environment) + own
        else:
            others.append(label)
    return found, others


def write_folder(root: Path, path: str, copied: Collection[Copy]) -> None:
    """Write the files of a folder; it has its name only once it is complete."""
    folder = root / path
    part = folder.parent / f".{folder.name}.part"  # the tree and Argo CD ignore names that begin with a dot
    shutil.rmtree(part, ignore_errors=True)
    try:
        for one in copied:
            file = part / one.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(one.content)
            file.chmod(one.mode)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_file(path: Path, text: str) -> None:
    """Write a file that is complete or unchanged after an interruption."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(text.encode())
    part.replace(path)


def copied_files(root: Path, app: App, environment: str) -> Iterator[Copy]:
    """Yield the files of an app's folder as another environment gets them."""
    source = root / app.path
    named = re.compile(
        rf"(/{SETTINGS}/){re.escape(app.environment)}(?![\w.-])".encode()
    )  # not /_settings/production of `prod`
    for file in sorted(source.rglob("*")):
        name = file.relative_to(root)
        if file.is_symlink():
            raise Declined(f"{name}: is a link, and init copies files only; replace it with a file")
        if file.is_dir():
            continue
        try:
            content, mode = files.content(file, root=root), stat.S_IMODE(file.stat().st_mode)
        except OSError as error:
            raise Declined(f"{name}: {error.strerror}, and cannot be copied; make it a file of at most 1 MiB") from None
        content = named.sub(rb"\g<1>" + environment.encode(), content)
        if file.name in GENERATED_BY and may_have_pin(content):
            content = without_pin(file.name, content)  # the pinned commit has no folder of this environment
        yield Copy(str(file.relative_to(source)), content, mode)


def folders(root: Path, environments: Collection[str], kept: Collection[App] = ()) -> list[Path]:
    """Return the apps' folders of environments, without those of some apps, and also what an interruption left."""
    labels = {app.folder for app in kept}
    found = (path for name in environments for path in sorted((root / APPS).glob(f"[!_.]*/[!_.]*/{name}")))
    whole = (path for path in found if path.is_dir() and not path.is_symlink())
    return [path for path in whole if str(path.parent.relative_to(root)) not in labels]


def renamed_policies(
    root: Path, tree: Tree, like: str, environment: str, gone: Collection[str]
) -> Iterator[tuple[Path, str]]:
    """Yield category.yaml files whose sync policy names an environment that is copied or removed."""
    for category in tree.categories:
        policies = category.settings.sync.environments
        copied = like in policies and environment not in policies
        removed = [name for name in policies if name in gone]
        if not copied and not removed:
            continue
        name = f"{category.path}/category.yaml"
        source = read(root / name, name)
        text = (root / name).read_bytes().decode()
        changed = _with_policies(text, source.first, (like, environment) if copied else None, removed)
        # The lines are edited to keep comments; the result must have the same meaning as an edit of the value.
        expected = deepcopy(source.first.value)
        values = expected["sync"]["environments"]
        if copied:
            values[environment] = values[like]
        for one in removed:
            del values[one]
        if not values:
            del expected["sync"]["environments"]
        parsed = parse(changed.encode(), name)
        if parsed.problems or parsed.first.value != expected:
            line = source.first.line(("sync", "environments"))
            fix = "write each environment there on lines of its own"
            raise Declined(f"{name}:{line}: sync.environments has a form that init cannot change; {fix}")
        yield root / name, changed


def changed_chain(root: Path, like: str, environment: str, gone: Collection[str]) -> Iterator[tuple[Path, str]]:
    """Yield the chain of environments, where there is one, with the copied environment and without the removed ones."""
    if not (root / chain.FILE).is_file():
        return
    text = (root / chain.FILE).read_bytes().decode()
    if read_chain(root, read_tree(root)).problems:
        return  # `check` reports them
    changed = chain.with_environment(text, like, environment, tuple(gone))
    if changed is None:
        fix = "write `chain: [...]` and `soak: {...}` on one line each, or delete the file"
        raise Declined(f"{chain.FILE}: has a form that init cannot change; {fix}")
    if changed != text:
        yield root / chain.FILE, changed


def _with_policies(text: str, document: Document, copied: tuple[str, str] | None, removed: Sequence[str]) -> str:
    """Return a category.yaml with one policy copied and others removed, by the lines of its keys."""
    lines, above = text.splitlines(keepends=True), ("sync", "environments")
    kept = list(lines)
    for name in document.value["sync"]["environments"]:
        first, end = _block(lines, document, (*above, name))
        block = lines[first:end]
        copy = ""
        if copied and name == copied[0]:
            key = re.compile(rf"""^(\s*)(["']?){re.escape(name)}\2(?=\s*:)""")
            copy = "".join([key.sub(rf"\g<1>\g<2>{copied[1]}\g<2>", block[0]), *block[1:]])
            copy += "" if copy.endswith("\n") else "\n"
        own = "".join(block)
        own += "\n" if copy and not own.endswith("\n") else ""
        kept[first:end] = [copy if name in removed else own + copy, *[""] * (end - first - 1)]
    if not copied and len(removed) == len(document.value["sync"]["environments"]):
        kept[document.line(above) - 1] = ""
    return "".join(kept)


def _block(lines: Sequence[str], document: Document, path: KeyPath) -> tuple[int, int]:
    """Return the first line of a key's block and the one behind its last, without the comments of the next key."""
    first = document.line(path) - 1
    others = [line - 1 for other, line in document.lines.items() if other[: len(path)] != path and line - 1 > first]
    end = min(others, default=len(lines))
    while end > first + 1 and lines[end - 1].strip()[:1] in ("", "#"):
        end -= 1
    return first, end
