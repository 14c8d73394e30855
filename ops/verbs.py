"""The table of verbs, grouped by the order in which a new user needs them.

`ops.__main__` prints the help from it and imports the module of the one verb that is called: the imports of `up` would
slow `check` down. Each module has `arguments(parser)` and `run(options)`, which returns a result (`ops.result`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """One `./homelab` command."""

    name: str
    group: str
    help: str


VERBS = (
    Verb("init", "begin", "prompt for the facts of your network, and write a stack file"),
    Verb("doctor", "begin", "report missing requirements of this machine, or with --stack of Proxmox"),
    Verb("tools", "begin", "find, download or build the pinned programs"),
    Verb("new", "change", "write a new app that passes every check"),
    Verb("settings", "change", "write the settings of the stack files into the apps tree"),
    Verb("check", "change", "report every problem in the settings and the apps tree"),
    Verb("render", "change", "write namespaces, the handover and every app's objects as files"),
    Verb("secrets", "change", "list the secret store entries that apps need, and make random ones"),
    Verb("versions", "change", "report versions by environment, and the apps that are behind"),
    Verb("preview", "change", "report everything that a change will do, with a verdict"),
    Verb("promote", "change", "promote apps from one environment to the next"),
    Verb("rehearse", "run", "run the whole stack on this machine, hardware simulated"),
    Verb("status", "run", "report whether everything is synced"),
    Verb("sync", "run", "sync applications whose policy is manual"),
    Verb("up", "run", "apply a stack"),
    Verb("destroy", "run", "destroy a stack, unless a resource is protected"),
    Verb("down", "run", "end a rehearsal: its processes and its files"),
    Verb("test", "develop", "run all checks and tests of the project"),
)

BY_NAME = {verb.name: verb for verb in VERBS}
