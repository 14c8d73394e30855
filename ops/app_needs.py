"""The needs of an app: memory, storage, secrets that are made, and accounts that a user must have.

A checkout and apps come in, sums go out. The files that a folder lists are read as YAML: nothing is rendered, and the
patches of an environment do not count. Pods of a chart are known only after a render; `Needs` reports that there are
some. `ops.init` shows the table before it prompts for applications.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from config.tree import MANIFESTS, App
from manifests.checkout import CheckoutReader
from manifests.contents import contents_of
from manifests.fields import mapping, mappings, number, text
from manifests.objects import unpacked
from manifests.rules.wiring import amount
from manifests.secret_entries import StoreEntry, declared
from ops.terminal import table

# Jobs do not count: their memory is free again once they are done.
LASTING = ("DaemonSet", "Deployment", "Rollout", "StatefulSet")
ALWAYS = "Always"  # the restart policy of an init container that runs beside the others
MEBI, GIBI, TEBI = 1 << 20, 1 << 30, 1 << 40
HEAD = ("app", "memory", "storage", "secrets", "accounts")


@dataclass(frozen=True)
class Needs:
    """The needs of one app, or of several."""

    memory: int = 0
    """The memory that its pods request, in bytes."""
    storage: int = 0
    """The sizes of its claims and databases, in bytes."""
    secrets: tuple[str, ...] = ()
    """Entries of the secret store that the program makes."""
    accounts: tuple[StoreEntry, ...] = ()
    """Entries whose values come from elsewhere."""
    chart: bool = False
    """Whether pods and claims of a chart come on top."""

    def as_dict(self) -> dict[str, Any]:
        """Return the needs for machines."""
        accounts = [{"entry": one.name, "from": one.detail, "optional": one.optional} for one in self.accounts]
        return {**asdict(self), "secrets": len(self.secrets), "accounts": accounts}


def needs_of(reader: CheckoutReader, app: App) -> Needs:
    """Return the needs of an app, from the files that the folder of its environment lists."""
    contents = contents_of(reader, app.path)
    files = [*contents.listed, *(file for file in contents.files if "/templates/" in file and file.endswith(MANIFESTS))]
    documents = (document.value for file in sorted({*files}) for document in reader.source(file).documents)
    needs = [_of_object(item) for item in unpacked(documents) if isinstance(item, dict)]
    return total([*needs, Needs(chart=bool(contents.charts))])


def total(needs: Iterable[Needs]) -> Needs:
    """Return the sum of needs; an entry of the secret store counts once."""
    several = list(needs)
    return Needs(
        sum(one.memory for one in several),
        sum(one.storage for one in several),
        tuple(sorted({name for one in several for name in one.secrets})),
        tuple(sorted({entry for one in several for entry in one.accounts})),
        any(one.chart for one in several),
    )


def as_table(needs: Mapping[str, Mapping[str, Needs]]) -> str:
    """Return a table of the needs of apps, by category and in total."""
    every = total(one for apps in needs.values() for one in apps.values())
    return table(HEAD, [*_rows(needs), _row("all", every, [])])


def _rows(needs: Mapping[str, Mapping[str, Needs]]) -> Iterator[Sequence[str]]:
    for category, apps in needs.items():
        yield _row(category, total(apps.values()), [])
        for label, one in apps.items():
            accounts = [f"{entry.detail} (optional)" if entry.optional else entry.detail for entry in one.accounts]
            yield _row(f"  {label}", one, accounts)


def _row(name: str, needs: Needs, accounts: Sequence[str]) -> Sequence[str]:
    memory = [size(needs.memory)] if needs.memory or not needs.chart else []
    return (
        name,
        " + ".join([*memory, *(["chart"] if needs.chart else [])]),
        size(needs.storage),
        str(len(needs.secrets) or "-"),
        "; ".join(accounts) or str(len(needs.accounts) or "-"),
    )


def size(number_of_bytes: int) -> str:
    """Return a size in the largest unit that keeps it above one, `-` for none."""
    for unit, factor in (("TiB", TEBI), ("GiB", GIBI)):
        if number_of_bytes >= factor:
            return f"{number_of_bytes / factor:.1f}".removesuffix(".0") + unit
    return f"{-(-number_of_bytes // MEBI)}MiB" if number_of_bytes else "-"


def _of_object(item: Mapping[str, Any]) -> Needs:
    kind, spec = text(item, "kind"), mapping(item, "spec")
    if kind == "ExternalSecret":
        entries = declared(item).values()
        made = tuple(one.name for one in entries if one.origin != "given")
        return Needs(secrets=made, accounts=tuple(one for one in entries if one.origin == "given"))
    if kind == "PersistentVolumeClaim":
        return Needs(storage=_claimed(spec))
    if kind == "Cluster":  # of CloudNativePG
        copies = number(spec, "instances", otherwise=1)
        sizes = sum(_bytes(text(spec, disk, "size")) for disk in ("storage", "walStorage"))
        return Needs(copies * _requested(spec), copies * sizes)
    if kind not in LASTING:
        return Needs()
    copies = number(spec, "replicas", otherwise=1)
    pod = mapping(spec, "template", "spec")
    beside = [one for one in mappings(pod, "initContainers") if one.get("restartPolicy") == ALWAYS]
    memory = sum(_requested(one) for one in (*mappings(pod, "containers"), *beside))
    claims = sum(_claimed(mapping(one, "spec")) for one in mappings(spec, "volumeClaimTemplates"))
    return Needs(copies * memory, copies * claims)


def _requested(container: Mapping[str, Any]) -> int:
    """Return the memory that a container requests; as in Kubernetes, a limit alone is the request too."""
    found = (text(container, "resources", part, "memory") for part in ("requests", "limits"))
    return _bytes(next((one for one in found if one), ""))


def _claimed(claim: Mapping[str, Any]) -> int:
    return _bytes(text(claim, "resources", "requests", "storage"))


def _bytes(quantity: str) -> int:
    return int(amount(quantity) or 0)
