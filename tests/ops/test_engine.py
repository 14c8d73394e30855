"""What a killed run may leave in the file backend, and that the next run is not kept from its work by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.engine import Engine
from ops.toolchain import ensure


@pytest.mark.parametrize(
    ("name", "left", "said"),
    [
        ("dev.json", 40, "took the last whole checkpoint: the run before was killed while it wrote the next one"),
        ("dev.json.attrs", 0, "removed half a note (dev.json.attrs): the run before was killed while it wrote it"),
    ],
)
def test_half_a_file_of_the_backend_is_mended(
    name: str, left: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = {"PULUMI_BACKEND_URL": f"file://{tmp_path}", "PULUMI_CONFIG_PASSPHRASE": ""}
    for variable, value in (ensure(("pulumi",)).env() | backend | {"PULUMI_HOME": str(tmp_path / "home")}).items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "Pulumi.yaml").write_text("{name: homelab, runtime: python}\n", encoding="utf-8")
    Engine(tmp_path, "dev").set_secrets({"gitToken": "x"})
    damaged = tmp_path / ".pulumi/stacks/homelab" / name
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:left])
    engine = Engine(tmp_path, "dev")
    assert engine.repair() == [said]
    engine.set_secrets({"gitToken": "y"})
    assert not damaged.exists() or len(damaged.read_bytes()) > left
    assert Engine(tmp_path, "dev").repair() == []
