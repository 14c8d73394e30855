"""Bringing missing tools: which are downloaded and which are built, and why, then both at once.

What flows in are tools that `ops.toolchain.lookup` did not find; what flows out are their folders in the cache. A
release that does not arrive is built instead, with one line that says so; a release that is not the pinned file is an
error. HOMELAB_TOOLS restricts the choice: `path` brings nothing, `download` builds nothing, `build` downloads no
release.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self

from errors import BuildFailed, DownloadFailed, HomelabError, MachineNotReady
from local.cache import cache_folder
from ops.toolchain import builds, compiler, downloads, releases
from ops.toolchain.catalogue import STANDARD_LIBRARY, Tool
from ops.toolchain.progress import Progress, Step
from ops.toolchain.releases import RELEASES, assets

VARIABLE = "HOMELAB_TOOLS"
LANE = "downloads"
MEGABYTES_A_SECOND = 11.0  # 100 Mbit/s
SECONDS_TO_STOP = 2.0


class Choice(Enum):
    """Which ways may be taken; all of them where nothing is chosen."""

    PATH = "path"
    DOWNLOAD = "download"
    BUILD = "build"


@dataclass(frozen=True)
class Way:
    """How a missing tool comes here: downloaded, built for a reason, or not at all where HOMELAB_TOOLS refuses it."""

    tool: Tool
    downloaded: bool
    reason: str = ""
    refused: bool = False

    def __str__(self) -> str:
        """Write in a few words what would happen."""
        if self.refused:
            return f"refused: {self.reason}"
        if self.downloaded:
            return "to be downloaded"
        return f"to be built: {self.reason}" if self.reason else "to be built"


def chosen() -> Choice | None:
    """Return the choice of HOMELAB_TOOLS, or refuse a value that it does not have."""
    value = os.environ.get(VARIABLE, "")
    try:
        return Choice(value) if value else None
    except ValueError:
        values = ", ".join(one.value for one in Choice)
        raise MachineNotReady(
            f"{VARIABLE} = {value!r}: is none of {values}; unset it to look on the PATH, download and build"
        ) from None


def downloads_count(tool: Tool) -> bool:
    """Whether a download of a tool in the cache may be used: HOMELAB_TOOLS=build accepts no publisher's binaries."""
    return chosen() is not Choice.BUILD and bool(assets(tool, releases.here()))


def ways(missing: Iterable[Tool]) -> list[Way]:
    """Return for each missing tool how it would come here."""
    choice = chosen()
    if choice is Choice.BUILD:
        return [Way(tool, downloaded=False) for tool in missing]
    if choice is Choice.PATH:
        return [Way(tool, downloaded=False, reason=f"{VARIABLE}=path", refused=True) for tool in missing]
    reasons = ((tool, downloads.hindrance(tool)) for tool in missing)
    return [Way(tool, not reason, reason, bool(reason) and choice is Choice.DOWNLOAD) for tool, reason in reasons]


def bring(missing: Sequence[Tool]) -> None:
    """Download or build these tools, or refuse where HOMELAB_TOOLS does not allow it."""
    planned = ways(missing)
    _refuse(planned)
    failures: list[HomelabError] = []
    lanes = {way.tool.name: LANE if way.downloaded else "" for way in planned}
    with Progress(estimates(planned), lanes=lanes) as progress, ExitStack() as stack:
        for way in planned:
            if way.tool.name in RELEASES and way.reason:
                progress.remark(f"{way.tool.name}: built from source, not downloaded: {way.reason}")
        builder = Builder(progress, stack, failures)
        with Downloads([way.tool for way in planned if way.downloaded], progress, failures) as downloads:
            builder.build([way.tool for way in planned if not way.downloaded])
            downloads.wait()
        if chosen() is Choice.DOWNLOAD:
            failures += [
                DownloadFailed(
                    f"{tool.name}: not downloaded: {why}; {VARIABLE}=download builds nothing: unset it to build"
                )
                for tool, why in downloads.late
            ]
        else:
            for tool, why in downloads.late:
                progress.remark(f"{tool.name}: built from source, not downloaded: {why}")
            builder.build([tool for tool, _ in downloads.late])
        if failures:
            # Raised while Go's caches are lent: after a failure they stay.
            raise type(failures[0])("\n".join(map(str, failures)))


def _refuse(planned: Iterable[Way]) -> None:
    lacking = [way for way in planned if way.refused]
    if not lacking:
        return
    if chosen() is Choice.PATH:
        names = ", ".join(f"{way.tool.name} {way.tool.version} ({way.tool.accept.value})" for way in lacking)
        raise MachineNotReady(
            f"{VARIABLE}=path downloads and builds nothing, and neither the PATH in a compatible version nor the cache"
            f" has: {names}; install them, `mise install` for instance, or unset {VARIABLE}"
        )
    names = ", ".join(f"{way.tool.name} ({way.reason})" for way in lacking)
    raise MachineNotReady(
        f"{VARIABLE}=download builds nothing, and these cannot be downloaded: {names}; unset {VARIABLE}"
    )


class Builder:
    """Builds tools one after another, with Go's caches lent once and a Go that is new enough."""

    def __init__(self, progress: Progress, stack: ExitStack, failures: list[HomelabError]) -> None:
        """Begin with nothing lent."""
        self.progress, self.stack, self.failures = progress, stack, failures
        self.caches: Path | None = None

    def build(self, tools: Sequence[Tool]) -> None:
        """Build these tools; a failure of one does not keep the others from being built."""
        if not tools:
            return
        self.caches = self.caches or self.stack.enter_context(builds.go_cache(self.progress.note))
        try:
            env = self._compiler(tools)
        except MachineNotReady as error:
            self.failures.append(error)
            return
        # One after another: two at once were measured not to be faster, one build keeps all cores busy.
        for tool in tools:
            expected = estimates([Way(tool, downloaded=False)])[tool.name]
            with self.progress.step(tool.name, expected) as step:
                try:
                    builds.build(tool, self.caches, env, step)
                except BuildFailed as error:
                    step.fail("not built")
                    self.failures.append(error)

    def _compiler(self, tools: Sequence[Tool]) -> dict[str, str]:
        if compiler.ready(tools):
            return compiler.environment(tools)
        with self.progress.step(compiler.NAME, compiler.SECONDS) as step:
            compiler.install(tools, step)
        return compiler.environment(tools)


class Downloads:
    """Downloads tools one after another beside the builds: one keeps the network busy, the other the cores."""

    def __init__(self, tools: Iterable[Tool], progress: Progress, failures: list[HomelabError]) -> None:
        """Begin with nothing downloaded."""
        from ops.toolchain.transfers import Network  # noqa: PLC0415 - HTTP takes as long to import as all the rest

        self.tools, self.progress, self.failures = tuple(tools), progress, failures
        self.late: list[tuple[Tool, str]] = []
        self._unexpected: list[Exception] = []
        self._network = Network()
        # A thread that waits for a server must not keep an interrupted run from ending.
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """End; what is half done is given up."""
        self._network.stop.set()
        self._thread.join(SECONDS_TO_STOP)
        self._network.session.close()

    def wait(self) -> None:
        """Wait until every tool is there, or is not to be had."""
        self._thread.join()
        if self._unexpected:
            raise self._unexpected[0]

    def _work(self) -> None:
        for tool in self.tools:
            if self._network.stop.is_set():
                return
            try:
                with self.progress.step(tool.name) as step:
                    self._download(tool, step)
            except Exception as error:  # noqa: BLE001 - `wait` raises it where it is seen
                self._unexpected.append(error)
                return

    def _download(self, tool: Tool, step: Step) -> None:
        try:
            downloads.download(tool, step, self._network)
        except DownloadFailed as error:
            step.fail("not downloaded")
            self.late.append((tool, str(error)))
        except MachineNotReady as error:
            step.fail("not downloaded")
            self.failures.append(error)


def estimates(planned: Iterable[Way]) -> dict[str, float]:
    """Return how long each way will take here; the table's seconds of builds were measured on two cores."""
    extra = 0 if (cache_folder() / "go" / "build").exists() else STANDARD_LIBRARY
    pace, seconds = 2 / min(os.cpu_count() or 2, 8), {}
    for way in planned:
        if way.refused:
            continue
        if way.downloaded:
            seconds[way.tool.name] = (
                sum(one.megabytes for one in assets(way.tool, releases.here())) / MEGABYTES_A_SECOND
            )
        else:
            seconds[way.tool.name] = (way.tool.seconds + extra) * pace
            extra = 0
    return seconds


def duration(planned: Iterable[Way]) -> float:
    """Return how long all these ways take together: downloads run beside builds."""
    planned = list(planned)
    expected = estimates(planned)
    return max(
        sum(expected.get(way.tool.name, 0) for way in planned if way.downloaded is lane) for lane in (True, False)
    )
