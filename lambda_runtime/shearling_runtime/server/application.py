"""The ASGI application of a worker: read a request, have it answered, count and time it."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from shearling_runtime.http.messages import Request
from shearling_runtime.http.router import READS, refused
from shearling_runtime.server import metrics
from shearling_runtime.server.routes import INVOCATIONS, METRICS, PING, Reply, error, reply_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shearling_runtime.server.options import Options
    from shearling_runtime.server.routes import Routes

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

#: A body is read up to this multiple of its limit.
_DROPPED = 16

_NO_BODY = frozenset({204, 304})

#: Routes by the end of their path, for metrics: what callers send must not become a label.
_LABELS = {"infer": "infer", "ready": "health", "live": "health", "docs": "docs"}


class Application:
    """Answers requests over ASGI.

    Args:
        routes: answers a request.
        options: settings of the server.
        threads: number of requests that are answered at the same time.
    """

    def __init__(self, routes: Routes, options: Options, threads: int) -> None:
        self._routes = routes
        self._body_limit = options.body_limit
        self._pool = ThreadPoolExecutor(threads, "request")
        #: Whether to close each connection after its response.
        self.is_draining = False

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request."""
        path = scope["raw_path"].decode("latin-1")
        if path == PING:  # at once, also while all threads are busy
            reply: Reply | None = self._routes.ping()
        else:
            reply = await self._counted(path, scope, receive)
        if reply is not None:
            await self._send(reply, send)

    async def _counted(self, path: str, scope: dict[str, Any], receive: Receive) -> Reply | None:
        started = time.monotonic()
        metrics.IN_PROGRESS.inc()
        try:
            reply = await self._reply(path, scope, receive, started)
        finally:
            metrics.IN_PROGRESS.dec()
        if reply is not None:
            label = _label(path)
            metrics.REQUESTS.labels(label, str(reply.status)).inc()
            metrics.SECONDS.labels(label).observe(time.monotonic() - started)
        return reply

    async def _reply(
        self, path: str, scope: dict[str, Any], receive: Receive, started: float
    ) -> Reply | None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        body = await self._body(receive)
        if body is None:
            return None
        if isinstance(body, Reply):
            return body
        request = Request(
            scope["method"], path, headers, body, is_base64=False, limit=self._body_limit
        )
        if self._routes.is_quick(request):
            return self._routes.answer(request, started)
        loop = asyncio.get_running_loop()
        if path == METRICS:
            return await loop.run_in_executor(self._pool, _metrics, request)
        return await loop.run_in_executor(self._pool, self._routes.answer, request, started)

    async def _body(self, receive: Receive) -> bytes | Reply | None:
        """Return the body; None if the client has gone, and an error if it is too large."""
        limit, size = self._body_limit, 0
        parts: list[bytes] = []
        more_body = True
        # A body that is too large is read and dropped, or the client would not read the answer.
        while more_body and size <= limit * _DROPPED:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            size += len(message["body"])
            if size <= limit:
                parts.append(message["body"])
            more_body = message["more_body"]
        if size > limit:
            return error(413, f"a request can have {limit:,} bytes at most")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _send(self, reply: Reply, send: Send) -> None:
        headers = [
            (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in reply.headers.items()
        ]
        if reply.status not in _NO_BODY:
            headers.append((b"content-length", b"%d" % len(reply.body)))
        if self.is_draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})


def _metrics(request: Request) -> Reply:
    if request.method not in ("GET", "HEAD"):
        return reply_of(refused(request, READS))
    return Reply(200, {"content-type": metrics.CONTENT_TYPE}, metrics.exposition())


def _label(path: str) -> str:
    if path in (INVOCATIONS, METRICS):
        return path[1:]
    return _LABELS.get(path.rstrip("/").rpartition("/")[2], "other")
