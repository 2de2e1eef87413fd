"""Start the server's processes, replace those that end, and drain them at SIGTERM."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from shearling_runtime.server.machine import workers_that_fit
from shearling_runtime.server.worker import WorkerTask, run_worker
from shearling_runtime.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess
    from pathlib import Path
    from types import FrameType

    from shearling.refs import Pin
    from shearling_runtime.server.options import Options
    from shearling_runtime.settings import Settings

_BACKLOG = 2048

#: How many workers in a row may end before they have the model, and the seconds before the next.
_FAILURES, _PAUSE_SECONDS = 3, 1.0

#: Time for a worker to end after its requests.
_END_SECONDS = 3

#: Seconds after which a signal counts that arrived just before the parent began to wait, which it
#: does not wake.
_SIGNAL_SECONDS = 1.0


class StartError(Exception):
    """A setting that this machine does not permit; the message says which, and what to do."""


class _StopError(Exception):
    """The process is to end."""


@dataclass(slots=True)
class _Worker:
    process: ForkProcess
    ready: Connection
    is_ready: bool = False


class Supervisor:
    """The parent of the workers; it answers no request itself and imports no library.

    Args:
        settings: configuration of the model.
        pin: pin of the model.
        options: settings of the server.
    """

    def __init__(self, settings: Settings, pin: Pin, options: Options) -> None:
        self._settings = settings
        self._pin = pin
        self._options = options
        # Before any thread or library is started, so that a copy of this process is sound.
        self._context = multiprocessing.get_context("fork")
        self._workers: list[_Worker] = []
        self._failures = 0

    def run(self) -> int:
        """Serve until SIGTERM or Ctrl-C; return the exit code.

        Raises:
            StartError: it cannot listen on the port, or write to the scratch directory.
        """
        with (
            _metrics_directory(self._settings.scratch) as directory,
            _listener(self._options) as listener,
        ):
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
            sys.stderr.write("http://{}:{}\n".format(*listener.getsockname()[:2]))
            with _stopped_by_signals():
                try:
                    self._watch(listener)
                except _StopError:
                    listener.close()
                    return 0
                finally:
                    self._drain()
        return 1

    def _watch(self, listener: socket.socket) -> None:
        """Keep the workers running; return if they cannot be started."""
        self._start(listener, listens_at_once=True)
        while self._failures < _FAILURES:
            wait(
                [
                    *(worker.process.sentinel for worker in self._workers),
                    *(worker.ready for worker in self._workers if not worker.is_ready),
                ],
                _SIGNAL_SECONDS,
            )
            for worker in list(self._workers):
                if not worker.is_ready and worker.ready.poll():
                    self._note_ready(worker, listener)
                if not worker.process.is_alive():
                    self._replace(worker, listener)

    def _start(self, listener: socket.socket, *, listens_at_once: bool = False) -> None:
        ours, theirs = self._context.Pipe()
        task = WorkerTask(
            listener, self._settings, self._pin, self._options, theirs, listens_at_once
        )
        process = self._context.Process(target=_run_child, args=(ours, task))
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))

    def _note_ready(self, worker: _Worker, listener: socket.socket) -> None:
        """Start the other workers when the first has the model."""
        try:
            peak_mb = worker.ready.recv()
        except EOFError:  # it ended
            return
        worker.is_ready, self._failures = True, 0
        wanted = self._options.workers or workers_that_fit(peak_mb)
        log("ready", worker=worker.process.pid, peak_memory_mb=peak_mb, workers=wanted)
        for _ in range(wanted - len(self._workers)):
            self._start(listener)

    def _replace(self, worker: _Worker, listener: socket.socket) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        code, pid = worker.process.exitcode, worker.process.pid
        reason = f"signal {-code}" if code and code < 0 else f"exit code {code}"
        hint = " (too little memory?)" if code == -signal.SIGKILL else ""
        log("worker ended", worker=pid, reason=f"{reason}{hint}", was_ready=worker.is_ready)
        self._workers.remove(worker)
        worker.ready.close()
        mark_process_dead(pid)  # type: ignore[no-untyped-call]
        self._failures += not worker.is_ready
        if self._failures < _FAILURES:
            time.sleep(_PAUSE_SECONDS)
            self._start(listener, listens_at_once=not self._workers)

    def _drain(self) -> None:
        """Let the workers finish their requests, and kill those that do not in time."""
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + self._options.drain_seconds + _END_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.join()


def _metrics_directory(scratch: Path) -> tempfile.TemporaryDirectory[str]:
    """Return a new directory for the metrics of the workers."""
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="shearling-metrics-", dir=scratch)
    except OSError as error:
        raise StartError(
            f"SHEARLING_SCRATCH {scratch}: {error.strerror}. Set it to a directory that the server "
            "may write to"
        ) from error


def _listener(options: Options) -> socket.socket:
    try:
        return socket.create_server((options.host, options.port), backlog=_BACKLOG)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # Python adds the address
        is_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        option = "--port" if is_port else "--host"
        raise StartError(
            f"{options.host} port {options.port}: {reason}. Pass another {option}"
        ) from error


def _run_child(parents_end: Connection, task: WorkerTask) -> None:
    parents_end.close()  # so that the pipe ends with the parent
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    with suppress(KeyboardInterrupt):
        run_worker(task)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Make the first SIGTERM or Ctrl-C raise; further ones are ignored, since it is draining."""

    def stop(_: int, __: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise _StopError

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    yield
