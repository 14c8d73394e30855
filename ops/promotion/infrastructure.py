"""The promotion of the infrastructure: the versions of Talos and Kubernetes, and the extensions, in stack files.

The stacks of two environments, and the nodes of the first, come in; moves and problems go out. The file that results is
checked as `check` checks it: no skipped or lowered minor version, and no pair of versions that was never tested.
`ops.promote` calls it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path

from config.checks import check_stack
from config.load import Stack, read_stack, read_stacks
from config.model import Settings
from config.rules import rule
from config.stacks import check_step
from errors import Problem, printable
from ops.checking.settings import check_images
from ops.promotion.contents import Written, form_problem
from ops.promotion.evidence import NodeEvidence
from ops.promotion.git_store import GitStore
from ops.promotion.names import EXTENSIONS, KUBERNETES, TALOS
from ops.promotion.plan import OVERRIDE, Move, PlanInputs, PromotionPlan, in_words
from ops.promotion.stack_edits import with_hold, with_value

KEYS: Mapping[str, str] = {TALOS: "talosVersion", KUBERNETES: "kubernetesVersion", EXTENSIONS: "extensions"}
LINE = "write the key on a line of its own"


@dataclass
class _StackFile:
    """A stack file whose text changes from one move to the next."""

    stack: Stack
    settings: Settings
    root: Path
    text: str

    @property
    def name(self) -> str:
        return self.stack.places.file

    @property
    def holds(self) -> Mapping[str, str]:
        return {str(part): reason for part, reason in self.settings.delivery.holds.items()}

    def written(self) -> Mapping[str, Written]:
        return {self.name: Written(self.text.encode())}


def value_of(settings: Settings, part: str) -> str:
    """Return the version of a part of the infrastructure, or the list of extensions."""
    cluster = settings.cluster
    if part == EXTENSIONS:
        return ", ".join(cluster.extensions)
    return str(cluster.talos_version if part == TALOS else cluster.kubernetes_version)


def plan_infrastructure(
    inputs: PlanInputs, parts: Sequence[str], plan: PromotionPlan, *, every: bool = False
) -> PromotionPlan:
    """Add the moves of parts of the infrastructure to a plan."""
    if not parts:
        return plan
    source, file = _stack_of(inputs, inputs.passage.source), _stack_of(inputs, inputs.passage.target)
    if isinstance(source, Problem) or isinstance(file, Problem):
        missing = [one for one in (source, file) if isinstance(one, Problem)]
        if every:
            reason = "; ".join(f"{one.file} {one.rule}" for one in missing)
            plan.left_out |= dict.fromkeys(parts, reason)
        else:
            plan.problems += missing
        return plan
    moves = []
    for part in parts:
        was, now = value_of(file.settings, part), value_of(source.settings, part)
        if was == now:
            plan.unchanged[part] = f"{inputs.passage.target} has {now} already"
            continue
        refused = list(_refusals(inputs, part, source, file))
        if every and refused:
            plan.left_out[part] = "; ".join(one.rule for one in refused)
            continue
        if refused and not inputs.reason:
            plan.problems += refused
            continue
        notes = tuple(f"{one.rule}; promoted for this reason: {inputs.reason}" for one in refused)
        found = _move(inputs, part, source, file, notes)
        if isinstance(found, Problem):
            plan.problems.append(found)
        else:
            moves.append(found)
    forbidden = _forbidden(file, inputs) if moves else []
    if every and forbidden:
        reason = "; ".join(f"{one.value} {one.rule}".strip() for one in forbidden)
        plan.left_out |= {move.label: reason for move in moves}
        return plan
    plan.problems += forbidden
    plan.moves += moves
    return plan


def _stack_of(inputs: PlanInputs, environment: str) -> _StackFile | Problem:
    return stack_file(inputs.history.store, environment)


@rule("promotion-stackless", scope="program", why="Versions of machines are in the stack file of an environment.")
def stack_file(store: GitStore, environment: str) -> _StackFile | Problem:
    """Return the file of the stack that runs an environment, as it is in HEAD."""
    for stack in read_stacks(store.root):
        if stack.settings and stack.settings.delivery.environment == environment:
            text = store.text(store.head, stack.places.file)
            if text is None:
                return form_problem(stack.places.file, text, "")
            return _StackFile(stack, stack.settings, store.root, text)
    rule, fix = "has no stack file without problems", f"./homelab init --environment {environment} writes one"
    return Problem(f"environment {environment}", 0, "", "", rule, fix, "promotion-stackless")


def _move(
    inputs: PlanInputs, part: str, source: _StackFile, file: _StackFile, notes: tuple[str, ...]
) -> Move | Problem:
    was, now = value_of(file.settings, part), value_of(source.settings, part)
    value: str | Sequence[str] = source.settings.cluster.extensions if part == EXTENSIONS else now
    changed = with_value(file.text, KEYS[part], value)
    if changed is not None and part in file.holds:
        changed = with_hold(changed, part, None)
    if changed is None:
        return form_problem(file.name, file.text, LINE)
    file.text = changed
    note = f"takes effect with ./homelab up --stack {file.stack.name}"
    if part == EXTENSIONS:
        note = f"replaces the whole list; that nodes are Ready does not prove that they have it; {note}"
    evidence = _evidence(inputs)
    return Move(part, "Promote", was, now, file.written(), "", evidence, inputs.reason, (*notes, note))


@rule("promotion-held", scope="program")
@rule("promotion-unhealthy", scope="program")
@rule("promotion-soaking", scope="program")
@rule("promotion-lowers", scope="program")
@rule("promotion-unreachable", scope="program")
def _refusals(inputs: PlanInputs, part: str, source: _StackFile, file: _StackFile) -> Iterator[Problem]:
    """Yield the reasons against a promotion that another reason can override."""
    where, target = inputs.passage.source, inputs.passage.target
    version = value_of(source.settings, part)
    if hold := file.holds.get(part):
        fix = f"lift it: ./homelab promote --lift {part} --to {target}, {OVERRIDE}"
        rule = f"{part} is held in {target}: {hold}"
        yield Problem(file.name, 0, f"delivery.holds.{part}", hold, rule, fix, "promotion-held")
    was, now = value_of(file.settings, part), version
    if part != EXTENSIONS and _numbers(was) > _numbers(now):
        rule, fix = f"is newer than {now}, the version of {where}", f"raise it in {where} first, {OVERRIDE}"
        yield Problem(file.name, 0, f"cluster.{KEYS[part]}", was, rule, fix, "promotion-lowers")
    if inputs.evidence.problem:
        rule = f"does not answer: {' '.join(inputs.evidence.problem.split())}"
        yield Problem(f"environment {where}", 0, "", "", rule, f"reach it, {OVERRIDE}", "promotion-unreachable")
        return
    nodes = inputs.evidence.nodes()
    if bad := [_state(node, part, version) for node in nodes if _state(node, part, version)]:
        rule, fix = f"is not on every node of {where}: {', '.join(bad)}", f"./homelab up there, {OVERRIDE}"
        yield Problem(source.name, 0, f"cluster.{KEYS[part]}", version, rule, fix, "promotion-unhealthy")
        return
    soak = timedelta(seconds=inputs.chain.soak_of(where).seconds)
    since = max((node.since for node in nodes if node.since), default=None)
    if since is None or inputs.now - since < soak:
        age = f"for {in_words(inputs.now - since)}" if since else "since an unknown time"
        rule = f"has nodes that are Ready in {where} {age}, and the soak is {in_words(soak)}"
        wait = f"wait until {since + soak:%Y-%m-%d %H:%M} UTC" if since else "wait for its nodes"
        fix = f"{wait}, {OVERRIDE}"
        yield Problem(source.name, 0, f"cluster.{KEYS[part]}", version, rule, fix, "promotion-soaking")


def _numbers(version: str) -> list[int]:
    return [int(one) for one in version.split(".")]


def _state(node: NodeEvidence, part: str, version: str) -> str:
    """Return the reason why a node does not prove a version, empty if it does."""
    if not node.is_ready:
        return f"{node.name} is not Ready"
    if part == TALOS and f"(v{version})" not in node.talos:
        return f"{node.name} runs {node.talos}"
    if part == KUBERNETES and node.kubernetes != f"v{version}":
        return f"{node.name} runs {node.kubernetes}"
    return ""


def _evidence(inputs: PlanInputs) -> str:
    if inputs.evidence.problem:
        return "none"
    nodes = inputs.evidence.nodes()
    ready = sum(node.is_ready for node in nodes)
    since = max((node.since for node in nodes if node.since), default=None)
    time = f" since {since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if since and ready == len(nodes) else ""
    return f"{ready} of {len(nodes)} nodes Ready{time}, {inputs.evidence.origin}"


def _forbidden(file: _StackFile, inputs: PlanInputs) -> list[Problem]:
    """Return the problems that the file gets by its new versions; no reason overrides them."""
    changed = read_stack(file.root / file.name, file.text.encode())
    known = {_key(one) for one in _problems(file.stack, inputs)}
    found = [*_problems(changed, inputs), *check_step(file.stack, changed)]
    return [one for one in found if _key(one) not in known]


def _problems(stack: Stack, inputs: PlanInputs) -> list[Problem]:
    root = inputs.history.store.root
    return [*stack.problems, *check_stack(root, stack, inputs.tree), *check_images(stack)]


def _key(problem: Problem) -> tuple[str, str, str]:
    return problem.check, problem.key, problem.rule


def undo_infrastructure(
    store: GitStore, parts: Sequence[str], environment: str, reason: str, plan: PromotionPlan, *, lift: bool
) -> PromotionPlan:
    """Add the moves that put back the versions before the last promotions and hold them, or that lift holds."""
    if not parts:
        return plan
    file = stack_file(store, environment)
    if isinstance(file, Problem):
        plan.problems.append(file)
        return plan
    for part in parts:
        hold = file.holds.get(part)
        if lift == (hold is None):
            plan.unchanged[part] = f"is held already: {hold}" if hold else "is not held"
        elif isinstance(found := (_lifted if lift else _reverted)(store, part, file, reason), Move):
            plan.moves.append(found)
        else:
            plan.problems += found
    return plan


def _lifted(store: GitStore, part: str, file: _StackFile, reason: str) -> Move | list[Problem]:
    changed = with_hold(file.text, part, None)
    if changed is None:
        return [form_problem(file.name, file.text, LINE)]
    file.text = changed
    value = value_of(file.settings, part)
    note = (f"was held: {file.holds[part]}",)
    return Move(part, "Lift", value, value, file.written(), reason=reason, notes=note)


@rule("promotion-unpromoted", scope="program")
def _reverted(store: GitStore, part: str, file: _StackFile, reason: str) -> Move | list[Problem]:
    was, older = value_of(file.settings, part), _older(store, part, file)
    if older is None:
        rule, fix = "has no other value in its history", "set it in the stack file"
        key = f"cluster.{KEYS[part]}"
        return [Problem(file.name, 0, key, was, rule, fix, "promotion-unpromoted")]
    hold = printable(" ".join(reason.split())) or f"reverted from {was}"
    changed = with_value(file.text, KEYS[part], older)
    changed = with_hold(changed, part, hold) if changed is not None else None
    if changed is None:
        return [form_problem(file.name, file.text, LINE)]
    after = read_stack(file.root / file.name, changed.encode())
    if wrong := check_step(file.stack, after):
        return wrong
    file.text = changed
    note = f"held from here on: {hold}; takes effect with ./homelab up --stack {file.stack.name}"
    now = older if isinstance(older, str) else ", ".join(older)
    return Move(part, "Revert", was, now, file.written(), reason=reason, notes=(note,))


def _older(store: GitStore, part: str, file: _StackFile) -> str | Sequence[str] | None:
    """Return the value before the present one, from the history of the file."""
    present = value_of(file.settings, part)
    for commit in store.history_of(file.name, store.head):
        text = store.text(commit, file.name)
        stack = read_stack(file.root / file.name, text.encode()) if text is not None else None
        if stack is None or stack.settings is None or value_of(stack.settings, part) == present:
            continue
        return stack.settings.cluster.extensions if part == EXTENSIONS else value_of(stack.settings, part)
    return None


def parts_of_all(root: Path, environments: Sequence[str]) -> list[str]:
    """Return the parts that `--all` promotes: none without a stack in an environment, and never the extensions.

    Extensions belong to the hardware of an environment: the list of another one would remove drivers. A stack file with
    problems may be that of the environment, so that its versions are left out with a reason.
    """
    stacks = read_stacks(root)
    known = {one.settings.delivery.environment for one in stacks if one.settings}
    is_sure = all(one.settings for one in stacks)
    return [TALOS, KUBERNETES] if {*environments} <= known or not is_sure else []
