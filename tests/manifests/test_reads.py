"""One run reads each file of the checkout once, however many checks use its content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config import files
from config.load import read_stacks
from config.tree import read_tree
from manifests.checkout import CheckoutReader
from manifests.contents import contents_of
from manifests.render_cache import RenderCache
from ops.checking.validation import Validation, validate
from tests.manifests.rules.scenario import prepare


def test_a_check_reads_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare({}, tmp_path)
    stacks, tree = read_stacks(tmp_path), read_tree(tmp_path)
    reads: Counter[str] = Counter()

    def counted(read: Callable[..., Any]) -> Callable[..., Any]:
        def reading(path: Path, *arguments: Any, **options: Any) -> Any:
            if path.is_relative_to(tmp_path):
                reads[str(path.relative_to(tmp_path))] += 1
            return read(path, *arguments, **options)

        return reading

    monkeypatch.setattr(files, "content", counted(files.content))
    monkeypatch.setattr(Path, "read_text", counted(Path.read_text))
    monkeypatch.setattr(Path, "read_bytes", counted(Path.read_bytes))
    monkeypatch.setattr(RenderCache, "read", lambda *_: None)  # so that every folder is rendered
    assert validate(Validation(tmp_path, stacks, tree)) == []
    assert {file: count for file, count in reads.items() if count > 1} == {}
    assert len(reads) > 20


def test_a_closure_is_computed_once(tmp_path: Path) -> None:
    prepare({}, tmp_path)
    reader = CheckoutReader(tmp_path)
    folder = next(str(path.parent.relative_to(tmp_path)) for path in tmp_path.glob("apps/*/*/*/kustomization.yaml"))
    assert contents_of(reader, folder) is contents_of(reader, folder)


def test_a_large_file_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_bytes(b"#" * (files.LARGEST_TEXT + 1))
    reader = CheckoutReader(tmp_path)
    assert reader.digest("large.yaml")
    with pytest.raises(OSError, match="is larger than 1 MiB"):
        reader.value("large.yaml")
    assert [problem.rule for problem in reader.source("large.yaml").problems] == ["is larger than 1 MiB"]
