"""Stand-in for `pulumi-resource-talos`: secrets and configurations from the real talosctl, nodes on the rack.

It accepts the inputs of the official plugin, and runs talosctl, which shares the official plugin's code, for everything
that needs no node. `lab.hardware.talos_node` simulates the nodes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import yaml

from errors import HomelabError
from lab.hardware import talos_node
from lab.hardware.rack import Rack
from lab.layout import Lab
from lab.plugins.base import ResourceKind, StandIn
from lab.plugins.properties import UNKNOWN, Plain
from lab.plugins.server import serve

CLIENT = {"caCertificate": "ca", "clientCertificate": "crt", "clientKey": "key"}
KUBERNETES_CLIENT = ("host", "caCertificate", "clientCertificate", "clientKey")
RENEWAL = "720h"
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
DURATION = re.compile(rf"([0-9]+\.?[0-9]*|\.[0-9]+)({'|'.join(sorted(UNITS, key=len, reverse=True))})")


class MachineSecrets(ResourceKind):
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
        return "machine_secrets", {"machineSecrets": _as_outputs(bundle), "clientConfiguration": _client(bundle)}

    def renewed(self, outputs: Plain, inputs: Plain) -> Plain:
        """Return the client's certificate in its last month; a preview knows no output of another version."""
        if inputs.get("talosVersion") != outputs.get("talosVersion"):
            return dict.fromkeys(self.unknown_in_preview, UNKNOWN)
        return {"clientConfiguration": dict.fromkeys(CLIENT, UNKNOWN)} if self._is_due(outputs) else {}

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002 - the engine's word
        """Retain them, also for a higher version; only the client's certificate is signed again, in its last month."""
        bundle = _as_bundle(old_outputs["machineSecrets"])
        return {"clientConfiguration": _client(bundle)} if self._is_due(old_outputs) else {}

    def _is_due(self, outputs: Plain) -> bool:
        return _ends_before(outputs["clientConfiguration"], a_month_after(datetime.now(UTC)))


class ConfigurationApply(ResourceKind):
    """A configuration on a node."""

    unknown_in_preview = ("machineConfiguration", "resolvedApplyMode")

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Apply it to the node."""
        return "machine_configuration_apply", self._apply(inputs)

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002
        """Apply it to the node again."""
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


class Kubeconfig(ResourceKind):
    """The administrator's kubeconfig."""

    unknown_in_preview = ("kubeconfigRaw", "kubernetesClientConfiguration")

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Request one from a control plane."""
        return "kubeconfig", {**self._defaults(inputs), **self._request(inputs)}

    def renewed(self, outputs: Plain, inputs: Plain) -> Plain:
        """Return all outputs if the rest of the certificate's life is within the renewal duration."""
        # Like the official one it does not read the node if its address is not known yet.
        if UNKNOWN in (inputs["node"], inputs.get("endpoint")) or not self._is_due(outputs, inputs):
            return {}
        return {"kubeconfigRaw": UNKNOWN, "kubernetesClientConfiguration": dict.fromkeys(KUBERNETES_CLIENT, UNKNOWN)}

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002
        """Retain it after every change, unless its certificate is to be renewed."""
        due = self._is_due(old_outputs, inputs)
        return {**self._defaults(inputs), **(self._request(inputs) if due else {})}

    def _defaults(self, inputs: Plain) -> Plain:
        return {"endpoint": inputs["node"], "certificateRenewalDuration": RENEWAL, **inputs}

    def _is_due(self, outputs: Plain, inputs: Plain) -> bool:
        within = duration(inputs.get("certificateRenewalDuration", RENEWAL))
        return _ends_before(outputs["kubernetesClientConfiguration"], datetime.now(UTC) + within)

    def _request(self, inputs: Plain) -> Plain:
        lab = Lab.from_environment()
        node = Rack(lab.rack).node_at(inputs["node"])
        from lab.control_plane.kubernetes import admin_kubeconfig  # noqa: PLC0415 - most runs do without it

        raw = admin_kubeconfig(lab, talos_node.documents(node.configuration)[0])
        config = yaml.safe_load(raw)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        found = (
            cluster["server"],
            cluster["certificate-authority-data"],
            user["client-certificate-data"],
            user["client-key-data"],
        )
        client = dict(zip(KUBERNETES_CLIENT, found, strict=True))
        return {"kubeconfigRaw": raw, "kubernetesClientConfiguration": client}


class Schematic(ResourceKind):
    """A schematic at the image factory, whose id is the hash of its text."""

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Register the schematic."""
        return hashlib.sha256(inputs["schematic"].encode()).hexdigest(), {}


def a_month_after(moment: datetime) -> datetime:
    """Add a month as Go does: January 31 and a month is March 2 or 3."""
    following = (moment.replace(day=1) + timedelta(days=32)).replace(day=1)
    return following + timedelta(days=moment.day - 1)


def duration(text: str) -> timedelta:
    """Read a duration as Go writes it."""
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise HomelabError(f'failed to parse certificate renewal duration: time: invalid duration "{text}"')
    return timedelta(seconds=sum(float(number) * UNITS[unit] for number, unit in parts))


def get_configuration(provider: StandIn, arguments: Plain) -> Plain:
    """Generate a machine configuration and patch it, by the real talosctl."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        secrets = root / "secrets.yaml"
        secrets.write_text(yaml.safe_dump(_as_bundle(arguments["machineSecrets"])), encoding="utf-8")
        flags = ["--with-docs=false", "--with-examples=false"]
        role = "control-plane" if arguments["machineType"] == "controlplane" else "worker"
        # A patch for both kinds would be tried on both, and a deletion fails where there is nothing to delete.
        for index, patch in enumerate(arguments.get("configPatches", [])):
            (root / f"{index}.yaml").write_text(patch, encoding="utf-8")
            flags += [f"--config-patch-{role}", f"@{root / f'{index}.yaml'}"]
        for name, flag in (("kubernetesVersion", "--kubernetes-version"), ("talosVersion", "--talos-version")):
            flags += [flag, arguments[name]] if name in arguments else []
        cluster, endpoint = arguments["clusterName"], arguments["clusterEndpoint"]
        text = _generate(secrets, arguments["machineType"], cluster, endpoint, *flags)
    return {**arguments, "id": cluster, "machineConfiguration": text}


def get_client_configuration(provider: StandIn, arguments: Plain) -> Plain:
    """Return a talosconfig."""
    client = arguments["clientConfiguration"]
    context = {
        "endpoints": arguments.get("endpoints", []),
        "nodes": arguments.get("nodes", []),
        **{key: client[name] for name, key in CLIENT.items()},
    }
    name = arguments["clusterName"]
    text = yaml.safe_dump({"context": name, "contexts": {name: context}}, sort_keys=False)
    return {**arguments, "id": name, "talosConfig": text}


def _client(bundle: dict[str, Any]) -> Plain:
    """Return an administrator's certificate for Talos, signed now by the authority of a secrets bundle."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "secrets.yaml"
        file.write_text(yaml.safe_dump(bundle), encoding="utf-8")
        config = yaml.safe_load(_generate(file, "talosconfig", "talos", "https://127.0.0.1:6443"))
    context = config["contexts"][config["context"]]
    return {name: context[key] for name, key in CLIENT.items()}


def _ends_before(client: Plain, moment: datetime) -> bool:
    """Check when a client's certificate ends."""
    from cryptography import x509  # noqa: PLC0415 - costs every start otherwise

    certificate = x509.load_pem_x509_certificate(base64.b64decode(client["clientCertificate"]))
    return certificate.not_valid_after_utc < moment


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
        "talos:machine/secrets:Secrets": MachineSecrets,
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
