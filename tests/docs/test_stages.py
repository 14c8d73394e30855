"""The commands of `how-to/stages.md` start an app in another environment."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from config.load import stack_files
from config.tree import App, read_tree
from ops.__main__ import main
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "how-to" / "stages.md"


def test_the_copied_folder_of_an_app_runs_in_its_environment(tmp_path: Path) -> None:
    for name in ("apps", "patches"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for file in stack_files(ROOT).values():
        shutil.copy(file, tmp_path)
    before = set(read_tree(tmp_path).apps)
    for line in re.findall(r"^    ((?:cp|perl) .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    tree = read_tree(tmp_path)
    assert set(tree.apps) - before == {App("selfhosted", "whoami", "dev", "kustomization")}
    written = (tmp_path / "apps/selfhosted/whoami/dev/kustomization.yaml").read_text(encoding="utf-8")
    assert "../../../_settings/dev\n" in written
    assert "staging" not in written
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 0
