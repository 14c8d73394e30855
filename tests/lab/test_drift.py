"""Live edits of a node appear in the drift report, and nowhere else: the report changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from errors import ExitCode
from tests.lab.home import Home

pytestmark = pytest.mark.xdist_group("home")

CANARY = "canary" + "5D1x9.aB3"


@pytest.fixture
def edited(home: Home) -> Iterator[str]:
    """Change a worker's machine configuration and VM by hand; restore both."""
    rack = home.rack
    node = next(node for node in rack.nodes() if node.role == "worker")
    vm = dict(node.vm.arguments)
    first, *others = yaml.safe_load_all(node.configuration)
    first["machine"] |= {"sysctls": {"vm.max_map_count": "1"}, "token": CANARY}
    with rack.change():
        rack.set_node(node.vm.vm_id, configuration=yaml.safe_dump_all([first, *others]))
    rack.update_vm({**vm, "cpu": {**vm["cpu"], "cores": vm["cpu"]["cores"] + 1}})
    yield node.name
    rack.update_vm(vm)
    with rack.change():
        rack.set_node(node.vm.vm_id, configuration=node.configuration)
    rack.close()


def test_a_stack_that_nobody_edited_has_no_drift(home: Home) -> None:
    ran = home.run("status", "--drift", "--json")
    assert (ran.code, ran.result["changes"], ran.result["failed"]) == (ExitCode.DONE, False, False), ran.err


def test_live_edits_of_a_node_are_drift(home: Home, edited: str) -> None:
    journal = [line for line in home.rack.journal() if line[0] != "talosctl"]
    ran = home.run("preview", "--refresh", "--rehearse", "--json")
    assert ran.code == ExitCode.CHANGES, ran.err
    assert ran.result["infrastructure"]["counts"] == {"update": 1}
    (configuration,) = ran.result["machines"]
    assert (configuration["node"], configuration["cost"]) == (edited, "reboot")
    assert "-      vm.max_map_count: '1'" in configuration["difference"]
    assert " machine configuration.machine.token: (covered), changed" in configuration["difference"]
    assert CANARY not in ran.out
    assert [line for line in home.rack.journal() if line[0] != "talosctl"] == journal
