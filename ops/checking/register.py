"""Every check of the project, whichever module reports it.

The modules of `config`, `manifests`, `ops` and `standins` come in, and the register of `config.rules` goes out
complete: a run of one verb imports only some of them. The page of checks is made from it.
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
