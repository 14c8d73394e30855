"""The settings that reach apps: the files of apps/_settings/<environment>, generated from a stack file and committed.

Settings and the templates of the tree come in, file contents go out. `KEYS` lists the settings; a manifest gets one by
a replacement whose source is the ConfigMap `settings`, a chart by a values file with placeholders such as
`{network.domain}`. Some choices of the stack file are components: which issuer, which secret store, which Argo CD.
`check` compares the files with the stack file, `ops.settings` writes them.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from config import files
from config.load import Stack
from config.model import Settings
from config.rules import rule
from config.secret_stores import SecretStore
from config.source import Loader, alone, parse, read
from config.tree import APPS, BASE, SETTINGS, Tree
from errors import Problem, printable

TEMPLATE = "values.settings.yaml"
COMMAND = "./homelab settings"
# The settings that manifests can use, by their keys in the stack file. Versions and machines are not among them: a
# raised version would render every app again.
KEYS = (
    "network.domain",
    "network.subnet",
    "network.vip",
    "network.loadBalancerRange",
    "network.loadBalancers.internal",
    "network.loadBalancers.public",
    "network.loadBalancers.passthrough",
    "network.loadBalancers.mosquitto",
    "network.podCidr",
    "network.serviceCidr",
    "cluster.name",
    "cluster.generation",
    "platform.certificates.email",
    "platform.secretStore.organization",
    "platform.secretStore.project",
    "platform.secretStore.server",
    "platform.secretStore.path",
    "platform.secretStore.namespace",
    "platform.backup.endpoint",
    "platform.backup.bucket",
    "platform.argocd.polling",
    "platform.argocd.sso.issuer",
    "platform.argocd.sso.clientId",
    "platform.argocd.sso.adminGroup",
    "delivery.repository",
)
MOVERS = "platform.backup.replicas"  # derived: VolSync would wait for ever where no class makes snapshots
NUMBERS = ("cluster.generation", MOVERS)  # all other settings are texts, also one of digits alone
DOMAIN = "domain"  # a host of a base is <app>.domain
NO_HOSTS = "homelab.dev/hosts"
NO_TEXT = re.compile(r"[yYnN]\Z|0[bBoOxX]")  # to Go's YAML 1.1, beside those that PyYAML reads so
PLACEHOLDER = re.compile(r"\{([\w.]+)\}")
HEAD = "# Generated from {file} by `{command}`: change the stack file, not this.\n"
COMPONENT = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
HOSTS = """\
resources:
  - settings.yaml
replacements:
  - source: {kind: ConfigMap, name: settings, fieldPath: data.networkDomain}
    targets:
"""
ROUTE = """\
      - select: {{kind: {kind}}}
        reject: [{{annotationSelector: {no_hosts}=none}}]
        fieldPaths: [spec.hostnames.*]
        options: {{delimiter: ".", index: 1}}
"""


def key_of(path: str) -> str:
    """Return the key of a setting in the ConfigMap, such as networkDomain."""
    first, *others = path.split(".")
    return first + "".join(part[0].upper() + part[1:] for part in others)


def value_of(settings: Settings, path: str) -> str | None:
    """Return the text of a setting, nothing if it is not set."""
    value: Any = settings
    for part in path.split("."):
        names = _keys(type(value)) if isinstance(value, BaseModel) else {}
        value = getattr(value, names[part]) if part in names else None
    return None if value is None else str(value)


@cache
def _keys(section: type[BaseModel]) -> Mapping[str, str]:
    """Return the fields of a section by their keys in the stack file."""
    return {to_camel(name): name for name in section.model_fields}


def values_of(settings: Settings) -> dict[str, str]:
    """Return the settings that manifests can use, by their keys in the stack file."""
    found = {path: value for path in KEYS if (value := value_of(settings, path)) is not None}
    return found | {MOVERS: "1" if settings.platform.backup else "0"}


def folder_of(environment: str) -> str:
    """Return the folder of an environment's settings."""
    return f"{APPS}/{SETTINGS}/{environment}"


@rule("folder-linked", scope="stacks")
@rule("file-unreadable", scope="stacks")
def misplaced(root: Path, environment: str) -> Iterator[Problem]:
    """Yield links, and places that are neither a file nor a folder, on the way to the settings and among them."""
    folder = folder_of(environment)
    above = [name for name in (APPS, f"{APPS}/{SETTINGS}", folder) if os.path.lexists(root / name)]
    wrong = [name for name in above if (root / name).is_symlink() or not (root / name).is_dir()]
    for name in wrong[:1] or _entries(root, folder):
        if (root / name).is_symlink():
            rule, fix = f"is a link, and `{COMMAND}` writes through none", "put the file or the folder itself there"
            yield Problem(name, 0, "", "", rule, fix, "folder-linked")
        elif name in wrong:
            yield Problem(name, 0, "", "", "is in the place of a folder", "remove it", "file-unreadable")
        elif not (root / name).is_dir() and not (root / name).is_file():
            yield Problem(name, 0, "", "", "is neither a file nor a folder", "remove it", "file-unreadable")


def _entries(root: Path, folder: str) -> Iterator[str]:
    """Yield everything below a folder, without a step into a folder behind a link."""
    for place, folders, others in os.walk(root / folder):
        yield from (str((Path(place) / name).relative_to(root)) for name in sorted((*folders, *others)))


def files_of(root: Path, environment: str) -> set[str]:
    """Return the files among an environment's settings, without links."""
    entries = (root / name for name in _entries(root, folder_of(environment)))
    return {str(path.relative_to(root)) for path in entries if path.is_file() and not path.is_symlink()}


def holds(root: Path, name: str, text: str) -> bool:
    """Return whether a file has a content; one that cannot be read has another."""
    try:
        return files.content(root / name, root=root) == text.encode()
    except OSError:
        return False


@rule("template-malformed", scope="stacks", why="Argo CD could not read the chart's values, or would read other ones.")
def templates(root: Path, tree: Tree, settings: Settings) -> tuple[dict[str, str], list[Problem]]:
    """Return the values files with placeholders of the apps that a stack runs, by category/app, and their problems."""
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for app in tree.apps_in(settings.delivery.environment):
        name = f"{app.base}/{TEMPLATE}"
        if not os.path.lexists(root / name):
            continue
        source = read(root / name, name)
        if wrong := [*source.problems, *alone(source)]:
            problems += wrong
            continue
        text = files.content(root / name, root=root).decode()
        if not isinstance(source.first.value, dict | None):
            rule, fix = "is not a map of values", "write one `key: value` per line"
            problems.append(Problem(name, 0, "", "", rule, fix, "template-malformed"))
        elif wrong := list(parse(filled(settings, text).encode(), name).problems):
            problems += wrong
        else:
            found[app.label] = text
    return found, problems


def generated(stack: Stack, templates: Mapping[str, str]) -> dict[str, str]:
    """Return the files of a readable stack's settings by their paths in the checkout."""
    settings = stack.settings
    assert settings is not None
    head = HEAD.format(file=stack.places.file, command=COMMAND)
    written = {
        "settings.yaml": _config_map(settings),
        "kustomization.yaml": COMPONENT + HOSTS + "".join(_routes()),
        "issuer/kustomization.yaml": _issuer(settings),
        "secret-store/kustomization.yaml": _secret_store(settings.platform.secret_store),
        "argocd/kustomization.yaml": _argocd(settings),
        "backup/kustomization.yaml": _component(more=_resources(f"security/secret-stores/{BASE}/{_backup(settings)}")),
        "database-backup/kustomization.yaml": _component(f"cloudnative-pg/shared/{BASE}/{_backup(settings)}"),
        **{f"values/{app}.yaml": filled(settings, text) for app, text in templates.items()},
    }
    folder = folder_of(settings.delivery.environment)
    return {f"{folder}/{name}": head + text for name, text in written.items()}


def filled(settings: Settings, template: str) -> str:
    """Return a values file with its placeholders replaced; an unknown one stays, and the check reports it.

    The text of a setting stays one text, with any quotes and colons in it; of `NUMBERS`, `key: {setting}` is a number.
    """
    values, found, end = values_of(settings), "", 0
    for begin, stop, text in _replaced(template, values):
        found += _between(template[end:begin], values) + text
        end = stop
    return found + _between(template[end:], values)


def _between(comment: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: printable(values.get(found[1], found[0])), comment)


def _replaced(template: str, values: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    """Yield the scalars with placeholders: begin, end, and the new text.

    To YAML, the value of `key: {setting}` is a map with one key.
    """
    tokens = list(yaml.scan(template, Loader=Loader))
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if not isinstance(token, yaml.ScalarToken):
            continue
        begin, stop = before.start_mark.index, after.end_mark.index
        alone = PLACEHOLDER.fullmatch(template[begin:stop])
        if alone and alone[1] in values:
            value = values[alone[1]]
            yield begin, stop, value if alone[1] in NUMBERS else _scalar(value, value)
            continue
        begin, stop = token.start_mark.index, token.end_mark.index
        written = template[begin:stop]
        if any(name in values for name in PLACEHOLDER.findall(written)):
            text, value = (
                PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), one) for one in (written, token.value)
            )
            yield begin, stop, _scalar(text, value)


def _scalar(written: str, value: str) -> str:
    """Return a text as it is written if each version of YAML reads it so, in quotes otherwise."""
    is_block = written.startswith(("|", ">"))
    one = (f"- {written}" if is_block else f"[{written}]").encode()
    with suppress(yaml.YAMLError, ValueError):
        if not NO_TEXT.match(value) and parse(one, TEMPLATE).first.value == [value] == yaml.safe_load(one):
            return written
    quoted = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=math.inf)
    return quoted if is_block else quoted.rstrip("\n")


def _config_map(settings: Settings) -> str:
    data = {key_of(path): value for path, value in values_of(settings).items()}
    metadata = {"name": "settings", "annotations": {"config.kubernetes.io/local-config": "true"}}
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    return yaml.safe_dump(item, sort_keys=False, width=1000)


def _routes() -> Iterator[str]:
    for kind in ("HTTPRoute", "GRPCRoute", "TLSRoute"):
        yield ROUTE.format(kind=kind, no_hosts=NO_HOSTS)


def _component(*components: str, more: str = "") -> str:
    listed = "".join(f"  - ../../../{one}\n" for one in components)
    return COMPONENT + (f"components:\n{listed}" if listed else "") + more


def _issuer(settings: Settings) -> str:
    issuer = settings.platform.certificates.issuer
    copied = f"""\
replacements:
  - source: {{kind: ClusterIssuer, name: {issuer}, fieldPath: spec}}
    targets:
      - select: {{kind: ClusterIssuer, name: homelab}}
        fieldPaths: [spec]
"""
    return _component(*([] if issuer == "internal" else [f"cert-manager/issuers/{BASE}/letsencrypt"]), more=copied)


def _secret_store(store: SecretStore) -> str:
    # The only setting that is a list: replacements copy one value.
    vaults = {vault: place for place, vault in enumerate(getattr(store, "vaults", ()), 1)}
    add = {"op": "add", "path": "/spec/provider/onepassword/vaults", "value": vaults}
    patch = f"""\
patches:
  - target: {{kind: ClusterSecretStore, name: homelab}}
    patch: |-
      - {json.dumps(add)}
"""
    return _component(f"security/secret-stores/{BASE}/{store.kind}", more=patch if vaults else "")


def _argocd(settings: Settings) -> str:
    argocd, folder = settings.platform.argocd, f"system/argocd/{BASE}"
    base = f"{folder}/ha" if argocd.replicas == "ha" else folder
    return _component(*([f"{folder}/sso"] if argocd.sso else []), more=_resources(base))


def _resources(folder: str) -> str:
    return f"resources:\n  - ../../../{folder}\n"


def _backup(settings: Settings) -> str:
    return "backup" if settings.platform.backup else "backup-off"


@rule("settings-stale", scope="stacks", why="The stack file and the apps would contradict each other.")
@rule("setting-unknown", scope="stacks", why="The placeholder would stay in the chart's values.")
def check(root: Path, stacks: Sequence[Stack], tree: Tree) -> Iterator[Problem]:
    """Yield differences between stack files and the settings of their environments."""
    shared = list(check_owners(stacks))
    yield from shared
    for stack in () if shared else stacks:
        if stack.settings and stack.settings.delivery.environment in tree.environments:
            yield from _compared(root, stack, stack.settings, tree)


@rule("environment-shared", scope="stacks", why="The apps of one stack would run with the settings of the other.")
def check_owners(stacks: Sequence[Stack]) -> Iterator[Problem]:
    """Yield environments of two stacks."""
    owners: dict[str, Stack] = {}
    for stack in stacks:
        if stack.settings:
            environment = stack.settings.delivery.environment
            owner = owners.setdefault(environment, stack)
            if owner is not stack:
                broken, fix = f"is the environment of {owner.places.file} already", "give each stack one of its own"
                where = ("delivery", "environment")
                yield stack.places.problem("environment-shared", where, environment, broken, fix)


def _compared(root: Path, stack: Stack, settings: Settings, tree: Tree) -> Iterator[Problem]:
    environment = settings.delivery.environment
    if wrong := list(misplaced(root, environment)):
        yield from wrong
        return
    found, unreadable = templates(root, tree, settings)
    if unreadable:
        yield from unreadable
        return
    known = values_of(settings)
    for app, text in found.items():
        for name in sorted({one for one in PLACEHOLDER.findall(text) if one not in known}):
            broken, file = (
                f"is no setting that apps can use, or not set in {stack.places.file}",
                f"{APPS}/{app}/{BASE}/{TEMPLATE}",
            )
            yield Problem(file, 0, "", f"{{{name}}}", broken, f"use one of {', '.join(known)}", "setting-unknown")
    wanted, there = generated(stack, found), files_of(root, environment)
    for name in sorted(wanted.keys() | there):
        if name not in there:
            broken = "is missing"
        elif name not in wanted:
            broken = "belongs to no setting and no app of this environment"
        elif not holds(root, name, wanted[name]):
            broken = f"differs from {stack.places.file}"
        else:
            continue
        yield Problem(name, 0, "", "", broken, f"run `{COMMAND}` and commit the result", "settings-stale")
