"""A real browser without a window: Chromium, spoken to by the DevTools protocol over a pipe; no driver, no network."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from tests.servers import require

_PATIENCE = 60
"""Seconds for one answer."""
_SWITCHES = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
)


@dataclass
class Page:
    """One page: what it is asked to do, and what it did unasked."""

    _to: BinaryIO
    _from: int
    _session: str = ""
    _number: int = 0
    _rest: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol; its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def attach(self) -> None:
        """Begin a page, and hear of its console, its errors and its requests."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, path: Path, *, scripts: bool = True) -> None:
        """Load a file and wait until it is there."""
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        end = time.monotonic() + _PATIENCE
        while not self.heard("Page.loadEventFired"):
            assert time.monotonic() < end
            self.events.append(self._next())

    def run(self, expression: str) -> Any:
        """The value of an expression in the page."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def press(self, key: str, **more: Any) -> None:
        """Press a key; one that writes, writes."""
        writes = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **writes, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **more)

    def type(self, text: str) -> None:
        """Type at the focus."""
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click on the middle of an element, as a mouse does."""
        place = self.run(
            f"(() => {{ const it = document.querySelector({json.dumps(selector)});"
            " it.scrollIntoView({block: 'center', behavior: 'instant'}); const box = it.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def shown(self, selector: str) -> list[str]:
        """The text, in one line each, of every element that is visible."""
        found: list[str] = self.run(
            f"Array.from(document.querySelectorAll({json.dumps(selector)}))"
            ".filter((it) => it.checkVisibility()).map((it) => it.innerText.replace(/\\s+/g, ' ').trim())"
        )
        return found

    def heard(self, *methods: str) -> list[dict[str, Any]]:
        """What happened of these kinds since the page was opened."""
        return [it["params"] for it in self.events if it.get("method") in methods]

    def picture(self, path: Path, *, width: int, height: int, dark: bool = False) -> Path:
        """A picture of the whole page in a window of this width."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))
        return path

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], _PATIENCE)
            assert ready, "the browser does not answer"
            chunk = os.read(self._from, 1 << 16)
            assert chunk, "the browser ended"
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A browser that keeps what it writes in ``folder``, with one page, ended afterwards."""
    program = require("chromium")
    hear, speak = _pipe(), _pipe()
    # The protocol wants descriptors 3 and 4 (chromium: --remote-debugging-pipe); a shell gives them.
    command = f'exec "$0" "$@" 3<&{speak[0]} 4>&{hear[1]} 2>/dev/null'
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    process = subprocess.Popen(
        ["bash", "-c", command, program, *_SWITCHES, f"--user-data-dir={folder}", "about:blank"],
        pass_fds=(speak[0], hear[1]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], **home},
    )
    os.close(speak[0])
    os.close(hear[1])
    try:
        with open(speak[1], "wb") as to:
            page = Page(to, hear[0])
            page.attach()
            yield page
    finally:
        os.close(hear[0])
        process.terminate()
        process.wait(_PATIENCE)


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are far from the descriptors 3 and 4."""
    read, write = os.pipe()
    far = fcntl.fcntl(read, fcntl.F_DUPFD_CLOEXEC, 10), fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(read)
    os.close(write)
    return far
