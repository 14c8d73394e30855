"""The lab's talosctl: it answers for the rack where the real one would send a request to a node.

It is the first `talosctl` on the PATH of a rehearsal. Its shell wrapper passes generating, validating and patching to
the real one; every other call arrives here with the arguments of the real one and gets its messages.
"""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from errors import HardwareRefused, HomelabError
from lab.hardware import etcd, talos_node
from lab.hardware.rack import Rack, TalosNode
from lab.layout import Lab


def main(arguments: Sequence[str]) -> int:
    """Run one call."""
    options = _options(arguments)
    lab = Lab.from_environment()
    rack = Rack(lab.rack)
    try:
        talos_node.advance(lab, rack)
        _run_verb(Call(lab, rack, _reach_node(rack, options), options))
    except HomelabError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        rack.close()
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="talosctl", allow_abbrev=False)
    parser.add_argument("--talosconfig", type=Path)
    parser.add_argument("--endpoints", "-e", default="")
    parser.add_argument("--nodes", "-n", default="")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("version").add_argument("--short", action="store_true")
    verbs.add_parser("bootstrap").add_argument("--recover-from", type=Path)
    about = verbs.add_parser("etcd").add_subparsers(dest="about", required=True)
    for name in ("members", "status", "leave"):
        about.add_parser(name)
    about.add_parser("remove-member").add_argument("id")
    kubeconfig = verbs.add_parser("kubeconfig")
    kubeconfig.add_argument("path", type=Path)
    kubeconfig.add_argument("--force", action="store_true")
    kubeconfig.add_argument("--merge", default="true")
    get = verbs.add_parser("get")
    get.add_argument("what", choices=["extensions", "machineconfig", "staticpods"])
    get.add_argument("id", nargs="?")
    get.add_argument("-o", "--output", choices=["yaml"])
    upgrade = verbs.add_parser("upgrade")
    upgrade.add_argument("--image", required=True)
    upgrade.add_argument("--wait", action="store_true")
    upgrade.add_argument("--timeout")
    upgrade.add_argument("--drain", choices=["true", "false"], default="true")
    upgrade.add_argument("--drain-timeout", default="5m")
    kubernetes = verbs.add_parser("upgrade-k8s")
    kubernetes.add_argument("--from", dest="current")
    kubernetes.add_argument("--to", required=True)
    kubernetes.add_argument("--dry-run", action="store_true")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Call:
    """One call that has reached its node."""

    lab: Lab
    rack: Rack
    node: TalosNode
    options: argparse.Namespace


def _version(call: Call) -> str:
    server = f"\tNODE:        {call.node.vm.address}\n\tTag:         v{call.node.talos}"
    return f"Client:\n\tTalos (the lab's)\nServer:\n{server}"


def _members(call: Call) -> str:
    """List the members of the node's own etcd, which has to run and to have a leader."""
    _own_etcd(call, "member list")
    etcd.require_leader(call.rack)
    learners = etcd.learners(call.rack)
    lines = ["NODE\tID\tHOSTNAME\tPEER URLS\tCLIENT URLS\tLEARNER"]
    for name, (address, member) in call.rack.members().items():
        urls = f"https://{address}:2380\thttps://{address}:2379"
        lines.append(f"{call.node.vm.address}\t{member}\t{name}\t{urls}\t{str(name in learners).lower()}")
    return "\n".join(lines)


def _status(call: Call) -> str:
    _own_etcd(call, "etcd status")
    member = call.rack.members()[call.node.name][1]
    return f"NODE\tMEMBER\tDB SIZE\n{call.node.vm.address}\t{member}\t20 MB"


def _own_etcd(call: Call, what: str) -> None:
    if call.node.role != "control-plane":
        refused = f"rpc error: code = Unimplemented desc = {what} is only available on control plane nodes"
        raise HardwareRefused(refused)
    if not etcd.runs(call.rack, call.node):
        raise HardwareRefused(
            f"{call.node.vm.address}: rpc error: code = Unavailable desc = connection error: desc = "
            '"transport: Error while dialing: dial tcp 127.0.0.1:2379: connect: connection refused"'
        )


def _leave(call: Call) -> str:
    _own_etcd(call, "etcd leave")
    with call.rack.change():
        etcd.leave(call.rack, call.node)
    return ""


def _remove_member(call: Call) -> str:
    with call.rack.change():
        etcd.remove(call.rack, call.options.id)
    return ""


def _kubeconfig(call: Call) -> str:
    call.options.path.write_text(call.lab.kubeconfig.read_text(encoding="utf-8"), encoding="utf-8")
    call.options.path.chmod(0o600)
    return ""


def _get(call: Call) -> str:
    if call.options.what == "staticpods":
        version = talos_node.api_version(call.node.configuration)
        metadata = f"    metadata:\n        annotations:\n            {talos_node.CONFIG_VERSION}: {version}"
        return f"node: {call.node.vm.address}\nspec:\n{metadata}"
    if call.options.what == "machineconfig":
        return yaml.safe_dump({"node": call.node.vm.address, "spec": call.node.configuration}, sort_keys=False)
    spec = f"    metadata:\n        name: schematic\n        version: {call.node.schematic}"
    return f"node: {call.node.vm.address}\nspec:\n{spec}"


def _bootstrap(call: Call) -> str:
    talos_node.bootstrap(call.lab, call.rack, call.node.vm.address)
    return ""


def _upgrade(call: Call) -> str:
    options = call.options
    drain = options.drain_timeout if options.drain == "true" else ""
    talos_node.upgrade(call.lab, call.rack, call.node.vm.address, options.image, drain)
    return ""


def _upgrade_kubernetes(call: Call) -> str:
    options = call.options
    current = options.current or min(node.kubernetes for node in call.rack.nodes())
    return "\n".join(talos_node.upgrade_kubernetes(call.lab, call.rack, current, options.to, dry_run=options.dry_run))


ANSWERS: dict[str, Callable[[Call], str]] = {
    "version": _version,
    "bootstrap": _bootstrap,
    "etcd members": _members,
    "etcd status": _status,
    "etcd leave": _leave,
    "etcd remove-member": _remove_member,
    "kubeconfig": _kubeconfig,
    "get": _get,
    "upgrade": _upgrade,
    "upgrade-k8s": _upgrade_kubernetes,
}


def _run_verb(call: Call) -> None:
    verb = f"{call.options.verb} {getattr(call.options, 'about', '')}".strip()
    call.rack.note("talosctl", call.node.name, verb)
    output = ANSWERS[verb](call)
    if output:
        print(output)


def _reach_node(rack: Rack, options: argparse.Namespace) -> TalosNode:
    """Return the node, reached through an endpoint that is up, with a certificate of the cluster."""
    node = rack.node_at(options.nodes)
    ups = {one.vm.address for one in rack.nodes() if one.role == "control-plane"}
    if not ups & set(options.endpoints.split(",")):
        raise HardwareRefused(f"rpc error: code = Unavailable desc = no endpoint of {options.endpoints} answers")
    if not node.configuration:
        raise HardwareRefused(f"rpc error: code = Unavailable desc = {node.vm.address} is in maintenance mode")
    config = yaml.safe_load(options.talosconfig.read_text(encoding="utf-8"))
    presented = config["contexts"][config["context"]]["ca"]
    expected = talos_node.documents(node.configuration)[0]["machine"]["ca"]["crt"]
    if base64.b64decode(presented) != base64.b64decode(expected):
        raise HardwareRefused(
            "rpc error: code = Unavailable desc = tls: failed to verify certificate: "
            f"x509: certificate signed by unknown authority ({node.name})"
        )
    return node


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
