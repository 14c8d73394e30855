"""Stand-in for the plugin of pulumi-random: passwords, text, ids and bytes from the system's random source.

Every changed input generates a new value, as with the official plugin, and no other event does. The `bcryptHash` of a
password comes from the system's own libcrypt; without bcrypt there (macOS), it is left out.
"""

from __future__ import annotations

import base64
import ctypes
import secrets
import string
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from lab.plugins.base import ResourceKind, StandIn
from lab.plugins.properties import UNKNOWN, Plain
from lab.plugins.schema import InputProblem
from lab.plugins.server import serve

SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
CLASSES = {
    "lower": ("minLower", string.ascii_lowercase),
    "upper": ("minUpper", string.ascii_uppercase),
    "numeric": ("minNumeric", string.digits),
    "special": ("minSpecial", SPECIAL),
}
MINIMA = tuple(minimum for minimum, _ in CLASSES.values())
LIBRARIES = ("libcrypt.so.2", "libcrypt.so.1")
BCRYPT_LETTERS = "./" + string.ascii_uppercase + string.ascii_lowercase + string.digits
LONGEST_FOR_BCRYPT = 72
BY_ITSELF = "none"
one_at_a_time = threading.Lock()


def at_least(inputs: Plain, bounds: Mapping[str, int]) -> Iterator[InputProblem]:
    """Return an error for numbers that are too small."""
    for name, least in bounds.items():
        value = inputs.get(name, least)
        if value is not UNKNOWN and value < least:
            reason = f"Attribute {name} value must be at least {least}, got: {value}."
            yield InputProblem(name, f"Invalid Attribute Value. {reason}")


class RandomText(ResourceKind):
    """Letters, digits and signs, with a minimum of each."""

    def refusals(self, inputs: Plain) -> Iterable[InputProblem]:
        """Refuse impossible requirements."""
        yield from at_least(inputs, {"length": 1, **dict.fromkeys(MINIMA, 0)})
        amounts = [inputs.get(minimum, 0) for minimum in MINIMA]
        length = inputs["length"]
        if UNKNOWN not in (length, *amounts) and length < sum(amounts):
            reason = f"Attribute length value must be at least sum of {' + '.join(MINIMA)}, got: {length}."
            yield InputProblem("length", f"Invalid Attribute Value. {reason}")
        if all(wanted(inputs, name) is False for name in CLASSES):
            yield InputProblem(
                "special", "Invalid Attribute Combination. At least one class of characters must be allowed."
            )

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Generate the text."""
        text = drawn(inputs)
        allowed = {name: wanted(inputs, name) for name in (*CLASSES, "number")}
        outputs = {**dict.fromkeys(MINIMA, 0), **allowed, "result": text}
        return self.identity(text), {**outputs, **inputs, **self.more(text)}

    def identity(self, text: str) -> str:
        """Return the id."""
        return text

    def more(self, text: str) -> Plain:
        """Return further outputs."""
        return {}


class Password(RandomText):
    """Text that is secret."""

    def identity(self, text: str) -> str:
        """Return an id without the secret."""
        return BY_ITSELF

    def more(self, text: str) -> Plain:
        """Return its hash."""
        return {"bcryptHash": bcrypt(text)}


class Uuid(ResourceKind):
    """A UUID."""

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Generate the UUID."""
        text = str(uuid.uuid4())
        return text, {"result": text}


class Bytes(ResourceKind):
    """Bytes that are secret."""

    def refusals(self, inputs: Plain) -> Iterable[InputProblem]:
        """Refuse zero bytes."""
        return at_least(inputs, {"length": 1})

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Generate the bytes."""
        drawn_bytes = secrets.token_bytes(inputs["length"])
        return BY_ITSELF, {"base64": base64.b64encode(drawn_bytes).decode(), "hex": drawn_bytes.hex()}


class Id(ResourceKind):
    """Bytes that are not secret, in many encodings."""

    def refusals(self, inputs: Plain) -> Iterable[InputProblem]:
        """Refuse zero bytes."""
        return at_least(inputs, {"byteLength": 1})

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Generate the bytes."""
        drawn_bytes = secrets.token_bytes(inputs["byteLength"])
        url = base64.urlsafe_b64encode(drawn_bytes).decode().rstrip("=")
        spellings = {
            "b64Std": base64.b64encode(drawn_bytes).decode(),
            "b64Url": url,
            "hex": drawn_bytes.hex(),
            "dec": str(int.from_bytes(drawn_bytes, "big")),
        }
        prefix = inputs.get("prefix", "")
        return url, {name: f"{prefix}{text}" for name, text in spellings.items()}


def wanted(inputs: Plain, name: str) -> bool:
    """Report whether a class of characters is allowed; `number` is the old name of `numeric`."""
    if name in ("numeric", "number"):
        return bool(inputs.get("numeric", inputs.get("number", True)))
    return bool(inputs.get(name, True))


def drawn(inputs: Plain) -> str:
    """Generate a text with all required characters, in random order."""
    letters, must = "", []
    for name, (minimum, members) in CLASSES.items():
        allowed = (inputs.get("overrideSpecial") or members) if name == "special" else members
        letters += allowed if wanted(inputs, name) else ""
        must += [secrets.choice(allowed) for _ in range(inputs.get(minimum, 0))]
    must += [secrets.choice(letters) for _ in range(inputs["length"] - len(must))]
    secrets.SystemRandom().shuffle(must)
    return "".join(must)


def bcrypt(text: str) -> str | None:
    """Hash a password with the system's library, if it can."""
    # The last letter of a salt carries two bits only.
    salt = "".join(secrets.choice(BCRYPT_LETTERS) for _ in range(21)) + secrets.choice(".Oeu")
    for name in LIBRARIES:
        try:
            crypt = ctypes.CDLL(name).crypt
        except (OSError, AttributeError):
            continue
        crypt.restype = ctypes.c_char_p
        with one_at_a_time:  # the library returns one buffer for all threads
            hashed: bytes | None = crypt(text.encode()[:LONGEST_FOR_BCRYPT], f"$2a$10${salt}".encode())
        if hashed and hashed.startswith(b"$2a$"):
            return hashed.decode()
    return None


class Random(StandIn):
    """The plugin of pulumi-random."""

    package, distribution = "random", "pulumi_random"
    kinds: ClassVar = {
        "random:index/randomPassword:RandomPassword": Password,
        "random:index/randomString:RandomString": RandomText,
        "random:index/randomUuid:RandomUuid": Uuid,
        "random:index/randomBytes:RandomBytes": Bytes,
        "random:index/randomId:RandomId": Id,
    }


if __name__ == "__main__":
    serve(Random())
