"""Run as Pulumi's program: load the settings, build the stack, export its outputs."""

from __future__ import annotations

import sys
from pathlib import Path

import pulumi

from config.checks import check_stack
from config.load import from_pulumi
from config.tree import read_tree
from errors import HomelabError
from stacks.homelab import build

ALREADY_TOLD = 32  # the language host prints nothing more

try:
    ROOT = Path(__file__).parent
    tree = read_tree(ROOT)
    settings = from_pulumi(ROOT).require(lambda stack: check_stack(ROOT, stack, tree))
    for name, value in build(settings, tree, ROOT).items():
        pulumi.export(name, value)
except HomelabError as error:
    pulumi.log.error(str(error))
    sys.exit(ALREADY_TOLD)
