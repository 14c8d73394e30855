"""Pull requests at a forge: GitHub, Forgejo or Gitea, and GitLab, through their REST APIs.

The URL of a remote and the environment come in; a `Forge` opens the request of a branch, or updates the open one.
Tokens come from the environment, are sent to the forge's own host alone, and are never printed. `ops.promotion.pushing`
calls it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from urllib.parse import quote, urlsplit

import requests

from errors import ApiFailed
from manifests.sources import is_loopback
from ops.upstream.guarded_session import TIMEOUT

ForgeKind: TypeAlias = Literal["github", "forgejo", "gitlab"]
TOKENS: Mapping[ForgeKind, tuple[str, ...]] = {
    "github": ("GITHUB_TOKEN", "GH_TOKEN"),
    "forgejo": ("FORGEJO_TOKEN", "GITEA_TOKEN"),
    "gitlab": ("GITLAB_TOKEN",),
}
# A part of the host's name that shows the kind. Other hosts are of the kind whose token is set; that of GitHub is set
# on many machines for github.com alone, and must not reach another host.
HOSTS: Mapping[str, ForgeKind] = {
    "github": "github",
    "gitlab": "gitlab",
    "codeberg": "forgejo",
    "forgejo": "forgejo",
    "gitea": "forgejo",
}
SSH = re.compile(r"(?:ssh://)?(?:[^@/]+@)?(?P<host>[\w.-]+)(?::\d+(?=/)|:|(?=/))/?(?P<path>.+)")
MOST_TEXT = 60_000  # GitHub refuses a body of more than 65,536 characters
CREATED = range(200, 300)
PAGES, PAGE = 20, 50


@dataclass(frozen=True)
class PullRequest:
    """A pull request, or a merge request, of a branch."""

    url: str
    state: Literal["opened", "updated"]


@dataclass(frozen=True)
class Forge:
    """A repository at a forge."""

    kind: ForgeKind
    site: str
    """The scheme and the host."""
    project: str
    """The owner and the name of the repository."""
    token: str = ""

    @property
    def api(self) -> str:
        """Return the URL of the repository in the API."""
        if self.kind == "gitlab":
            return f"{self.site}/api/v4/projects/{quote(self.project, safe='')}"
        if self.kind == "forgejo":
            return f"{self.site}/api/v1/repos/{self.project}"
        root = "https://api.github.com" if self.site == "https://github.com" else f"{self.site}/api/v3"
        return f"{root}/repos/{self.project}"

    def link(self, branch: str, base: str) -> str:
        """Return the page on which a person opens the request."""
        name = quote(branch, safe="")
        if self.kind == "gitlab":
            return f"{self.site}/{self.project}/-/merge_requests/new?merge_request%5Bsource_branch%5D={name}"
        return f"{self.site}/{self.project}/compare/{quote(base)}...{quote(branch)}"

    def request(self, branch: str, base: str, title: str, text: str) -> PullRequest:
        """Open the request of a branch, or update title and text of the open one."""
        body = text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}\n\n(shortened)"
        content = {"title": title, "description" if self.kind == "gitlab" else "body": body}
        number = self._open(branch, base)
        path = "merge_requests" if self.kind == "gitlab" else "pulls"
        if number:
            changed = self._call("PUT" if self.kind == "gitlab" else "PATCH", f"{path}/{number}", content)
            return PullRequest(self._url(changed), "updated")
        ends = {"head": branch, "base": base}
        if self.kind == "gitlab":
            ends = {"source_branch": branch, "target_branch": base}
        return PullRequest(self._url(self._call("POST", path, {**content, **ends})), "opened")

    def _open(self, branch: str, base: str) -> int:
        """Return the number of the open request of a branch, 0 for none."""
        if self.kind == "gitlab":
            query = {"state": "opened", "source_branch": branch, "target_branch": base}
            return next((int(one["iid"]) for one in self._call("GET", "merge_requests", query) if self._is_own(one)), 0)
        if self.kind == "github":
            query = {"state": "open", "head": f"{self.project.partition('/')[0]}:{branch}", "base": base}
            return next((int(one["number"]) for one in self._call("GET", "pulls", query) if self._is_own(one)), 0)
        for page in range(1, PAGES + 1):  # Forgejo's list has no filter by branch
            listed = self._call("GET", "pulls", {"state": "open", "limit": str(PAGE), "page": str(page)})
            for one in listed:
                if (one["head"]["ref"], one["base"]["ref"]) == (branch, base) and self._is_own(one):
                    return int(one["number"])
            if len(listed) < PAGE:
                break
        return 0

    def _is_own(self, request: Any) -> bool:
        """Report whether the branch is in this repository: a fork can have a branch of the same name."""
        if self.kind == "gitlab":
            return bool(request["source_project_id"] == request["target_project_id"])
        repository = request["head"].get("repo") or {}  # nothing where the fork was deleted
        return str(repository.get("full_name")).lower() == self.project.lower()

    def _url(self, answer: Any) -> str:
        return str(answer["web_url" if self.kind == "gitlab" else "html_url"])

    def _call(self, method: str, path: str, content: Mapping[str, str]) -> Any:
        url = f"{self.api}/{path}"
        given: dict[str, Any] = {"params": content} if method == "GET" else {"json": content}
        try:
            # A redirect could lead the token to another host. Without `auth`, requests sends the login of ~/.netrc.
            answer = requests.request(
                method, url, auth=self._authorized, timeout=TIMEOUT, allow_redirects=False, **given
            )
        except requests.RequestException as error:
            raise ApiFailed(
                f"{method} {url}: no answer: {type(error).__name__}; run the command again", code=0
            ) from None
        if answer.status_code not in CREATED:
            raise ApiFailed(f"{method} {url}: {answer.status_code} {self._reason(answer)}", code=answer.status_code)
        try:
            return answer.json()
        except ValueError:
            raise ApiFailed(
                f"{method} {url}: the answer is not JSON; is this the API of {self.kind}?", code=0
            ) from None

    def _authorized(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers())
        return request

    def _headers(self) -> Mapping[str, str]:
        if self.kind == "gitlab":
            return {"PRIVATE-TOKEN": self.token}
        if self.kind == "forgejo":
            return {"Authorization": f"token {self.token}"}
        accepted = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        return {"Authorization": f"Bearer {self.token}", **accepted}

    def _reason(self, answer: requests.Response) -> str:
        names = " or ".join(TOKENS[self.kind])
        if answer.status_code in (401, 403, 404):
            return f"{answer.reason}; the token in {names} must be valid, and allow to write pull requests"
        try:
            said = answer.json()
            message = str(said.get("message") or said.get("error") or "") if isinstance(said, dict) else ""
        except ValueError:
            message = ""
        return " ".join(f"{answer.reason} {message}".split())[:300]


def forge_of(remote: str, env: Mapping[str, str]) -> Forge | None:
    """Return the forge of a remote, None where its kind is not known."""
    url = urlsplit(remote)
    if url.scheme in ("https", "http") and url.hostname:
        port = f":{url.port}" if url.port else ""
        site, path = f"{url.scheme}://{url.hostname}{port}", url.path
    elif found := SSH.fullmatch(remote):
        site, path = f"https://{found['host']}", found["path"]
    else:
        return None
    project = path.strip("/").removesuffix(".git")
    host = urlsplit(site).hostname or ""
    kinds = [kind for part, kind in HOSTS.items() if part in host.split(".")]
    kinds += [kind for kind, names in TOKENS.items() if kind != "github" and any(env.get(name) for name in names)]
    if host == urlsplit(env.get("GITHUB_SERVER_URL", "")).hostname:
        kinds.insert(0, "github")
    if not kinds or "/" not in project:
        return None
    token = next((env[name] for name in TOKENS[kinds[0]] if env.get(name)), "")
    may_send = site.startswith("https://") or is_loopback(site)
    return Forge(kinds[0], site, project, token if may_send else "")
