"""The installation of missing tools: the choice of download or build for each, and then both at once.

Tools that `ops.toolchain.lookup` did not find come in; their folders in the cache go out. A release that does not
arrive is built instead, with one line that reports it; a release that is not the pinned file is an error. HOMELAB_TOOLS
restricts the choice: `path` installs nothing, `download` builds nothing, `build` downloads no release.
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
    """The values of HOMELAB_TOOLS; without a value, all ways of installation are allowed."""

    PATH = "path"
    DOWNLOAD = "download"
    BUILD = "build"


@dataclass(frozen=True)
class Way:
    """The installation of one missing tool: a download, a build for a reason, or a refusal by HOMELAB_TOOLS."""

    tool: Tool
    downloaded: bool
    reason: str = ""
    refused: bool = False

    def __str__(self) -> str:
        """Return the planned action in a few words."""
        if self.refused:
            return f"refused: {self.reason}"
        if self.downloaded:
            return "to be downloaded"
        return f"to be built: {self.reason}" if self.reason else "to be built"


def chosen() -> Choice | None:
    """Return the choice of HOMELAB_TOOLS, or refuse an invalid value."""
    value = os.environ.get(VARIABLE, "")
    try:
        return Choice(value) if value else None
    except ValueError:
        values = ", ".join(one.value for one in Choice)
        raise MachineNotReady(
            f"{VARIABLE} = {value!r}: is none of {values}; unset it to look on the PATH, download and build"
        ) from None


def downloads_count(tool: Tool) -> bool:
    """Report whether a cached download may be used: HOMELAB_TOOLS=build accepts no publisher's binaries."""
    return chosen() is not Choice.BUILD and bool(assets(tool, releases.here()))


def ways(missing: Iterable[Tool]) -> list[Way]:
    """Return the planned installation of each missing tool."""
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
            # Raised before the context of Go's caches ends: after a failure they stay.
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
    """A builder of one tool after another, with Go's caches opened once and a Go that is new enough."""

    def __init__(self, progress: Progress, stack: ExitStack, failures: list[HomelabError]) -> None:
        """Start without Go's caches."""
        self.progress, self.stack, self.failures = progress, stack, failures
        self.caches: Path | None = None

    def build(self, tools: Sequence[Tool]) -> None:
        """Build these tools; a failure of one does not prevent the build of the others."""
        if not tools:
            return
        self.caches = self.caches or self.stack.enter_context(builds.go_cache(self.progress.note))
        try:
            env = self._compiler(tools)
        except MachineNotReady as error:
            self.failures.append(error)
            return
        # One after another: two at once were not faster when measured, since one build keeps all cores busy.
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
    """A downloader of one tool after another beside the builds: it uses the network, and builds use the cores."""

    def __init__(self, tools: Iterable[Tool], progress: Progress, failures: list[HomelabError]) -> None:
        """Start with nothing downloaded."""
        from ops.toolchain.transfers import Network  # noqa: PLC0415 - HTTP takes as long to import as all the rest

        self.tools, self.progress, self.failures = tuple(tools), progress, failures
        self.late: list[tuple[Tool, str]] = []
        self._unexpected: list[Exception] = []
        self._network = Network()
        # A thread that waits for a server must not keep an interrupted run from ending.
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        """Start the downloads."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop, and abandon an unfinished download."""
        self._network.stop.set()
        self._thread.join(SECONDS_TO_STOP)
        self._network.session.close()

    def wait(self) -> None:
        """Wait until every tool is downloaded or has failed."""
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
    """Return the expected seconds of each tool here; the table's seconds of builds were measured on two cores."""
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
    """Return the expected seconds of all these tools together: downloads run beside builds."""
    planned = list(planned)
    expected = estimates(planned)
    return max(
        sum(expected.get(way.tool.name, 0) for way in planned if way.downloaded is lane) for lane in (True, False)
    )
