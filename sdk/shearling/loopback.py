"""The HTTP server on loopback that `shearling serve` and `shearling open` share.

uvicorn handles HTTP. A plain function answers each request, in a thread of its own. Function
packages contain neither this module nor uvicorn.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
    from types import FrameType

HOST = "127.0.0.1"

_LOG = logging.getLogger(__name__)

#: How long a connection stays open between two requests, and how long the server waits for running
#: requests when it stops.
_IDLE_SECONDS = 30
_END_SECONDS = 1

#: How many connections may wait to be accepted. The system lowers it to its own limit.
_BACKLOG = 1024

#: How many characters of a refused name an error shows.
_SHOWN = 100

_NO_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request.

    Attributes:
        server: address of the server, such as `127.0.0.1:8080`.
        method: HTTP method.
        target: path and query, not decoded.
        headers: names in lower case and values, in the order in which they were sent.
        body: bytes of the body.
    """

    server: str
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of that name, given in lower case."""
        return next((value for key, value in self.headers if key == name), None)


class Reply(NamedTuple):
    """The response to a request; the server adds the length of the body to the headers."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def error(cls, status: int, message: str) -> Reply:
        """Return an error in the format of the model's own errors."""
        body = json.dumps({"error": message}).encode()
        return cls(status, {"content-type": "application/json"}, body)


@contextmanager
def serving(
    answer: Callable[[Request], Reply],
    *,
    port: int = 0,
    body_limit: int | Callable[[Request], int],
    names: Collection[str] = (),
) -> Iterator[int]:
    """Serve on loopback while the block runs, and yield the port.

    A page of another site in the browser can send requests to this port, also under a host name of
    its own that resolves to loopback. So `Host` and `Origin` must name this machine.

    Args:
        answer: answers a request; called in a thread of its own for each one.
        port: port to listen on; 0 selects a free port.
        body_limit: size limit of a body in bytes, of all requests or of one by its head; a larger
            body gets a 413.
        names: host names that are accepted besides those of loopback.

    Raises:
        OSError: the port is in use.
    """
    from uvicorn import Config, Server

    listener = _listener(port)
    config = Config(
        _Application(answer, body_limit, frozenset(name.lower() for name in names)),
        http="h11",
        ws="none",
        lifespan="off",
        loop="asyncio",
        interface="asgi3",
        log_config=None,
        log_level=logging.CRITICAL,  # this module logs exceptions of `answer`
        access_log=False,  # URLs may contain a secret
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_END_SECONDS,
    )
    server = Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    with listener:
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def _listener(port: int) -> socket.socket:
    """Return a socket that listens, whose connections send what is small at once.

    asyncio turns Nagle's algorithm off only for sockets that say that they are TCP, which
    `socket.create_server` does not. With it, each response on an open connection waits 40 ms.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end the block by an exception, as Ctrl-C does.

    By default they end the process at once, without closing what the block has opened. A signal
    that is ignored, as under nohup, stays ignored.
    """

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)  # the exit code of shells for this signal

    signals = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in signals:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_DFL)


def wait_for_a_signal() -> NoReturn:
    """Wait until a signal ends the wait by an exception, as in `ended_by_signals`.

    A signal that arrives just before the thread begins to wait does not wake it, so the wait ends
    each second: Python then raises the exception.
    """
    while True:
        time.sleep(1)


def is_loopback(name: str) -> bool:
    """Return whether a host name or address, without a port, is one of loopback."""
    if name.lower() == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(name).is_loopback
    return False


class _Application:
    """The ASGI application around a function that answers requests."""

    def __init__(
        self,
        answer: Callable[[Request], Reply],
        body_limit: int | Callable[[Request], int],
        names: frozenset[str],
    ) -> None:
        self._answer = answer
        self._body_limit = body_limit
        self._names = names

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer a request."""
        target = scope["raw_path"] + (b"?" if scope["query_string"] else b"")
        head = Request(
            "{}:{}".format(*scope["server"]),
            scope["method"],
            (target + scope["query_string"]).decode("latin-1"),
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
            b"",
        )
        reply = self._foreign(head) or await self._reply(head, receive)
        if reply is None:
            return  # the client closed the connection
        headers = [
            (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in reply.headers.items()
        ]
        if reply.status not in _NO_BODY:
            headers.append((b"content-length", str(len(reply.body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    def _foreign(self, head: Request) -> Reply | None:
        """Return an error for a request that a page of another site may have sent, else None."""
        host, origin = head.header("host") or "", head.header("origin")
        # `host_name` is empty for anything but a host and a port, and an empty name is refused.
        if not self._is_own(host_name(f"//{host}")):
            return Reply.error(403, f"Host {host[:_SHOWN]!r} is not a name of this machine")
        if origin is not None and not self._is_own(host_name(origin)):
            return Reply.error(403, f"Origin {origin[:_SHOWN]!r} is another site")
        return None

    def _is_own(self, name: str) -> bool:
        return is_loopback(name) or name in self._names

    async def _reply(
        self, head: Request, receive: Callable[[], Awaitable[dict[str, Any]]]
    ) -> Reply | None:
        # The server has refused lengths that are not numbers, and discards a body that is not read.
        limit = self._body_limit if isinstance(self._body_limit, int) else self._body_limit(head)
        too_large = Reply.error(413, f"a request can have {limit:,} bytes at most")
        if int(head.header("content-length") or 0) > limit:
            return too_large
        body = bytearray()
        is_whole = False
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message["body"]
            if len(body) > limit:
                return too_large
            is_whole = not message["more_body"]
        request = replace(head, body=bytes(body))
        return await _in_thread(lambda: self._answered(request))

    def _answered(self, request: Request) -> Reply:
        try:
            return self._answer(request)
        except Exception:  # noqa: BLE001 - the client gets a response in any case
            _LOG.exception("a request could not be answered")
            return Reply.error(500, "internal error; see the output of the server")


async def _in_thread(work: Callable[[], Reply]) -> Reply:
    """Await the result of a function in a daemon thread, which cannot keep the process alive."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Reply] = loop.create_future()

    def settle(reply: Reply) -> None:
        if not future.done():
            future.set_result(reply)

    def run() -> None:
        reply = work()
        with suppress(RuntimeError):  # the server has stopped
            loop.call_soon_threadsafe(settle, reply)

    threading.Thread(target=run, daemon=True).start()
    return await future


def host_name(url: str) -> str:
    """Return the host of a URL in lower case; empty if it has none or is not a URL."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if "@" not in parts.netloc and parts.port != 0:  # an invalid port raises
            return parts.hostname or ""
    return ""
