"""The entry point of `./homelab VERB`: find the verb, run its module, print its result or one readable error."""

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
from types import ModuleType

from errors import ExitCode, HomelabError
from local.cache import cache_folder
from ops.upstream import offline
from ops.verbs import BY_NAME, VERBS

# Facts about the machine, such as a full disk or a read-only folder; a traceback would hide them.
OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOENT)


def main(arguments: Sequence[str]) -> int:
    """Run one verb, print its result, and return the exit code."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return ExitCode.DONE
    if arguments[0] in ("-V", "--version"):
        print(version())
        return ExitCode.DONE
    name, rest = arguments[0], arguments[1:]
    if name not in BY_NAME:
        print(unknown(name), file=sys.stderr)
        return ExitCode.USAGE
    options = argparse.Namespace(json=False)
    try:
        return _run(name, rest, options)
    except HomelabError as error:
        if options.json:
            print(json.dumps(error.as_dict(), indent=2))
        print(error, file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, EOFError):  # Ctrl-C, or Ctrl-D instead of an answer
        print("\ninterrupted: run the same command again to go on", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.errno not in OF_THE_MACHINE:
            raise
        print(f"{_subject(name, error)}: {(error.strerror or str(error)).lower()}; stopped there", file=sys.stderr)
        return ExitCode.NOT_GOOD


def _run(name: str, rest: Sequence[str], options: argparse.Namespace) -> int:
    module = importlib.import_module(f"ops.{name}")
    parser = argparse.ArgumentParser(prog=f"./homelab {name}", description=module.__doc__, allow_abbrev=False)
    declare(parser, module)
    parser.parse_args(rest, options)
    offline.forbidden()  # rejects an invalid HOMELAB_OFFLINE, whichever the verb
    result = module.run(options)
    print(json.dumps(result.as_dict(), indent=2) if options.json else result.text)
    return int(result.code)


def declare(parser: argparse.ArgumentParser, module: ModuleType) -> None:
    """Declare the options of a verb: its own, and the one that all verbs share."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    module.arguments(parser)


def _subject(name: str, error: OSError) -> str:
    """Return the file that an error is about; for a full disk without one, the folders that can be full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT) and not error.filename:
        return f"{name} (the cache is {cache_folder()}, temporary files are in {tempfile.gettempdir()})"
    return str(error.filename or name)


def start(arguments: Sequence[str]) -> int:
    """Run one verb as a process of its own: signals end its children, and any terminal can show its output."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP: the run outlives its terminal
            signal.signal(number, _end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return main(arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.PIPE_CLOSED


def overview() -> str:
    """Return the list of verbs by group, one line each."""
    width = max(len(verb.name) for verb in VERBS)
    lines = ["usage: ./homelab VERB [OPTIONS]     (./homelab VERB --help lists the options of a verb)"]
    for group in dict.fromkeys(verb.group for verb in VERBS):
        lines += ["", f"{group}:"]
        lines += [f"  {verb.name:<{width}}  {verb.help}" for verb in VERBS if verb.group == group]
    return "\n".join(lines)


def version() -> str:
    """Return the version of this checkout, and the Python that runs it."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"homelab {project['version']} (Python {'.'.join(map(str, sys.version_info[:3]))})"


def unknown(name: str) -> str:
    """Return the message about an unknown verb, with the nearest one."""
    near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.4)
    meant = f"did you mean {near[0]}?" if near else "./homelab --help lists the verbs"
    return f"./homelab: there is no verb {name!r}; {meant}"


def _end(number: int, frame: object) -> None:
    """Leave by an exception, as Ctrl-C does: every program that was started is ended on the way out."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(start(sys.argv[1:]))
