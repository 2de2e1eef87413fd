"""A headless Chromium, driven over the W3C WebDriver protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1280,1100"),
)
_START_SECONDS = 30.0
_WAIT_SECONDS = 20.0


def why_not() -> str:
    """Return why no browser is available; empty if one is."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not installed" if missing else ""


class Browser:
    """A browser window."""

    def __init__(self, driver: str, session: str) -> None:
        self._session = f"{driver}/session/{session}"

    def open(self, url: str) -> None:
        self._post("url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """Run the body of a function and return what it returns."""
        return self._post("execute/sync", {"script": script, "args": list(arguments)})

    def command(self, name: str, **parameters: object) -> Any:
        """Send a command of the Chrome DevTools protocol."""
        return self._post("goog/cdp/execute", {"cmd": name, "params": parameters})

    def click(self, selector: str) -> None:
        self._post(f"element/{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        """Replace the content of a field, by keyboard input."""
        element = self._find(selector)
        self._post(f"element/{element}/clear", {})
        self._post(f"element/{element}/value", {"text": text})

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file in a field for files."""
        self._post(f"element/{self._find(selector)}/value", {"text": str(file)})

    def press(self, keys: str) -> None:
        """Press keys in the focused element."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._post("actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def text(self, selector: str) -> str:
        found: str = self.run("return document.querySelector(arguments[0]).textContent", selector)
        return found

    def wait_for(self, script: str) -> Any:
        """Wait until a script returns a true value, and return that."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while not (found := self.run(script)):
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.05)
        return found

    def resize(self, width: int, height: int) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, scheme: str) -> None:
        """Emulate a user who prefers the colour scheme `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        """Save a picture of the whole page."""
        shot = self.command("Page.captureScreenshot", captureBeyondViewport=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def console(self) -> list[str]:
        """Return the messages of the console since the last call."""
        return [entry["message"] for entry in self._post("se/log", {"type": "browser"})]

    def _find(self, selector: str) -> str:
        query = {"using": "css selector", "value": selector}
        element: str = self._post("element", query)[_ELEMENT]
        return element

    def _post(self, command: str, document: dict[str, Any]) -> Any:
        return _ask(f"{self._session}/{command}", document)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser with a temporary profile, and remove it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="shearling-chromium-") as profile:
        command = [str(shutil.which("chromedriver")), f"--port={port}"]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as driver:
            try:
                _wait_until_ready(url)
                session = _ask(f"{url}/session", {"capabilities": _capabilities(profile)})
                try:
                    yield Browser(url, session["sessionId"])
                finally:
                    _ask(f"{url}/session/{session['sessionId']}", None, "DELETE")
            finally:
                driver.terminate()


def _capabilities(profile: str) -> dict[str, Any]:
    options = {
        "binary": shutil.which("chromium"),
        "args": [*_FLAGS, f"--user-data-dir={profile}/data"],
    }
    logging = {"browser": "ALL"}
    return {
        "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": logging,
        }
    }


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(OSError):
            if _ask(f"{url}/status", None, "GET")["ready"]:
                return
        assert time.monotonic() < deadline, "chromedriver does not start"
        time.sleep(0.05)


def _ask(url: str, document: dict[str, Any] | None, method: str = "POST") -> Any:
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError(error.read().decode()[:2000]) from None
