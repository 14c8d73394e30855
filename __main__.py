"""Run as Pulumi's program: load the settings, build the stack, export its outputs."""

from __future__ import annotations

import sys
from pathlib import Path

import pulumi

from config.checks import check_stack
from config.load import from_pulumi
from config.tree import read_tree
from errors import ExitCode, HomelabError
from stacks.homelab import build

try:
    ROOT = Path(__file__).parent
    tree = read_tree(ROOT)
    settings = from_pulumi(ROOT).require(lambda stack: check_stack(ROOT, stack, tree))
    for name, value in build(settings, tree, ROOT).items():
        pulumi.export(name, value)
except HomelabError as error:
    pulumi.log.error(str(error))
    sys.exit(ExitCode.REPORTED_TO_PULUMI)  # the language host then adds no error of its own
