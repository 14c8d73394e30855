"""A stack file from the answers that `ops.init` collects, and the mistakes in them that have an obvious correction.

Answers by the names of their questions come in, a text with comments goes out. `corrected` reports an answer such as
`https://` before a domain under its flag, and passes its correction on, so that `check` finds all other mistakes in the
same run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TypeAlias

from config.compatibility import compatible
from config.explain import nearest
from config.model import Host, Proxmox
from config.source import parse
from config.values import DOMAIN
from errors import Declined, Problem

COMMAND = "./homelab init"
FIRST_LINE = f"# Written by {COMMAND}"
CONTROL_PLANES_AT, WORKERS_AT, RANGE_AT, VIP_AT = 11, 20, (50, 99), 5
FREE_AT = 6  # of the address that a host without one is checked with
MOST = 1000  # nodes of one role; a larger number is a typing error
OPENEBS = "patches/openebs.yaml"
# Repositories of Azure DevOps and CodeCommit have URLs of other forms.
REPOSITORY = re.compile(r".*(?:\.git|/_git/[^/]+|/v1/repos/[^/]+|:v3/[^/]+/[^/]+/[^/]+)\Z", re.DOTALL)
LOOKS_LIKE_A_REPOSITORY = re.compile(r"(?:https://|ssh://|[\w.-]+@)[\w.-]+(?::\d+)?[:/][\w./~-]*\w/?\Z")
CERTIFICATES = {
    "self-signed": "self-signed # the one of a fresh Proxmox; `verified` once it has a trusted one",
    "verified": "verified",
}
# Of each host: the key of the stack file, and its default.
OF_HOSTS: Mapping[str, str] = {
    "images": Host.model_fields["images"].default,
    "disks": Host.model_fields["disks"].default,
    "bridge": Proxmox.model_fields["bridge"].default,
}

Answers: TypeAlias = "Mapping[str, str]"


@dataclass(frozen=True)
class Profile:
    """A size of clusters: the environment to copy, the numbers and the sizes of nodes."""

    like: str
    control_planes: int
    workers: int
    control_plane: str = "{cpu: 2, memory: 4GiB, disk: 40GiB}"
    worker: str = "{cpu: 4, memory: 12GiB, disk: 100GiB}"
    alone: str = "{cpu: 4, memory: 12GiB, disk: 100GiB}"
    """The size of a node that runs everything."""
    of_each_worker: str = ""


PROFILES: Mapping[str, Profile] = {
    "one-node": Profile("dev", 1, 0),
    "small": Profile("staging", 1, 2),
    "ha": Profile(
        "production",
        3,
        3,
        control_plane="{cpu: 4, memory: 8GiB, disk: 40GiB}",
        worker="{cpu: 8, memory: 24GiB, disk: 100GiB}",
        of_each_worker=', labels: {homelab.dev/storage: "true"}, dataDisks: [{size: 1TiB}]',  # for Rook-Ceph
    ),
}


def address_at(answers: Answers, number: int) -> str:
    """Return an address of the subnet by its number."""
    # Beyond the last address of all it continues at the first: `check` reports a subnet that is too small.
    return str(IPv4Address((int(subnet_of(answers).network_address) + number) % 2**32))


def subnet_of(answers: Answers) -> IPv4Network:
    """Return the subnet of hosts and nodes."""
    try:
        return IPv4Network(answers["subnet"], strict=False)
    except ValueError:
        return IPv4Network("10.0.0.0/24")  # `check` reports the wrong answer at the end


def profile_of(answers: Answers) -> Profile:
    """Return the chosen profile."""
    name = answers["profile"]
    if name not in PROFILES:
        fix = nearest(name, list(PROFILES), f"choose one of {', '.join(PROFILES)}")
        raise Declined(f"--profile = {name}: is no profile; {fix}")
    return PROFILES[name]


def named_hosts(answer: str) -> list[tuple[str, str]]:
    """Return the names of hosts with their addresses, which can be empty."""
    pairs = [part.partition("=") for part in answer.split(",") if part.strip()]
    return [(name.strip(), address.strip()) for name, _, address in pairs]


def of_each(answer: str, hosts: Iterable[str]) -> dict[str, str]:
    """Return the value for each host, of an answer such as `local` or `pve-1=local,pve-2=nfs`."""
    parts = [part.strip() for part in answer.split(",") if part.strip()]
    every = next((part for part in parts if "=" not in part), "")
    own = dict(part.split("=", 1) for part in parts if "=" in part)
    return {host: own.get(host, every) for host in hosts}


def corrected(answers: Answers) -> tuple[dict[str, str], list[Problem]]:
    """Return answers that can be checked, and a problem for each one that had to be corrected."""
    problems, meant = [], dict(answers)
    for name, value, rule, fix, check, correction in _mistakes(answers):
        problems.append(Problem(COMMAND, 0, f"--{name}", value, rule, fix, check))
        meant[name] = correction
    return meant, problems


def _mistakes(answers: Answers) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Yield the question, the wrong value, the rule, the fix, the id of the check and the corrected answer."""
    domain, repository = answers["domain"], answers["repository"]
    meant = domain.rpartition("://")[2].partition("/")[0].rstrip(".").lower()
    if domain != meant and DOMAIN.match(meant):
        yield "domain", domain, "is not a domain", f"did you mean {meant}?", "domain-malformed", meant
    if LOOKS_LIKE_A_REPOSITORY.match(repository) and not REPOSITORY.match(repository):
        meant = f"{repository.rstrip('/')}.git"
        rule, fix = "does not end in .git", f"did you mean {meant}?"
        yield "repository", repository, rule, fix, "repository-malformed", meant
    yield from _mistakes_of_hosts(answers)


def _mistakes_of_hosts(answers: Answers) -> Iterator[tuple[str, str, str, str, str, str]]:
    hosts = named_hosts(answers["hosts"])
    example = f"NAME=ADDRESS, such as pve={address_at(answers, 2)}"
    wrong = [name for name, address in hosts if not address]
    free = iter(range(FREE_AT, FREE_AT + len(wrong)))
    meant = [(name, address or address_at(answers, next(free))) for name, address in hosts]
    if not hosts:
        correction = f"pve={address_at(answers, FREE_AT)}"
        yield "hosts", answers["hosts"], "has no host", f"write {example}", "list-empty", correction
    for name in wrong:
        lacking = "name" if name.replace(".", "").isdecimal() else "address"
        correction = ",".join(f"{'pve' if one.replace('.', '').isdecimal() else one}={at}" for one, at in meant)
        yield "hosts", name, f"has no {lacking}", f"write {example}", "address-malformed", correction
    names = [name for name, _ in meant]
    for question in OF_HOSTS:
        for part in answers[question].split(","):
            host, sign, _ = part.strip().partition("=")
            if sign and host not in names:
                fix = nearest(host, names, f"the hosts are {', '.join(names)}")
                yield question, part.strip(), "is for none of the hosts", fix, "host-unknown", OF_HOSTS[question]


GATES = """\
    gates: # a change waits for the merge of a reviewed promotion, and for `./homelab sync --all`
      sync: manual
      approval: required # the maintainers of CODEOWNERS, or `approvers`
"""


def stack_file(stack: str, environment: str, answers: Answers, ids: int, *, patches: bool, gated: bool) -> str:
    """Return the answers as the text of a stack file with comments; `gated` is that of the chain's last environment."""
    planes, workers = (_count(name, answers[name]) for name in ("control-planes", "workers"))
    hosts = [name for name, _ in named_hosts(answers["hosts"])]
    vip = f"    vip: {address_at(answers, VIP_AT)} # the control planes' shared address\n" if planes > 1 else ""
    email = f", email: {_scalar(answers['email'])}" if answers["email"] else ""
    alone = "    workloadsOnControlPlanes: allowed\n" if workers == 0 else ""
    tried = compatible()["tried"]
    profile = profile_of(answers)
    size = profile.alone if workers == 0 else profile.control_plane
    worker_size = f"      worker: {profile.worker}\n" if workers else ""
    bridge = f"    bridge: {_scalar(every)}\n" if (every := _bridge(answers)) != OF_HOSTS["bridge"] else ""
    patched = f"    patches: {{all: [{OPENEBS}]}}\n" if patches else ""
    return f"""{FIRST_LINE}; docs/reference/settings.md explains every key.
config:
  homelab:network:
    domain: {_scalar(answers["domain"])}
    subnet: {_scalar(answers["subnet"])}
    gateway: {_scalar(answers["gateway"])}
    nameservers: [{_scalar(answers["gateway"])}]
{vip}    loadBalancerRange: {_scalar(answers["range"])} # keep it out of the router's DHCP range

  homelab:proxmox:
    endpoint: {_scalar(answers["endpoint"])}
    certificate: {CERTIFICATES.get(answers["certificate"], _scalar(answers["certificate"]))}
    firstVmId: {ids} # a node's VM id is this plus the last part of its address
{bridge}    hosts:
{"".join(_hosts(answers))}
  homelab:cluster:
    name: {_scalar(stack)}
    talosVersion: {tried["talos"]}
    talosContract: "{tried["talos"].rpartition(".")[0]}" # the version that the cluster was made with; never change it
    kubernetesVersion: {tried["kubernetes"]}
{alone}{patched}    sizes:
      controlPlane: {size}
{worker_size}    nodes:
{_nodes("cp", "control-plane", planes, CONTROL_PLANES_AT, answers, hosts)}\
{_nodes("worker", "worker", workers, WORKERS_AT, answers, hosts, profile.of_each_worker)}
  homelab:platform:
    certificates: {{issuer: {_scalar(answers["issuer"])}{email}}}
    secretStore: {{{_secret_store(answers)}}}
{_backup(answers["backup"])}
  homelab:delivery:
    repository: {_scalar(answers["repository"])}
    environment: {_scalar(environment)} # the folder of each app that this stack runs
{GATES if gated else ""}"""


def _bridge(answers: Answers) -> str:
    """Return the bridge of all hosts, the default one where they differ."""
    bridges = set(of_each(answers["bridge"], (name for name, _ in named_hosts(answers["hosts"]))).values())
    return bridges.pop() or OF_HOSTS["bridge"] if len(bridges) == 1 else OF_HOSTS["bridge"]


def _hosts(answers: Answers) -> Iterator[str]:
    """Yield a line for each host, with the keys that differ from their defaults."""
    hosts = named_hosts(answers["hosts"])
    usual = {**OF_HOSTS, "bridge": _bridge(answers)}
    values = {key: of_each(answers[key], (name for name, _ in hosts)) for key in OF_HOSTS}
    for name, address in hosts:
        own = [(key, values[key][name]) for key in OF_HOSTS if values[key][name] not in ("", usual[key])]
        pairs = [("name", name), ("address", address), *own]
        yield f"      - {{{', '.join(f'{key}: {_scalar(value)}' for key, value in pairs)}}}\n"


def _scalar(answer: str) -> str:
    """Return an answer as YAML, in quotes where it would have another meaning without them."""
    return answer if parse(f"[{answer}]".encode(errors="replace"), "").first.value == [answer] else json.dumps(answer)


def _count(name: str, answer: str) -> int:
    if not answer.isdecimal():
        raise Declined(f"{answer[:40]!r} is not a number of nodes; write digits")
    if len(answer) > len(str(MOST)) or int(answer) > MOST:
        raise Declined(f"--{name} = {answer[:40]}: is more than {MOST} nodes; write the number of machines")
    return int(answer)


def _nodes(prefix: str, role: str, count: int, first: int, answers: Answers, hosts: list[str], more: str = "") -> str:
    lines = (
        f"      - {{name: {prefix}-{number + 1}, role: {role}, address: {address_at(answers, first + number)}, "
        f"host: {_scalar(hosts[number % len(hosts)])}{more}}}\n"
        for number in range(count)
    )
    return "".join(lines)


def _secret_store(answers: Answers) -> str:
    """Return the value of `platform.secretStore`; `check` reports an unknown kind."""
    given = {name: _scalar(answers[name]) for name in ("organization", "project", "server") if answers[name]}
    if answers["vaults"]:
        given["vaults"] = f"[{', '.join(_scalar(one.strip()) for one in answers['vaults'].split(','))}]"
    return ", ".join(f"{name}: {value}" for name, value in {"kind": _scalar(answers["store"]), **given}.items())


def _backup(answer: str) -> str:
    """Return the lines of `platform.backup`, nothing without a store."""
    if not answer:
        return ""
    endpoint, _, bucket = answer.rstrip("/").rpartition("/")
    if not endpoint.startswith("https://") or not bucket:
        raise Declined(f"--backup = {answer}: is not https://HOST/BUCKET; write it so, or leave it out for no backups")
    return f"    backup: {{endpoint: {_scalar(endpoint)}, bucket: {_scalar(bucket)}}}\n"
