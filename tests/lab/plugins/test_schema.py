"""The official providers' tables: their refusals, with the official words, and their agreement with the SDKs."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest
from pulumi import _types as sdk
from pulumi.provider.experimental.property_value import PropertyValue

from lab.plugins.properties import UNKNOWN, engine_value
from lab.plugins.schema import FOLDER, Schema
from tests.lab.plugins import tables
from tests.lab.plugins.probe import TABLES

VM = "proxmoxve:index/vmLegacy:VmLegacy"
COMMAND = "command:local:Command"
FILES = sorted(FOLDER.glob("*.json"))


def said(package: str, token: str, inputs: dict[str, Any]) -> dict[str, str]:
    schema = Schema.of(package)
    return {problem.path: problem.reason for problem in schema.problems(schema.inputs(token), inputs)}


@pytest.mark.parametrize(
    ("package", "token", "inputs", "problems"),
    [
        (
            "proxmoxve",
            VM,
            {"nodName": "pve1"},
            {
                "nodName": 'Invalid or unknown key. Did you mean "nodeName"?',
                "nodeName": 'Missing required argument. The argument "nodeName" is required, '
                "but no definition was found.",
            },
        ),
        ("proxmoxve", VM, {"nodeName": "a", "qqqqq": 1}, {"qqqqq": "Invalid or unknown key."}),
        ("proxmoxve", VM, {"nodeName": "a", "vmId": "100"}, {"vmId": "expected integer type, got string type."}),
        ("proxmoxve", VM, {"nodeName": "a", "vmId": 1.5}, {"vmId": "expected integer type, got number type."}),
        ("proxmoxve", VM, {"nodeName": 3}, {"nodeName": "expected string type, got integer type."}),
        ("proxmoxve", VM, {"nodeName": "a", "started": "yes"}, {"started": "expected boolean type, got string type."}),
        ("proxmoxve", VM, {"nodeName": "a", "tags": "x"}, {"tags": "expected array type, got string type."}),
        ("proxmoxve", VM, {"nodeName": "a", "tags": ["x", 1]}, {"tags[1]": "expected string type, got integer type."}),
        ("proxmoxve", VM, {"nodeName": "a", "cpu": 4}, {"cpu": "expected object type, got integer type."}),
        (
            "proxmoxve",
            VM,
            {"nodeName": "a", "cpu": {"core": 4}, "disks": [{"interface": "scsi0", "size": "32G"}]},
            {
                "cpu.core": 'Invalid or unknown key. Did you mean "cores"?',
                "disks[0].size": "expected integer type, got string type.",
            },
        ),
        ("proxmoxve", VM, {"nodeName": UNKNOWN, "cpu": UNKNOWN, "disks": [{"interface": UNKNOWN}]}, {}),
        ("command", COMMAND, {"create": "true", "triggers": [1, "a", {"b": [True]}]}, {}),
        (
            "command",
            COMMAND,
            {"logging": "all"},
            {"logging": 'expected one of "stdout", "stderr", "stdoutAndStderr", "none".'},
        ),
        (
            "command",
            COMMAND,
            {"environment": {"A": 1, "B.C": True}},
            {
                "environment.A": "expected string type, got integer type.",
                'environment["B.C"]': "expected string type, got boolean type.",
            },
        ),
        (
            "talos",
            "talos:machine/configurationApply:ConfigurationApply",
            {"node": "10.0.0.1", "clientConfiguration": {"clientKey": "x"}, "onDestroy": {"reset": 1}},
            {"onDestroy.reset": "expected boolean type, got integer type."},
        ),
    ],
)
def test_all_refusals_of_the_official_provider_come_at_once(
    package: str, token: str, inputs: dict[str, Any], problems: dict[str, str]
) -> None:
    found = said(package, token, inputs)
    assert {path: found[path] for path in problems if path in found} == problems
    assert problems or not found


def test_a_missing_required_member_is_reported() -> None:
    schema = Schema(TABLES)
    found = schema.problems(schema.inputs("probe:index:File"), {"path": "a", "owner": {"id": 1}})
    assert [(problem.path, problem.reason.split(".")[0]) for problem in found] == [
        ("owner.name", "Missing required argument")
    ]


def test_an_asset_is_no_text() -> None:
    found = said("command", COMMAND, {"create": pulumi.StringAsset("x"), "stdin": pulumi.AssetArchive({})})
    assert found == {
        "create": "expected string type, got asset type.",
        "stdin": "expected string type, got archive type.",
    }


def test_secrets_of_the_tables_become_secret_inside_objects_too() -> None:
    schema = Schema.of("talos")
    given = {"clientConfiguration": {"caCertificate": "ca", "clientKey": "k"}, "kubeconfigRaw": "raw", "node": "n"}
    found = schema.wrapped(schema.outputs("talos:cluster/kubeconfig:Kubeconfig"), given)
    inside: Any = found["clientConfiguration"].value
    assert [inside["caCertificate"].is_secret, inside["clientKey"].is_secret] == [False, True]
    assert [found["kubeconfigRaw"].is_secret, found["node"].is_secret] == [True, False]


def test_secrets_stay_secret_without_tables() -> None:
    schema = Schema.of("command")
    hidden = {"environment": PropertyValue({"A": engine_value("x", secret=True), "B": engine_value("y")})}
    found = schema.marked(schema.inputs(COMMAND), hidden)["environment"]
    assert found.contains_secret()
    assert not found.is_secret


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_type_is_there_and_none_is_idle(file: Any) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    named = {name.removeprefix("#/types/") for name in references(content) if name.startswith("#/types/")}
    assert named == content["types"].keys()
    assert content["source"]


@pytest.mark.parametrize("package", tables.RESOURCES)
def test_the_tables_that_are_read_from_the_sdk_are_current(package: str) -> None:
    written = (FOLDER / f"{package}.json").read_text(encoding="utf-8")
    assert written == f"{tables.written(tables.table(package))}\n", "python -m tests.lab.plugins.tables writes them"


CLASSES = {
    "pulumi_proxmoxve": {VM: "VmLegacy", "proxmoxve:index/poolLegacy:PoolLegacy": "PoolLegacy"},
    "pulumi_proxmoxve.download": {"proxmoxve:download/file:File": "File"},
    "pulumi_command.local": {COMMAND: "Command"},
    "pulumiverse_talos.machine": {
        "talos:machine/secrets:Secrets": "Secrets",
        "talos:machine/bootstrap:Bootstrap": "Bootstrap",
        "talos:machine/configurationApply:ConfigurationApply": "ConfigurationApply",
    },
    "pulumiverse_talos.cluster": {"talos:cluster/kubeconfig:Kubeconfig": "Kubeconfig"},
    "pulumiverse_talos.imagefactory": {"talos:imageFactory/schematic:Schematic": "Schematic"},
}
EVERY_CLASS = [(module, token, name) for module, found in CLASSES.items() for token, name in found.items()]


@pytest.mark.parametrize(("module", "token", "name"), EVERY_CLASS, ids=[name for _, _, name in EVERY_CLASS])
def test_the_other_tables_match_the_installed_sdk(module: str, token: str, name: str) -> None:
    package = re.split(r"[:_]", token)[0]
    members = Schema.of(package).inputs(token)
    arguments = getattr(importlib.import_module(module), f"{name}Args")
    assert sorted(sdk.input_type_types(arguments)) == sorted(members.properties)
    outputs = Schema.of(package).outputs(token)
    resource = getattr(importlib.import_module(module), name)
    assert resource.pulumi_type == token
    assert sorted(sdk.resource_types(resource)) == sorted(outputs.properties)
