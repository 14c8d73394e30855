"""Run a stack's program without an engine, and record the resources that it registers.

The mocks answer for the known resources and functions of the program and refuse all others: a test must add a new
resource on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockMonitor, Mocks

from config.load import from_pulumi
from config.model import Settings
from config.tree import read_tree
from stacks.homelab import build

ROOT = Path(__file__).parents[2]
TOKEN = "user@pve!homelab=11111111-2222-4333-8444-555555555555"  # gitleaks:allow
SECRETS = {
    "proxmoxToken": TOKEN,
    "bitwardenToken": "canary-bitwarden",
}
PAIR = {"cert": "Y2VydA==", "key": "a2V5"}
MACHINE_SECRETS = {
    "certs": {
        "etcd": PAIR,
        "k8s": PAIR,
        "k8sAggregator": PAIR,
        "k8sServiceaccount": {"key": "a2V5"},
        "os": PAIR,
    },
    "cluster": {"id": "id", "secret": "secret"},
    "secrets": {"bootstrapToken": "t", "secretboxEncryptionSecret": "s", "aescbcEncryptionSecret": ""},
    "trustdinfo": {"token": "t"},
}
CLIENT = {"caCertificate": "ca", "clientCertificate": "crt", "clientKey": "key"}
ANSWERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "pulumi:providers:proxmoxve": lambda inputs: inputs,
    "pulumi:providers:talos": lambda inputs: inputs,
    "proxmoxve:index/vmLegacy:VmLegacy": lambda inputs: inputs,
    "proxmoxve:download/file:File": lambda inputs: inputs,
    "proxmoxve:index/haresource:Haresource": lambda inputs: inputs,
    "proxmoxve:index/harule:Harule": lambda inputs: inputs,
    "talos:imageFactory/schematic:Schematic": lambda inputs: inputs,
    "talos:machine/secrets:Secrets": lambda inputs: {
        **inputs,
        "machineSecrets": MACHINE_SECRETS,
        "clientConfiguration": CLIENT,
    },
    "talos:machine/configurationApply:ConfigurationApply": lambda inputs: inputs,
    "talos:cluster/kubeconfig:Kubeconfig": lambda inputs: {**inputs, "kubeconfigRaw": "kubeconfig"},
    "command:local:Command": lambda inputs: {**inputs, "stdout": "", "stderr": ""},
    "pulumi:providers:kubernetes": lambda inputs: inputs,
    "kubernetes:core/v1:Namespace": lambda inputs: inputs,
    "kubernetes:core/v1:Secret": lambda inputs: inputs,
    "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy": lambda inputs: inputs,
    "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicyBinding": lambda inputs: inputs,
    "kubernetes:argoproj.io/v1alpha1:AppProject": lambda inputs: inputs,
    "kubernetes:argoproj.io/v1alpha1:ApplicationSet": lambda inputs: inputs,
    "random:index/randomPassword:RandomPassword": lambda inputs: {**inputs, "result": "canary-password"},
    "tls:index/privateKey:PrivateKey": lambda inputs: {**inputs, "privateKeyPem": "canary-key"},
    "tls:index/selfSignedCert:SelfSignedCert": lambda inputs: {**inputs, "certPem": "certificate"},
}
FUNCTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "talos:machine/getConfiguration:getConfiguration": lambda args: {
        **args,
        "machineConfiguration": yaml.safe_dump({"type": args["machineType"]}),
    },
    "talos:client/getConfiguration:getConfiguration": lambda args: {**args, "talosConfig": "talosconfig"},
}


@dataclass(frozen=True)
class Registered:
    """One resource as the engine receives it, with its options as serialized."""

    type: str
    name: str
    urn: str
    inputs: dict[str, Any]
    options: Any

    @property
    def depends_on(self) -> set[str]:
        """Return the names of the resources that it depends on."""
        return {urn.rsplit("::", 1)[1] for urn in self.options.dependencies}


@dataclass
class Program(Mocks):
    """The resources and outputs of a program."""

    resources: list[Registered] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.typ.startswith(("homelab:", "pulumi:pulumi:")):
            return None, args.inputs
        assert args.typ in ANSWERS, f"the program makes a {args.typ}, which no test knows"
        return f"{args.name}-id", ANSWERS[args.typ](args.inputs)

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:  # type: ignore[override]
        assert args.token in FUNCTIONS, f"the program calls {args.token}, which no test knows"
        return FUNCTIONS[args.token](args.args)

    def of(self, kind: str) -> dict[str, Registered]:
        return {resource.name: resource for resource in self.resources if resource.type.endswith(f":{kind}")}


class Monitor(MockMonitor):
    """The mocks' monitor, which records the options that mocks do not receive."""

    def __init__(self, program: Program) -> None:
        """Store the program."""
        super().__init__(program)
        self.program = program

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the engine's word
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        inputs = opened(rpc.deserialize_properties(request.object))
        if request.type == "pulumi:pulumi:Stack":
            return response  # made once a process, for all stacks that run in it
        self.program.resources.append(Registered(request.type, request.name, response.urn, inputs, request))
        close_loop()
        return response

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - the engine's word
        response = super().Invoke(request)  # type: ignore[no-untyped-call]
        close_loop()
        return response


def opened(value: Any) -> Any:
    """Return values without the wrapping that marks them as secret."""
    if rpc.is_rpc_secret(value):
        return opened(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: opened(inner) for key, inner in value.items()}
    return [opened(inner) for inner in value] if isinstance(value, list) else value


def close_loop() -> None:
    """Close the event loop that the SDK left open in this thread of its pool."""
    with contextlib.suppress(RuntimeError):
        asyncio.get_event_loop_policy().get_event_loop().close()
        asyncio.set_event_loop(None)


@cache
def run(stack: str, change: Callable[[dict[str, Any]], None] = lambda sections: None, *, root: Path = ROOT) -> Program:
    """Return the run of a stack's program with changed sections; equal calls share one run."""
    sections = yaml.safe_load((root / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8"))["config"]
    change(sections)
    sections["homelab:secrets"] = SECRETS
    program = Program()
    asyncio.set_event_loop(asyncio.new_event_loop())
    pulumi.runtime.set_mocks(program, project="homelab", stack=stack, preview=False, monitor=Monitor(program))
    pulumi.runtime.set_all_config({key: json.dumps(value) for key, value in sections.items()}, ["homelab:secrets"])

    def tell() -> None:
        program.outputs.update(build(settings_of(root), read_tree(root), root))
        secret = program.outputs["nodeConfigurations"]
        secret.apply(lambda found: program.outputs.update(nodeConfigurations=found))

    loop = asyncio.get_event_loop()
    try:
        loop.run_until_complete(pulumi.runtime.stack.run_pulumi_func(tell))
    finally:
        pulumi.runtime.set_all_config({}, [])
        loop.close()
    return program


def settings_of(root: Path) -> Settings:
    return from_pulumi(root).require()
