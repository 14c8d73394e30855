"""The table of verbs, grouped as a newcomer meets them.

`ops.__main__` reads it to print the help and to find the one module that a call needs: a verb's module is imported when
it is called, so that `check` does not pay for `up`. Every module here has `arguments(parser)` and `run(options)`.
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
    Verb("init", "begin", "ask what only you know and write the stack files"),
    Verb("doctor", "begin", "report what this machine, or with --stack Proxmox, has and lacks"),
    Verb("tools", "begin", "find, download or build the pinned programs"),
    Verb("new", "change", "write a new app that passes every check"),
    Verb("check", "change", "find every mistake in the settings and the apps tree"),
    Verb("render", "change", "write namespaces, the handover and every app's objects as files"),
    Verb("secrets", "change", "list the entries of the secret store that apps need, and make those that it can"),
    Verb("preview", "change", "say what up would do, machine configurations included"),
    Verb("rehearse", "run", "the whole stack on this machine, hardware simulated"),
    Verb("status", "run", "say whether everything is synced, and what is not"),
    Verb("sync", "run", "sync by hand where the policy is manual"),
    Verb("up", "run", "bring a stack to what is written"),
    Verb("destroy", "run", "take a stack away, unless something is protected"),
    Verb("down", "run", "end a rehearsal: its processes and its files"),
    Verb("test", "develop", "run all checks and tests of the project"),
)

BY_NAME = {verb.name: verb for verb in VERBS}
