"""The types of values in the settings: addresses, ranges, MACs, versions, sizes, durations, names.

A value comes in as the stack file contains it and goes out as a real type, or is refused with the id of the rule, the
rule and the likely fix; `config.model` composes its sections from these, `config.explain` turns a refusal into a
problem with a place. Each type can be written back in the form of the stack file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, SecretStr, Strict
from pydantic_core import PydanticCustomError

from config.rules import rule

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
BASE_FOLDER, NO_ENVIRONMENT = "base", "is the folder that all environments build on"
APP_PATH = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?\Z")
MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}\Z")
VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})(-[0-9A-Za-z.-]+)?\Z")
MINOR = re.compile(r"v?(\d{1,4})\.(\d{1,4})\Z")
SIZE = re.compile(r"(\d{1,12})\s*(MiB|GiB|TiB|Mi|Gi|Ti|MB|GB|TB|M|G|T)\Z")
DURATION = re.compile(r"(\d{1,6})(s|m|h|d)\Z")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")
LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?\Z")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?\Z")
TAINT = re.compile(r"(?P<key>[^=:]+)(=(?P<value>[^:]*))?:(?P<effect>NoSchedule|PreferNoSchedule|NoExecute)\Z")
SSH_URL = re.compile(r"(ssh://)?[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+(:\d+)?[:/][^\s]+\Z")
WELL_KNOWN_LABELS = (
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
)
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
KERNEL_ARGUMENT = re.compile(r"-?[a-z][A-Za-z0-9_.]+(=[A-Za-z0-9_./:,=+-]*[A-Za-z0-9_/])?\Z")
EXTENSION = re.compile(r"[a-z0-9-]+/[a-z0-9.-]+\Z")
CREDENTIAL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://[^/\s:@]*(?P<password>:[^\s]*)?@")
RELATIVE = re.compile(r"(?!/)(?!.*(^|/)\.\.(/|\Z))[^\0]+\Z")
MEBI, GIBI, TEBI = 1 << 20, 1 << 30, 1 << 40
UNITS = {"M": MEBI, "G": GIBI, "T": TEBI}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def refuse(check: str, rule: str, fix: str, **shown: str) -> NoReturn:
    """Refuse a value under the id of a rule; `shown` replaces a value that must not be printed."""
    raise PydanticCustomError(check, "{rule}", {"rule": rule, "fix": fix, **shown})


def _text(value: Any, check: str, what: str, example: str) -> str:
    """Return a text; a number or a boolean is usually a text that YAML read as another type."""
    if not isinstance(value, str):
        refuse(check, f"is not {what}", f"write it as {example}")
    return value


@dataclass(frozen=True, order=True)
class Version:
    """A version with major, minor and patch."""

    major: int
    minor: int
    patch: int
    suffix: str = ""

    @classmethod
    @rule(
        "version-floating",
        scope="file",
        why="A name means one version today and another tomorrow; no build could be repeated.",
    )
    @rule("version-malformed", scope="file", why="Upgrades go by minor versions; a version has all its parts.")
    def parse(cls, value: Any) -> Version:
        """Parse 1.13.0 or v1.13.0; a floating name or a missing part is refused."""
        if isinstance(value, Version):
            return value
        if value in ("latest", "stable", "main"):
            refuse("version-floating", "is a floating version", "pin a version such as 1.13.0")
        found = VERSION.match(value) if isinstance(value, str) else None
        if not found:
            refuse("version-malformed", "is not a version with three parts", "write all three parts, such as 1.36.3")
        return cls(int(found[1]), int(found[2]), int(found[3]), found[4] or "")

    @property
    def line(self) -> str:
        """Return the minor version of this release: 1.13."""
        return f"{self.major}.{self.minor}"

    def __str__(self) -> str:
        """Return the version without a leading v."""
        return f"{self.major}.{self.minor}.{self.patch}{self.suffix}"


@dataclass(frozen=True)
class AddressRange:
    """Addresses from the first to the last, both included."""

    first: IPv4Address
    last: IPv4Address

    @classmethod
    @rule("range-malformed", scope="file", why="Load balancers take a range, from the first to the last address.")
    @rule("range-reversed", scope="file", why="The range is empty.")
    def parse(cls, value: Any) -> AddressRange:
        """Parse 10.0.0.50-10.0.0.99."""
        if isinstance(value, AddressRange):
            return value
        text = _text(value, "range-malformed", "a range of addresses", "10.0.0.50-10.0.0.99")
        if "/" in text:
            refuse(
                "range-malformed", "is a CIDR, not a range", "write the first and the last address: 10.0.0.50-10.0.0.99"
            )
        first, _, last = (part.strip() for part in text.partition("-"))
        try:
            found = cls(IPv4Address(first), IPv4Address(last))
        except AddressValueError:
            refuse("range-malformed", "is not a range of addresses", "write it as 10.0.0.50-10.0.0.99")
        if found.last < found.first:
            refuse("range-reversed", "ends before it begins", f"did you mean {last}-{first}?")
        return found

    def __contains__(self, address: IPv4Address) -> bool:
        """Return whether an address is in the range."""
        return self.first <= address <= self.last

    def __str__(self) -> str:
        """Return the range in the form of the stack file."""
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, order=True)
class Size:
    """A size of memory or disk in bytes, in powers of two as in Proxmox and Kubernetes."""

    bytes: int

    @classmethod
    @rule("size-malformed", scope="file", why="A size without a binary unit has two meanings.")
    def parse(cls, value: Any) -> Size:
        """Parse 8GiB, 512MiB, 1TiB."""
        if isinstance(value, Size):
            return value
        found = SIZE.match(value) if isinstance(value, str) else None
        if not found:
            refuse("size-malformed", "is not a size", "write a number and a unit: 8GiB")
        if found[2].endswith("B") and "i" not in found[2]:
            meant = f"{found[1]}{found[2][0]}iB"
            refuse(
                "size-malformed", "is in powers of ten, and Proxmox counts in powers of two", f"did you mean {meant}?"
            )
        return cls(int(found[1]) * UNITS[found[2][0]])

    @property
    def mebibytes(self) -> int:
        """Return the size in Proxmox' unit of memory."""
        return self.bytes // MEBI

    @property
    def gibibytes(self) -> int:
        """Return the size in Proxmox' unit of disks."""
        return self.bytes // GIBI

    def __str__(self) -> str:
        """Return the size in the largest unit that divides it."""
        for unit, factor in (("TiB", TEBI), ("GiB", GIBI)):
            if self.bytes and self.bytes % factor == 0:
                return f"{self.bytes // factor}{unit}"
        return f"{self.bytes // MEBI}MiB"


@dataclass(frozen=True, order=True)
class Duration:
    """A duration in seconds."""

    seconds: int

    @classmethod
    @rule("duration-malformed", scope="file", why="A duration without a unit can mean seconds or minutes.")
    def parse(cls, value: Any) -> Duration:
        """Parse 90s, 10m, 2h, 7d."""
        if isinstance(value, Duration):
            return value
        found = DURATION.match(value) if isinstance(value, str) else None
        if not found:
            refuse("duration-malformed", "is not a duration", "write a number and a unit: 90s, 10m, 2h")
        return cls(int(found[1]) * SECONDS[found[2]])

    def __str__(self) -> str:
        """Return the duration in the form of Go and Kubernetes."""
        return f"{self.seconds // 60}m" if self.seconds and self.seconds % 60 == 0 else f"{self.seconds}s"


@rule("address-malformed", scope="file", why="An address is four numbers; its network is set once, in network.subnet.")
def _address(value: Any) -> IPv4Address:
    if isinstance(value, IPv4Address):
        return value
    try:
        return IPv4Address(_text(value, "address-malformed", "an IPv4 address", "10.0.0.20"))
    except AddressValueError:
        fix = "remove the prefix length" if "/" in str(value) else "write four numbers up to 255: 10.0.0.20"
        refuse("address-malformed", "is not an IPv4 address", fix)


@rule("cidr-malformed", scope="file", why="A network is an address and a prefix length.")
@rule(
    "cidr-host-bits", scope="file", why="A network with host bits has two meanings: the network, or one address in it."
)
def _network(value: Any) -> IPv4Network:
    if isinstance(value, IPv4Network):
        return value
    text = _text(value, "cidr-malformed", "a network", "10.0.0.0/24")
    if "/" not in text:
        refuse("cidr-malformed", "has no prefix length", f"did you mean {text}/24?")
    try:
        loose = IPv4Network(text, strict=False)
    except ValueError:
        refuse("cidr-malformed", "is not a network", "write it as 10.0.0.0/24")
    if str(loose.network_address) != text.split("/", maxsplit=1)[0]:
        refuse("cidr-host-bits", "has host bits set", f"did you mean {loose}?")
    return loose


@rule("mac-malformed", scope="file", why="Proxmox rejects the network card.")
def _mac(value: Any) -> str:
    text = _text(value, "mac-malformed", "a MAC address", '"bc:24:11:00:00:01"')
    if not MAC.match(text):
        refuse("mac-malformed", "is not a MAC address", "write six pairs of hexadecimal digits: bc:24:11:00:00:01")
    if int(text[:2], 16) & 1:
        refuse("mac-malformed", "is a multicast MAC address", "make the first pair even, such as 02 or bc")
    return text.lower()


@rule(
    "name-malformed",
    scope="file",
    why="The name becomes a host name, an object's name or both, and those are DNS labels.",
)
@rule("domain-malformed", scope="file", why="Certificates and routes need a full domain.")
@rule("email-malformed", scope="file", why="Let's Encrypt rejects the registration of such an account.")
@rule("extension-malformed", scope="file", why="The image factory names extensions as vendor/name.")
@rule(
    "kernel-argument-malformed",
    scope="file",
    why="The image factory computes the image's id from the exact text of the argument.",
)
@rule("path-malformed", scope="file", why="The stack must work from every checkout: paths stay inside the repository.")
@rule("checksum-malformed", scope="file", why="Proxmox compares it with that of the whole file, digit by digit.")
def _matching(pattern: re.Pattern[str], check: str, what: str, example: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        text = _text(value, check, what, example)
        if not pattern.match(text):
            refuse(check, f"is not {what}", f"write it as {example}")
        return text

    return parse


@rule("repository-malformed", scope="file", why="Argo CD reads Git over https or ssh.")
@rule("repository-credential", scope="file", why="Every report shows the URL; a credential in it is published.")
def _repository(value: Any) -> str:
    text = _text(value, "repository-malformed", "a repository URL", "https://github.com/you/homelab.git")
    try:
        parts = urlsplit(text)
        secret = parts.password or (parts.username if parts.scheme == "https" else None)
    except ValueError:
        refuse("repository-malformed", "is not a URL", "write it as https://github.com/you/homelab.git")
    if parts.scheme == "https" and secret:
        fix = "put it under homelab:secrets as gitToken"
        refuse("repository-credential", "carries a credential in the URL", fix, shown=f"https://***@{parts.hostname}")
    if (parts.scheme == "https" and DOMAIN.match(parts.hostname or "") and parts.path.strip("/")) or SSH_URL.match(
        text
    ):
        return text
    fix = "write https://host/you/homelab.git or git@host:you/homelab.git"
    refuse("repository-malformed", "is neither an https nor an ssh repository", fix)


@rule(
    "url-credential",
    scope="file",
    why="A stack file is in Git in plain text, and its URLs are printed and stored on each node.",
)
def _without_credential(text: str) -> None:
    """Refuse a user and a password in a URL: URLs are printed, and are in Git in plain text."""
    found = CREDENTIAL.match(text)
    if found and (found["scheme"] != "ssh" or found["password"]):
        fix = "remove it, and put the credential under homelab:secrets"
        shown = f"{found['scheme']}://***@{text[found.end() :]}"
        refuse("url-credential", "carries a credential in the URL", fix, shown=shown)


@rule("url-malformed", scope="file", why="The endpoint is reached over https.")
def _url(value: Any) -> str:
    text = _text(value, "url-malformed", "a URL", "https://charts.example.com")
    _without_credential(text)
    return text


def _https(value: Any) -> str:
    text = _text(value, "url-malformed", "a URL", "https://10.0.0.2:8006")
    _without_credential(text)
    try:
        parts = urlsplit(text)
        complete = parts.scheme == "https" and bool(parts.hostname) and (parts.port or 443) > 0
    except ValueError:
        complete = False
    if not complete or " " in text:
        refuse("url-malformed", "is not an https URL", "write it as https://host:port")
    return text.rstrip("/")


@rule("taint-malformed", scope="file", why="Kubernetes rejects the taint, and with it the node.")
def _taint(value: Any) -> str:
    text = _text(value, "taint-malformed", "a taint", "gpu=true:NoSchedule")
    found = TAINT.match(text)
    if not found or not LABEL_KEY.match(found["key"]) or not LABEL_VALUE.match(found["value"] or ""):
        refuse("taint-malformed", "is not a taint", "write key=value:NoSchedule, PreferNoSchedule or NoExecute")
    return text


@rule("label-malformed", scope="file", why="Kubernetes rejects the label, and with it the whole node.")
def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        refuse("label-malformed", "is not a map of labels", "write one `key: value` per line")
    for key, label in value.items():
        if not LABEL_KEY.match(str(key)):
            refuse("label-malformed", f"the key {key!r} is not a label's key", "write it as example.com/name")
        if not isinstance(label, str) or not LABEL_VALUE.match(label):
            refuse("label-malformed", f"the value of {key!r} is not a label's value", 'quote it: "true"')
    return value


@rule("name-malformed", scope="file")
def _environment(value: Any) -> str:
    name = _matching(LABEL, "name-malformed", "a DNS label", "production")(value)
    if name == BASE_FOLDER:
        refuse("name-malformed", NO_ENVIRONMENT, "choose another name")
    return name


def is_a_kubelets(label: str) -> bool:
    """Return whether Kubernetes lets a kubelet set this label on its own Node; a worker can set no other."""
    namespace = label.rpartition("/")[0]
    if not f".{namespace}".endswith((".kubernetes.io", ".k8s.io")):
        return True
    return label in WELL_KNOWN_LABELS or f".{namespace}".endswith((".node.kubernetes.io", ".kubelet.kubernetes.io"))


@rule("choice-unknown", scope="file", why="Behaviours are chosen by named values, and this is none of them.")
def _choice(known: tuple[str, ...], value: Any) -> str:
    if value in known and isinstance(value, str):
        return value
    near = difflib.get_close_matches(str(value), known, n=1)
    meant = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(known)}"
    refuse("choice-unknown", f"is none of {', '.join(known)}", meant)


def choice(*known: str) -> BeforeValidator:
    """Return a validator that accepts the named values and suggests the nearest for a misspelling."""
    return BeforeValidator(partial(_choice, known))


def _minor(value: Any) -> str:
    found = MINOR.match(value) if isinstance(value, str) else None
    if not found:
        refuse("version-malformed", "is not a minor version in quotes", 'write it as "1.13"')
    return f"{found[1]}.{found[2]}"


Text = Annotated[str, Strict()]
Number = Annotated[int, Strict()]
Address = Annotated[IPv4Address, PlainValidator(_address)]
Network = Annotated[IPv4Network, PlainValidator(_network)]
Range = Annotated[AddressRange, PlainValidator(AddressRange.parse), PlainSerializer(str)]
Mac = Annotated[str, PlainValidator(_mac)]
Release = Annotated[Version, PlainValidator(Version.parse), PlainSerializer(str)]
Minor = Annotated[str, PlainValidator(_minor)]
Bytes = Annotated[Size, PlainValidator(Size.parse), PlainSerializer(str)]
Span = Annotated[Duration, PlainValidator(Duration.parse), PlainSerializer(str)]
Name = Annotated[str, PlainValidator(_matching(LABEL, "name-malformed", "a DNS label", "worker-1"))]
Environment = Annotated[str, PlainValidator(_environment)]
Domain = Annotated[str, PlainValidator(_matching(DOMAIN, "domain-malformed", "a domain", "home.example.com"))]
Email = Annotated[str, PlainValidator(_matching(EMAIL, "email-malformed", "an e-mail address", "you@example.com"))]
Extension = Annotated[
    str, PlainValidator(_matching(EXTENSION, "extension-malformed", "a Talos extension", "siderolabs/qemu-guest-agent"))
]
KernelArgument = Annotated[
    str,
    PlainValidator(_matching(KERNEL_ARGUMENT, "kernel-argument-malformed", "a kernel argument", "intel_iommu=on")),
]
RelativePath = Annotated[
    str, PlainValidator(_matching(RELATIVE, "path-malformed", "a path inside the repository", "patches/gpu.yaml"))
]
Checksum = Annotated[
    str, PlainValidator(_matching(SHA256, "checksum-malformed", "a SHA-256 checksum", "64 hexadecimal digits"))
]
Repository = Annotated[str, PlainValidator(_repository)]
Url = Annotated[str, PlainValidator(_url)]
Https = Annotated[str, PlainValidator(_https)]
Taint = Annotated[str, PlainValidator(_taint)]
Labels = Annotated[dict[str, str], PlainValidator(_labels)]
Secret = SecretStr
