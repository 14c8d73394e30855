"""How long a rehearsal takes with all tools built, and how much memory it uses.

    .venv/bin/python bench/rehearse.py [STACK]

From nothing, then once more without a change: the control plane's own time, the whole command, memory of all processes,
and the engine's own share, measured with an empty program, beside them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import programs
from lab.running import servers
from ops.toolchain.lookup import ensure
from tests.lab.checkout import Checkout

EMPTY = "name: empty\nruntime: python\n"


def main() -> None:
    """Measure and print a table."""
    stack = sys.argv[1] if len(sys.argv) > 1 else "homelab"
    with tempfile.TemporaryDirectory() as folder:
        line("the engine's own share (an empty program)", empty_program(Path(folder)), "")
    with tempfile.TemporaryDirectory() as folder:
        checkout = Checkout.make(Path(folder) / "checkout", stack)
        checkout.until = "network"
        try:
            measure(checkout)
        finally:
            checkout.end()


def measure(checkout: Checkout) -> None:
    """Rehearse twice."""
    began = time.perf_counter()
    checkout.rehearse()
    whole = time.perf_counter() - began
    times = {row["event"]: row["at"] for row in checkout.rack.rows("SELECT event, at FROM journal ORDER BY rowid DESC")}
    line("control plane, nothing to ready", times["join etcd"] - times["bootstrap"], "5 s")
    line(f"whole command, nothing to {len(checkout.ready())} nodes Ready", whole, "30 s")
    began = time.perf_counter()
    checkout.rehearse()
    line("whole command, no change", time.perf_counter() - began, "10 s")
    held = sum(server.resident for server in servers.alive(checkout.lab))
    print(f"{'memory of the running servers':<44}{held >> 20:>7} MiB   target: 1024 MiB")


def empty_program(folder: Path) -> float:
    """Run `up` on a program that does nothing."""
    (folder / "Pulumi.yaml").write_text(EMPTY, encoding="utf-8")
    (folder / "__main__.py").write_text("import pulumi\n", encoding="utf-8")
    environment = ensure(("pulumi", "pulumi-language-python")).env() | {
        "PULUMI_BACKEND_URL": f"file://{folder}",
        "PULUMI_CONFIG_PASSPHRASE": "empty",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    programs.run("pulumi", "stack", "init", "empty", cwd=folder, env=environment)
    flags = ("--yes", "--skip-preview", "--non-interactive")
    return programs.run("pulumi", "up", *flags, cwd=folder, env=environment).seconds


def line(label: str, seconds: float, target: str) -> None:
    """Print a measurement with its target."""
    print(f"{label:<44}{seconds:>9.1f} s" + (f"   target: {target}" if target else ""), flush=True)


if __name__ == "__main__":
    main()
