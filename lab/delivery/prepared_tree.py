"""The prepared tree: the checkout as it is, made safe to run on this machine.

A checkout and a stack's name come in; `.lab/<stack>/tree` and a list of replacements go out. The stack file keeps every
line but those with hardware, credentials, their salt, windows and signatures. `ops.rehearse` prints the list and runs
Pulumi from the tree.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import programs
from config.load import read_stack
from config.model import SecretSettings, Settings
from config.source import parse
from lab.delivery.git_server import served_as
from lab.delivery.open_gates import opened
from lab.layout import Lab
from local.files import write_private

RACK_ENDPOINT = "https://rack.lab.invalid:8006"
SECRETS_KEY = "homelab:secrets"
KEPT = "secrets.yaml"


@dataclass(frozen=True)
class ReplacedSetting:
    """One setting that differs from the checkout."""

    what: str
    before: str
    now: str


def prepare(lab: Lab, checkout: Path, stack: str) -> list[ReplacedSetting]:
    """Lay the tree out and return the replaced settings."""
    _copy(checkout, lab.tree)
    file = lab.tree / f"Pulumi.{stack}.yaml"
    settings = read_stack(checkout / file.name).require()
    text, replaced = _without_hardware((checkout / file.name).read_text(encoding="utf-8"), settings)
    write_private(file, _with_secrets(_without_secrets(text), kept_secrets(lab)))
    names = secret_names(settings)
    replaced.append(ReplacedSetting("homelab:secrets", "", f"{len(names)} generated values"))
    return replaced


def files_of(checkout: Path) -> set[str]:
    """Return the names of the files that git tracks or would track."""
    # git and not GitPython, which starts the same command without a timeout.
    files = ("ls-files", "--cached", "--others", "--exclude-standard", "-z")
    return set(filter(None, programs.run("git", *programs.on_checkout(checkout), *files).stdout.split("\0")))


def _copy(checkout: Path, tree: Path) -> None:
    """Copy the checkout to the tree, file by file, without touching equal files."""
    wanted = {name for name in files_of(checkout) if (checkout / name).is_file()}
    for name in wanted:
        source, target = checkout / name, tree / name
        if _same(source, target):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=True)
    for path in [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]:
        if str(path.relative_to(tree)) not in wanted and "__pycache__" not in path.parts:
            path.unlink()
    for folder in sorted((path for path in tree.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    link = tree / ".venv"
    if not link.is_symlink() and (checkout / ".venv").exists():
        link.symlink_to(checkout / ".venv")


def _same(source: Path, target: Path) -> bool:
    try:
        one, other = source.stat(), target.stat()
    except FileNotFoundError:
        return False
    return (one.st_mtime_ns, one.st_size) == (other.st_mtime_ns, other.st_size)


def _without_hardware(text: str, settings: Settings) -> tuple[str, list[ReplacedSetting]]:
    replaced = []
    endpoint = settings.proxmox.endpoint
    if endpoint in text:
        text = text.replace(endpoint, RACK_ENDPOINT)
        replaced.append(ReplacedSetting("proxmox.endpoint", endpoint, RACK_ENDPOINT))
    repository = settings.delivery.repository
    https = served_as(repository)
    if https != repository:
        text = text.replace(repository, https)
        replaced.append(ReplacedSetting("delivery.repository", repository, https))
    text, gates = opened(text, settings.delivery.gates)
    return text, [*replaced, *(ReplacedSetting(*one) for one in gates)]


def _without_secrets(text: str) -> str:
    """Remove the salt, which does not fit another passphrase, and every encrypted value."""
    lines = text.splitlines(keepends=True)
    dropped = set(_secret_lines(lines))
    return "".join(line for number, line in enumerate(lines) if number not in dropped)


def _with_secrets(text: str, kept: str) -> str:
    """Put the stored section first under `config:` and the salt at the end."""
    section = "".join(line for line in kept.splitlines(keepends=True) if not line.startswith("encryptionsalt:"))
    salt = kept.removeprefix(section)
    return re.sub(r"^config:[^\n]*\n", lambda found: found[0] + section, text, count=1, flags=re.MULTILINE) + salt


def _secret_lines(lines: list[str]) -> Iterator[int]:
    inside = -1
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if inside >= 0 and (not line.strip() or indent > inside):
            yield number
            continue
        inside = -1
        if line.startswith(("encryptionsalt:", "encryptedkey:", "secretsprovider:")):
            yield number
        elif line.lstrip().startswith(f"{SECRETS_KEY}:"):
            inside = indent
            yield number


def kept_secrets(lab: Lab) -> str:
    """Return the encrypted secrets of the last run, as lines of a stack file; nothing before the first run."""
    kept = lab.root / KEPT
    return kept.read_text(encoding="utf-8") if kept.exists() else ""


def missing_secrets(lab: Lab, settings: Settings) -> dict[str, str]:
    """Generate the values that the last run did not have."""
    section = [line for line in kept_secrets(lab).splitlines() if not line.startswith("encryptionsalt:")]
    kept = parse("\n".join(["config:", *section]).encode(), KEPT).first.value
    there = (kept.get("config") or {}).get(SECRETS_KEY) or {}
    known = {*there, *(f"repositories.{name}" for name in there.get("repositories", {}))}
    return {name: value for name, value in secret_values(settings).items() if name not in known}


def keep_secrets(lab: Lab, stack: str) -> None:
    """Store the secrets that Pulumi has encrypted into the tree's stack file."""
    lines = (lab.tree / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    secret = [lines[number] for number in _secret_lines(lines)]
    salt = [line for line in secret if line.startswith("encryptionsalt:")]
    section = [line for line in secret if not line.startswith("encryptionsalt:") and line.strip()]
    write_private(lab.root / KEPT, "".join([*section, *salt]))


def secret_names(settings: Settings) -> tuple[str, ...]:
    """Return the name of every setting whose type is secret, set or not."""
    names = [str(field.alias) for name, field in SecretSettings.model_fields.items() if name != "repositories"]
    return (*names, *(f"repositories.{repository.name}" for repository in settings.platform.repositories))


def secret_values(settings: Settings) -> dict[str, str]:
    """Generate a value for every secret, in the format that the model declares."""
    formats = {str(field.alias): _format(field.json_schema_extra) for field in SecretSettings.model_fields.values()}
    return {name: _generate(formats[name.partition(".")[0]]) for name in secret_names(settings)}


def _format(extra: object) -> str:
    return str(extra["format"]) if isinstance(extra, dict) else "token"


def _generate(kind: str) -> str:
    if kind == "proxmox-token":
        return f"rehearsal@pve!lab={uuid.uuid4()}"
    if kind == "ssh-key":
        key = Ed25519PrivateKey.generate()
        return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    if kind == "https":
        return f"https://notify.lab.invalid/{secrets.token_hex(16)}"
    return secrets.token_hex(24)


def environment(lab: Lab, base: dict[str, str], python: Path, checkout: Path) -> dict[str, str]:
    """Return the environment of all children of the rehearsal: its programs first, its own state, no way out."""
    passphrase = lab.root / "passphrase"
    if not passphrase.exists():
        write_private(passphrase, secrets.token_hex(24))
    return {
        **{name: value for name, value in base.items() if not name.startswith(("PULUMI_", "TALOS", "KUBE"))},
        **lab.environment,
        "PATH": os.pathsep.join((str(lab.bin), str(python.parent), base["PATH"])),
        "PYTHONPATH": str(checkout),
        "HOMELAB_PYTHON": str(python),
        # The official plugin of Kubernetes falls back to the user's kubeconfig if it gets none.
        "KUBECONFIG": str(lab.kubeconfig),
        "PULUMI_BACKEND_URL": f"file://{lab.state}",
        "PULUMI_HOME": str(lab.pulumi_home),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
    }
