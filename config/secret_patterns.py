"""Names and patterns of secrets: one list for the search in Git and for every redaction.

A name and a value, or a text, come in; whether the value is secret, or the spans of secrets in the text, go out.
`config.leaks` refuses secrets in Git, `manifests.redact` and `components.cluster.configuration_diff` cover them in
outputs: a pattern that is added here serves all three.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from config import tokens

TextSpan: TypeAlias = "tuple[int, int]"
Strength = Literal["", "reference", "secret"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
PASSWORD = re.compile(
    r"(?:\w*(?:passwords?|passwd|passphrases?|passcode)|pass|pwd|pw|psk|requirepass|masterauth|preshared"
    r"|(?:db|user|root|admin|my|my?sql|pg|smtp|imap|mail|ldap|bind|http|redis|rcon)(?:pass|pwd|pw))\Z"
)
TOKEN = re.compile(
    r"(?:\w*tokens?|apikey|authkey|secretkey|privatekey|accesskey|encryptionkey|signingkey|masterkey|sharedkey"
    r"|clientsecret|appsecret|credentials?)\Z"
)
KEY_OF = _words(
    "access account aes api app auth bot client consumer cookie crypt crypto db decryption deploy encrypt encryption"
    " hmac jwt license master oauth private recovery secret security session shared preshared sign signing ssh storage"
    " unseal user vapid webhook"
)
SECRET_OF = _words(
    "access admin api app auth better bot client cluster consumer cookie encryption hmac hook jwt nextauth oauth"
    " otp root rpc service session shared signing totp turn user webhook"
)
# A name with one of these words is about a secret, such as its length, and holds none.
ABOUT = _words(
    "allow automount check count disable disabled enable enabled existing has is keep length max maximum min minimum"
    " no num require rotate show skip use validate with"
)
NO_SECRET = _words("checksum digest foreign hash primary public sha sha256 sort topology")
# After a colon, these words continue a sentence.
PROSE = _words(
    "a an and are be by can cannot choose do enter for from has have if in incorrect invalid is it may missing must not"
    " of on or required see set should the this to use used was when will with wrong you your"
)
WHOLE = ("clientkeydata", "secretkeybase", "dockerconfigjson", "dockercfg", "identitytoken", "registrytoken")
HARMLESS = re.compile(
    r"\s*\Z|\$|.*(?:\{\{|\$\{|\$\()|<[^<>]*>\Z|%\(?[\w.]+\)?[sd]?%?\Z|!\w|ENC\[|\((?:redacted|encrypted|covered|plain)"
    r"|[*.•]+\Z|x+\Z|redacted\Z|(?:true|false|yes|no|on|off|null|nil|none|default|enabled|disabled|required|optional)\Z"
    r"|(?:op|vault|file|env|secret|bws|sops|doppler|awssm|gcpsm|azkv|keyring|ref\+\w+):|(?:\.{1,2}|~)?/[\w./%@-]*\Z",
    re.IGNORECASE,
)
# The name of an object, of a key in one, or of a variable; a duration, a small number, an address.
REFERENCE = re.compile(
    r"[a-z]+[0-9]?(?:[-.][a-z]+[0-9]?)+\Z|(?-i:[A-Z]+(?:_[A-Z]+)+\Z)|[0-9.]{1,6}(?:ms|s|m|h|d)?\Z|\w+://[^@]*\Z"
    r"|(?:access|api|auth|authkey|client|credentials?|id|key|name|password|secret|token|user|username|value|string)\Z"
    r"|(?:(?:access|admin|api|app|auth|client|db|private|root|s3|secret|user)_?)+"
    r"(?:id|key|name|password|secret|token)\Z",
    re.IGNORECASE,
)
RANDOM = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9+/=_.~-]{16,}\Z")
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\Z")
HEADER = re.compile(
    r"(?:proxy-)?authorization\Z|(?:set-)?cookie\Z|x-(?:\w+-){0,3}(?:key|token|secret|auth)\Z", re.IGNORECASE
)

PRIVATE = re.compile(
    r"-----BEGIN[ A-Z0-9]{0,60}PRIVATE KEY[ A-Z]{0,20}-----.*?"
    r"(?:-----END[ A-Z0-9]{0,60}PRIVATE KEY[ A-Z]{0,20}-----|\Z)",
    re.DOTALL,
)
QUOTED = r"\"(?:[^\"\\\n]|\\.){0,2000}\"|'(?:[^'\n]|''){0,2000}'|\\\"[^\"\\\n]{0,2000}\\\""
SETTING = re.compile(
    rf"(?<![\w.$@%/-])(?:\\?[\"'])?(?P<name>[A-Za-z_][\w./-]{{0,80}})(?:\\?[\"'])?"
    rf"[ \t]{{0,4}}(?::=|=>|[:=])[ \t]{{0,4}}"
    rf"(?P<value>{QUOTED}|[^\s,;&\"'<>)}}\]][^\s,;&\"'<>]{{0,2000}})"
)
# A whole line of a settings file: the value may contain spaces and quotes.
LINE = re.compile(
    r"^[ \t]{0,200}(?:export[ \t]+|-[ \t]+|set[ \t]+)?(?P<name>[A-Za-z_][\w./-]{0,80})[ \t]{0,4}[:=][ \t]{0,4}"
    r"(?P<value>[^\s\"'{\[|>#&*][^\n]{0,2000})",
    re.MULTILINE,
)
PAIR = re.compile(
    r"^[ \t]{0,200}(?P<name>[A-Za-z_][\w.-]{0,80})[ \t]+(?P<value>[^\s:=#{][^\s]{0,500})[ \t]*;?[ \t]*$", re.MULTILINE
)
ARGUMENT = re.compile(
    rf"(?<![\w-])--?(?P<name>[A-Za-z][\w.-]{{1,80}})(?:=|[ \t]{{1,4}})"
    rf"(?P<value>{QUOTED}|[^\s\"',;-][^\s\"',;]{{0,2000}})"
)
ELEMENT = re.compile(r"<(?P<name>[A-Za-z_][\w.-]{0,80})>(?P<value>[^<\n]{1,2000})</")
ATTRIBUTE = re.compile(
    rf"\bname=[\"'](?P<name>[\w.-]{{1,80}})[\"'][ \t]{{1,4}}value=(?P<value>{QUOTED})", re.IGNORECASE
)
NAMED = (SETTING, LINE, ARGUMENT, ELEMENT, ATTRIBUTE)
AUTHORIZATION = re.compile(
    r"authorization[\"'\\]{0,2}[ \t]{0,4}[:=]?[ \t]{0,4}[\"'\\]{0,2}(?:(?:basic|bearer|token|digest|apikey)[ \t]{1,4})?"
    r"(?P<value>[^\s\"'\\,;{]{6,2000})",
    re.IGNORECASE,
)
BEARER = re.compile(r"\b(?:basic|bearer)[ \t]{1,4}(?P<value>[A-Za-z0-9+/=._~-]{8,2000})", re.IGNORECASE)
IN_URL = re.compile(r"(?<=://)(?P<user>[^\s/:@\"'<>]{0,200}):(?P<value>[^\s\"'<>]{1,300})@(?=[\w\[{$])")
OF_A_URL = re.compile(r"(?<=://)(?P<value>[A-Za-z0-9_-]{16,300})@(?=[\w\[])")
WORD_SIZE = 100
PORT = re.compile(r"[0-9]{1,5}(?:[/?]|\Z)")
ALONE = (
    re.compile(r"\b(?:my\w{0,20}|mariadb\w{0,10})\b[^\n]{0,200}?[ \t]-p(?P<value>[^\s\"'-][^\s\"']{2,200})"),
    re.compile(r"\bsshpass[ \t]+-p[ \t]{0,4}(?P<value>[^\s]{1,200})"),
    re.compile(r"\bredis-\w{1,10}\b[^\n]{0,200}?[ \t]-a[ \t]+(?P<value>[^\s\"']{1,200})"),
    re.compile(
        r"(?:^|[\s\"'])--[\w-]{0,40}(?:auth|login|credentials|userpass)[ =]"
        r"[\"']?[\w.@-]{1,80}:(?P<value>[^\s\"':]{3,200})"
    ),
    re.compile(
        r"\bx-(?:\w{1,20}-){0,3}(?:key|token|secret|auth)[\"']?[ \t:=]{1,4}[\"']?"
        r"(?P<value>(?=[^\s]{0,200}?[0-9])[^\s\"';,]{8,400})",
        re.IGNORECASE,
    ),
    re.compile(r"(?:^|[\s\"'])(?:-u|--user|--userpwd)[ =][\"']?[\w.@-]{1,80}:(?P<value>[^\s\"':]{3,200})"),
    re.compile(
        r"\b(?:login|user|machine)[ \t]+[^\s]{1,100}[ \t]+(?:[^\s]{1,100}[ \t]+)?password[ \t]+(?P<value>[^\s]{1,200})"
    ),
    re.compile(r"(?:^|[\s\"'])[\w.@-]{1,80}:(?P<value>[^\s:@/\"']{3,200})@(?:tcp|unix)\("),
    re.compile(r"^[\w.@-]{1,80}:(?P<value>\$(?:apr1|2[abxy]|5|6|argon2id)\$[^\s:]{16,200})", re.MULTILINE),
    re.compile(r"^[\w.*-]{1,100}:(?:\d{4,5}|\*):[\w.*-]{1,80}:[\w.*-]{1,80}:(?P<value>[^\s:]{1,200})$", re.MULTILINE),
)
BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}\Z")
SHORT_VALUE = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[^/:\s]{4,200}\Z")  # after -p, also a port
LONG_WORD = 8
AT_RANDOM = 3.4  # bits per character, of random hexadecimal digits


@lru_cache(maxsize=4096)
def strength(name: str) -> Strength:
    """Return whether a name belongs to a secret, or to either a secret or a reference to one."""
    name = name.rsplit("/", 1)[-1]
    words = [word.lower() for word in WORD.findall(name)]
    while words and words[-1].isdigit():
        words.pop()
    if not words or words[0] in ABOUT:
        return ""
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if PASSWORD.match(last):
        return "secret"
    if "".join(words[-3:]) in WHOLE or "".join(words[-2:]) in WHOLE:
        return "secret"
    keyish = (last == "key" and before in KEY_OF) or (last in ("secret", "secrets") and before in SECRET_OF)
    loud = VARIABLE.match(name) is not None and len(words) > 1
    if TOKEN.match(last) or keyish or (loud and last == "secret"):
        return "secret" if loud and last not in ("tokens", "credentials") else "reference"
    return ""


def is_secret(name: str, value: Any, *, in_doubt: bool = False) -> bool:
    """Return whether a value under a name is a plain secret; `in_doubt` includes values that look like references."""
    how = strength(name)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or (how == "" and not _bare(name, value)):
        return False
    text = str(value).strip()
    if HARMLESS.match(text):
        return False
    if how == "secret":
        return len(text) > 1
    return how == "" or in_doubt or not REFERENCE.match(text)


def _bare(name: str, value: Any) -> bool:
    """Return whether a random value is under a name such as `key`, which alone does not identify a secret."""
    words = [word.lower() for word in WORD.findall(name)]
    last = words[-1] if words and not NO_SECRET.intersection(words) else ""
    if last not in ("secret", "key", "auth", "sig") or not isinstance(value, str):
        return False
    return bool(RANDOM.match(value)) and tokens.entropy(value) > AT_RANDOM


def spans(text: str, *, of_tokens: bool = True, in_doubt: bool = False) -> tuple[TextSpan, ...]:
    """Return the spans of secrets in a text, sorted and without overlap; `of_tokens=False` skips tokens."""
    # Objects repeat their short texts a hundred times: kinds, labels, paths.
    return (_spans_of_word if len(text) <= WORD_SIZE else _spans)(text, of_tokens, in_doubt)


def _spans(text: str, of_tokens: bool, in_doubt: bool) -> tuple[TextSpan, ...]:
    found = sorted(
        {*(tokens.spans(text) if of_tokens else ()), *_named(text, in_doubt=in_doubt), *_urls(text), *_alone(text)}
    )
    joined: list[TextSpan] = []
    for start, end in found:
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        elif end > start:
            joined.append((start, end))
    return tuple(joined)


_spans_of_word = lru_cache(maxsize=16384)(_spans)


def _named(text: str, *, in_doubt: bool) -> Iterator[TextSpan]:
    for pattern in NAMED:
        for found in pattern.finditer(text):
            start, end = found.span("value")
            bare = found["value"].strip("\\\"' \t\r;")
            if is_secret(found["name"], bare, in_doubt=in_doubt) and not _is_prose(text, found):
                yield start, end
    for found in PAIR.finditer(text):
        if strength(found["name"]) == "secret" and not HARMLESS.match(found["value"]) and _is_telling(found["value"]):
            yield found.span("value")


def _is_prose(text: str, found: re.Match[str]) -> bool:
    """Return whether the colon belongs to a sentence: words before the name and after it, or a typical next word."""
    if not text[found.end("name") :].startswith((": ", "= ")):
        return False
    first = found["value"].split()[0] if found["value"].split() else ""
    before = text[text.rfind("\n", 0, found.start()) + 1 : found.start("name")].strip(" \t-#/\"'{[,\\")
    return first.lower() in PROSE or bool(before and before.replace(" ", "").isalpha() and first.isalpha())


def _is_telling(value: str) -> bool:
    """Return whether a word after a name is a value, not the next word of a sentence."""
    return bool(re.search(r"[0-9]", value)) or len(value) > LONG_WORD


def _urls(text: str) -> Iterator[TextSpan]:
    for found in IN_URL.finditer(text) if "://" in text else ():
        if not PORT.match(found["value"]) and not HARMLESS.match(found["value"]):
            yield found.span("value")
    for found in OF_A_URL.finditer(text) if "://" in text else ():
        if RANDOM.match(found["value"]):
            yield found.span("value")


def _alone(text: str) -> Iterator[TextSpan]:
    for found in AUTHORIZATION.finditer(text):
        if not HARMLESS.match(found["value"]) and (RANDOM.match(found["value"]) or _is_pair(found["value"])):
            yield found.span("value")
    for found in BEARER.finditer(text):
        if RANDOM.match(found["value"]) or _is_pair(found["value"]):
            yield found.span("value")
    for pattern in ALONE:
        for found in pattern.finditer(text):
            if not HARMLESS.match(found["value"]) or found["value"].startswith(("$2", "$a", "$5", "$6")):
                yield found.span("value")


def in_command(text: str) -> bool:
    """Return whether the words of a command contain a secret that no single word shows."""
    return any(_alone(text))


def _is_pair(value: str) -> bool:
    """Return whether a text is user:password in base64."""
    return ":" in (decoded(value) or "")


def decoded(text: str) -> str:
    """Return the text in a base64 value, empty if there is none."""
    compact = "".join(text.split())
    if not BASE64.match(compact) or len(compact) % 4:
        return ""
    try:
        found = base64.b64decode(compact, validate=True).decode("utf-8")
    except ValueError:
        return ""
    return found if found.isprintable() or "\n" in found else ""


def hide(text: str, cover: Callable[[str], str], *, in_doubt: bool = True) -> str:
    """Return a text with each secret covered, doubtful ones too: Git still has a value that is covered needlessly."""
    text = PRIVATE.sub(lambda found: cover(found[0]), text)
    parts, at = [], 0
    for start, end in spans(text, in_doubt=in_doubt):
        parts += [text[at:start], cover(text[start:end])]
        at = end
    return "".join([*parts, text[at:]])


def after_argument(items: Iterable[Any]) -> list[bool]:
    """Return for each item of a list whether it is the value of the argument before it."""
    found, before, short = [], False, False
    for item in items:
        telling = before or (short and isinstance(item, str) and SHORT_VALUE.match(item))
        found.append(bool(telling) and isinstance(item, (str, int)) and not str(item).startswith("-"))
        name = str(item) if isinstance(item, str) and re.match(r"--?[A-Za-z][\w.-]*\Z", item) else ""
        before, short = bool(strength(name.lstrip("-"))), name == "-p"
    return found
