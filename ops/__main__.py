"""Where `./homelab VERB` arrives: find the verb, run its module, turn our errors into one readable message."""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import os
import sys
from collections.abc import Sequence

from errors import HomelabError
from ops import offline
from ops.verbs import BY_NAME, VERBS


def main(arguments: Sequence[str]) -> int:
    """Run one verb and give its exit code."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
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


def unknown(name: str) -> str:
    """Name the verb that was probably meant."""
    near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.4)
    meant = f"did you mean {near[0]}?" if near else "./homelab --help lists the verbs"
    return f"./homelab: there is no verb {name!r}; {meant}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
