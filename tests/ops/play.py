"""A machine of its own for tests of tools: a cache, a PATH, and a `go` that only records its arguments."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.polling import until

CHECKOUT = Path(__file__).resolve().parents[2]
wait_for = partial(until, seconds=10)
GO = r"""#!/bin/sh
echo "$*" >>"$PLAY/calls"
case $1 in
    env) cat "$PLAY/goversion"; exit ;;
    mod) echo "{\"Dir\": \"$PLAY/module\"}"; exit ;;
esac
env >"$PLAY/env"
echo "go: downloading example.com/m v1.0.0" >&2
if [ -e "$PLAY/broken" ] && grep -q "$(cat "$PLAY/broken")" <<END
$*
END
then
    printf '%s\n' "example.com/fine" "# example.com/broken" "./a.go:3:2: undefined: x" "example.com/other" >&2
    exit 1
fi
while [ "$1" != -o ]; do shift; done
into=$2
shift 2
echo $$ >"$PLAY/building"
while [ -e "$PLAY/hang" ]; do sleep 0.05; done
for package; do
    case $package in */v[0-9]) package=${package%/*} ;; esac
    printf '#!/bin/sh\necho v9.9.9\n' >"$into/${package##*/}"
    chmod +x "$into/${package##*/}"
    echo "$package" >&2
done
"""


@dataclass(frozen=True)
class Play:
    """A machine with a cache of its own and a PATH that has the fake go and the programs that a shell script needs."""

    folder: Path
    bin: Path
    cache: Path

    def calls(self, verb: str = "build") -> list[str]:
        """Return the calls of go with this verb."""
        file = self.folder / "calls"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [line for line in lines if line.startswith(verb)]

    def program(self, name: str, says: str) -> Path:
        """Write a program onto the PATH that counts its calls and then runs a line of shell."""
        file = self.bin / name
        file.write_text(f"#!/bin/sh\necho call >>{self.folder}/{name}-calls\n{says}\n", encoding="utf-8")
        file.chmod(0o755)
        return file

    def half_built(self) -> list[Path]:
        """Return the incomplete builds in the cache."""
        return sorted(self.cache.glob("homelab/tools/.building-*"))

    def tools(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `./homelab tools` in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", "ops", "tools", *arguments],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Tests that a shell starts in the background ignore Ctrl-C, and their children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,  # noqa: PLW1509 - one thread
        )


def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    """Yield the machine; afterwards release the builds that still hang on it."""
    made = Play(tmp_path, tmp_path / "bin", tmp_path / "cache")
    made.bin.mkdir()
    (tmp_path / "goversion").write_text("go1.27.3\n", encoding="utf-8")
    script = tmp_path / "module" / "python" / "cmd" / "pulumi-language-python-exec"
    script.parent.mkdir(parents=True)
    script.write_text("#!/usr/bin/env python3\n", encoding="utf-8")
    (made.bin / "go").write_text(GO, encoding="utf-8")
    (made.bin / "go").chmod(0o755)
    for needed in ("sh", "cat", "env", "grep", "sleep", "chmod", "nice", "rm"):
        (made.bin / needed).symlink_to(shutil.which(needed) or needed)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("PLAY", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(made.cache))
    yield made
    (tmp_path / "hang").unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Return whether a process still runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text(encoding="utf-8")
