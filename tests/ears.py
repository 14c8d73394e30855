"""A network namespace without a way out, with a listener for every attempt.

    unshare --map-root-user --net python -m tests.ears COMMAND...

Every address is routed to the loopback interface, where a packet without a local server is recorded and
dropped. Prints JSON: the exit of the command, and the addresses beyond loopback that it sent packets to, name servers
included.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import shutil
import socket
import struct
import subprocess
import sys
import threading

UNSHARE = ("unshare", "--map-root-user", "--net")
GET_FLAGS, SET_FLAGS, ADD_ROUTE, UP = 0x8913, 0x8914, 0x890B, 0x1
ALL = 0x0003
PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}


def available() -> bool:
    """Return true if this system permits network namespaces to its users."""
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


def open_ear() -> set[str]:
    """Route everything to loopback, listen, and return a set that fills with the recorded addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        flags = struct.unpack("16sh", fcntl.ioctl(handle, GET_FLAGS, struct.pack("16sh", b"lo", 0))[:18])[1]
        fcntl.ioctl(handle, SET_FLAGS, struct.pack("16sh", b"lo", flags | UP))
        name, anywhere = ctypes.create_string_buffer(b"lo"), struct.pack("=HH4s8x", socket.AF_INET, 0, bytes(4))
        route = (0, anywhere, anywhere, anywhere, UP, 0, 0, 0, 0, ctypes.addressof(name), 0, 0, 0)
        fcntl.ioctl(handle, ADD_ROUTE, struct.pack("@L16s16s16sHhLPhPLLH", *route))
    heard: set[str] = set()
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL))
    threading.Thread(target=_listen, args=(ear, heard), daemon=True).start()
    return heard


def _listen(ear: socket.socket, heard: set[str]) -> None:
    while True:
        packet = ear.recv(65535)
        if packet[0] >> 4 != 4:
            continue  # the only address of version 6 is loopback's own
        address, begins = socket.inet_ntoa(packet[16:20]), (packet[0] & 15) * 4
        if not address.startswith("127."):
            port = struct.unpack("!H", packet[begins + 2 : begins + 4])[0]
            heard.add(f"{PROTOCOLS.get(packet[9], packet[9])} {address}:{port}")


def main(command: list[str]) -> None:
    heard = open_ear()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    threading.Event().wait(0.2)
    print(json.dumps({"code": done.returncode, "out": done.stdout, "err": done.stderr, "heard": sorted(heard)}))


if __name__ == "__main__":
    main(sys.argv[1:])
