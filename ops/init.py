"""Ask for the facts of your network and hosts; write a stack file, its environment and settings, which pass `check`.

Every question has a flag, and a question whose flag is given is skipped. Without a terminal, a missing answer takes its
default; a missing answer without a default is refused. With a token in the environment, Proxmox provides the defaults
of its hosts.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import programs
from config.app_settings import folder_of, generated, misplaced, templates
from config.chain import FILE as CHAIN
from config.chain import names_with, read_chain
from config.checks import check_stack
from config.explain import nearest
from config.load import Stack, read_stack, stack_files
from config.model import Settings
from config.secret_stores import KINDS
from config.tree import APPS, BASE, KUSTOMIZATION, App, Tree, read_tree
from config.values import LABEL
from errors import Declined, HardwareRefused, ProgramFailed, Refused, TreeRefused, printable
from manifests.checkout import CheckoutReader
from ops.app_needs import Needs, as_table, needs_of
from ops.checking.settings_writer import write
from ops.environments import (
    ALL,
    Copy,
    brought_back,
    changed_chain,
    copies,
    folders,
    renamed_policies,
    wanted,
    with_environment,
    write_file,
    write_folder,
)
from ops.result import Result
from ops.stack_file import (
    FIRST_LINE,
    OF_HOSTS,
    OPENEBS,
    PROFILES,
    RANGE_AT,
    Answers,
    address_at,
    corrected,
    named_hosts,
    of_each,
    profile_of,
    stack_file,
    subnet_of,
)
from ops.terminal import count, progress

LIKE = "like"  # of the answers: the environment that an option names
FOUND = "found {}"  # of the answers: what Proxmox reports, under the name of the question
TOKEN = "PROXMOX_VE_API_TOKEN"  # noqa: S105 - the name of the variable
NOTES = "notes"  # of the answers: lines about Proxmox, unless a terminal has shown them already
FROM_PROXMOX = ("hosts", *OF_HOSTS, "certificate")
GONE_ALREADY = (" D", "D ", "MD", "AD")  # states of `git status --porcelain`
VM_IDS = 1000  # of one stack
FEWEST = 4  # a network's own address, the broadcast address, a router and a node


@dataclass(frozen=True)
class Question:
    """One question: its flag, its text, its default and its condition, which may depend on earlier answers."""

    name: str
    text: str
    default: Callable[[Answers], str | None] = lambda answers: None
    when: Callable[[Answers], bool] = lambda answers: True
    prompts: Callable[[Answers], bool] = lambda answers: True
    """Whether a terminal shows it; otherwise its default is taken without a question."""


def _profile_like(answers: Answers) -> str:
    """Return the profile that an environment was made for."""
    return next((name for name, profile in PROFILES.items() if profile.like == answers[LIKE]), "small")


def _is_store(*kinds: str) -> Callable[[Answers], bool]:
    return lambda answers: answers["store"] in kinds


def _is_found(answers: Answers) -> bool:
    return FOUND.format("hosts") in answers


def _of_host(key: str, answers: Answers) -> str:
    """Return the value for all hosts, or one for each where they differ."""
    names = [name for name, _ in named_hosts(answers["hosts"])]
    values = {
        name: value or OF_HOSTS[key] for name, value in of_each(answers.get(FOUND.format(key), ""), names).items()
    }
    several = len({*values.values()}) > 1
    return ",".join(map("=".join, values.items())) if several else next(iter(values.values()), OF_HOSTS[key])


QUESTIONS = (
    Question("profile", f"the size of the cluster ({', '.join(PROFILES)})", _profile_like),
    Question("repository", "your Git repository (https://... or git@...)"),
    Question("domain", "the domain of the routes"),
    Question("subnet", "the subnet of hosts and nodes", lambda answers: "10.0.0.0/24"),
    Question("gateway", "its router", lambda answers: address_at(answers, 1)),
    Question("endpoint", "the Proxmox API", lambda answers: f"https://{address_at(answers, 2)}:8006"),
    Question(
        "hosts", "Proxmox hosts, as name=address,...", lambda a: a.get(FOUND.format("hosts"), f"pve={address_at(a, 2)}")
    ),
    Question(
        "images",
        "the storage for disk images; host=storage,... if they differ",
        partial(_of_host, "images"),
        prompts=_is_found,
    ),
    Question(
        "disks",
        "the storage for disks of VMs; host=storage,... if they differ",
        partial(_of_host, "disks"),
        prompts=_is_found,
    ),
    Question(
        "bridge", "the bridge of VMs; host=bridge,... if they differ", partial(_of_host, "bridge"), prompts=_is_found
    ),
    Question(
        "certificate",
        "that of the Proxmox API (verified, self-signed)",
        lambda a: a.get(FOUND.format("certificate"), "self-signed"),
        prompts=lambda a: False,
    ),
    Question("control-planes", "how many control planes (1, 3 or 5)", lambda a: str(profile_of(a).control_planes)),
    Question("workers", "how many workers", lambda answers: str(profile_of(answers).workers)),
    Question(
        "range",
        "the addresses of load balancers",
        lambda a: f"{address_at(a, RANGE_AT[0])}-{address_at(a, RANGE_AT[1])}",
    ),
    Question("store", f"the secret store ({', '.join(KINDS)})", lambda answers: "kubernetes"),
    Question("organization", "the id of Bitwarden's organization", when=_is_store("bitwarden")),
    Question("project", "the id of Bitwarden's project", when=_is_store("bitwarden")),
    Question("server", "the URL of the secret store", when=_is_store("vault", "onepassword")),
    Question("vaults", "1Password's vaults, with commas between them", when=_is_store("onepassword")),
    Question("issuer", "the issuer of certificates (letsencrypt-staging, letsencrypt, internal)", lambda a: "internal"),
    Question("email", "the mail address for Let's Encrypt", when=lambda answers: answers["issuer"] != "internal"),
    Question("backup", "the S3 store and bucket of backups, as https://HOST/BUCKET", lambda answers: ""),
    Question("apps", "the applications (all, none, or categories and category/app with commas)", lambda answers: ALL),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--stack", default="homelab", metavar="NAME", help="the stack to write (default: homelab)")
    for question in QUESTIONS:
        parser.add_argument(f"--{question.name}", metavar="ANSWER", help=question.text)
    parser.add_argument("--environment", metavar="NAME", help="the folder of each app (default: the stack's name)")
    parser.add_argument("--like", metavar="NAME", help="the environment to copy (default: that of the profile)")
    parser.add_argument(
        "--list-apps", action="store_true", help="print the needs of each application, and write nothing"
    )
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
    back: dict[str, str]
    others: tuple[Stack, ...]
    only: bool
    notes: list[str]

    @property
    def gone(self) -> tuple[str, ...]:
        """The environments that are removed with their stacks."""
        return tuple(name for name in self.tree.environments if self.only and name != self.environment)

    @property
    def removed(self) -> list[Path]:
        """The files and folders that are removed, in an order in which an interrupted run can be run again.

        First the folders of other environments, and of applications that the stack does not run any more. Then the
        stack files. Last the settings, by which the next run knows the environments that it has to remove.
        """
        own = folders(self.root, [self.environment], self.apps)
        files = [self.root / one.places.file for one in self.others if self.only]
        return [*folders(self.root, self.gone), *own, *files, *(self.root / folder_of(name) for name in self.gone)]


def run(options: argparse.Namespace) -> Result:
    """Prompt for the answers, check them, and write the stack file."""
    if options.list_apps:
        return _listed(options)
    if not LABEL.match(options.stack):
        raise Declined(f"--stack = {options.stack}: is not a name for a stack; use small letters, digits and -")
    path: Path = options.root / f"Pulumi.{options.stack}.yaml"
    if path.exists() and not options.replace and not (options.only and _is_own(path)):
        raise _exists(path)  # before any question; a run that was interrupted has written the same file
    plan = _plan(options, path)
    replaces = path.exists() and path.read_bytes() != plan.text.encode()
    if replaces and not options.replace:
        raise _exists(path)
    _refuse_to_lose(plan.root, [*([path] if replaces and not _is_own(path) else []), *plan.removed])
    if replaces and _is_own(path):
        _refuse_secrets(path)
        if _uncommitted(plan.root, [path.name]):
            plan.notes.append(f"the old {path.name} was not committed: it is {_keep(path).name} now")
            replaces = False
    return _written(plan, replaces=replaces)


def _exists(path: Path) -> Declined:
    return Declined(f"{path.name} exists; --replace replaces it, --stack NAME writes another")


def _is_own(path: Path) -> bool:
    """Return whether init has written a stack file."""
    return path.read_text(encoding="utf-8", errors="replace").startswith(FIRST_LINE)


def _plan(options: argparse.Namespace, path: Path) -> Plan:
    root, tree = options.root, read_tree(options.root)
    answers, problems = corrected(_answers(options, tree))
    if subnet_of(answers).num_addresses < FEWEST:
        raise Declined(f"--subnet = {answers['subnet']}: has no room for nodes; give a network such as 10.0.0.0/24")
    environment = options.environment or options.stack
    if environment == BASE:
        raise Declined(f"--environment = {BASE}: is the folder that environments build on; choose another name")
    if links := list(misplaced(root, environment)):
        raise TreeRefused(links)
    others = tuple(read_stack(file) for file in stack_files(root).values() if file != path)
    used = {one.settings.delivery.environment: one.places.file for one in others if one.settings}
    if environment in used and not options.only:
        raise Declined(f"--environment = {environment}: is that of {used[environment]}; give each stack its own")
    like = _like(options.like, tree, environment, answers)
    names = [name.strip() for name in answers["apps"].split(",") if name.strip()]
    is_kept = bool(tree.apps_in(environment))
    removes = options.only and len(tree.environments) > 1
    # While other environments are removed, an interrupted run may have removed the folders of an app without one.
    unused = [] if options.apps is None or not is_kept or removes else names
    back, unable = brought_back(root, tree, environment, unused)
    apps = wanted(tree, like, environment, names, back)
    ids = _vm_ids([] if options.only else [one.settings for one in others if one.settings])
    gone = [name for name in tree.environments if options.only and name != environment]
    chain = names_with(read_chain(root, tree).environments, like, environment, gone)
    gated = len(chain) > 1 and chain[-1] == environment
    text = stack_file(options.stack, environment, answers, ids, patches=(root / OPENEBS).is_file(), gated=gated)
    stack = read_stack(path, text.encode())
    checked = {*stack.problems, *check_stack(root, stack, with_environment(tree, environment, apps))}
    problems += [replace(problem, file=f"{problem.file}, not written", line=0) for problem in checked]
    if problems:
        raise Refused(problems)
    notes = [answers[NOTES]] if answers[NOTES] else []
    notes += [f"{', '.join(back)}: the folders have the form of a new app; add what differs"] if back else []
    if unable:
        notes.append(
            f"not brought back: {', '.join(unable)}; git restore --source=COMMIT --staged --worktree PATH does"
        )
    if is_kept and (options.profile or options.like):
        notes.append(
            f"the folders apps/*/*/{environment} are kept; to copy others, delete them first, and run init again"
        )
    return Plan(root, path, text, tree, like, environment, apps, back, others, options.only, notes)


def _like(given: str | None, tree: Tree, environment: str, answers: dict[str, str]) -> str:
    """Return the environment to copy: the given one, the stack's own, that of the profile, or the only one."""
    if given and given not in tree.environments:
        fix = nearest(given, tree.environments, f"the environments are {', '.join(tree.environments)}")
        raise Declined(f"--like = {given}: is no environment of this checkout; {fix}")
    own = environment if tree.apps_in(environment) else ""
    preferred = (given, own, profile_of(answers).like, *tree.environments)
    found = next((name for name in preferred if name and name in tree.environments), None)
    if found is None:
        raise Declined("apps/_settings has no environment to copy; git restore apps brings the examples back")
    return found


def _written(plan: Plan, *, replaces: bool) -> Result:
    """Write the stack file, its environment and its settings, remove the others, and report."""
    root, tree, environment = plan.root, plan.tree, plan.environment
    copied = copies(root, environment, [app for app in plan.apps if app.label not in plan.back])
    for label, text in plan.back.items():
        copied[f"{APPS}/{label}/{environment}"] = [Copy(KUSTOMIZATION, text.encode())]
    policies = list(renamed_policies(root, tree, plan.like, environment, plan.gone))
    policies += changed_chain(root, plan.like, environment, plan.gone)
    settings, texts = root / folder_of(environment), _settings(plan)
    if not tree.apps_in(environment):  # without settings, a run that is interrupted here begins as this one
        shutil.rmtree(settings, ignore_errors=True)
    for path, files in copied.items():
        write_folder(root, path, files)
    for file, text in (*policies, (plan.path, plan.text)):
        write_file(file, text)
    _write_settings(plan, texts)
    removed = plan.removed
    for one in removed:
        if one.is_dir():
            shutil.rmtree(one)
        else:
            one.unlink()
    gone_files = [one for one in removed if one.parent == root]
    lines = [f"wrote {plan.path.name}, and {count(len(plan.apps), 'app')} with the environment {plan.environment}"]
    lines += plan.notes
    if any(file == root / CHAIN for file, _ in policies):
        lines.append(f"{CHAIN}: the chain of promotions has changed; correct the place of {environment} there")
    lines += [f"it replaces the old file; git restore {plan.path.name} brings that back"] if replaces else []
    lines += [f"removed {file.name}; git restore {file.name} brings it back" for file in gone_files]
    if plan.gone:
        lines.append(f"removed the environments {', '.join(plan.gone)}; git restore apps brings them back")
    if others := [one.places.file for one in plan.others if not plan.only]:
        lines.append(f"other stacks: {', '.join(others)}; --only removes them")
    lines += [f"next: ./homelab check, then ./homelab rehearse --stack {_name(plan.path)}"]
    data = {"stack": _name(plan.path), "file": plan.path.name, "removed": [file.name for file in gone_files]}
    return Result("\n".join(lines), {**data, "environment": plan.environment, "apps": [app.label for app in plan.apps]})


def _write_settings(plan: Plan, texts: Mapping[str, str]) -> None:
    """Write the settings of the environment; new ones have their name once all of its other files are written."""
    if plan.tree.apps_in(plan.environment):
        write(plan.root, [read_stack(plan.path)], read_tree(plan.root))
        return
    folder = folder_of(plan.environment)
    files = [Copy(name.removeprefix(f"{folder}/"), text.encode()) for name, text in texts.items()]
    write_folder(plan.root, folder, files)


def _settings(plan: Plan) -> dict[str, str]:
    """Return the files of the environment's settings, and refuse templates that cannot be filled."""
    stack = read_stack(plan.path, plan.text.encode())
    tree = with_environment(plan.tree, plan.environment, plan.apps)
    found, problems = templates(plan.root, tree, stack.require())
    if problems:
        raise TreeRefused(set(problems))
    return generated(stack, found)


def _name(path: Path) -> str:
    return path.name.removeprefix("Pulumi.").removesuffix(".yaml")


def _refuse_to_lose(root: Path, going: Sequence[Path]) -> None:
    """Refuse to remove files that cannot be restored: those that Git does not have, and those with secrets."""
    for path in going:
        if path.is_file():
            _refuse_secrets(path)
    if changed := _uncommitted(root, [str(path.relative_to(root)) for path in going]):
        name = changed[0].split()[-1]
        raise Declined(f"{name}: has uncommitted changes that would be lost; commit or delete it first")


def _refuse_secrets(path: Path) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    if "secure:" in text or "encryptionsalt:" in text:
        raise Declined(f"{path.name}: has secrets that would be lost; move it away, or delete it first")


def _uncommitted(root: Path, names: Sequence[str]) -> Sequence[str]:
    """Return lines about files that Git does not have as they are."""
    try:
        # git and not GitPython, which starts the same command without a timeout.
        status = ("status", "--porcelain", "--ignored", "--", *names)
        changed = programs.run("git", *programs.on_checkout(root), *status).stdout.splitlines() if names else []
    except ProgramFailed:
        return names
    # A file that is missing already cannot be lost: an interrupted run may have removed it.
    return [one for one in changed if one[:2] not in GONE_ALREADY]


def _keep(path: Path) -> Path:
    """Copy a stack file to a name that no stack has and that is free."""
    names = (f"{path.name}.before{number or ''}" for number in itertools.count())
    kept = next(one for name in names if not os.path.lexists(one := path.with_name(name)))
    write_file(kept, path.read_text(encoding="utf-8"))
    return kept


def _listed(options: argparse.Namespace) -> Result:
    """Return the table of applications that the other options would offer."""
    tree = read_tree(options.root)
    answers = {LIKE: options.like or ""}
    answers["profile"] = options.profile or _profile_like(answers)
    like = _like(options.like, tree, options.environment or options.stack, answers)
    needs = _needs(options.root, tree, like)
    rows = [
        {"app": label, "category": name, **one.as_dict()} for name, apps in needs.items() for label, one in apps.items()
    ]
    return Result(
        f"{_table(needs, like)}\n--profile and --like choose another environment", {"like": like, "apps": rows}
    )


def _table(needs: dict[str, dict[str, Needs]], like: str) -> str:
    if not needs:
        return f"the environment {like} has no applications"
    return f"the applications of the environment {like}:\n{as_table(needs)}"


def _needs(root: Path, tree: Tree, like: str) -> dict[str, dict[str, Needs]]:
    """Return the needs of the applications of an environment, by category."""
    reader = CheckoutReader(root.resolve())
    applications = [one for one in tree.chosen(like) if one.settings.layer == "applications"]
    return {one.name: {app.label: needs_of(reader, app) for app in one.apps} for one in applications}


def _answers(options: argparse.Namespace, tree: Tree) -> dict[str, str]:
    answers: dict[str, str] = {LIKE: options.like or "", NOTES: ""}
    unanswered = []
    for question in QUESTIONS:
        if question.name == FROM_PROXMOX[0] and any(getattr(options, name) is None for name in FROM_PROXMOX):
            found, lines = _found(answers["endpoint"])
            answers |= found
            if sys.stdin.isatty():
                progress("\n".join(map(printable, lines)))
            else:
                answers[NOTES] = "\n".join(map(printable, lines))
        given = getattr(options, question.name.replace("-", "_"))
        if not question.when(answers):
            answers[question.name] = ""
            continue
        default = question.default(answers)
        if given is None and sys.stdin.isatty() and question.prompts(answers):
            if question.name == "apps":
                like = _like(options.like, tree, options.environment or options.stack, answers)
                progress(_table(_needs(options.root, tree, like), like))
            given = _prompted(question.text, default)
        answers[question.name] = default if given is None and default is not None else given or ""
        if given is None and default is None:
            unanswered.append(f"--{question.name}")
    if unanswered:
        raise Declined(f"there is no terminal for questions; give {', '.join(unanswered)} (./homelab init --help)")
    return answers


def _prompted(text: str, default: str | None) -> str:
    shown = f" [{default}]" if default else ""
    given = input(f"{text}{shown}: ").strip() or default
    while given is None:
        given = input(f"this has no default; {text}: ").strip() or None
    return given


def _found(endpoint: str) -> tuple[dict[str, str], list[str]]:
    """Return the hosts of Proxmox as defaults of the questions, none without an answer, and lines about them."""
    usual = "the usual hosts, storages and bridges are proposed"
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        return {}, [f"{TOKEN} is not set: {usual}"]
    from ops.diagnosis.hosts_found import hosts_at  # noqa: PLC0415 - HTTP is slow to import

    try:
        found = hosts_at(endpoint, token)
    except HardwareRefused as refused:
        return {}, [f"{refused}: {usual}"]
    left_out = [f"{name} is offline or has no IPv4 address, and is not proposed" for name in found.left_out]
    lines = [f"{endpoint} reports {count(len(found.hosts), 'host')}; its certificate is {found.certificate}"]
    lines += [f"  {one}" for one in (*found.hosts, *left_out)]
    values = {key: [(one.name, getattr(one, key)) for one in found.hosts] for key in ("address", *OF_HOSTS)}
    answers = {key: ",".join(map("=".join, pairs)) for key, pairs in values.items()}
    answers = {"hosts": answers.pop("address"), **answers, "certificate": found.certificate}
    return {FOUND.format(key): answer for key, answer in answers.items()}, lines


def _vm_ids(others: Sequence[Settings]) -> int:
    """Return the first of a thousand VM ids that no other stack uses."""
    taken = {one.proxmox.first_vm_id // VM_IDS for one in others}
    return next(number for number in itertools.count(1) if number not in taken) * VM_IDS
