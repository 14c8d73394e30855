"""Where `./homelab VERB` arrives: find the verb, run its module, turn our errors into one readable message."""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import io
import json
import os
import signal
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from errors import HomelabError
from local.cache import cache_folder
from ops.upstream import offline
from ops.verbs import BY_NAME, VERBS

# A full disk, a folder that is closed for writing: facts about the machine, which a traceback would hide.
OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOENT)


def main(arguments: Sequence[str]) -> int:
    """Run one verb and give its exit code."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(version())
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in BY_NAME:
        print(unknown(name), file=sys.stderr)
        return 2
    options = argparse.Namespace()
    try:
        module = importlib.import_module(f"ops.{name}")
        parser = argparse.ArgumentParser(prog=f"./homelab {name}", description=module.__doc__, allow_abbrev=False)
        module.arguments(parser)
        parser.parse_args(rest, options)
        offline.forbidden()  # refuses what the variable does not take, whatever the verb
        return int(module.run(options))
    except HomelabError as error:
        if getattr(options, "json", False):
            print(json.dumps(error.as_dict(), indent=2))
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):  # Ctrl-C, or Ctrl-D instead of an answer
        print("\ninterrupted: run the same command again to go on", file=sys.stderr)
        return 130
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.errno not in OF_THE_MACHINE:
            raise
        place = error.filename or name
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and not error.filename:
            place = f"{name} (the cache is {cache_folder()}, temporary files lie in {tempfile.gettempdir()})"
        print(
            f"{place}: {(error.strerror or str(error)).lower()}; nothing more was done",
            file=sys.stderr,
        )
        return 1


def start(arguments: Sequence[str]) -> int:
    """Run one verb as a process of its own: signals end its children, and each terminal can show what it prints."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup has asked for a run that outlives its terminal
            signal.signal(number, _end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return main(arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def overview() -> str:
    """List the verbs by group, one line each."""
    width = max(len(verb.name) for verb in VERBS)
    lines = ["usage: ./homelab VERB [OPTIONS]     (./homelab VERB --help tells a verb's options)"]
    for group in dict.fromkeys(verb.group for verb in VERBS):
        lines += ["", f"{group}:"]
        lines += [f"  {verb.name:<{width}}  {verb.help}" for verb in VERBS if verb.group == group]
    return "\n".join(lines)


def version() -> str:
    """Return the version of this checkout, and the Python that runs it."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"homelab {project['version']} (Python {'.'.join(map(str, sys.version_info[:3]))})"


def unknown(name: str) -> str:
    """Name the verb that was probably meant."""
    near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.4)
    meant = f"did you mean {near[0]}?" if near else "./homelab --help lists the verbs"
    return f"./homelab: there is no verb {name!r}; {meant}"


def _end(number: int, frame: object) -> None:
    """Leave by an exception, as Ctrl-C does: each program that was started is ended on the way out."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(start(sys.argv[1:]))
