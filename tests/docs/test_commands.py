"""Every command in the documents is known to its program, with its options."""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
from functools import cache

import pytest

import programs
from ops.__main__ import declare
from ops.toolchain.lookup import ensure
from ops.verbs import BY_NAME
from tests.docs.pages import ROOT, Command, commands

OURS = commands("./homelab")
TOOLS = ("argocd", "helm", "kubectl", "pulumi", "talosctl")
THEIRS = [command for tool in TOOLS for command in commands(tool)]


def named(command: Command) -> str:
    return f"{command.place} {' '.join(command.words)}"


class Refusing(argparse.ArgumentParser):
    """A parser that raises where the real one ends the process."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise ValueError(message)


@cache
def parser(verb: str) -> Refusing:
    made = Refusing(allow_abbrev=False)
    declare(made, importlib.import_module(f"ops.{verb}"))
    return made


@pytest.mark.parametrize("command", OURS, ids=named)
def test_a_verb_takes_what_a_document_gives_it(command: Command) -> None:
    verb, *rest = command.words[1:]
    if verb.startswith("--"):
        assert verb in {"--help", "--version"}
        return
    assert verb in BY_NAME
    if command.whole:
        parser(verb).parse_args(rest)
    assert command.flags <= set(parser(verb)._option_string_actions)


def test_every_verb_is_in_the_readme() -> None:
    table = re.findall(r"^\| `\./homelab (\w+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert table == [name for name in BY_NAME if name in table]
    assert set(table) == set(BY_NAME)


@cache
def help_of(program: str, *subcommand: str) -> str:
    env = ensure(TOOLS).env() | {"PULUMI_SKIP_UPDATE_CHECK": "true"}
    said = programs.run(program, *subcommand, "--help", env=env, timeout=60).stdout
    return said + (programs.run("kubectl", "options", env=env).stdout if program == "kubectl" else "")


@pytest.mark.parametrize("command", THEIRS, ids=named)
def test_a_pinned_program_knows_what_a_document_asks_of_it(command: Command) -> None:
    subcommand = _subcommand(command)
    said = help_of(command.program, *subcommand)
    usage = re.search(rf"^ *{command.program} {' '.join(subcommand)}\b", said, re.MULTILINE)
    assert usage, f"{command.program} has no {' '.join(subcommand)}"
    unknown = [flag for flag in command.flags if not re.search(rf"{flag}\b", said)]
    assert unknown == []


def _subcommand(command: Command) -> tuple[str, ...]:
    """Return the words of the subcommand: `config set`, `etcd snapshot`, `create secret generic`."""
    found: tuple[str, ...] = ()
    for word in command.words[1:]:
        if word.startswith("-") or not re.fullmatch(r"[a-z][a-z0-9-]*", word):
            break
        if not re.search(rf"^ +{word}\b", help_of(command.program, *found), re.MULTILINE):
            break
        found += (word,)
    assert found, f"{command.program} has no {command.words[1]}"
    return found


@pytest.mark.parametrize("command", commands("git"), ids=named)
def test_git_has_the_command(command: Command) -> None:
    known = subprocess.run(["git", "--list-cmds=main"], capture_output=True, text=True, check=True).stdout.split()
    assert command.words[1] in known
