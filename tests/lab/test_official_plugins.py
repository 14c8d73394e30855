"""A rehearsal with official plugins: the engine uses the installed ones, and the report lists them.

Official binaries are not available everywhere. These are launchers of the stand-ins, installed as the official plugins
are, that record their starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import pytest

from ops.rehearsal.plugins import INTERCHANGEABLE, program_of
from tests.lab.checkout import SHORT, Checkout

INSTALLED = {"command", "tls"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    made = Checkout.make(tmp_path_factory.mktemp("official") / "checkout")
    for name in INSTALLED:
        install(made, name)
    yield made
    made.end()


def install(checkout: Checkout, name: str) -> None:
    """Install a launcher as the official plugin of the SDK's version."""
    folder = checkout.pulumi_home / "plugins" / f"resource-{name}-v{version(INTERCHANGEABLE[name])}"
    folder.mkdir(parents=True)
    program = folder / program_of(name)
    record = f"echo started >>{checkout.pulumi_home}/{name}"
    program.write_text(f'#!/bin/sh\n{record}\nexec "$HOMELAB_PYTHON" -P -m lab.plugins.{name} "$@"\n', encoding="utf-8")
    program.chmod(0o755)


def started(checkout: Checkout) -> set[str]:
    """Return the official plugins that were started, and delete the record."""
    records = [file for file in checkout.pulumi_home.iterdir() if file.is_file()]
    names = {file.name for file in records}
    for file in records:
        file.unlink()
    return names


def kinds(result: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {one["name"]: one["kind"] for one in result["plugins"]}


@pytest.mark.nightly  # minutes
def test_installed_plugins_are_used_and_reported(checkout: Checkout) -> None:
    result = checkout.rehearse()
    assert "command" in started(checkout)
    assert {name for name, kind in kinds(result).items() if kind == "official"} == INSTALLED
    assert not INSTALLED & set(result["simulated"])
    reasons = {one["name"]: one["reason"] for one in result["plugins"]}
    assert reasons["command"] == "installed in PULUMI_HOME"
    assert reasons["kubernetes"] == "not installed; HOMELAB_OFFLINE=1 forbids the download"
    assert reasons["talos"] == "acts on the rack"


@pytest.mark.nightly  # minutes
def test_a_state_of_official_plugins_is_unchanged_under_stand_ins(checkout: Checkout) -> None:
    checkout.rehearse()
    started(checkout)
    result = checkout.rehearse("--plugins", "stand-in")
    assert set(result["changes"]) == {"same"}
    assert set(kinds(result).values()) == {"stand-in"}
    assert started(checkout) == set()


def test_a_rehearsal_with_official_plugins_alone_requires_them(checkout: Checkout) -> None:
    ran = checkout.run("rehearse", *SHORT, "--plugins", "official")
    assert ran.code == 1
    assert "--plugins official: these official plugins cannot be had:" in ran.err
    for name in set(INTERCHANGEABLE) - INSTALLED:
        assert f"  {name} {version(INTERCHANGEABLE[name])}: not installed" in ran.err
