"""The switch for requests to other hosts: the option `--offline` and the variable HOMELAB_OFFLINE.

Options come in; the reason why requests are forbidden goes out, or nothing where they are allowed. The verbs that fetch
call it first; for every verb, `ops.__main__` rejects an invalid value of the variable.
"""

from __future__ import annotations

import argparse
import os

from errors import Declined

VARIABLE = "HOMELAB_OFFLINE"


def offline_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the option that forbids requests to other hosts."""
    parser.add_argument(
        "--offline", action="store_true", help=f"fetch no chart and no remote base, as with {VARIABLE}=1"
    )


def forbidden(options: argparse.Namespace | None = None) -> str:
    """Return the reason why requests to other hosts are forbidden, or nothing."""
    value = os.environ.get(VARIABLE, "")
    if value not in ("", "0", "1"):
        raise Declined(
            f"{VARIABLE} = {value}: must be 1 (no request to other hosts) or 0; set one of them, or unset it"
        )
    if getattr(options, "offline", False):
        return "--offline"
    return f"{VARIABLE}=1" if value == "1" else ""


def require_online(options: argparse.Namespace, option: str) -> None:
    """Refuse an option that needs requests to other hosts where these are forbidden."""
    if reason := forbidden(options):
        raise Declined(f"{option}: needs other hosts, and {reason} forbids requests to them; leave one of the two out")
