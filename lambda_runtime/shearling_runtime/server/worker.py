"""One process of the server: it loads the model and answers requests on a shared socket."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from shearling_runtime.telemetry import log, log_error, peak_memory_mb

if TYPE_CHECKING:
    import socket
    from multiprocessing.connection import Connection

    from uvicorn import Config, Server

    from shearling.refs import Pin
    from shearling_runtime.server.application import Application
    from shearling_runtime.server.options import Options
    from shearling_runtime.server.routes import Routes
    from shearling_runtime.settings import Settings

#: How long a load that failed waits for the next try, as after an outage of S3.
_RETRY_SECONDS = 5

#: How long a connection stays open between two requests: longer than load balancers keep it, which
#: would otherwise send a request on a connection that was just closed.
_IDLE_SECONDS = 75

#: How long idle connections stay open after SIGTERM, for requests that are on their way.
_LAST_REQUEST_SECONDS = 0.5

#: Requests at the same time in one worker: a second one is parsed while the first is predicted. A
#: pickled model may not be made for threads.
_THREADS, _PICKLE_THREADS = 2, 1


class WorkerTask(NamedTuple):
    """What a worker is started with.

    Attributes:
        listener: socket of the server.
        settings: configuration of the model.
        pin: pin of the model.
        options: settings of the server.
        ready: receives the peak memory in MB when the model is loaded. It ends with the parent.
        listens_at_once: whether to answer requests with 503 while the model is loaded; the first
            worker does.
    """

    listener: socket.socket
    settings: Settings
    pin: Pin
    options: Options
    ready: Connection
    listens_at_once: bool


def run_worker(task: WorkerTask) -> None:
    """Serve until SIGTERM; the process ends with this function."""
    from shearling_runtime.server.application import Application
    from shearling_runtime.server.routes import Routes
    from shearling_runtime.serving.model_server import ModelServer

    settings = replace(task.settings, processors=task.options.threads)
    routes = Routes(ModelServer(settings), task.pin.model, task.options)
    threads = _PICKLE_THREADS if settings.allow_pickle else _THREADS
    application = Application(routes, task.options, threads)
    threading.Thread(target=_end_with_parent, args=(task.ready,), daemon=True).start()
    if task.listens_at_once:
        threading.Thread(target=_load, args=(routes, task), daemon=True).start()
    else:
        _load(routes, task)
    _serve(application, task.listener, task.options)


def _load(routes: Routes, task: WorkerTask) -> None:
    """Load the model and report it; what is no error of a model ends the process."""
    from shearling_runtime.server import metrics

    try:
        known = ""
        while problem := routes.load():
            if problem != known:
                log("not ready", reason=problem, retry_seconds=_RETRY_SECONDS)
            known = problem
            time.sleep(_RETRY_SECONDS)
        metrics.ready(task.pin)
        task.ready.send(peak_memory_mb())
    except Exception as error:  # noqa: BLE001 - in a thread, it would otherwise be lost
        log_error("worker failed", error)
        os._exit(1)


def _end_with_parent(ready: Connection) -> None:
    """End this process when the parent is gone, even if it was killed."""
    try:
        ready.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)


def _serve(application: Application, listener: socket.socket, options: Options) -> None:
    from uvicorn import Config

    config = Config(
        application,
        http="httptools",
        ws="none",
        lifespan="off",
        loop="uvloop",
        interface="asgi3",
        log_config=None,
        log_level=logging.CRITICAL,  # errors are logged where they are answered
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=options.drain_seconds,
    )
    _draining_server(config, application).run([listener])


def _draining_server(config: Config, application: Application) -> Server:
    """Return a server that answers, after SIGTERM, requests which are already on their way."""
    from uvicorn import Server

    class DrainingServer(Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # New connections are refused at once; one that waits for nobody would be reset later.
            for server in self.servers:
                server.close()
            for listener in sockets or ():
                listener.close()
            application.is_draining = True
            await asyncio.sleep(_LAST_REQUEST_SECONDS)
            await super().shutdown(sockets)

    return DrainingServer(config)
