"""Ask for the facts of your network and hosts; write a stack file, its environment and settings, which pass `check`.

Every question has a flag, and a question whose flag is given is skipped. Without a terminal, a missing answer takes its
default; a missing answer without a default is refused.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import programs
from config.app_settings import folder_of
from config.checks import check_stack
from config.compatibility import compatible
from config.explain import nearest
from config.load import Stack, read_stack, stack_files
from config.model import Settings
from config.secret_stores import KINDS
from config.tree import App, Tree, read_tree
from config.values import LABEL
from errors import Declined, ProgramFailed, Refused
from ops.checking.settings_writer import write
from ops.environments import ALL, copies, folders, renamed_policies, wanted, with_environment
from ops.result import Result
from ops.terminal import count

CONTROL_PLANES_AT, WORKERS_AT, RANGE_AT, VIP_AT = 11, 20, (50, 99), 5
MOST = 1000  # nodes of one role; a larger number is a typing error
FEWEST = 4  # a network's own address, the broadcast address, a router and a node
OPENEBS = "patches/openebs.yaml"
LIKE = "like"  # of the answers: the environment that an option names
VM_IDS = 1000  # of one stack


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


@dataclass(frozen=True)
class Question:
    """One question: its flag, its text, its default and its condition, which may depend on earlier answers."""

    name: str
    text: str
    default: Callable[[dict[str, str]], str | None] = lambda answers: None
    when: Callable[[dict[str, str]], bool] = lambda answers: True


def _at(answers: dict[str, str], number: int) -> str:
    # Beyond the last address of all it continues at the first: `check` reports a subnet that is too small.
    return str(IPv4Address((int(_subnet(answers).network_address) + number) % 2**32))


def _subnet(answers: dict[str, str]) -> IPv4Network:
    try:
        return IPv4Network(answers["subnet"], strict=False)
    except ValueError:
        return IPv4Network("10.0.0.0/24")  # `check` reports the wrong answer at the end


def _profile(answers: dict[str, str]) -> Profile:
    name = answers["profile"]
    if name not in PROFILES:
        fix = nearest(name, list(PROFILES), f"choose one of {', '.join(PROFILES)}")
        raise Declined(f"--profile = {name}: is no profile; {fix}")
    return PROFILES[name]


def _profile_like(answers: dict[str, str]) -> str:
    """Return the profile that an environment was made for."""
    return next((name for name, profile in PROFILES.items() if profile.like == answers[LIKE]), "small")


def _is_store(*kinds: str) -> Callable[[dict[str, str]], bool]:
    return lambda answers: answers["store"] in kinds


QUESTIONS = (
    Question("profile", f"the size of the cluster ({', '.join(PROFILES)})", _profile_like),
    Question("repository", "your Git repository (https://... or git@...)"),
    Question("domain", "the domain of the routes"),
    Question("subnet", "the subnet of hosts and nodes", lambda answers: "10.0.0.0/24"),
    Question("gateway", "its router", lambda answers: _at(answers, 1)),
    Question("endpoint", "the Proxmox API", lambda answers: f"https://{_at(answers, 2)}:8006"),
    Question("hosts", "Proxmox hosts, as name=address,...", lambda answers: f"pve={_at(answers, 2)}"),
    Question("control-planes", "how many control planes (1, 3 or 5)", lambda a: str(_profile(a).control_planes)),
    Question("workers", "how many workers", lambda answers: str(_profile(answers).workers)),
    Question("range", "the addresses of load balancers", lambda a: f"{_at(a, RANGE_AT[0])}-{_at(a, RANGE_AT[1])}"),
    Question("store", f"the secret store ({', '.join(KINDS)})", lambda answers: "kubernetes"),
    Question("organization", "the id of Bitwarden's organization", when=_is_store("bitwarden")),
    Question("project", "the id of Bitwarden's project", when=_is_store("bitwarden")),
    Question("server", "the URL of the secret store", when=_is_store("vault", "onepassword")),
    Question("vaults", "1Password's vaults, with commas between them", when=_is_store("onepassword")),
    Question("issuer", "the issuer of certificates (letsencrypt-staging, letsencrypt, internal)", lambda a: "internal"),
    Question("email", "the mail address for Let's Encrypt", when=lambda answers: answers["issuer"] != "internal"),
    Question("backup", "the S3 store and bucket of backups, as https://HOST/BUCKET", lambda answers: ""),
    Question("apps", "the applications (all, or categories and category/app with commas)", lambda answers: ALL),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--stack", default="homelab", metavar="NAME", help="the stack to write (default: homelab)")
    for question in QUESTIONS:
        parser.add_argument(f"--{question.name}", metavar="ANSWER", help=question.text)
    parser.add_argument("--environment", metavar="NAME", help="the folder of each app (default: the stack's name)")
    parser.add_argument("--like", metavar="NAME", help="the environment to copy (default: that of the profile)")
    parser.add_argument("--replace", action="store_true", help="replace a stack file that exists")
    parser.add_argument(
        "--only", action="store_true", help="remove the other stacks with their environments, such as the examples"
    )
    parser.add_argument("--root", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)


@dataclass(frozen=True)
class Plan:
    """Everything that init writes and removes, after all checks."""

    root: Path
    path: Path
    text: str
    tree: Tree
    like: str
    environment: str
    apps: tuple[App, ...]
    others: tuple[Stack, ...]
    only: bool

    @property
    def gone(self) -> tuple[str, ...]:
        """The environments that are removed with their stacks."""
        return tuple(name for name in self.tree.environments if self.only and name != self.environment)

    @property
    def removed(self) -> list[Path]:
        """The folders that are removed: of other stacks, and of applications that the stack does not run any more."""
        own = folders(self.root, self.tree, [self.environment], self.apps)
        return [*folders(self.root, self.tree, self.gone), *own]


def run(options: argparse.Namespace) -> Result:
    """Prompt for the answers, check them, and write the stack file."""
    if not LABEL.match(options.stack):
        raise Declined(f"--stack = {options.stack}: is not a name for a stack; use small letters, digits and -")
    path: Path = options.root / f"Pulumi.{options.stack}.yaml"
    if path.exists() and not options.replace:
        raise Declined(f"{path.name} exists; --replace replaces it, --stack NAME writes another")
    plan = _plan(options, path)
    going = [*([path] if path.exists() else []), *(plan.root / one.places.file for one in plan.others if plan.only)]
    _refuse_to_lose(plan.root, [*going, *plan.removed])
    return _written(plan, replaces=path.exists())


def _plan(options: argparse.Namespace, path: Path) -> Plan:
    root, tree = options.root, read_tree(options.root)
    answers = _answers(options)
    if _subnet(answers).num_addresses < FEWEST:
        raise Declined(f"--subnet = {answers['subnet']}: has no room for nodes; give a network such as 10.0.0.0/24")
    environment = options.environment or options.stack
    others = tuple(read_stack(file) for file in stack_files(root).values() if file != path)
    used = {one.settings.delivery.environment: one.places.file for one in others if one.settings}
    if environment in used and not options.only:
        raise Declined(f"--environment = {environment}: is that of {used[environment]}; give each stack its own")
    like = _like(options.like, tree, environment, answers)
    apps = wanted(tree, like, [name.strip() for name in answers["apps"].split(",") if name.strip()])
    ids = _vm_ids([] if options.only else [one.settings for one in others if one.settings])
    text = stack_file(options.stack, environment, answers, ids, patches=(root / OPENEBS).is_file())
    stack = read_stack(path, text.encode())
    problems = sorted({*stack.problems, *check_stack(root, stack, with_environment(tree, environment, apps))})
    if problems:
        raise Refused(replace(problem, file=f"{problem.file}, not written", line=0) for problem in problems)
    return Plan(root, path, text, tree, like, environment, apps, others, options.only)


def _like(given: str | None, tree: Tree, environment: str, answers: dict[str, str]) -> str:
    """Return the environment to copy: the given one, the stack's own, that of the profile, or the only one."""
    if given and given not in tree.environments:
        fix = nearest(given, tree.environments, f"the environments are {', '.join(tree.environments)}")
        raise Declined(f"--like = {given}: is no environment of this checkout; {fix}")
    own = environment if environment in tree.environments else ""
    preferred = (given, own, _profile(answers).like, *tree.environments)
    found = next((name for name in preferred if name and name in tree.environments), None)
    if found is None:
        raise Declined("apps/_settings has no environment to copy; git restore apps brings the examples back")
    return found


def _written(plan: Plan, *, replaces: bool) -> Result:
    """Write the stack file, its environment and its settings, remove the others, and report."""
    root, copied = plan.root, list(copies(plan.root, plan.like, plan.environment, plan.apps))
    policies = list(renamed_policies(root, plan.tree, plan.like, plan.environment, plan.gone))
    texts = [*policies, (plan.path, plan.text)]
    for file, content in (*copied, *((file, text.encode()) for file, text in texts)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    for folder in plan.removed:
        shutil.rmtree(folder)
    removed = [root / one.places.file for one in plan.others if plan.only]
    for file in removed:
        file.unlink()
    (root / folder_of(plan.environment)).mkdir(parents=True, exist_ok=True)
    write(root, read_stack(plan.path), read_tree(root))
    lines = [f"wrote {plan.path.name}, and {count(len(plan.apps), 'app')} with the environment {plan.environment}"]
    lines += [f"it replaces the old file; git restore {plan.path.name} brings that back"] if replaces else []
    lines += [f"removed {file.name}; git restore {file.name} brings it back" for file in removed]
    if plan.gone:
        lines.append(f"removed the environments {', '.join(plan.gone)}; git restore apps brings them back")
    if others := [one.places.file for one in plan.others if not plan.only]:
        lines.append(f"other stacks: {', '.join(others)}; --only removes them")
    lines += [f"next: ./homelab check, then ./homelab rehearse --stack {_name(plan.path)}"]
    data = {"stack": _name(plan.path), "file": plan.path.name, "removed": [file.name for file in removed]}
    return Result("\n".join(lines), {**data, "environment": plan.environment, "apps": [app.label for app in plan.apps]})


def _name(path: Path) -> str:
    return path.name.removeprefix("Pulumi.").removesuffix(".yaml")


def _refuse_to_lose(root: Path, going: Sequence[Path]) -> None:
    """Refuse to remove files that cannot be restored: those that Git does not have, and those with secrets."""
    names = [str(path.relative_to(root)) for path in going]
    for path, name in zip(going, names, strict=True):
        text = "" if path.is_dir() else path.read_text(encoding="utf-8", errors="replace")
        if "secure:" in text or "encryptionsalt:" in text:
            raise Declined(f"{name}: has secrets that would be lost; move it away, or delete it first")
    try:
        # git and not GitPython, which starts the same command without a timeout.
        status = ("status", "--porcelain", "--ignored", "--", *names)
        changed = programs.run("git", *programs.on_checkout(root), *status).stdout.splitlines() if names else []
    except ProgramFailed:
        changed = names
    if changed:
        name = changed[0].split()[-1]
        raise Declined(f"{name}: has uncommitted changes that would be lost; commit or delete it first")


def _secret_store(answers: dict[str, str]) -> str:
    """Return the value of `platform.secretStore`; `check` reports an unknown kind."""
    given = {name: answers[name] for name in ("organization", "project", "server") if answers[name]}
    if answers["vaults"]:
        given["vaults"] = f"[{answers['vaults']}]"
    return ", ".join(f"{name}: {value}" for name, value in {"kind": answers["store"], **given}.items())


def _backup(answer: str) -> str:
    """Return the lines of `platform.backup`, nothing without a store."""
    if not answer:
        return ""
    endpoint, _, bucket = answer.rstrip("/").rpartition("/")
    if not endpoint.startswith("https://") or not bucket:
        raise Declined(f"--backup = {answer}: is not https://HOST/BUCKET; write it so, or leave it out for no backups")
    return f"    backup: {{endpoint: {endpoint}, bucket: {bucket}}}\n"


def _answers(options: argparse.Namespace) -> dict[str, str]:
    answers: dict[str, str] = {LIKE: options.like or ""}
    unanswered = []
    for question in QUESTIONS:
        given = getattr(options, question.name.replace("-", "_"))
        if not question.when(answers):
            answers[question.name] = ""
            continue
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


def _vm_ids(others: Sequence[Settings]) -> int:
    """Return the first of a thousand VM ids that no other stack uses."""
    taken = {one.proxmox.first_vm_id // VM_IDS for one in others}
    return next(number for number in itertools.count(1) if number not in taken) * VM_IDS


def stack_file(stack: str, environment: str, answers: dict[str, str], ids: int, *, patches: bool) -> str:
    """Return the answers as the text of a stack file with comments."""
    planes, workers = (_count(name, answers[name]) for name in ("control-planes", "workers"))
    hosts = [host.strip().partition("=") for host in answers["hosts"].split(",")]
    names = [name for name, _, _ in hosts]
    vip = f"    vip: {_at(answers, VIP_AT)} # the control planes' shared address\n" if planes > 1 else ""
    email = f", email: {answers['email']}" if answers["email"] else ""
    host_lines = "".join(f"      - {{name: {name}, address: {address}}}\n" for name, _, address in hosts)
    alone = "    workloadsOnControlPlanes: allowed\n" if workers == 0 else ""
    tried = compatible()["tried"]
    profile = _profile(answers)
    size = profile.alone if workers == 0 else profile.control_plane
    worker_size = f"      worker: {profile.worker}\n" if workers else ""
    patched = f"    patches: {{all: [{OPENEBS}]}}\n" if patches else ""
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
    firstVmId: {ids} # a node's VM id is this plus the last part of its address
    hosts:
{host_lines}
  homelab:cluster:
    name: {stack}
    talosVersion: {tried["talos"]}
    talosContract: "{tried["talos"].rpartition(".")[0]}" # the version that the cluster was made with; never change it
    kubernetesVersion: {tried["kubernetes"]}
{alone}{patched}    sizes:
      controlPlane: {size}
{worker_size}    nodes:
{_nodes("cp", "control-plane", planes, CONTROL_PLANES_AT, answers, names)}\
{_nodes("worker", "worker", workers, WORKERS_AT, answers, names, profile.of_each_worker)}
  homelab:platform:
    certificates: {{issuer: {answers["issuer"]}{email}}}
    secretStore: {{{_secret_store(answers)}}}
{_backup(answers["backup"])}
  homelab:delivery:
    repository: {answers["repository"]}
    environment: {environment} # the folder of each app that this stack runs
"""


def _count(name: str, answer: str) -> int:
    if not answer.isdecimal():
        raise Declined(f"{answer[:40]!r} is not a number of nodes; write digits")
    if len(answer) > len(str(MOST)) or int(answer) > MOST:
        raise Declined(f"--{name} = {answer[:40]}: is more than {MOST} nodes; write the number of machines")
    return int(answer)


def _nodes(
    prefix: str, role: str, count: int, first: int, answers: dict[str, str], hosts: list[str], more: str = ""
) -> str:
    lines = (
        f"      - {{name: {prefix}-{number + 1}, role: {role}, address: {_at(answers, first + number)}, "
        f"host: {hosts[number % len(hosts)]}{more}}}\n"
        for number in range(count)
    )
    return "".join(lines)
