"""An HTTP proxy of an S3 endpoint that can answer wrongly after a write succeeded."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

#: A status to return instead of the real one, or a reset of the connection.
Fault = Literal[409, 500, 503, "reset"]

_HOP = {"connection", "transfer-encoding", "content-length", "host"}


class FaultyS3:
    """Forwards requests to an endpoint, and applies the requested faults to the next writes.

    Attributes:
        writes: keys of all writes in order, including those with a fault; a multipart upload has
            one for each part and one for the completion.
        unconditional: keys of the writes that would replace an existing object.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = urlsplit(endpoint)
        self._faults: list[tuple[Fault | None, bool]] = []
        self._lock = threading.Lock()
        self.writes: list[str] = []
        self.unconditional: list[str] = []

    def __enter__(self) -> Self:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy._serve(self)

            do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, *faults: Fault, landed: bool, after: int = 0) -> None:
        """Skip `after` writes, then apply a fault to each: after the write, or instead of it."""
        with self._lock:
            self._faults = [(None, True)] * after + [(fault, landed) for fault in faults]

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        fault: Fault | None = None
        landed = True
        place = urlsplit(request.path)
        is_completion = request.command == "POST" and "uploadId=" in place.query
        if request.command == "PUT" or is_completion:
            with self._lock:
                self.writes.append(place.path)
                if "partNumber=" not in place.query and request.headers["if-none-match"] != "*":
                    self.unconditional.append(place.path)
                if self._faults:
                    fault, landed = self._faults.pop(0)
        status, headers, answer = self._forward(request, body) if landed else (0, [], b"")
        if fault == "reset":
            # A linger time of 0 turns the close into a reset.
            linger = struct.pack("ii", 1, 0)
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request.connection.close()
            request.close_connection = True
            return
        if fault is not None:
            status, headers = fault, []
            answer = b"<Error><Code>Wrong</Code><Message>asked for by a test</Message></Error>"
        request.send_response(status)
        for name, value in headers:
            request.send_header(name, value)
        # That of a HEAD is among its headers, once: boto3 refuses two.
        if not any(name.lower() == "content-length" for name, _ in headers):
            request.send_header("content-length", str(len(answer)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(answer)

    def _forward(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        host = str(self._endpoint.hostname)
        connection = http.client.HTTPConnection(host, self._endpoint.port, timeout=30)
        try:
            headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
            connection.request(request.command, request.path, body, headers)
            answer = connection.getresponse()
            kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in _HOP]
            if request.command == "HEAD":
                kept.append(("content-length", answer.getheader("content-length", "0")))
            return answer.status, kept, answer.read()
        finally:
            connection.close()
