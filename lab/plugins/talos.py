"""Stand-in for `pulumi-resource-talos`: secrets and configurations from the real talosctl, nodes on the rack.

It takes what the official plugin takes, and asks talosctl, which shares the official plugin's code, for everything that
needs no node. `lab.hardware.talos_node` plays the nodes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import yaml

from lab.hardware import talos_node
from lab.hardware.rack import Rack
from lab.layout import Lab
from lab.plugins.base import Kind, StandIn
from lab.plugins.properties import Plain
from lab.plugins.server import serve

CLIENT = {"caCertificate": "ca", "clientCertificate": "crt", "clientKey": "key"}


class Secrets(Kind):
    """The secrets of a cluster."""

    unknown_in_preview = ("machineSecrets", "clientConfiguration")

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Generate them as talosctl does."""
        version = inputs.get("talosVersion", "")
        with TemporaryDirectory() as folder:
            file = Path(folder) / "secrets.yaml"
            flags = ("--talos-version", version) if version else ()
            talos_node.real_talosctl("gen", "secrets", "--output-file", file, *flags)
            bundle = yaml.safe_load(file.read_text(encoding="utf-8"))
            config = yaml.safe_load(_generate(file, "talosconfig", "talos", "https://127.0.0.1:6443"))
        context = config["contexts"][config["context"]]
        client = {name: context[key] for name, key in CLIENT.items()}
        return "machine_secrets", {"machineSecrets": _as_outputs(bundle), "clientConfiguration": client}

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002 - the engine's word
        """Keep them when the version rises."""
        return {}


class ConfigurationApply(Kind):
    """A configuration on a node."""

    unknown_in_preview = ("machineConfiguration", "resolvedApplyMode")

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Give it to the node."""
        return "machine_configuration_apply", self._apply(inputs)

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002
        """Give it to the node again."""
        return self._apply(inputs)

    def _apply(self, inputs: Plain) -> Plain:
        lab = Lab.from_environment()
        configuration = inputs["machineConfigurationInput"]
        mode = inputs.get("applyMode", "auto")
        resolved = talos_node.apply(lab, Rack(lab.rack), inputs["node"], configuration, mode)
        return {
            "machineConfiguration": configuration,
            "machineConfigurationHash": hashlib.sha256(configuration.encode()).hexdigest(),
            "resolvedApplyMode": resolved,
        }


class Kubeconfig(Kind):
    """The administrator's kubeconfig."""

    unknown_in_preview = ("kubeconfigRaw", "kubernetesClientConfiguration")

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Ask a control plane for one."""
        return "kubeconfig", self._ask(inputs)

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002
        """Ask again."""
        return self._ask(inputs)

    def _ask(self, inputs: Plain) -> Plain:
        lab = Lab.from_environment()
        node = Rack(lab.rack).node_at(inputs["node"])
        from lab.control_plane.kubernetes import admin_kubeconfig  # noqa: PLC0415 - most runs do without it

        raw = admin_kubeconfig(lab, talos_node.documents(node.configuration)[0])
        config = yaml.safe_load(raw)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        client = {
            "host": cluster["server"],
            "caCertificate": cluster["certificate-authority-data"],
            "clientCertificate": user["client-certificate-data"],
            "clientKey": user["client-key-data"],
        }
        return {"kubeconfigRaw": raw, "kubernetesClientConfiguration": client}


class Schematic(Kind):
    """A schematic at the image factory, whose id is the hash of its text."""

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Register it."""
        return hashlib.sha256(inputs["schematic"].encode()).hexdigest(), {}


def get_configuration(provider: StandIn, arguments: Plain) -> Plain:
    """Generate a machine configuration and patch it, by the real talosctl."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        secrets = place / "secrets.yaml"
        secrets.write_text(yaml.safe_dump(_as_bundle(arguments["machineSecrets"])), encoding="utf-8")
        flags = ["--with-docs=false", "--with-examples=false"]
        role = "control-plane" if arguments["machineType"] == "controlplane" else "worker"
        # A patch for both kinds would be tried on both, and a deletion fails where there is nothing to delete.
        for index, patch in enumerate(arguments.get("configPatches", [])):
            (place / f"{index}.yaml").write_text(patch, encoding="utf-8")
            flags += [f"--config-patch-{role}", f"@{place / f'{index}.yaml'}"]
        for name, flag in (("kubernetesVersion", "--kubernetes-version"), ("talosVersion", "--talos-version")):
            flags += [flag, arguments[name]] if name in arguments else []
        cluster, endpoint = arguments["clusterName"], arguments["clusterEndpoint"]
        text = _generate(secrets, arguments["machineType"], cluster, endpoint, *flags)
    return {**arguments, "id": cluster, "machineConfiguration": text}


def get_client_configuration(provider: StandIn, arguments: Plain) -> Plain:
    """Write a talosconfig."""
    client = arguments["clientConfiguration"]
    context = {
        "endpoints": arguments.get("endpoints", []),
        "nodes": arguments.get("nodes", []),
        **{key: client[name] for name, key in CLIENT.items()},
    }
    name = arguments["clusterName"]
    text = yaml.safe_dump({"context": name, "contexts": {name: context}}, sort_keys=False)
    return {**arguments, "id": name, "talosConfig": text}


def _generate(secrets: Path, kind: str, cluster: str, endpoint: str, *flags: str) -> str:
    output = secrets.parent / "out"
    where = ("--with-secrets", secrets, "--output-types", kind, "--output", output, "--force")
    talos_node.real_talosctl("gen", "config", *where, *flags, cluster, endpoint)
    return output.read_text(encoding="utf-8")


def _as_outputs(bundle: dict[str, Any]) -> Plain:
    """Write talosctl's secrets bundle as the provider's outputs."""
    certs, secrets = bundle["certs"], bundle["secrets"]

    def pair(name: str) -> Plain:
        return {"cert": certs[name]["crt"], "key": certs[name]["key"]}

    return {
        "certs": {
            "etcd": pair("etcd"),
            "k8s": pair("k8s"),
            "k8sAggregator": pair("k8saggregator"),
            "k8sServiceaccount": {"key": certs["k8sserviceaccount"]["key"]},
            "os": pair("os"),
        },
        "cluster": bundle["cluster"],
        "secrets": {
            "bootstrapToken": secrets["bootstraptoken"],
            "secretboxEncryptionSecret": secrets["secretboxencryptionsecret"],
            "aescbcEncryptionSecret": "",
        },
        "trustdinfo": bundle["trustdinfo"],
    }


def _as_bundle(outputs: Plain) -> dict[str, Any]:
    """Write the provider's outputs as talosctl's secrets bundle."""
    certs, secrets = outputs["certs"], outputs["secrets"]

    def pair(name: str) -> dict[str, str]:
        return {"crt": certs[name]["cert"], "key": certs[name]["key"]}

    return {
        "certs": {
            "etcd": pair("etcd"),
            "k8s": pair("k8s"),
            "k8saggregator": pair("k8sAggregator"),
            "k8sserviceaccount": {"key": certs["k8sServiceaccount"]["key"]},
            "os": pair("os"),
        },
        "cluster": outputs["cluster"],
        "secrets": {
            "bootstraptoken": secrets["bootstrapToken"],
            "secretboxencryptionsecret": secrets["secretboxEncryptionSecret"],
        },
        "trustdinfo": outputs["trustdinfo"],
    }


class Talos(StandIn):
    """The plugin."""

    package, distribution = "talos", "pulumiverse_talos"
    kinds: ClassVar = {
        "talos:machine/secrets:Secrets": Secrets,
        "talos:machine/configurationApply:ConfigurationApply": ConfigurationApply,
        "talos:cluster/kubeconfig:Kubeconfig": Kubeconfig,
        "talos:imageFactory/schematic:Schematic": Schematic,
    }
    functions: ClassVar = {
        "talos:machine/getConfiguration:getConfiguration": get_configuration,
        "talos:client/getConfiguration:getConfiguration": get_client_configuration,
    }


if __name__ == "__main__":
    serve(Talos())
