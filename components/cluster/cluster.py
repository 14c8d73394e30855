"""The cluster as resources: secrets, a configuration per node, bootstrap, health, upgrades, kubeconfig.

`stacks.homelab` passes in the machines with their VMs and takes the kubeconfig out, for the Kubernetes provider.
Generations decide when something is rebuilt: raising one makes a configuration or the bootstrap again. The old resource
is forgotten and never undone, because undoing would wipe the new node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_command.local import Command
from pulumiverse_talos import client, machine
from pulumiverse_talos import cluster as talos_cluster

from components import shell
from components.cluster.bundle import bundle
from components.cluster.configuration_diff import difference
from components.cluster.node_configurations import NodeConfigurations
from components.cluster.script_inputs import (
    REMEMBER_GENERATION,
    draining,
    in_order_of_upgrade,
    pairs,
    script,
    single,
    whole,
)
from components.contract import Component
from config.derive import Machine

KUBECONFIG_RENEWAL = "720h"


@dataclass(frozen=True)
class ClusterArgs:
    """The arguments of a cluster."""

    cluster_name: str
    endpoint: str
    machines: Sequence[Machine]
    desired: NodeConfigurations
    vms: Mapping[str, pulumi.Resource]
    talos_contract: str
    generation: int
    drain_seconds: int
    protect: bool
    before: pulumi.Output[Mapping[str, str]]


class Cluster(Component):
    """A Talos cluster on machines that exist."""

    kubeconfig: pulumi.Output[str]
    talosconfig: pulumi.Output[str]
    secrets_bundle: pulumi.Output[str]
    configurations: Mapping[str, str]
    bootstrap: Command
    healthy: Command

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the secrets, configure the nodes, bootstrap one, wait until the control plane is complete."""
        super().__init__(name, opts)
        self.args = args
        self.planes = [node for node in args.machines if node.role == "control-plane"]
        self.secrets = machine.Secrets(
            self.child("secrets"),
            talos_version=f"v{args.talos_contract}",
            # The provider marks only some of the nested keys as secret; the state must hold none of them in plain text.
            opts=self.options(
                protect=args.protect, additional_secret_outputs=["machine_secrets", "client_configuration"]
            ),
        )
        self.secrets_bundle = pulumi.Output.secret(self.secrets.machine_secrets.apply(bundle))
        self.client: Any = self.secrets.client_configuration  # the SDK has different types for input and output
        self.configurations = {node.name: self._readable(node) for node in args.machines}
        upgraded = self._upgrade_kubernetes(after=self._upgrade_talos())
        applied = self._configure(after=upgraded)
        self.bootstrap = self._bootstrap(after=applied[self.planes[0].name])
        self._retirement(applied)
        self.healthy = self._health(after=[self.bootstrap, *applied.values()])
        self.kubeconfig = self._kubeconfig()
        self.talosconfig = self._talosconfig()
        self.register_outputs({"endpoint": args.endpoint, "configurations": pulumi.Output.secret(self.configurations)})

    def _readable(self, node: Machine) -> str:
        """Return a node's configuration in readable form, and log its changes in a preview."""
        text = self.args.desired.readable(node)
        if pulumi.runtime.is_dry_run():
            self.args.before.apply(lambda before: self._tell(node, before.get(node.name, ""), text))
        return text

    def _tell(self, node: Machine, before: str, after: str) -> None:
        changes = difference(before, after) if before else ""
        if changes:
            pulumi.log.info(f"machine configuration of {node.name}:\n{changes}", resource=self)

    def _command(
        self,
        *parts: str,
        environment: Mapping[str, str],
        opts: pulumi.ResourceOptions,
        create: str = shell.NOTHING,
        update: str = shell.NOTHING,
        delete: str | None = None,
    ) -> Command:
        common = whole(self.args.cluster_name, self.args.endpoint, self.args.machines)
        return Command(
            self.child(*parts),
            create=create,
            update=update,
            delete=delete,
            environment={**common, **environment, "SECRETS": self.secrets_bundle},
            opts=opts,
        )

    def _upgrade_talos(self) -> Command | None:
        """Make the upgrades, one node after the other; on the first run there is nothing to upgrade."""
        last: Command | None = None
        for node in in_order_of_upgrade(self.args.machines):
            version = {"VERSION": self.args.desired.talos_version, "IMAGE": self.args.desired.installers[node.name]}
            last = self._command(
                "talos",
                node.name,
                environment={**single(node), **version, **self._draining(node)},
                update=script("upgrade-talos"),
                # After the VM, which comes after its image: by then the factory knows the schematic of the installer.
                opts=self.options(depends_on=[self.args.vms[node.name], *([last] if last else [])]),
            )
        return last

    def _draining(self, node: Machine) -> dict[str, str]:
        around = self.args.desired.around
        return draining(node, self.args.machines, self.args.drain_seconds, around.workloads_on_control_planes)

    def _upgrade_kubernetes(self, after: Command | None) -> Command:
        return self._command(
            "kubernetes",
            environment={"VERSION": self.args.desired.kubernetes_version},
            update=script("upgrade-kubernetes"),
            opts=self.options(depends_on=[after] if after else []),
        )

    def _configure(self, after: Command) -> dict[str, machine.ConfigurationApply]:
        """Apply a configuration to every node; a control plane waits until the previous one works with its own."""
        applied: dict[str, machine.ConfigurationApply] = {}
        last_plane: list[pulumi.Resource] = []
        for node in self.args.machines:
            is_plane = node.role == "control-plane"
            applied[node.name] = machine.ConfigurationApply(
                self.child("configuration", node.name),
                client_configuration=self.client,
                machine_configuration_input=self._configuration(node),
                node=str(node.address),
                endpoint=str(node.address),
                # A change that needs a reboot waits for one; a fresh node reboots at once in any case.
                apply_mode="staged_if_needing_reboot",
                opts=self.options(
                    depends_on=[
                        self.args.vms[node.name],
                        after,
                        *([self._forget(node), *last_plane] if is_plane else []),
                    ],
                    replacement_trigger=f"{self.args.generation}.{node.incarnation}",
                    retain_on_delete=True,
                ),
            )
            last_plane = [applied[node.name], self._settled(node, applied[node.name])] if is_plane else last_plane
        return applied

    def _settled(self, node: Machine, applied: machine.ConfigurationApply) -> Command:
        """Wait for a control plane: the provider returns when a configuration is accepted, not when it is in effect."""
        text = f"{self.configurations[node.name]}{self.args.generation}.{node.incarnation}"
        return self._command(
            "settle",
            node.name,
            environment={**single(node), "CONFIGURATION": hashlib.sha256(text.encode()).hexdigest()},
            update=script("settle"),
            opts=self.options(depends_on=[applied]),
        )

    def _forget(self, node: Machine) -> Command:
        """Remove the etcd member of a control plane whose VM was lost or is made again."""
        return self._command(
            "forget",
            node.name,
            environment={**single(node), "GENERATION": node.incarnation},
            create=REMEMBER_GENERATION,
            update=script("forget"),
            # After the VM: until a replaced one is made, the old one answers under the address.
            opts=self.options(depends_on=[self.args.vms[node.name]]),
        )

    def _configuration(self, node: Machine) -> pulumi.Output[str]:
        secrets: Any = self.secrets.machine_secrets
        result = machine.get_configuration_output(
            cluster_name=self.args.cluster_name,
            cluster_endpoint=self.args.endpoint,
            machine_type="controlplane" if node.role == "control-plane" else "worker",
            # Wrapped by hand: as they are, nested keys reach the provider in snake case and are refused.
            machine_secrets=machine.MachineSecretsArgs(
                certs=secrets.apply(lambda value: value.certs),
                cluster=secrets.apply(lambda value: value.cluster),
                secrets=secrets.apply(lambda value: value.secrets),
                trustdinfo=secrets.apply(lambda value: value.trustdinfo),
            ),
            config_patches=self.args.desired.patches(node),
            kubernetes_version=self.args.desired.kubernetes_version,
            talos_version=f"v{self.args.talos_contract}",
            docs=False,
            examples=False,
        )
        return result.machine_configuration

    def _bootstrap(self, after: machine.ConfigurationApply) -> Command:
        """Bootstrap etcd, once.

        A command and not the provider's resource, which waits ten minutes and fails where an interrupted run has
        bootstrapped already, and which cannot bootstrap from a snapshot.
        """
        return self._command(
            "bootstrap",
            environment=single(self.planes[0]),
            create=script("bootstrap"),
            opts=self.options(depends_on=[after], replacement_trigger=str(self.args.generation), retain_on_delete=True),
        )

    def _retirement(self, applied: Mapping[str, machine.ConfigurationApply]) -> None:
        """Make a removed node leave the cluster first; a destroyed cluster needs no such step."""
        last: list[pulumi.Resource] = []
        for node in self.args.machines:
            # One after the other, so that the quorum is checked for each control plane that leaves.
            last = [
                self._command(
                    "retire",
                    node.name,
                    environment={**single(node), **self._draining(node)},
                    delete=script("retire"),
                    opts=self.options(depends_on=[applied[node.name], *last], deleted_with=self.bootstrap),
                )
            ]

    def _health(self, after: Sequence[pulumi.Resource]) -> Command:
        return self._command(
            "health",
            environment={"GENERATION": str(self.args.generation), "NODES": pairs(self.args.machines)},
            create=script("health"),
            update=script("health"),
            opts=self.options(depends_on=after, deleted_with=self.bootstrap),
        )

    def _kubeconfig(self) -> pulumi.Output[str]:
        first = str(self.planes[0].address)
        made = talos_cluster.Kubeconfig(
            self.child("kubeconfig"),
            client_configuration=self.client,
            node=first,
            endpoint=first,
            certificate_renewal_duration=KUBECONFIG_RENEWAL,
            # It contains the endpoint, and none of its inputs changes with the endpoint.
            opts=self.options(depends_on=[self.healthy], replacement_trigger=self.args.endpoint),
        )
        return pulumi.Output.secret(made.kubeconfig_raw)

    def _talosconfig(self) -> pulumi.Output[str]:
        result = client.get_configuration_output(
            cluster_name=self.args.cluster_name,
            client_configuration=client.GetConfigurationClientConfigurationArgs(
                ca_certificate=self.client.ca_certificate,
                client_certificate=self.client.client_certificate,
                client_key=self.client.client_key,
            ),
            # Never the VIP: etcd carries it, and etcd is what these commands must be able to repair.
            endpoints=[str(node.address) for node in self.planes],
            nodes=[str(node.address) for node in self.args.machines],
        )
        return pulumi.Output.secret(result.talos_config)
