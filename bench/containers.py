"""The server of container images under 32 clients, against a container by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.cold_start import infer_document
from bench.installation import function_package
from bench.measurement import Findings, Row, duration, interleaved, medians
from bench.models import SMALL
from bench.processes import run
from bench.progress import say
from tests.embedded_aws import install
from tests.support.image_registry import free_port
from tests.support.packages import unzipped_package

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.registries import Registries

SHEARLING = "Shearling"
_BY_HAND = "FastAPI by hand"
_CLIENTS, _WORKERS = 32, 2
_SECONDS, _ROUNDS = 3.0, 7
_START_SECONDS = 60
_TITLE = f"Containers, {_CLIENTS} clients"
_COLUMNS = ("requests a processor second", "median", "99th percentile")

#: Rows of a request, and by which factor more requests a second and processor are wanted.
_TARGETS = {1: 1.5, 100: 1.5}


def measure(registries: Registries, python: str, *, quick: bool) -> Findings:
    """Measure requests of one and of many rows."""
    findings = Findings(notes=[_NOTE])
    columns = [f"{name}: {what}" for name in (SHEARLING, _BY_HAND) for what in _COLUMNS]
    findings.tables[_TITLE] = [["request", *columns]]
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="shearling-bench-"))
        )
        servers = {
            SHEARLING: stack.enter_context(_ours(registries, python, directory)),
            _BY_HAND: stack.enter_context(_by_hand(python)),
        }
        for rows, target in _TARGETS.items():
            say(f"a server with {_CLIENTS} clients and requests of {rows} rows")
            body = directory / f"{rows}.json"
            body.write_text(json.dumps(infer_document(SMALL.rows(rows))))
            _check([server.answer(body.read_bytes()) for server in servers.values()])
            rates = medians(_measured(servers, body, 2 if quick else _ROUNDS))
            _report(findings, rows, target, rates, servers)
    return findings


class _Server:
    """A server that runs, and the processor time that it and its processes took."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port
        self.durations: list[float] = []

    def answer(self, body: bytes) -> Any:
        """Return the outputs of a request's answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/invocations",
            body,
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)["outputs"]

    def requests_per_processor_second(self, body: Path) -> float:
        """Let clients send requests for some seconds."""
        command = [sys.executable, "-m", "bench.http_clients"]
        command += [str(self.port), str(_CLIENTS), str(_SECONDS), str(body)]
        before = _processor_seconds(self._process.pid)
        durations: list[float] = json.loads(run(command))
        used = _processor_seconds(self._process.pid) - before
        self.durations += durations
        return len(durations) / used


@contextmanager
def _serving(command: Sequence[str], port: int, environment: dict[str, str]) -> Iterator[_Server]:
    """Run a server until the block ends."""
    process = subprocess.Popen(  # noqa: S603 - our own servers
        command,
        env={"PATH": "/usr/bin:/bin", "LANG": "en_US.UTF-8", **environment},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command} does not start")
            time.sleep(0.05)
        time.sleep(2)  # for the other workers
        yield _Server(process, port)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_ready(port: int) -> bool:
    with suppress(OSError):
        url = f"http://127.0.0.1:{port}/ping"
        urllib.request.urlopen(url, timeout=2).close()
        return True
    return False


@contextmanager
def _ours(registries: Registries, python: str, directory: Path) -> Iterator[_Server]:
    """The files of the image, without its base."""
    port = free_port()
    package = unzipped_package("image", directory, python)
    environment = {
        "PYTHONPATH": str(package),
        "SHEARLING_REGISTRY": str(registries.mount),
        "SHEARLING_MODEL": registries.pushed(SMALL).pin,
        "SHEARLING_SCRATCH": str(directory / "scratch"),
        "SHEARLING_WORKERS": str(_WORKERS),
    }
    command = [str(install.function_python(python)), "-m", "shearling_runtime.server", "serve"]
    options = ["--host", "127.0.0.1", "--port", str(port)]
    with _serving([*command, *options], port, environment) as server:
        yield server


@contextmanager
def _by_hand(python: str) -> Iterator[_Server]:
    port = free_port()
    package = function_package("fastapi_server", python)
    environment = {"PYTHONPATH": str(package), "MODEL_PATH": str(SMALL.path)}
    command = [str(install.function_python(python)), "-m", "uvicorn", "fastapi_server:app"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(_WORKERS)]
    options += ["--no-access-log", "--log-level", "error"]
    with _serving([*command, *options], port, environment) as server:
        yield server


def _measured(servers: dict[str, _Server], body: Path, rounds: int) -> dict[str, list[float]]:
    """Return requests a processor second of each server, one of each a round."""
    for server in servers.values():
        server.requests_per_processor_second(body)  # to warm it
        server.durations.clear()
    return interleaved(
        rounds,
        {
            name: partial(server.requests_per_processor_second, body)
            for name, server in servers.items()
        },
    )


def _report(
    findings: Findings,
    rows: int,
    target: float,
    rates: dict[str, float],
    servers: dict[str, _Server],
) -> None:
    label = "one row" if rows == 1 else f"{rows} rows"
    findings.tables[_TITLE].append(
        [label, *(cell for name in servers for cell in _cells(name, rates, servers))]
    )
    findings.rows.append(
        Row(
            section="containers",
            what=f"container, {_CLIENTS} clients, {label}: requests a processor second",
            ours=f"{rates[SHEARLING]:,.0f}",
            against=f"{rates[_BY_HAND]:,.0f} ({_BY_HAND})",
            ratio=rates[SHEARLING] / rates[_BY_HAND],
            bound="at least",
            target=target,
            source="own goal",
        )
    )


def _cells(name: str, rates: dict[str, float], servers: dict[str, _Server]) -> list[str]:
    durations = servers[name].durations
    slowest = quantiles(durations, n=100)[-1]
    return [f"{rates[name]:,.0f}", duration(median(durations)), duration(slowest)]


def _check(outputs: Sequence[Any]) -> None:
    """Make sure that what is compared computes the same."""
    ours, other = (np.asarray(each[0]["data"]).ravel() for each in outputs)
    if not np.allclose(ours, other, atol=1e-5):
        raise RuntimeError(f"Shearling answers {ours}, and the container by hand {other}")


def _processor_seconds(pid: int) -> float:
    """Return the processor time of a process and of those below it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    below = sum(_processor_seconds(int(child)) for child in children)
    return ticks / os.sysconf("SC_CLK_TCK") + below


_NOTE = (
    "The server of the image and uvicorn with FastAPI run two processes each, on the same "
    "interpreter and the same wheels, with httptools and uvloop; 32 clients each send one request "
    "after another on a connection of their own. Requests a processor second are those that were "
    "answered in three seconds over the processor time that the server took meanwhile, so that the "
    "clients' own time and other load do not count. Shearling checks the request against the "
    "signature and counts it for Prometheus; the container by hand does neither."
)
