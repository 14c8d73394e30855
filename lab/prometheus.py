"""A simulated Prometheus for the analyses of Argo Rollouts: every query has one and the same value.

The controller of Argo Rollouts has this server as its HTTP proxy. A query to the Service of a Prometheus comes in; the
value in `<lab>/prometheus` goes out, 1 without that file, no data if the file has the word `none`. Each answer has a
warning that it is simulated, which Rollouts keeps in the AnalysisRun. A Service that the cluster does not have, and
every other request, is refused. `lab.rollouts` runs it.

    python -m lab.prometheus PORT
"""

from __future__ import annotations

import json
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.api import Api
from lab.layout import Lab
from local.files import write_private

QUERY = "/api/v1/query"
GOOD, NOTHING = "1", "none"


def answer_with(lab: Lab, value: str) -> None:
    """Set the value of every query from now on."""
    write_private(_file(lab), f"{value}\n")


def answer(lab: Lab) -> dict[str, Any]:
    """Return Prometheus' answer to any query."""
    value = _file(lab).read_text(encoding="utf-8").strip() if _file(lab).exists() else GOOD
    result = [] if value == NOTHING else [{"metric": {}, "value": [time.time(), value]}]
    note = f"simulated: a rehearsal answers every query with {value}, see {_file(lab)}"
    return {"status": "success", "data": {"resultType": "vector", "result": result}, "warnings": [note]}


class PrometheusClient(BaseHTTPRequestHandler):
    """One request through the proxy, with the whole URL in its first line."""

    def do_GET(self) -> None:
        """Answer a query in the URL."""
        self._answer()

    def do_POST(self) -> None:
        """Answer a query in the body."""
        self._answer()

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url, lab = urlsplit(self.path), Lab.from_environment()
        if not url.path.endswith(QUERY):
            self._send(HTTPStatus.NOT_FOUND, {"status": "error", "error": f"{url.path}: only {QUERY} is simulated"})
        elif not _exists(lab, url.hostname or ""):
            error = f"{url.hostname}: no Service of the rehearsed cluster has this name"
            self._send(HTTPStatus.BAD_GATEWAY, {"status": "error", "error": error})
        else:
            self._send(HTTPStatus.OK, answer(lab))

    def _send(self, status: HTTPStatus, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _exists(lab: Lab, host: str) -> bool:
    """Report whether the cluster has the Service of a name such as prometheus.monitoring.svc."""
    name, _, rest = host.partition(".")
    namespace, _, domain = rest.partition(".")
    return domain.partition(".")[0] in ("", "svc") and bool(
        namespace and Api.of(lab).get("v1", "Service", name, namespace)
    )


def _file(lab: Lab) -> Path:
    return lab.root / "prometheus"


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), PrometheusClient).serve_forever()
