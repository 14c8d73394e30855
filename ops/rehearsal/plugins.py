"""The plugin of each provider in a rehearsal: the official one where it is available, else a stand-in.

The user's PATH and PULUMI_HOME come in, as a real `up` would search them, and the option `--plugins`; one `Plugin` for
each provider goes out, with the reason for the choice. The plugins of the hardware are always stand-ins, which act on
the rack. `ops.rehearsal.entry` links the programs into the rehearsal's PATH, which the engine searches first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import requests

import programs
from errors import Declined, HomelabError

HARDWARE = {"proxmoxve": "pulumi_proxmoxve", "talos": "pulumiverse_talos"}
INTERCHANGEABLE = {
    "command": "pulumi_command",
    "kubernetes": "pulumi_kubernetes",
    "random": "pulumi_random",
    "tls": "pulumi_tls",
}
OFFICIAL, STAND_IN = "official", "stand-in"
CHOICES = (OFFICIAL, STAND_IN)
SOURCE = "https://get.pulumi.com"
SECONDS_TO_ANSWER, SECONDS_TO_INSTALL = 5, 180
OWN = ("lab", "plugins", "bin")

Log = Callable[[str], None]


@dataclass(frozen=True)
class Plugin:
    """The program that serves a provider's requests, and the reason for the choice."""

    name: str
    version: str
    kind: str
    program: Path
    reason: str

    @property
    def file(self) -> str:
        """Return the name of the file that the engine searches for."""
        return program_of(self.name)

    def as_dict(self) -> dict[str, str]:
        """Return the choice without paths of this machine."""
        return {"name": self.name, "version": self.version, "kind": self.kind, "reason": self.reason}


def choose(choice: str | None, stand_ins: Path, env: Mapping[str, str], log: Log, offline: str) -> list[Plugin]:
    """Return a plugin for each provider; missing official ones are installed unless `offline` gives a reason."""
    chosen = {
        name: Plugin(name, version(package), STAND_IN, stand_ins / program_of(name), "acts on the rack")
        for name, package in (HARDWARE | INTERCHANGEABLE).items()
    }
    if choice == STAND_IN:
        requested = {name: replace(chosen[name], reason="--plugins stand-in") for name in INTERCHANGEABLE}
        return sorted((chosen | requested).values(), key=lambda one: one.name)
    for name in INTERCHANGEABLE:
        chosen[name] = installed(chosen[name], env) or chosen[name]
    missing = [chosen[name] for name in INTERCHANGEABLE if chosen[name].kind == STAND_IN]
    chosen |= {one.name: one for one in _install(missing, env, log, offline)}
    if choice == OFFICIAL:
        _refuse(one for one in chosen.values() if one.name in INTERCHANGEABLE and one.kind == STAND_IN)
    return sorted(chosen.values(), key=lambda one: one.name)


def installed(plugin: Plugin, env: Mapping[str, str]) -> Plugin | None:
    """Return the official plugin that the engine would use: on the PATH, then in PULUMI_HOME in the SDK's version."""
    found = programs.find(plugin.file, env)
    if found is not None and found.resolve().parts[-4:-1] != OWN:
        return replace(plugin, version="", kind=OFFICIAL, program=found, reason="on the PATH")
    folder = pulumi_home(env) / "plugins" / f"resource-{plugin.name}-v{plugin.version}"
    program = folder / plugin.file
    # Pulumi keeps this file beside a plugin until its download is complete.
    if folder.with_name(f"{folder.name}.partial").exists() or not os.access(program, os.X_OK):
        return None
    return replace(plugin, kind=OFFICIAL, program=program, reason="installed in PULUMI_HOME")


def pulumi_home(env: Mapping[str, str]) -> Path:
    """Return Pulumi's folder of the user."""
    return Path(env.get("PULUMI_HOME") or Path(env.get("HOME") or Path.home()) / ".pulumi")


def program_of(name: str) -> str:
    """Return the file name of a provider's plugin."""
    return f"pulumi-resource-{name}"


def _install(missing: list[Plugin], env: Mapping[str, str], log: Log, offline: str) -> list[Plugin]:
    """Install official plugins, within one limit for all; return each as official, or with the reason why it is not."""
    if not missing:
        return []
    reason = f"{offline} forbids the download" if offline else _unreachable()
    if reason:
        return [replace(one, reason=f"not installed; {reason}") for one in missing]
    found, deadline = [], time.monotonic() + SECONDS_TO_INSTALL
    for one in missing:
        log(f"installing the plugin {one.name} {one.version} (pulumi plugin install)")
        command = ("plugin", "install", "resource", one.name, one.version)
        try:
            programs.run("pulumi", *command, env=env, timeout=max(deadline - time.monotonic(), 1))
        except HomelabError as error:
            last = str(error).strip().splitlines()[-1].strip()
            found.append(replace(one, reason=f"not installed; pulumi plugin install: {last[:200]}"))
            continue
        here = installed(one, env)
        found.append(
            here or replace(one, reason="pulumi plugin install succeeded, but the plugin is not in PULUMI_HOME")
        )
    return found


def _unreachable() -> str:
    """Return the reason why no plugin can be downloaded, or nothing."""
    try:
        requests.head(SOURCE, timeout=SECONDS_TO_ANSWER)
    except requests.RequestException:
        return f"{SOURCE} does not answer"
    return ""


def _refuse(absent: Iterable[Plugin]) -> None:
    lines = [f"  {one.name} {one.version}: {one.reason}" for one in absent]
    if lines:
        install = "pulumi plugin install resource NAME VERSION"
        raise Declined(
            "\n".join(
                [
                    "--plugins official: these official plugins cannot be had:",
                    *lines,
                    f"install them ({install}), or leave the option out to use stand-ins",
                ]
            )
        )
