"""A rehearsal inside a network namespace of its own: loopback only, and a listener on every address of the stack.

    unshare --map-root-user --net python -m tests.lab.namespace CHECKOUT STACK

Prints as JSON how the rehearsal ended, the connections to the addresses of hosts and nodes, and the packets to any
address beyond loopback.
"""

from __future__ import annotations

import fcntl
import json
import selectors
import socket
import struct
import sys
import threading
from pathlib import Path

from config.load import read_stack
from tests.ears import open_ear
from tests.lab.checkout import Checkout

SET_ADDRESS, SET_FLAGS, GET_FLAGS, UP = 0x8916, 0x8914, 0x8913, 0x1
PORTS = (22, 443, 6443, 8006, 10250, 50000, 50001)


def main(root: Path, stack: str) -> None:
    settings = read_stack(root / f"Pulumi.{stack}.yaml").require()
    hosts = [host.address for host in settings.proxmox.hosts]
    nodes = [node.address for node in settings.cluster.nodes]
    vip = [settings.network.vip] if settings.network.vip else []
    addresses = [str(address) for address in (*hosts, *nodes, *vip, settings.network.gateway)]
    interfaces = {f"lo:{number}": address for number, address in enumerate(dict.fromkeys(addresses))}
    for name, address in {"lo": "127.0.0.1", **interfaces}.items():
        bring_up(name, address)
    heard: list[str] = []
    sent = open_ear()
    threading.Thread(target=listen, args=(list(interfaces.values()), heard), daemon=True).start()
    assert probe(addresses[0], heard), "nobody would have heard a connection"
    threading.Event().wait(1)
    heard.clear()
    assert sent, "no packet would have been heard"
    sent.clear()
    checkout = Checkout(root, stack)
    ran = checkout.run("rehearse", "--json")
    result = ran.result if ran.code == 0 else {}
    checkout.end()
    print(json.dumps({"code": ran.code, "said": ran.err[-3000:], "result": result, "heard": [*heard, *sorted(sent)]}))


def bring_up(name: str, address: str) -> None:
    """Add an address to an interface, without a program for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        wanted = struct.pack("16sH2s4s8s", name.encode(), socket.AF_INET, b"", socket.inet_aton(address), b"")
        fcntl.ioctl(handle, SET_ADDRESS, wanted)
        flags = struct.unpack("16sh", fcntl.ioctl(handle, GET_FLAGS, struct.pack("16sh", name.encode(), 0))[:18])[1]
        fcntl.ioctl(handle, SET_FLAGS, struct.pack("16sh", name.encode(), flags | UP))


def listen(addresses: list[str], heard: list[str]) -> None:
    """Record every connection."""
    with selectors.DefaultSelector() as ears:
        for address in addresses:
            for port in PORTS:
                ear = socket.create_server((address, port))
                ears.register(ear, selectors.EVENT_READ, f"{address}:{port}")
        while True:
            for key, _ in ears.select():
                heard_on = key.fileobj
                assert isinstance(heard_on, socket.socket)
                connection, _ = heard_on.accept()
                heard.append(key.data)
                connection.close()


def probe(address: str, heard: list[str]) -> bool:
    """Prove that a connection would be recorded."""
    for _ in range(100):
        try:
            socket.create_connection((address, 8006), timeout=1).close()
        except OSError:
            threading.Event().wait(0.05)
        if heard:
            return True
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
