"""Argo CD's web UI in a rehearsal: whether argocd-server embeds one, its address, and the login.

The publisher's release of argocd embeds the UI, a build from the Go module does not: the program itself is searched for
the page. `lab.delivery.argocd` runs argocd-server only with a UI: no other part of a rehearsal needs it. The password
is Argo CD's own initial one: argocd-server generates it and stores its bcrypt hash in argocd-secret, and only the owner
can read the copy here. `ops.rehearse` and `ops.status` print the address.
"""

from __future__ import annotations

import base64
import mmap
import time
from functools import cache
from pathlib import Path

import requests

import programs
from errors import ApiFailed
from lab.api import Api
from lab.layout import Lab
from lab.running import servers
from local.files import write_private

SERVER = "argocd-server"
USER = "admin"
INDEX = b'<div id="app">'  # of the page that every path of the UI returns; no code of Argo CD contains it
INITIAL_PASSWORD = "argocd-initial-admin-secret"  # noqa: S105 - the name of a Secret
NAMESPACE = "argocd"
SECONDS_TO_ANSWER = 3
POLL = 0.5
ABSENT = (
    "Argo CD's web UI: none; the argocd in use embeds no UI, as every one that is built from source. "
    "The publisher's release has it: HOMELAB_TOOLS=download ./homelab tools"
)


def is_embedded() -> bool:
    """Report whether the argocd-server on the PATH embeds its web UI."""
    program = programs.find(SERVER)
    return program is not None and _has_page(program.resolve(), program.stat().st_mtime_ns)


def address(lab: Lab, seconds: float = 0) -> str:
    """Return the address at which the rehearsal's web UI serves its page, or nothing; wait for it if required."""
    deadline = time.monotonic() + seconds
    while servers.runs(lab, SERVER):
        found = f"http://127.0.0.1:{servers.port(lab, SERVER)}"
        if _answers(found):
            return found
        if time.monotonic() > deadline:
            break
        time.sleep(POLL)
    return ""


def login(lab: Lab) -> str:
    """Return the login: the user, and the private file with the password."""
    file = lab.root / "argocd" / "admin-password"
    try:
        secret = Api.of(lab).get("v1", "Secret", INITIAL_PASSWORD, NAMESPACE)
    except (ApiFailed, OSError):
        secret = None
    if secret is not None:
        write_private(file, base64.b64decode(secret["data"]["password"]))
    if not file.exists():
        return "no login: admin.enabled of argocd-cm is false, and the rehearsal reaches no OpenID provider"
    return f"user {USER}, password in {file}"


def report(lab: Lab, seconds: float = 0) -> str:
    """Return one line with the address and the login of the UI, or the reason why there is none."""
    if not is_embedded():
        return ABSENT
    found = address(lab, seconds)
    if not found:
        return f"Argo CD's web UI: argocd-server does not answer; its output: {servers.log_of(lab, SERVER)}"
    return f"Argo CD's web UI: {found}, {login(lab)}"


@cache
def _has_page(program: Path, _changed: int) -> bool:
    with program.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(INDEX) >= 0


def _answers(url: str) -> bool:
    with requests.Session() as session:
        session.trust_env = False  # the rehearsal's proxy is for programs that must not get out
        try:
            answer = session.get(url, headers={"Accept": "text/html"}, timeout=SECONDS_TO_ANSWER)
        except requests.RequestException:
            return False
        return answer.ok and INDEX in answer.content
