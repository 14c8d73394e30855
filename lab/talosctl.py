"""The lab's talosctl: answers for the rack where the real one would ask a node.

First on the PATH of a rehearsal under the name `talosctl`; its shell wrapper passes generating, validating and patching
through to the real one, everything else arrives here with the real one's arguments and leaves in its words.
"""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from errors import HardwareRefused, HomelabError
from lab import talos
from lab.places import Lab
from lab.rack import Node, Rack


def main(arguments: Sequence[str]) -> int:
    """Answer one call."""
    options = _options(arguments)
    lab = Lab.from_environment()
    rack = Rack(lab.rack)
    try:
        return _answer(lab, rack, options)
    except HomelabError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        rack.close()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="talosctl", allow_abbrev=False)
    parser.add_argument("--talosconfig", type=Path)
    parser.add_argument("--endpoints", "-e", default="")
    parser.add_argument("--nodes", "-n", default="")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("version").add_argument("--short", action="store_true")
    etcd = verbs.add_parser("etcd").add_subparsers(dest="about", required=True)
    for name in ("members", "status"):
        etcd.add_parser(name)
    etcd.add_parser("remove-member").add_argument("id")
    snapshot = etcd.add_parser("snapshot")
    snapshot.add_argument("path", type=Path)
    kubeconfig = verbs.add_parser("kubeconfig")
    kubeconfig.add_argument("path", type=Path)
    kubeconfig.add_argument("--force", action="store_true")
    kubeconfig.add_argument("--merge", default="true")
    get = verbs.add_parser("get")
    get.add_argument("what", choices=["extensions"])
    get.add_argument("-o", "--output", choices=["yaml"])
    upgrade = verbs.add_parser("upgrade")
    upgrade.add_argument("--image", required=True)
    upgrade.add_argument("--wait", action="store_true")
    upgrade.add_argument("--timeout")
    kubernetes = verbs.add_parser("upgrade-k8s")
    kubernetes.add_argument("--from", dest="current")
    kubernetes.add_argument("--to", required=True)
    kubernetes.add_argument("--dry-run", action="store_true")
    reset = verbs.add_parser("reset")
    reset.add_argument("--graceful", action="store_true")
    reset.add_argument("--wipe-mode")
    reset.add_argument("--wait", default="true")
    return parser.parse_args(arguments)


def _answer(lab: Lab, rack: Rack, options: argparse.Namespace) -> int:
    node = _reached(rack, options)
    verb = f"{options.verb} {getattr(options, 'about', '')}".strip()
    rack.note("talosctl", node.name, verb)
    if verb == "version":
        print(f"Client:\n\tTalos (the lab's)\nServer:\n\tNODE:        {node.vm.address}\n\tTag:         v{node.talos}")
    elif verb == "etcd members":
        print("NODE\tID\tHOSTNAME\tPEER URLS\tCLIENT URLS\tLEARNER")
        for name, (address, member) in rack.members().items():
            urls = f"https://{address}:2380\thttps://{address}:2379"
            print(f"{node.vm.address}\t{member}\t{name}\t{urls}\tfalse")
    elif verb == "etcd status":
        if node.name not in rack.members():
            raise HardwareRefused(f"{node.vm.address}: rpc error: code = Unavailable desc = etcd is not running")
        print(f"NODE\tMEMBER\tDB SIZE\n{node.vm.address}\t{rack.members()[node.name][1]}\t20 MB")
    elif verb == "etcd remove-member":
        for name, (_, member) in rack.members().items():
            if member == options.id:
                rack.remove_member(name)
    elif verb == "kubeconfig":
        options.path.write_text(lab.kubeconfig.read_text(encoding="utf-8"), encoding="utf-8")
        options.path.chmod(0o600)
    elif verb == "get":
        print(f"node: {node.vm.address}\nspec:\n    metadata:\n        name: schematic\n        version: {node.schematic}")
    elif verb == "upgrade":
        talos.upgrade(lab, rack, node.vm.address, options.image)
    elif verb == "upgrade-k8s":
        print("\n".join(talos.upgrade_kubernetes(lab, rack, options.to, dry_run=options.dry_run)))
    elif verb == "reset":
        talos.reset(lab, rack, node.vm.address)
    return 0


def _reached(rack: Rack, options: argparse.Namespace) -> Node:
    """Go to the node through an endpoint that is up, with a certificate that the cluster knows."""
    node = rack.node_at(options.nodes)
    ups = {one.vm.address for one in rack.nodes() if one.role == "control-plane"}
    if not ups & set(options.endpoints.split(",")):
        raise HardwareRefused(f"rpc error: code = Unavailable desc = no endpoint of {options.endpoints} answers")
    if node.configuration:
        config = yaml.safe_load(options.talosconfig.read_text(encoding="utf-8"))
        presented = config["contexts"][config["context"]]["ca"]
        expected = talos.documents(node.configuration)[0]["machine"]["ca"]["crt"]
        if base64.b64decode(presented) != base64.b64decode(expected):
            raise HardwareRefused(
                "rpc error: code = Unavailable desc = tls: failed to verify certificate: "
                f"x509: certificate signed by unknown authority ({node.name})"
            )
    return node


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
