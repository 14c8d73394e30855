"""A headless Chromium, driven over its DevTools pipe without any library.

A page comes in as a file; measurements and pictures come out. `bench.preview_page` measures with it, and
`tests/ops/review/formats/test_browser.py` looks at pages.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PACKAGE = "a Chromium: the Debian package chromium-headless-shell, or the path of one in CHROMIUM"
FIRST_FREE = 10  # the browser reads from 3 and writes to 4
CHUNK = 1 << 16
OPTIONS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
)


def chromium() -> str | None:
    """Return the path of a browser, or None."""
    given = os.environ.get("CHROMIUM")
    return given or next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One tab of a headless browser with everything that it reports."""

    def __init__(self, program: str, folder: Path) -> None:
        """Start the browser with its files in a folder, and open a tab."""
        reads, self._out = os.pipe()
        self._in, writes = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE) for end in (reads, writes)]
        # The sandbox of Chromium refuses the user root.
        sandbox = () if os.geteuid() else ("--no-sandbox",)
        self._pid = os.posix_spawn(
            program,
            [program, *OPTIONS, *sandbox, f"--user-data-dir={folder}"],
            {**os.environ, "HOME": str(folder)},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, ends[0], 3),
                (os.POSIX_SPAWN_DUP2, ends[1], 4),
                (os.POSIX_SPAWN_OPEN, 2, str(folder / "stderr"), os.O_CREAT | os.O_WRONLY, 0o600),
            ],
            setsid=True,
        )
        for end in (reads, writes, *ends):
            os.close(end)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session = ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        """Return the browser."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the browser and all of its processes."""
        os.close(self._out)
        os.close(self._in)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of one command."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        session = {"sessionId": self._session} if self._session else {}
        self._write(json.dumps({**message, **session}).encode() + b"\0")
        for answer in self._messages():
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)
        raise RuntimeError(f"{method}: the browser ended")

    def _write(self, message: bytes) -> None:
        while message:
            message = message[os.write(self._out, message) :]

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            message, end, rest = self._buffer.partition(b"\0")
            if end:
                self._buffer = rest
                yield json.loads(message)
                continue
            chunk = os.read(self._in, CHUNK)
            if not chunk:
                return
            self._buffer += chunk

    def screen(self, width: int, height: int, scheme: Literal["light", "dark"]) -> None:
        """Set the size of the window and the scheme of colours."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, file: Path) -> None:
        """Open a file and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=file.as_uri())
        for _ in range(len(self.events) + CHUNK):
            if any(event["method"] == "Page.loadEventFired" for event in self.events):
                return
            self.events.append(next(self._messages()))

    def evaluate(self, script: str) -> Any:
        """Return the value of a script, or of its promise."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"].get("description", script))
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release one key."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def write(self, text: str) -> None:
        """Write a text into the focused field, and wait for the next frame."""
        self.call("Input.insertText", text=text)
        self.frames()

    def frames(self) -> None:
        """Wait until the page was drawn twice."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def requests(self) -> list[str]:
        """Return the addresses that the page requested since it opened, itself included."""
        found = [event["params"]["request"]["url"] for event in self._named("Network.requestWillBeSent")]
        return [one for one in found if not one.startswith("data:")]

    def errors(self) -> list[Mapping[str, Any]]:
        """Return all messages of the console, the security policy and exceptions."""
        names = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event["params"] for name in names for event in self._named(name)]

    def _named(self, method: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["method"] == method]

    def picture(self, *, whole: bool = False) -> bytes:
        """Return the window, or the whole page, as PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])
