"""The limits of requests to a URL from a file of a checkout or from an answer of a server.

A registry chooses the server of its tokens, and any server may redirect: without a limit, an image in a pull request
could make this machine send requests to services that only it can reach. `ops.upstream.registries` and
`ops.checking.digest_writer` send their requests through this session.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urljoin, urlsplit

import requests

from manifests import boundary
from manifests.sources import is_loopback

TIMEOUT = (10, 60)  # seconds to connect, and to read
# Registries whose tokens come from another organization's host.
TOKENS_OF = {"registry-1.docker.io": "auth.docker.io", "lscr.io": "ghcr.io"}
SHORT_SECOND_LEVEL = 3  # co.uk, com.au: a name below has three labels


class GuardedSession(requests.Session):
    """A session that follows no redirect to this machine, its network, or to plain HTTP."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the target of a redirect, or refuse one that must not be followed."""
        target = super().get_redirect_target(resp)
        if target and not may_lead(resp.url, found := urljoin(resp.url, target)):
            raise requests.exceptions.InvalidURL(f"redirects to {urlsplit(found).netloc}, which gets no request")
        return target


def may_lead(origin: str, target: str) -> bool:
    """Report whether an answer of one URL may lead to another."""
    here, there = urlsplit(origin), urlsplit(target)
    if (here.scheme, here.netloc) == (there.scheme, there.netloc):
        return True
    return not is_loopback(origin) and is_public(target)


def may_give_tokens(registry: str, realm: str) -> bool:
    """Report whether a registry's tokens may come from a URL: of its own host or organization, or of a known one.

    A server of tokens in this network serves only a registry in this network.
    """
    here, there = urlsplit(registry), urlsplit(realm)
    if (here.scheme, here.netloc) == (there.scheme, there.netloc):
        return True
    ours, theirs = here.hostname or "", there.hostname or ""
    if TOKENS_OF.get(ours) != theirs and _owner(ours) != _owner(theirs):
        return False
    return may_lead(registry, realm) or (_is_private(registry) and _is_private(realm))


def is_public(url: str) -> bool:
    """Report whether a URL is https and leads to no address of this machine or its network."""
    # Where a proxy resolves names, this machine resolves none and connects to the proxy alone.
    return _is_https(url) and all(address.is_global for address in _addresses(url))


def _is_private(url: str) -> bool:
    """Report whether a URL is https and leads into this machine's network alone, and not to this machine."""
    found = _addresses(url) if _is_https(url) else []
    return bool(found) and not any(
        one.is_global or one.is_loopback or one.is_link_local or one.is_unspecified or one.is_reserved for one in found
    )


def _is_https(url: str) -> bool:
    return urlsplit(url).scheme == "https" and not boundary.remote_rule(url, charts=True)


def _addresses(url: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses of a URL's host, none where its name is not resolved."""
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, urlsplit(url).port or 443, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return []
    return [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]


def _owner(host: str) -> str:
    """Return the registered part of a name, or an address as it is."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        labels = host.lower().rstrip(".").split(".")
        deep = len(labels) > 2 and len(labels[-2]) <= SHORT_SECOND_LEVEL  # noqa: PLR2004 - name, co, uk
        return ".".join(labels[-3:] if deep else labels[-2:])
