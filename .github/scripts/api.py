"""Requests to GitHub's API with the token of the job, bounded in time and size; only Python's own library is needed.

`comment` and `drift` use it. A token goes to the API alone: a download follows one redirect without it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

TIMEOUT = 30.0
ATTEMPTS = 3
PAUSE = float(os.environ.get("HOMELAB_RETRY_SECONDS", "5"))
LARGEST_ANSWER = 20 * 1024 * 1024
PAGES = 50
PER_PAGE = 100
BOT = os.environ.get("HOMELAB_BOT", "github-actions[bot]")  # the author of our comments and issues
TEMPORARY = (429, 500, 502, 503, 504)


class _NoRedirect(HTTPRedirectHandler):
    """Python's own handler would send the token to the other host."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


class Api:
    """The API of one repository."""

    def __init__(self, url: str, repository: str, token: str) -> None:
        """Store the address, the repository as OWNER/NAME, and the token."""
        self.url = url
        self.repository = repository
        self._token = token
        self._opener = build_opener(_NoRedirect)

    @classmethod
    def of_job(cls) -> Api:
        """Return the API that the variables of the job describe."""
        return cls(os.environ["GITHUB_API_URL"], os.environ["GITHUB_REPOSITORY"], os.environ["GITHUB_TOKEN"])

    def get(self, path: str, **query: str | int) -> Any:
        """Return one answer."""
        return self._json("GET", path, query=query)

    def pages(self, path: str, **query: str | int) -> Iterator[Any]:
        """Yield the entries of a list, page by page."""
        for page in range(1, PAGES + 1):
            entries = self.get(path, **query, per_page=PER_PAGE, page=page)
            yield from entries
            if len(entries) < PER_PAGE:
                return

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Make a change."""
        return self._json(method, path, body=body)

    def download(self, path: str, limit: int) -> bytes:
        """Return a file of at most `limit` bytes, to which the API redirects."""
        status, headers, content = self._request("GET", self._address(path), limit=limit)
        if status in (301, 302, 303, 307, 308):
            address = headers.get("location", "")
            if not address.startswith(("https://", "http://127.0.0.1:")):
                raise SystemExit(f"GET {path}: redirects to an address without https")
            status, _, content = self._request("GET", address, limit=limit, token=False)
        if status != HTTPStatus.OK:
            raise SystemExit(f"GET {path}: HTTP {status}")
        return content

    def _json(
        self, method: str, path: str, *, query: dict[str, str | int] | None = None, body: dict[str, Any] | None = None
    ) -> Any:
        address = self._address(path) + (f"?{urlencode(query)}" if query else "")
        status, _, content = self._request(method, address, limit=LARGEST_ANSWER, body=body)
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise SystemExit(f"{method} {path}: HTTP {status}: {content[:500].decode(errors='replace')}")
        return json.loads(content) if content else None

    def _address(self, path: str) -> str:
        return f"{self.url}/repos/{quote(self.repository)}/{path}"

    def _request(
        self, method: str, address: str, *, limit: int, body: dict[str, Any] | None = None, token: bool = True
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and content; repeat a reading request that fails for a moment."""
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"} if token else {}
        if token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        attempts = ATTEMPTS if method != "POST" else 1  # a repeated POST could make two comments
        for attempt in range(attempts):
            request = Request(address, data=data, headers=headers, method=method)  # noqa: S310 - GitHub's own address
            try:
                with self._opener.open(request, timeout=TIMEOUT) as answer:
                    status, got, content = answer.status, answer.headers, answer.read(limit + 1)
            except HTTPError as error:
                with error:
                    status, got, content = error.code, error.headers, error.read(limit + 1)
            except (URLError, HTTPException, OSError) as error:
                if attempt + 1 == attempts:
                    raise SystemExit(f"{method} {address.partition('?')[0]}: {error}") from error
                status, got, content = 0, {}, b""
            if len(content) > limit:
                raise SystemExit(f"{method} {address.partition('?')[0]}: the answer has more than {limit} bytes")
            if status and (status not in TEMPORARY or attempt + 1 == attempts):
                return status, {name.lower(): value for name, value in got.items()}, content
            time.sleep(PAUSE)
        raise AssertionError("the last attempt returns or ends the program")
