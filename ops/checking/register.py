"""Every check of the project, from all modules that report checks.

The modules of `config`, `manifests`, `ops` and `standins` come in, the complete register of `config.rules` goes out: a
run of one verb imports only some of the modules. The page of checks is made from it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

import config
import manifests
import ops
import standins
from config.rules import REGISTER, Check


def every_check() -> Mapping[str, Check]:
    """Import every module that can report a check, and return the register."""
    for package in (config, manifests, ops, standins):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return REGISTER
