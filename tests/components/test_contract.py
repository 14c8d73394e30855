"""Every component fulfils the contract, and every stack registers the resources of its golden list."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
from pathlib import Path

import pulumi
import pytest

import components
from components.contract import Component
from tests.components.mocks import ROOT, run

GOLDEN = Path(__file__).parent / "golden"
STACKS = ("homelab", "staging", "dev")


def all_components() -> list[type[Component]]:
    names = [module.name for module in pkgutil.walk_packages(components.__path__, "components.")]
    found = [cls for name in names for _, cls in inspect.getmembers(importlib.import_module(name), inspect.isclass)]
    return sorted(
        {cls for cls in found if issubclass(cls, Component) and cls is not Component}, key=lambda c: c.__name__
    )


@pytest.mark.parametrize("component", all_components(), ids=lambda cls: cls.__name__)
def test_a_component_takes_name_arguments_and_options(component: type[Component]) -> None:
    parameters = inspect.signature(component.__init__).parameters
    assert list(parameters) == ["self", "name", "args", "opts"]
    assert parameters["opts"].default is None
    lines, _ = inspect.getsourcelines(component.__init__)
    assert len(lines) <= 60


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_registers_exactly_these_resources(stack: str) -> None:
    urns = sorted(resource.urn.split("::", 2)[2] for resource in run(stack).resources)
    golden = GOLDEN / f"{stack}.urns"
    if os.environ.get("HOMELAB_UPDATE"):
        golden.write_text("\n".join(urns) + "\n", encoding="utf-8")
    assert urns == golden.read_text(encoding="utf-8").splitlines(), "./homelab test --update, if that is meant"


@pytest.mark.parametrize("stack", STACKS)
def test_every_child_belongs_to_a_component_and_carries_its_name(stack: str) -> None:
    for resource in run(stack).resources:
        if not resource.type.startswith(("homelab:", "pulumi:")):
            _, _, kinds, component = resource.options.parent.split("::")
            assert kinds.split("$")[-1].startswith("homelab:"), resource.name
            assert resource.name.startswith(f"{component}-"), resource.name


def test_outputs_that_open_doors_are_secret() -> None:
    outputs = run("homelab").outputs
    for name in ("kubeconfig", "talosconfig", "secretsBundle"):
        assert isinstance(outputs[name], pulumi.Output)
    assert ROOT.is_dir()
