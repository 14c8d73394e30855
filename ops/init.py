"""Prompt for the facts of your network and hosts, and write a stack file that passes `check`.

Every question has a flag, and a question whose flag is given is skipped. Without a terminal, a missing answer takes its
default; a missing answer without a default is refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import programs
from config.checks import check_stack
from config.compatibility import compatible
from config.load import read_stack, stack_files
from config.secret_stores import KINDS, Kind
from config.tree import read_tree
from config.values import LABEL
from errors import Declined, Problem, ProgramFailed, Refused
from ops.result import Result

CONTROL_PLANES_AT, WORKERS_AT, RANGE_AT, VIP_AT = 11, 20, (50, 99), 5
MOST = 1000  # nodes of one role; a larger number is a typing error
FEWEST = 4  # a network's own address, the broadcast address, a router and a node


@dataclass(frozen=True)
class Question:
    """One question: its flag, its text, and its default, which may depend on earlier answers."""

    name: str
    text: str
    default: Callable[[dict[str, str]], str | None] = lambda answers: None


def _at(answers: dict[str, str], number: int) -> str:
    # Beyond the last address of all it continues at the first: `check` reports a subnet that is too small.
    return str(IPv4Address((int(_subnet(answers).network_address) + number) % 2**32))


def _subnet(answers: dict[str, str]) -> IPv4Network:
    try:
        return IPv4Network(answers["subnet"], strict=False)
    except ValueError:
        return IPv4Network("10.0.0.0/24")  # `check` reports the wrong answer at the end


QUESTIONS = (
    Question("repository", "your Git repository (https://... or git@...)"),
    Question("domain", "the domain of the routes"),
    Question("subnet", "the subnet of hosts and nodes", lambda answers: "10.0.0.0/24"),
    Question("gateway", "its router", lambda answers: _at(answers, 1)),
    Question("endpoint", "the Proxmox API", lambda answers: f"https://{_at(answers, 2)}:8006"),
    Question("hosts", "Proxmox hosts, as name=address,...", lambda answers: f"pve={_at(answers, 2)}"),
    Question("control-planes", "how many control planes (1, 3 or 5)", lambda answers: "1"),
    Question("workers", "how many workers", lambda answers: "1"),
    Question("range", "the addresses of load balancers", lambda a: f"{_at(a, RANGE_AT[0])}-{_at(a, RANGE_AT[1])}"),
    Question("store", f"the secret store ({', '.join(KINDS)})", lambda answers: "kubernetes"),
    Question("issuer", "the issuer of certificates (letsencrypt-staging, letsencrypt, internal)", lambda a: "internal"),
    Question("email", "the mail address for Let's Encrypt", lambda a: "" if a["issuer"] == "internal" else None),
    Question("categories", "the categories of apps (all, or a list)", lambda answers: "all"),
    Question("environment", "the environment (production, staging, dev)", lambda a: _environment(a["store"])),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--stack", default="homelab", metavar="NAME", help="the stack to write (default: homelab)")
    for question in QUESTIONS:
        parser.add_argument(f"--{question.name}", metavar="ANSWER", help=question.text)
    parser.add_argument("--replace", action="store_true", help="replace a stack file that exists")
    parser.add_argument("--only", action="store_true", help="remove the other stack files, such as the examples")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> Result:
    """Prompt for the answers, check them, and write the stack file."""
    if not LABEL.match(options.stack):
        raise Declined(f"--stack = {options.stack}: is not a name for a stack; use small letters, digits and -")
    path: Path = options.root / f"Pulumi.{options.stack}.yaml"
    if path.exists() and not options.replace:
        raise Declined(f"{path.name} exists; --replace replaces it, --stack NAME writes another")
    others = [other for other in stack_files(options.root).values() if other != path]
    _refuse_to_lose(options.root, [*([path] if path.exists() else []), *(others if options.only else [])])
    answers = _answers(options)
    if _subnet(answers).num_addresses < FEWEST:
        raise Declined(f"--subnet = {answers['subnet']}: has no room for nodes; give a network such as 10.0.0.0/24")
    text, replaces = stack_file(options.stack, answers), path.exists()
    problems = _problems(options.root, path, text)
    if problems:
        raise Refused(replace(problem, file=f"{problem.file}, not written", line=0) for problem in problems)
    path.write_text(text, encoding="utf-8")
    lines = [
        f"wrote {path.name}; its settings pass. The apps still have the examples' hosts: docs/start/make-it-yours.md"
    ]
    if replaces:
        lines.append(f"it replaces the old file; git restore {path.name} brings that back")
    for other in others:
        if options.only:
            other.unlink()
            lines.append(f"removed {other.name}; git restore {other.name} brings it back")
        else:
            lines.append(f"{other.name} exists too; --only removes the other stacks")
    lines.append(f"next: ./homelab rehearse --stack {options.stack}")
    removed = [other.name for other in others if options.only]
    return Result("\n".join(lines), {"stack": options.stack, "file": path.name, "removed": removed})


def _refuse_to_lose(root: Path, going: Sequence[Path]) -> None:
    """Refuse to remove files that cannot be restored: those that Git does not have, and those with secrets."""
    for path in going:
        text = path.read_text(encoding="utf-8", errors="replace")
        if "secure:" in text or "encryptionsalt:" in text:
            raise Declined(f"{path.name}: has secrets that would be lost; move it away, or delete it first")
        try:
            # git and not GitPython, which starts the same command without a timeout.
            status = ("status", "--porcelain", "--ignored", "--", path.name)
            is_committed = not programs.run("git", *programs.on_checkout(root), *status).stdout
        except ProgramFailed:
            is_committed = False
        if not is_committed:
            raise Declined(f"{path.name}: has uncommitted changes that would be lost; commit or delete it first")


def _environment(store: str) -> str:
    """Return the environment whose secret store is of this kind."""
    return KINDS[store].environment if store in KINDS else Kind.environment


def _secret_store(kind: str) -> str:
    """Return the value of `platform.secretStore`; `check` reports an unknown kind."""
    return KINDS[kind].example if kind in KINDS else f"{{kind: {kind}}}"


def _answers(options: argparse.Namespace) -> dict[str, str]:
    answers: dict[str, str] = {}
    unanswered = []
    for question in QUESTIONS:
        given = getattr(options, question.name.replace("-", "_"))
        default = question.default(answers)
        if given is None and sys.stdin.isatty():
            shown = f" [{default}]" if default else ""
            given = input(f"{question.text}{shown}: ").strip() or default
            while given is None:
                given = input(f"this has no default; {question.text}: ").strip() or None
        answers[question.name] = default if given is None and default is not None else given or ""
        if given is None and default is None:
            unanswered.append(f"--{question.name}")
    if unanswered:
        raise Declined(f"there is no terminal for questions; give {', '.join(unanswered)} (./homelab init --help)")
    return answers


def _problems(root: Path, path: Path, text: str) -> list[Problem]:
    stack = read_stack(path, text.encode())
    return sorted({*stack.problems, *check_stack(root, stack, read_tree(root))})


def stack_file(stack: str, answers: dict[str, str]) -> str:
    """Return the answers as the text of a stack file with comments."""
    planes, workers = (_count(name, answers[name]) for name in ("control-planes", "workers"))
    hosts = [host.strip().partition("=") for host in answers["hosts"].split(",")]
    names = [name for name, _, _ in hosts]
    vip = f"    vip: {_at(answers, VIP_AT)} # the control planes' shared address\n" if planes > 1 else ""
    email = f", email: {answers['email']}" if answers["email"] else ""
    listed = list(filter(None, map(str.strip, answers["categories"].split(","))))
    if not listed:
        raise Declined("--categories: has no category; write all, or names with commas between them")
    categories = "" if listed == ["all"] else f"    categories: [{', '.join(listed)}]\n"
    host_lines = "".join(f"      - {{name: {name}, address: {address}}}\n" for name, _, address in hosts)
    alone = "    workloadsOnControlPlanes: allowed\n" if workers == 0 else ""
    tried = compatible()["tried"]
    worker_size = "      worker: {cpu: 4, memory: 8GiB, disk: 60GiB}\n" if workers else ""
    return f"""# Written by ./homelab init; docs/reference/settings.md explains every key.
config:
  homelab:network:
    domain: {answers["domain"]}
    subnet: {answers["subnet"]}
    gateway: {answers["gateway"]}
    nameservers: [{answers["gateway"]}]
{vip}    loadBalancerRange: {answers["range"]} # keep it out of the router's DHCP range

  homelab:proxmox:
    endpoint: {answers["endpoint"]}
    certificate: self-signed # the one of a fresh Proxmox; `verified` once it has a trusted one
    hosts:
{host_lines}
  homelab:cluster:
    name: {stack}
    talosVersion: {tried["talos"]}
    talosContract: "{tried["talos"].rpartition(".")[0]}" # the version that the cluster was made with; never change it
    kubernetesVersion: {tried["kubernetes"]}
{alone}    sizes:
      controlPlane: {{cpu: 2, memory: 4GiB, disk: 40GiB}}
{worker_size}    nodes:
{_nodes("cp", "control-plane", planes, CONTROL_PLANES_AT, answers, names)}\
{_nodes("worker", "worker", workers, WORKERS_AT, answers, names)}
  homelab:platform:
    certificates: {{issuer: {answers["issuer"]}{email}}}
    secretStore: {_secret_store(answers["store"])}

  homelab:delivery:
    repository: {answers["repository"]}
{categories}    environment: {answers["environment"]}
"""


def _count(name: str, answer: str) -> int:
    if not answer.isdecimal():
        raise Declined(f"{answer[:40]!r} is not a number of nodes; write digits")
    if len(answer) > len(str(MOST)) or int(answer) > MOST:
        raise Declined(f"--{name} = {answer[:40]}: is more than {MOST} nodes; write the number of machines")
    return int(answer)


def _nodes(prefix: str, role: str, count: int, first: int, answers: dict[str, str], hosts: list[str]) -> str:
    lines = (
        f"      - {{name: {prefix}-{number + 1}, role: {role}, address: {_at(answers, first + number)}, "
        f"host: {hosts[number % len(hosts)]}}}\n"
        for number in range(count)
    )
    return "".join(lines)
