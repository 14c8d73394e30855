"""Whether a run may ask other hosts: the option `--offline` and the variable HOMELAB_OFFLINE.

Options come in; the reason why no other host may be asked goes out, or nothing where it may. The verbs that fetch ask
here first; `ops.__main__` refuses a value that the variable does not take, whatever the verb.
"""

from __future__ import annotations

import argparse
import os

from errors import Declined

VARIABLE = "HOMELAB_OFFLINE"


def offline_argument(parser: argparse.ArgumentParser) -> None:
    """Take whether other hosts are left alone."""
    parser.add_argument(
        "--offline", action="store_true", help=f"fetch no chart and no remote base (as {VARIABLE}=1 does)"
    )


def forbidden(options: argparse.Namespace | None = None) -> str:
    """Return why no other host may be asked, or nothing where it may."""
    said = os.environ.get(VARIABLE, "")
    if said not in ("", "0", "1"):
        raise Declined(f"{VARIABLE} = {said}: takes 1 (ask no other host) or 0; set it to one of them, or unset it")
    if getattr(options, "offline", False):
        return "--offline"
    return f"{VARIABLE}=1" if said == "1" else ""


def require(options: argparse.Namespace, wish: str) -> None:
    """Refuse an option that asks other hosts where none may be asked."""
    if reason := forbidden(options):
        raise Declined(f"{wish}: asks other hosts, and {reason} forbids it; leave one of the two out")
