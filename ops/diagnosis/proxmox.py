"""`./homelab doctor --stack`: the requirements that Proxmox must meet before the first resource is made.

Checked settings come in, findings for the doctor's table go out, each with the command that mends it. The API token is
read from the stack's encrypted settings and sent in one header only. All requests to Proxmox are read-only; a request
to the image factory makes it build the images.
"""

from __future__ import annotations

import os
import re
import socket
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from urllib3.exceptions import InsecureRequestWarning

import programs
from components.machines import images
from config import derive, rights
from config.derive import Machine, how_to_set, missing_secrets
from config.model import Host, Settings
from errors import HardwareRefused, HomelabError, ProgramFailed
from ops.diagnosis.finding import Finding
from ops.engine.engine import reason
from ops.stack import checked
from ops.terminal import count
from ops.toolchain import lookup

SCHEME = "PVEAPIToken"
TOKEN = re.compile(r"(?P<user>[^\s!]+@[^\s!=]+)!(?P<name>[^\s=]+)=\S+\Z")
SECONDS = (5.0, 20.0)  # to connect, and between two bytes of an answer
SECONDS_OF_FACTORY = (5.0, 120.0)  # the factory builds a new image while the request waits
SECONDS_OF_PORT = 3.0
UNTRUSTED = "the certificate is not trusted here"
TALOS_PORT = 50000
PROCESSORS = {"amd64": "x86_64", "arm64": "aarch64"}


class _Token(requests.auth.AuthBase):
    """The only code that sends the token; the user's .netrc would replace a plain header."""

    def __init__(self, token: str) -> None:
        """Store the token."""
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token to a request."""
        request.headers["Authorization"] = f"{SCHEME}={self._token}"
        return request


@dataclass
class ProxmoxApi:
    """The API of a Proxmox cluster, read only."""

    endpoint: str
    verify: bool
    token: str = field(repr=False)
    session: requests.Session = field(default_factory=requests.Session, repr=False)
    seconds: tuple[float, float] = field(default_factory=lambda: SECONDS)

    def get(self, path: str, /, **parameters: str | int) -> Any:
        """Return the data of an answer, or refuse with the error message of Proxmox."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureRequestWarning)  # proxmox.certificate allows it
            try:
                answer = self.session.get(
                    f"{self.endpoint}/api2/json{path}",
                    params=parameters,
                    auth=_Token(self.token),
                    verify=self.verify,
                    timeout=self.seconds,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                raise HardwareRefused(self._unanswered(error)) from None
        try:
            body = answer.json()
        except ValueError:
            body = {}
        if answer.ok and isinstance(body, dict) and "data" in body:
            return body["data"]
        if answer.ok:
            raise HardwareRefused(f"GET {path}: no answer of Proxmox (HTTP {answer.status_code})")
        errors = body.get("errors") if isinstance(body, dict) else None
        said = "; ".join(f"{name}: {text.strip()}" for name, text in errors.items()) if errors else answer.reason
        raise HardwareRefused(f"GET {path}: HTTP {answer.status_code}: {str(said).strip()}")

    def _unanswered(self, error: requests.RequestException) -> str:
        if isinstance(error, requests.exceptions.SSLError):
            return f"{self.endpoint}: {UNTRUSTED}"
        if isinstance(error, requests.Timeout):
            return f"{self.endpoint}: no answer in time"
        return f"{self.endpoint}: cannot be reached"


def examine(root: Path, stack: str) -> Iterator[Finding]:
    """Yield the findings about a stack; a check that depends on a failed one is left out."""
    settings = checked(root, stack).settings
    token, finding = read_token(root, stack, settings)
    yield finding
    if token:
        proxmox = settings.proxmox
        api = ProxmoxApi(proxmox.endpoint, proxmox.certificate == "verified", token)
        with api.session:
            yield from Hosts(settings, api).examine()
    yield from factory(settings)


def read_token(root: Path, stack: str, settings: Settings) -> tuple[str, Finding]:
    """Return the decrypted token, or an empty one, and a finding about it."""
    thing = "API token"
    if "proxmoxToken" in missing_secrets(settings):
        return "", Finding(thing, "missing", "not set", how_to_set(stack, ["proxmoxToken"]))
    here, missing = lookup.locate(["pulumi"])
    if missing:
        return "", Finding(thing, "missing", "pulumi, which decrypts it, is not there", "./homelab tools --only pulumi")
    env = here.env({**os.environ, **lookup.QUIET})
    place = ("--path", "homelab:secrets.proxmoxToken", "--stack", stack)
    try:
        token = programs.run("pulumi", "config", "get", *place, cwd=root, env=env, timeout=60)
    except ProgramFailed as failure:
        return "", Finding(thing, "missing", "cannot be decrypted", reason(failure.output))
    except HomelabError as error:
        return "", Finding(thing, "missing", "cannot be decrypted", str(error))
    found = TOKEN.match(token.stdout.strip())
    if not found:
        return "", Finding(thing, "missing", "is not user@realm!name=uuid", how_to_set(stack, ["proxmoxToken"]))
    return token.stdout.strip(), Finding(thing, "ok", f"of {found['user']}, named {found['name']}")


class Hosts:
    """One examination of the hosts of a stack."""

    def __init__(self, settings: Settings, api: ProxmoxApi) -> None:
        """Derive the machines and hosts to examine from the settings."""
        self.settings, self.api = settings, api
        self.machines = derive.machines(settings)
        used = {machine.host for machine in self.machines}
        self.hosts = [host for host in settings.proxmox.hosts if host.name in used]
        self.major = rights.RENAMED
        self.vms: Mapping[int, Mapping[str, Any]] = {}

    def examine(self) -> Iterator[Finding]:
        """Yield the findings about Proxmox; without an answer or a supported version, only that finding."""
        version = self.version()
        yield version
        if version.state != "ok":
            return
        looks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
            ("rights", self.rights),
            ("cluster of hosts", self.cluster),
            *((f"storages of {host.name}", lambda host=host: self.storages(host)) for host in self.hosts),
            *((f"bridges of {host.name}", lambda host=host: self.bridges(host)) for host in self.hosts),
            *((f"processor of {host.name}", lambda host=host: self.processor(host)) for host in self.hosts),
            ("pool", self.pool),
            ("resource mappings", self.mappings),
            ("VM ids", self.vm_ids),
            ("nodes' ports", self.ports),
        ]
        for thing, look in looks:
            try:
                yield from look()
            except HardwareRefused as refused:
                yield Finding(thing, "missing", str(refused), "mend the rows above first, then run it again")

    def version(self) -> Finding:
        """Check that Proxmox VE answers, and that its version is new enough."""
        thing, needed = "Proxmox VE", ".".join(map(str, rights.OLDEST))
        try:
            found = str(self.api.get("/version")["version"])
        except HardwareRefused as refused:
            return Finding(thing, "missing", str(refused), self._no_way_in(str(refused)))
        numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
        self.major = numbers[0] if numbers else rights.RENAMED
        if numbers < rights.OLDEST:
            return Finding(thing, "missing", found, f"upgrade to {needed} or newer: apt update && apt full-upgrade")
        if self.settings.proxmox.high_availability != "none" and numbers < rights.OLDEST_WITH_RULES:
            todo = "upgrade to 9.0 or newer, or set proxmox.highAvailability: none"
            return Finding(thing, "missing", f"{found}, which has no rules of high availability", todo)
        return Finding(thing, "ok", found)

    def _no_way_in(self, words: str) -> str:
        if "HTTP 401" in words:
            return f"make a token: {rights.commands()[-1]}; then {how_to_set('STACK', ['proxmoxToken'])}"
        if "certificate" in words:
            return "set proxmox.certificate: self-signed, or give the host a certificate that this machine trusts"
        return (
            "name the API of one host as proxmox.endpoint, such as https://10.0.0.2:8006, and let this machine reach it"
        )

    def cluster(self) -> Iterator[Finding]:
        """Check that the hosts of the settings are online members of the endpoint's cluster."""
        found = self.api.get("/cluster/status")
        members = {one["name"]: bool(one.get("online")) for one in found if one["type"] == "node"}
        name = next((one["name"] for one in found if one["type"] == "cluster"), "")
        quorate = all(one.get("quorate", 1) for one in found if one["type"] == "cluster")
        for host in self.hosts:
            thing = f"host {host.name}"
            if host.name not in members:
                todo = f"pvecm add {next(iter(members), 'HOST')}, on {host.name}; or correct its name in proxmox.hosts"
                yield Finding(thing, "missing", f"not in the cluster, which has {', '.join(sorted(members))}", todo)
            elif not members[host.name]:
                yield Finding(thing, "missing", "offline", "start it; pvecm status shows the state of the cluster")
            else:
                yield Finding(thing, "ok", f"online, in the cluster {name}" if name else "online, on its own")
        if not quorate:
            yield Finding("quorum of hosts", "missing", "lost", "start the other hosts: pvecm status")

    def rights(self) -> Iterator[Finding]:
        """Check that the token has all rights that the stack's requests need."""
        lacking: dict[tuple[str, ...], list[str]] = {}
        asked = empty = 0
        for path, names in rights.paths(self.settings):
            granted = (self.api.get("/access/permissions", path=path) or {}).get(path) or {}
            asked, empty = asked + 1, empty + (not granted)
            missing = tuple(name for name in self._renamed(names) if name not in granted)
            if missing:
                lacking.setdefault(missing, []).append(path)
        role, user, token = rights.ROLE, *self._identity()
        if asked and empty == asked:
            grant = f"pveum acl modify / --users {user} --roles {role}"
            yield Finding(
                "rights",
                "missing",
                "the token has none",
                f"pveum user token modify {user} {token} --privsep 0; {grant}",
            )
            return
        for missing, paths in lacking.items():
            more = f" and {count(len(paths) - 1, 'other path')}" if len(paths) > 1 else ""
            todo = f'pveum role modify {role} -append 1 -privs "{" ".join(missing)}"'
            yield Finding("rights", "missing", f"on {paths[0]}{more}: {', '.join(missing)}", todo)
        if not lacking:
            yield Finding("rights", "ok", f"all that are needed, on {count(asked, 'path')}")

    def _renamed(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            yield rights.BEFORE_RENAMED.get(name, name) if self.major < rights.RENAMED else name

    def _identity(self) -> tuple[str, str]:
        found = TOKEN.match(self.api.token)
        return (found["user"], found["name"]) if found else (rights.USER, rights.TOKEN)

    def storages(self, host: Host) -> Iterator[Finding]:
        """Check that the storages of a host exist, are active, and accept the content that the stack stores there."""
        there = {one["storage"]: one for one in self.api.get(f"/nodes/{quote(host.name)}/storage")}
        wanted = {host.images: {"import"}}
        for machine in self.machines:
            for storage in derive.storages(self.settings, machine) if machine.host == host.name else ():
                wanted.setdefault(storage, set()).add("images")
        for name, contents in wanted.items():
            yield self._storage(host, name, contents, there.get(name))

    def _storage(self, host: Host, name: str, contents: set[str], found: Mapping[str, Any] | None) -> Finding:
        thing, shared = f"storage {name} of {host.name}", self.settings.proxmox.image_storage == "shared"
        if found is None:
            return Finding(thing, "missing", "is not there", f"pvesm status, on {host.name}, lists those that are")
        if not found.get("enabled", 1) or not found.get("active", 1):
            return Finding(
                thing, "missing", "is not active", f"pvesm set {name} --disable 0, and mount its disk or share"
            )
        has = [part for part in str(found.get("content", "")).split(",") if part]
        if missing := sorted(contents - {*has}):
            todo = f"pvesm set {name} --content {','.join([*has, *missing])}"
            return Finding(thing, "missing", f"takes {', '.join(has)}, not {', '.join(missing)}", todo)
        if shared and "import" in contents and not found.get("shared"):
            todo = f"pvesm set {name} --shared 1 if all hosts see the same files, else proxmox.imageStorage: per-host"
            return Finding(thing, "missing", "is not shared, and proxmox.imageStorage is", todo)
        if self.settings.proxmox.high_availability != "none" and "images" in contents and not found.get("shared"):
            todo = "put the disks on a storage that all hosts share, or set proxmox.highAvailability: none"
            return Finding(thing, "missing", "is not shared, and proxmox.highAvailability needs it", todo)
        return Finding(thing, "ok", f"takes {', '.join(sorted(contents))}")

    def bridges(self, host: Host) -> Iterator[Finding]:
        """Check that the bridges of a host's VMs exist."""
        found = {one["iface"] for one in self.api.get(f"/nodes/{quote(host.name)}/network", type="any_bridge")}
        cards = [card for machine in self.machines if machine.host == host.name for card in machine.cards]
        for bridge in dict.fromkeys(card.bridge for card in cards):
            thing = f"bridge {bridge} of {host.name}"
            if bridge in found:
                yield Finding(thing, "ok", "there")
                continue
            make = f"pvesh create /nodes/{host.name}/network --iface {bridge} --type bridge --autostart 1"
            has = f"not there; {host.name} has {', '.join(sorted(found)) or 'none'}"
            yield Finding(thing, "missing", has, f"{make}; pvesh set /nodes/{host.name}/network")

    def processor(self, host: Host) -> Iterator[Finding]:
        """Check that the processor of a host fits the architecture of its nodes."""
        status = self.api.get(f"/nodes/{quote(host.name)}/status")
        found = str((status.get("current-kernel") or {}).get("machine", ""))
        wanted = next(machine.architecture for machine in self.machines if machine.host == host.name)
        thing = f"processor of {host.name}"
        if found and found != PROCESSORS[wanted]:
            todo = f"set the architecture of its nodes, or run them on a host with {PROCESSORS[wanted]}"
            yield Finding(thing, "missing", f"{found}, and its nodes are {wanted}", todo)
        else:
            yield Finding(thing, "ok", found or "not reported")

    def pool(self) -> Iterator[Finding]:
        """Check that the pool exists, where one is set."""
        pool = self.settings.proxmox.pool
        if not pool:
            return
        if pool in {one["poolid"] for one in self.api.get("/pools")}:
            yield Finding(f"pool {pool}", "ok", "there")
        else:
            yield Finding(f"pool {pool}", "missing", "not there", f"pvesh create /pools --poolid {pool}")

    def mappings(self) -> Iterator[Finding]:
        """Check that each device that is passed through has a mapping on the host of its node."""
        wanted = dict.fromkeys(
            (*mapping, machine.host) for machine in self.machines for mapping in derive.mappings(machine)
        )
        found = {
            kind: self.api.get(f"/cluster/mapping/{kind}") for kind in dict.fromkeys(kind for kind, _, _ in wanted)
        }
        for kind, name, host in wanted:
            maps = [entry for one in found[kind] if one["id"] == name for entry in one.get("map") or ()]
            thing = f"{kind.upper()} mapping {name} of {host}"
            if any(f"node={host}" in entry.split(",") for entry in maps):
                yield Finding(thing, "ok", "there")
                continue
            device = (
                "id=VENDOR:DEVICE,path=0000:BUS:SLOT.0 (lspci -nn)" if kind == "pci" else "id=VENDOR:PRODUCT (lsusb)"
            )
            verb, place = ("set", f"/cluster/mapping/{kind}/{name}") if maps else ("create", f"/cluster/mapping/{kind}")
            kept = "".join(f" --map {entry}" for entry in maps)
            named = "" if maps else f" --id {name}"
            todo = f"pvesh {verb} {place}{named}{kept} --map node={host},{device}"
            yield Finding(thing, "missing", "not there" if not maps else f"not for {host}", todo)

    def vm_ids(self) -> Iterator[Finding]:
        """Check that each VM id is free, or already belongs to its node."""
        self.vms = {int(one["vmid"]): one for one in self.api.get("/cluster/resources", type="vm")}
        ours, free = 0, 0
        for machine in self.machines:
            there = self.vms.get(machine.vm_id)
            if there is None and self._is_free(machine.vm_id):
                free += 1
            elif there is not None and there.get("name") == machine.name:
                ours += 1
            else:
                owner = f"{there.get('name')} on {there.get('node')}" if there else "a VM that the token may not see"
                todo = f"set another vmId for {machine.name}, or another proxmox.firstVmId"
                yield Finding(f"VM id {machine.vm_id}", "missing", f"is taken by {owner}", todo)
        if ours + free == len(self.machines):
            yield Finding("VM ids", "ok", f"{free} free, {ours} of this stack")

    def _is_free(self, vm_id: int) -> bool:
        try:
            self.api.get("/cluster/nextid", vmid=vm_id)
        except HardwareRefused as refused:
            if "HTTP 400" in str(refused):
                return False
            raise
        return True

    def ports(self) -> Iterator[Finding]:
        """Check the ports of running nodes: `up` connects to Talos and Kubernetes from this machine."""
        there = [machine for machine in self.machines if self._runs(machine)]
        for machine in there:
            wanted = (TALOS_PORT, *((derive.API_PORT,) if machine.role == "control-plane" else ()))
            closed = [port for port in wanted if not reaches(str(machine.address), port)]
            thing = f"ports of {machine.name}"
            if closed:
                todo = f"let this machine reach {machine.address}: routes, VLAN, firewall"
                yield Finding(thing, "missing", f"no way to {', '.join(map(str, closed))}", todo)
            else:
                yield Finding(thing, "ok", f"{', '.join(map(str, wanted))} of {machine.address}")
        if len(there) < len(self.machines):
            todo = f"`up` needs {TALOS_PORT} and {derive.API_PORT} of {self.settings.network.subnet} from this machine"
            missing = f"{count(len(self.machines) - len(there), 'node')} not there yet"
            yield Finding("nodes' ports", "optional", missing, todo)

    def _runs(self, machine: Machine) -> bool:
        found = self.vms.get(machine.vm_id, {})
        return found.get("name") == machine.name and found.get("status") == "running"


def reaches(address: str, port: int) -> bool:
    """Return whether packets reach an address; a refused connection is an answer too."""
    try:
        with socket.create_connection((address, port), timeout=SECONDS_OF_PORT):
            return True
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


def factory(settings: Settings, scheme: str = "https") -> Iterator[Finding]:
    """Check that the image factory has the images; it builds new ones now, since Proxmox waits only 30 s for one."""
    for image in images.images_of(settings):
        yield _image(image, str(settings.cluster.talos_version), settings.cluster.image_factory, scheme)


def _image(image: images.Image, version: str, host: str, scheme: str) -> Finding:
    thing, base = f"Talos image {image.key}", f"{scheme}://{host}"
    try:
        known = requests.post(f"{base}/schematics", data=image.schematic.encode(), timeout=SECONDS_OF_FACTORY)
        known.raise_for_status()
        place = f"{base}/image/{images.path(image, image.schematic_id, version)}"
        answer = requests.head(place, timeout=SECONDS_OF_FACTORY, allow_redirects=True)
    except requests.RequestException:
        todo = f"the hosts download it themselves: let them reach {host}, and this machine, to have it built first"
        return Finding(thing, "optional", "the factory does not answer here", todo)
    if answer.ok:
        return Finding(thing, "ok", f"{version}, at {host}")
    if answer.status_code < requests.codes.server_error:
        todo = "choose a cluster.talosVersion and extensions that exist"
        return Finding(thing, "missing", f"HTTP {answer.status_code} for {version}", todo)
    return Finding(thing, "optional", f"HTTP {answer.status_code}", "run it again: the factory may still build it")
