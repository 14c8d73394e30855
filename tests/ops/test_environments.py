"""The folders of an environment are copies of another's: files only, with the name of the environment replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.tree import App, read_tree
from errors import Declined
from ops.environments import copies, renamed_policies

JELLYFIN = App("media", "jellyfin", "prod", "kustomization")
FOLDER = "apps/media/jellyfin/prod"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Make a checkout with one app in the environment prod, and return the app's folder there."""
    folder = tmp_path / "checkout" / FOLDER
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text("resources: [../base]\n", encoding="utf-8")
    return folder


def copied(source: Path) -> dict[str, tuple[bytes, int]]:
    """Return the files of the environment qa with their modes."""
    found = copies(source.parents[3], "qa", [JELLYFIN])
    return {f"{path}/{one.path}": (one.content, one.mode) for path, files in found.items() for one in files}


def test_only_the_whole_name_of_an_environment_is_replaced(source: Path) -> None:
    text = "a: ../_settings/prod\nb: [../_settings/prod, '../_settings/prod']\nc: ../_settings/prod/issuer\n"
    other = "d: ../_settings/production\ne: ../_settings/prod-2/issuer\nf: ../_settings/prod"
    (source / "own.yaml").write_text(f"{text}{other}", encoding="utf-8")
    assert copied(source)["apps/media/jellyfin/qa/own.yaml"][0].decode() == (
        "a: ../_settings/qa\nb: [../_settings/qa, '../_settings/qa']\nc: ../_settings/qa/issuer\n"
        "d: ../_settings/production\ne: ../_settings/prod-2/issuer\nf: ../_settings/qa"
    )


def test_a_copy_has_no_pin_and_no_hold(source: Path) -> None:
    """The pinned commit has no folder of the new environment."""
    pins = f'    homelab.dev/revision: "{"a" * 40}"\n    homelab.dev/hold: "reverted"\n'
    text = f"metadata:\n  name: jellyfin\n  annotations:\n{pins}resources: [../base]\n"
    (source / "kustomization.yaml").write_text(text, encoding="utf-8")
    content = copied(source)["apps/media/jellyfin/qa/kustomization.yaml"][0].decode()
    assert content == "metadata:\n  name: jellyfin\nresources: [../base]\n"


def test_a_copy_has_the_mode_of_its_file(source: Path) -> None:
    (source / "files").mkdir()
    (source / "files/run.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (source / "files/run.sh").chmod(0o755)
    modes = {path: mode for path, (_, mode) in copied(source).items()}
    assert modes["apps/media/jellyfin/qa/files/run.sh"] == 0o755


@pytest.mark.parametrize("place", ["outside", "inside", "folder", "nowhere"])
def test_a_link_is_refused(place: str, source: Path, tmp_path: Path) -> None:
    (tmp_path / "id_ed25519").write_text("a key\n", encoding="utf-8")
    targets = {"outside": tmp_path / "id_ed25519", "inside": source / "kustomization.yaml", "folder": tmp_path}
    (source / "more.yaml").symlink_to(targets.get(place, tmp_path / "nothing"))
    with pytest.raises(Declined, match=f"{FOLDER}/more.yaml: is a link, and init copies files only; replace it with"):
        copied(source)


def test_a_large_file_is_refused(source: Path) -> None:
    (source / "more.yaml").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(Declined, match=f"{FOLDER}/more.yaml: is larger than 1 MiB, and cannot be copied; make it a"):
        copied(source)


def policies(tmp_path: Path, text: str, gone: tuple[str, ...]) -> str:
    """Return the category.yaml of a tree whose environment production is copied as homelab."""
    for name in ("production", "staging"):
        (tmp_path / "apps/_settings" / name).mkdir(parents=True)
    (tmp_path / "apps/banking").mkdir()
    file = tmp_path / "apps/banking/category.yaml"
    file.write_text(text, encoding="utf-8")
    found = list(renamed_policies(tmp_path, read_tree(tmp_path), "production", "homelab", gone))
    assert [path for path, _ in found] in ([], [file])
    return found[0][1] if found else text


HEAD = """\
layer: applications
namespaces:
  production: {podSecurity: restricted}
sync:
"""
REASON = "  reason: a person picks the moment\n"
ONE_LINE = "    production: {mode: manual}\n"
SEVERAL_LINES = """\
    # Books.
    "production":
      mode: manual # by hand

      drift: healed
"""


@pytest.mark.parametrize(
    ("before", "gone", "after"),
    [
        (ONE_LINE, (), ONE_LINE + "    homelab: {mode: manual}\n"),
        (ONE_LINE, ("production",), "    homelab: {mode: manual}\n"),
        (SEVERAL_LINES, ("production",), SEVERAL_LINES.replace("production", "homelab")),
        (SEVERAL_LINES, (), SEVERAL_LINES + SEVERAL_LINES.replace("production", "homelab").split("\n", 1)[1]),
        (
            "    production: {\n      mode: manual,\n    }\n",
            ("production",),
            "    homelab: {\n      mode: manual,\n    }\n",
        ),
        (f"    staging:\n      mode: manual\n{ONE_LINE}", ("staging",), f"{ONE_LINE}    homelab: {{mode: manual}}\n"),
    ],
)
def test_a_policy_is_copied_or_removed_with_its_whole_block(
    before: str, gone: tuple[str, ...], after: str, tmp_path: Path
) -> None:
    text = policies(tmp_path, f"{HEAD}  environments:\n{before}{REASON}", gone)
    assert text == f"{HEAD}  environments:\n{after}{REASON}"


def test_a_policy_at_the_end_of_a_file_is_copied(tmp_path: Path) -> None:
    text = policies(tmp_path, f"{HEAD}{REASON}  environments:\n{ONE_LINE}".rstrip(), ())
    assert text == f"{HEAD}{REASON}  environments:\n{ONE_LINE}    homelab: {{mode: manual}}\n"


@pytest.mark.parametrize(
    "form", ["  environments:\n    staging:\n      mode: manual\n", "  environments: {staging: {mode: manual}}\n"]
)
def test_the_key_of_removed_policies_is_removed(form: str, tmp_path: Path) -> None:
    assert policies(tmp_path, f"{HEAD}{form}{REASON}", ("staging",)) == f"{HEAD}{REASON}"


def test_a_namespace_with_the_name_of_an_environment_is_not_touched(tmp_path: Path) -> None:
    text = f"{HEAD}{REASON}  mode: manual\n"
    assert policies(tmp_path, text, ("production",)) == text


@pytest.mark.parametrize("gone", [(), ("production",)])
def test_a_policy_whose_lines_have_other_keys_is_refused(gone: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(Declined) as refused:
        policies(tmp_path, f"{HEAD}  environments: {{production: {{mode: manual}}}}\n{REASON}", gone)
    assert str(refused.value) == (
        "apps/banking/category.yaml:5: sync.environments has a form that init cannot change; "
        "write each environment there on lines of its own"
    )
