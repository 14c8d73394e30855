"""Patterns of tokens and keys of services: the rules of gitleaks, and further ones.

Text comes in, the spans of tokens go out. The rules are data (`config/gitleaks/`), read once when a text first contains
one of their keywords. Go's patterns become Python's: a pattern without bounds, which only Go's engine matches in linear
time, gets bounds here or is excluded. `config.secret_patterns` and `config.leaks` continue.
"""

from __future__ import annotations

import math
import re
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

RULES = Path(__file__).parent / "gitleaks" / "gitleaks.toml"
# These match names and whole documents. `config.secret_patterns` and `config.leaks` do that knowing Kubernetes.
LEFT_OUT = ("generic-api-key", "kubernetes-secret-yaml", "curl-auth-header", "curl-auth-user", "private-key")
PADDING = re.compile(r"\[\\w\.-\]\{0,50\}\?")  # before a name it has no effect and makes the match quadratic
UNBOUNDED = re.compile(r"(?<!\\)\.[*+]|\{\d+,\}\??\.\*")
INLINE = re.compile(r"(?<!\\)\(\?(-?i)\)")
ENTROPY_SHARE = 0.8  # an example that a person invents has less entropy than a generated token
# A prefix that a service reserves is enough proof without any look at the rest.
PREFIXED = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{22,}|gl(?:pat|ptt|rt|dt|soat)-[\w-]{20,}|npm_[A-Za-z0-9]{20,}"
    r"|pul-[0-9a-f]{20,}|sk-(?:ant-|proj-|or-)?[\w-]{20,}|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|AIza[\w-]{30,}"
    r"|tskey-(?:\w+-)?[\w-]{10,}|(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[\w-]{20,}"
    r"|hv[sb]\.[\w-]{20,}|dop_v1_[0-9a-f]{40,}|dckr_pat_[\w-]{20,}|hf_[A-Za-z0-9]{20,}|gsk_[A-Za-z0-9]{20,}"
    r"|pypi-[\w-]{30,}|SG\.[\w-]{10,}\.[\w-]{20,}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{20,}|tk_[a-z0-9]{29}\b"
    r"|glsa_[A-Za-z0-9]{20,}|glc_[A-Za-z0-9+/=]{20,}|AGE-SECRET-KEY-1[A-Z0-9]{40,}|ya29\.[\w-]{20,}|ATATT3[\w-]{20,}"
    r"|dp\.(?:pt|st|ct)\.[A-Za-z0-9.]{20,}|lin_api_\w{20,}|EAA[A-Za-z0-9]{60,}|pscale_\w+_[\w.-]{20,}|nvapi-[\w-]{20,}"
    r"|cfut_[\w-]{20,}|re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}|rpa_[A-Z0-9]{30,}|sbp_[0-9a-f]{30,})"
)
PREFIXES = (
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "glptt-", "glrt-", "gldt-", "glsoat-", "npm_"),
    *("pul-", "sk-", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "AIza", "tskey-", "AKIA", "ASIA", "ABIA", "ACCA"),
    *("xox", "xapp-", "hvs.", "hvb.", "dop_v1_", "dckr_pat_", "hf_", "gsk_", "pypi-", "SG.", "shpat_", "shpca_"),
    *("shppa_", "shpss_", "tk_", "glsa_", "glc_", "AGE-SECRET-KEY-1", "ya29.", "ATATT3", "dp.pt.", "dp.st.", "dp.ct."),
    *("lin_api_", "EAA", "pscale_", "nvapi-", "cfut_", "re_", "rpa_", "sbp_"),
)
# Each with keywords of which one must occur: a search for a keyword costs a hundredth of a match.
OURS = (
    (PREFIXES, PREFIXED),
    (("eyJ",), re.compile(r"\beyJ[\w-]{8,2000}\.[\w-]{8,4000}\.[\w-]*")),
    (
        ("PVEAPIToken=", "@pam!", "@pve!"),
        re.compile(r"\bPVEAPIToken=[^\s\"']{8,}|\b[\w.-]{1,40}@(?:pam|pve)![\w.-]{1,40}=[0-9a-f]{8}-[0-9a-f-]{27}"),
    ),
    (
        ("0.",),
        re.compile(r"\b0\.[0-9a-f]{8}-[0-9a-f-]{27}\.[A-Za-z0-9]{20,}:[A-Za-z0-9+/=]{20,}"),
    ),  # Bitwarden's machine account
    (("/api/webhooks/",), re.compile(r"https://[\w.-]{0,20}discord(?:app)?\.com/api/webhooks/\d{5,}/[\w-]{20,}")),
    (
        ("hooks.slack.com",),
        re.compile(r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/+_-]{20,}"),
    ),
    (("webhookb2",), re.compile(r"https://[\w.-]{1,60}\.webhook\.office\.com/webhookb2/[\w@/-]{20,}")),
    ((":AA",), re.compile(r"\b\d{8,10}:AA[\w-]{30,}")),  # Telegram's bots
    (
        ("PRIVATE KEY",),
        re.compile(
            r"-----BEGIN[ A-Z0-9_-]{0,60}PRIVATE KEY(?: BLOCK)?-----(?:\\[nr]|\s){0,8}"
            r"(?:[^-\s][^-]{3,16000}-----END|[^-]{0,400}?[A-Za-z0-9+/]{16,})[^\n]{0,80}"
        ),
    ),
    (
        ("PRIVATE KEY",),
        re.compile(
            r"^[ \t\"']{0,200}-----BEGIN[ A-Z0-9_-]{0,60}PRIVATE KEY(?: BLOCK)?-----[ \t\"'\\n]{0,9}$", re.MULTILINE
        ),
    ),
    (
        ("PuTTY-User-Key",),
        re.compile(
            r"PuTTY-User-Key-File-\d: [^\n]{1,60}\n(?:[^\n]{0,200}\n){1,40}?Private-Lines:(?:[^\n]{0,200}\n?){1,40}"
        ),
    ),
)
# A key in PEM, encoded in base64 again, as in kubeconfigs and Talos' configuration.
PEM_IN_BASE64 = re.compile(r"\bLS0tLS1CRUdJTi[A-Za-z0-9+/]{8,}={0,2}")
PRIVATE_IN_BASE64 = re.compile("UFJJVkFURSBLRV|BSSVZBVEUgS0VZ|QUklWQVRFIEtFW")  # PRIVATE KEY at each of three offsets


@dataclass(frozen=True)
class Rule:
    """One rule of gitleaks: a pattern, and the minimal entropy of the token."""

    pattern: re.Pattern[str]
    group: int
    entropy: float
    allowed: tuple[re.Pattern[str], ...]

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the spans of the tokens of this rule."""
        for found in self.pattern.finditer(text):
            group = self.group or next((index for index, one in enumerate(found.groups(), 1) if one), 0)
            token = found[group]
            if entropy(token) >= self.entropy and not any(one.search(token) for one in self.allowed):
                yield found.span(group)


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of tokens in a text."""
    for words, pattern in OURS:
        if any(word in text for word in words):
            yield from (found.span() for found in pattern.finditer(text))
    for found in PEM_IN_BASE64.finditer(text):
        if PRIVATE_IN_BASE64.search(found[0][:120]):
            yield found.span()
    lower = text.lower()
    for word, indices in _by_words():
        if word in lower:
            for index in indices:
                if rule := _rule(index):
                    yield from rule.spans(text)


def entropy(text: str) -> float:
    """Return Shannon's entropy in bits per character."""
    size = len(text) or 1
    return -sum(count / size * math.log2(count / size) for count in Counter(text).values())


@cache
def _raw() -> list[dict[str, Any]]:
    with RULES.open("rb") as opened:
        rules = tomllib.load(opened)["rules"]
    return [one for one in rules if one["id"] not in LEFT_OUT and "regex" in one and not UNBOUNDED.search(one["regex"])]


@cache
def _by_words() -> tuple[tuple[str, tuple[int, ...]], ...]:
    found: dict[str, list[int]] = {}
    for index, rule in enumerate(_raw()):
        for word in rule["keywords"]:
            found.setdefault(word.lower(), []).append(index)
    return tuple((word, tuple(indices)) for word, indices in found.items())


@cache
def _rule(index: int) -> Rule | None:
    """Return a rule, compiled at its first use; nothing if Python cannot compile it."""
    raw = _raw()[index]
    lists = [raw["allowlists"]] if isinstance(raw.get("allowlists"), dict) else raw.get("allowlists", [])
    allowed = tuple(_compiled(one) for item in lists for one in item.get("regexes", ()))
    share = float(raw.get("entropy", 0)) * ENTROPY_SHARE
    return Rule(_compiled(raw["regex"]), raw.get("secretGroup", 0), share, allowed)


def _compiled(pattern: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # apparently nested sets mean the same in both languages
        return re.compile(translated(pattern))


def translated(pattern: str) -> str:
    """Return one of Go's patterns as Python's: inline flags hold until their group ends."""
    pattern = PADDING.sub("", pattern).replace(r"\z", r"\Z")
    start = "(?i)" if pattern.startswith("(?i)") else ""
    rest = pattern.removeprefix("(?i)")
    while found := INLINE.search(rest):
        end = _end_of_group(rest, found.end())
        rest = f"{rest[: found.start()]}(?{found[1]}:{rest[found.end() : end]}){rest[end:]}"
    return start + rest


def _end_of_group(pattern: str, at: int) -> int:
    depth, in_set = 0, False
    while at < len(pattern):
        sign = pattern[at]
        if sign == "\\":
            at += 1
        elif in_set:
            in_set = sign != "]"
        elif sign == "[":
            in_set = True
        elif sign == "(":
            depth += 1
        elif sign == ")":
            if depth == 0:
                return at
            depth -= 1
        at += 1
    return at
