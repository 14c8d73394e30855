"""The problems of the settings of all stacks and of the shape of the tree, without a render.

Stacks that were read and the tree come in, problems go out. `ops.check` prints them; `ops.stack` refuses stacks with
problems.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import programs
from components.machines.images import without_checksum
from config.app_settings import check as check_settings
from config.chain import read_chain
from config.checks import check_stack
from config.code_owners import check as check_code_owners
from config.load import Stack, read_stack, stack_files
from config.rules import rule
from config.source import read
from config.stacks import check_environments, check_step, check_together
from config.startpage import check as check_start_page
from config.tree import Tree
from errors import Problem, ProgramFailed, ProgramMissing, Refused

PROJECT_FILE = "Pulumi.yaml"


def problems_of(root: Path, stacks: list[Stack], tree: Tree, before: Mapping[str, Stack | None]) -> list[Problem]:
    """Return the problems of stacks, of the tree, between both, and of the step from the stacks as they were before."""
    own = [problem for stack in stacks for problem in (*stack.problems, *check_stack(root, stack, tree))]
    own += [problem for stack in stacks for problem in check_images(stack)]
    steps = [(before.get(stack.name), stack) for stack in stacks]
    taken = [problem for was, stack in steps if was for problem in check_step(was, stack)]
    strange = check_environments(stacks, tree) if are_all(root, stacks) else []
    found = (
        *check_together(stacks),
        *check_settings(root, stacks, tree),
        *strange,
        *_project(root),
        *tree.problems,
        *read_chain(root, tree).problems,
        *check_start_page(root, tree),
        *(check_code_owners(root, tree, stacks) if are_all(root, stacks) else ()),
    )
    told = {(problem.file, problem.line) for problem in own}
    elsewhere = [one for one in found if one.check != "secret-in-git" or (one.file, one.line) not in told]
    return [*own, *taken, *elsewhere]


@rule("stack-missing", scope="program", why="Without a stack file there is nothing to check.")
def chosen_files(root: Path, names: Collection[str] | None = None) -> list[Path]:
    """Return the stack files of these names, or of all stacks; refuse a checkout that lacks one."""
    files = stack_files(root)
    if not files:
        rule, fix = "there is no stack file (Pulumi.<stack>.yaml)", "./homelab init writes one"
        raise Refused([Problem(str(root), 0, "", "", rule, fix, "stack-missing")])
    unknown = [name for name in names or () if name not in files]
    if unknown:
        fix = f"the stacks are {', '.join(files)}"
        raise Refused(
            [Problem(f"Pulumi.{name}.yaml", 0, "", "", "does not exist", fix, "stack-missing") for name in unknown]
        )
    return [path for name, path in files.items() if not names or name in names]


@rule("image-checksum-missing", scope="program", why="Without a checksum another image could take its place.")
def check_images(stack: Stack) -> list[Problem]:
    """Report images without a checksum where checksums of other images are listed."""
    if stack.settings is None:
        return []
    where, rule = ("cluster", "imageChecksums"), "has no checksum for an image that is downloaded"
    fix = f"add the sum of: curl -fsSL https://{stack.settings.cluster.image_factory}/image/{{}} | sha256sum"
    found = without_checksum(stack.settings)
    return [stack.places.problem("image-checksum-missing", where, None, rule, fix.format(one)) for one in found]


def are_all(root: Path, stacks: list[Stack]) -> bool:
    """Return whether these are all stacks of a checkout."""
    return len(stacks) == len(stack_files(root))


def _project(root: Path) -> Iterator[Problem]:
    """Yield the problems of the project's own file, and the stack files whose names Pulumi ignores."""
    if (root / PROJECT_FILE).exists():
        yield from read(root / PROJECT_FILE, PROJECT_FILE).problems
    for path in sorted(root.glob("Pulumi.*.yml")):
        rule, fix = "is in a place that is never read", f"call it {path.stem}.yaml"
        yield Problem(path.name, 0, "", "", rule, fix, "file-stray")


def committed(root: Path, stack: Stack, revision: str) -> Stack | None:
    """Read a stack from a commit; return nothing where the commit, or the file in it, does not exist."""
    path = root / stack.places.file
    try:
        # git and not GitPython, whose import takes longer than this command.
        content = programs.pipe("git", *programs.on_checkout(root), "cat-file", "blob", f"{revision}:./{path.name}")
        return read_stack(path, content)
    except (ProgramFailed, ProgramMissing):
        return None
