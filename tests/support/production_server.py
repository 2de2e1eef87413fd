"""Run the production server as a process of its own, and send it requests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.support.image_registry import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from shearling.refs import Pin

_START_SECONDS = 60


class Served:
    """A process that serves on loopback."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._log = log

    @property
    def log(self) -> str:
        """The output of the process so far."""
        return self._log.read_text(errors="replace")

    def wait_until_ready(self) -> list[int]:
        """Wait until `/ping` answers 200; return the statuses that it had before."""
        statuses: list[int] = []
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(ConnectionError, urllib.error.URLError, TimeoutError):
                status, _, _ = request(f"{self.url}/ping")
                if status == 200:
                    return statuses
                statuses.append(status)
            time.sleep(0.02)
        code = self.process.poll()
        raise RuntimeError(f"not ready: {statuses[-5:]}, exit code {code}\n{self.log}")

    def wait_for_workers(self, number: int) -> set[int]:
        """Wait until this many workers have the model; return their process IDs."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            workers = self.workers()
            if len(workers) == number and f"shearling_ready_workers {number}.0" in self.metrics():
                return workers
            time.sleep(0.05)
        raise RuntimeError(f"{self.workers()} instead of {number} workers\n{self.log}")

    def workers(self) -> set[int]:
        """Return the process IDs of the workers."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as stream:  # noqa: PTH123 - not a regular file
            return set(map(int, stream.read().split()))

    def metrics(self) -> str:
        """Return the server's metrics."""
        return request(f"{self.url}/metrics")[2].decode()

    def kill(self) -> None:
        """End the server, whose workers notice it."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """Send SIGTERM to the server."""
        self.process.terminate()


@contextmanager
def production_server(
    directory: Path, registry: str, pin: Pin | str, *arguments: str, **variables: str
) -> Iterator[Served]:
    """Run the server, and end it and its workers.

    Args:
        directory: directory for its files and its output.
        registry: URI of the registry.
        pin: pin of the model.
        *arguments: further arguments.
        **variables: further environment variables.
    """
    settings = {
        "SHEARLING_REGISTRY": registry,
        "SHEARLING_MODEL": str(pin),
        "SHEARLING_MODEL_DIRECTORY": str(directory / "model"),
    }
    server = start_server(directory, {**os.environ, **settings, **variables}, *arguments)
    try:
        yield server
    finally:
        server.kill()


def start_server(directory: Path, environment: Mapping[str, str], *arguments: str) -> Served:
    """Start the server on a free port; whoever starts it kills it.

    Args:
        directory: directory for its files and its output.
        environment: all environment variables.
        *arguments: further arguments.
    """
    port = free_port()
    log = directory / f"server-{port}.log"
    scratch = {"SHEARLING_SCRATCH": str(directory / f"scratch-{port}")}
    command = [sys.executable, "-m", "shearling_runtime.server", "serve", "--host", "127.0.0.1"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port), *arguments],
            env={**scratch, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return Served(process, port, log)


def request(
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    method: str | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers in lower case and body of the response to a request."""
    asked = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, found, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            found = {name.lower(): value for name, value in error.headers.items()}
            return error.code, found, error.read()
