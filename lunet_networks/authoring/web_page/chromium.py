"""A page in Chromium without a window: opened from disk, given files, and its saved labels taken, as a person does it.

Chromium is driven through the two pipes of its DevTools protocol, so that no package and no port is needed."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Browser", "chromium_command", "opened_page"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No window and no network of its own. It takes its pipes at the file descriptors 3 and 4.
OPTIONS = (
    *("--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--disable-dev-shm-usage", "--window-size=1400,900"),
)
LAUNCHER = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3])
os.dup2(read, 3), os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class BrowserError(RuntimeError):
    """Chromium did not do what was asked."""


def chromium_command() -> str | None:
    """The path of Chromium or Chrome; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A page in Chromium.

    Args:
        read: file descriptor of its messages.
        write: file descriptor for commands.
        downloads: folder that saved files go to.
    """

    def __init__(self, read: int, write: int, downloads: Path) -> None:
        self._read, self._write, self.downloads = read, write, downloads
        self._number, self._session, self._rest = 0, None, b""
        self.events: list[dict[str, Any]] = []

    def open(self, url: str) -> None:
        """Open a page in a new tab."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.send(f"{domain}.enable")
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
        self.send("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'", 60)

    def send(self, method: str, timeout: float = 120, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol and its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session and not method.startswith("Target."):
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + timeout
        while True:
            answer = self._receive(end)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error'].get('message')}")
                return answer["result"]
            self.events.append(answer)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise BrowserError(str(result["exceptionDetails"].get("exception", {}).get("description")))
        return result["result"].get("value")

    def wait_for(self, condition: str, timeout: float = 300) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + timeout
        while not self.evaluate(condition):
            if time.monotonic() > end:
                raise BrowserError(f"the page was not so in {timeout:g} s: {condition}")
            time.sleep(0.05)

    def choose_files(self, selector: str, paths: Sequence[Path]) -> None:
        """Give files to an input element, as a person chooses them."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path.resolve()) for path in paths])

    def wait_for_download(self, before: set[Path], timeout: float = 60) -> None:
        """Wait until the page has saved another file than those."""
        end = time.monotonic() + timeout
        while set(self.downloads.iterdir()) <= before or list(self.downloads.glob("*.crdownload")):
            if time.monotonic() > end:
                raise BrowserError(f"the page saved nothing in {timeout:g} s")
            time.sleep(0.05)

    def _receive(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            part = os.read(self._read, 2**20) if ready else b""
            if not part:
                raise BrowserError("Chromium does not answer" if not ready else "Chromium has ended")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextlib.contextmanager
def opened_page(url: str) -> Iterator[Browser]:
    """Chromium with a page, ended afterwards.

    Args:
        url: of the page, such as ``Path("page.html").resolve().as_uri()``.

    Raises:
        FileNotFoundError: if there is no Chromium.
    """
    command = chromium_command()
    if command is None:
        raise FileNotFoundError("there is no Chromium")
    sandbox = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []  # it refuses one to root
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        downloads = Path(folder, "downloads")
        downloads.mkdir()
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        words = [command, *OPTIONS, *sandbox, f"--user-data-dir={Path(folder, 'profile')}", "about:blank"]
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(theirs_in), str(theirs_out), *words],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in), os.close(theirs_out)
        try:
            browser = Browser(ours_in, ours_out, downloads)
            browser.open(url)
            yield browser
        finally:
            with contextlib.suppress(OSError, BrowserError):
                browser._session = None
                browser.send("Browser.close", timeout=5)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
            os.close(ours_out), os.close(ours_in)
