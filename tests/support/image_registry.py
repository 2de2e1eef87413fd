"""Run Debian's registry of images on loopback, and a proxy in front of it that is not so kind."""

from __future__ import annotations

import io
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PROGRAMS = ("docker-registry", "skopeo", "umoci")
_START_SECONDS = 20
_MARGIN = 65536

#: Why the tests of real images are skipped, or empty.
MISSING = ", ".join(program for program in _PROGRAMS if shutil.which(program) is None)

needs_registry = pytest.mark.skipif(
    bool(MISSING),
    reason=f"not installed: {MISSING} (`make images` installs them from Debian, as root)",
)


@contextmanager
def image_registry(directory: Path) -> Iterator[str]:
    """Run docker-registry, which keeps its images below a directory; yield its host and port."""
    port = free_port()
    configuration = directory / "registry.yml"
    configuration.write_text(
        "version: 0.1\n"
        f"storage: {{filesystem: {{rootdirectory: {directory / 'images'}}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
        "log: {level: error, accesslog: {disabled: true}}\n"
    )
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", configuration], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_it_listens(process, port)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


class RegistryProxy:
    """A proxy in front of a registry that wants tokens, or cuts transfers.

    Attributes:
        requests: method and path of each request that was passed on.
        tokens: scopes of each token that was asked for, with the login of the request.
        login: the login that tokens need, as the header has it; empty for none.
        wants_tokens: whether requests need a token of the scope that they use.
        cuts: how many transfers of a blob are still to be cut, after `cut_bytes`.
        cut_bytes: bytes of a transfer that pass before it is cut.
        keeps_uploads: whether the bytes of an upload that was cut are kept, as the specification
            permits; docker-registry drops them.
        refusals: statuses to answer the next requests with.
    """

    def __init__(self, upstream: str) -> None:
        self.requests: list[tuple[str, str]] = []
        self.tokens: list[tuple[tuple[str, ...], str]] = []
        self.login = ""
        self.wants_tokens = False
        self.cuts = 0
        self.cut_bytes = 0
        self.keeps_uploads = False
        self._kept: dict[str, bytes] = {}
        self.refusals: list[int] = []
        self._upstream = upstream

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on loopback, and yield host and port."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                proxy._answer(self)

            do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            self.host = f"127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield self.host
            finally:
                server.shutdown()
                thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        if url.path == "/token":
            self._give_token(handler, tuple(parse_qs(url.query).get("scope", [])))
            return
        if self.wants_tokens and not self._has_token(handler, url.path):
            handler.close_connection = True
            _respond(handler, 401, b"", {"WWW-Authenticate": self._challenge(handler, url.path)})
            return
        if self.refusals:
            handler.close_connection = True
            body = b'{"errors": [{"code": "TOOMANYREQUESTS", "message": "slow down"}]}'
            _respond(handler, self.refusals.pop(0), body, {})
            return
        self.requests.append((handler.command, handler.path))
        if self.keeps_uploads and "/blobs/uploads/" in handler.path:
            self._keep(handler)
        else:
            self._pass_on(handler)

    def _keep(self, handler: BaseHTTPRequestHandler) -> None:
        """Keep what arrives of an upload, and pass it on when all of it has."""
        handler.close_connection = True
        kept = self._kept.get(handler.path, b"")
        if handler.command == "GET":
            headers = {"Location": handler.path, "Range": f"0-{max(0, len(kept) - 1)}"}
            _respond(handler, 204, b"", headers)
            return
        if handler.command != "PATCH":
            self._pass_on(handler)
            return
        length = int(handler.headers["content-length"])
        start, _, end = (handler.headers.get("content-range") or f"0-{length - 1}").partition("-")
        if (int(start), int(end) + 1 - int(start)) != (len(kept), length):
            _respond(handler, 416, b"", {"Range": f"0-{max(0, len(kept) - 1)}"})
        elif self._cuts_now(is_blob=True, size=length):
            self._kept[handler.path] = kept + handler.rfile.read(self.cut_bytes)
        else:
            whole = self._kept.pop(handler.path, b"") + handler.rfile.read(length)
            del handler.headers["content-range"]
            handler.headers.replace_header("content-length", str(len(whole)))
            handler.rfile = io.BytesIO(whole)
            self._pass_on(handler)

    def _scope(self, method: str, path: str) -> str:
        repository = path.removeprefix("/v2/").partition("/blobs/")[0].partition("/manifests/")[0]
        return f"repository:{repository}:{'pull' if method in ('GET', 'HEAD') else 'pull,push'}"

    def _challenge(self, handler: BaseHTTPRequestHandler, path: str) -> str:
        scope = self._scope(handler.command, path)
        return f'Bearer realm="http://{self.host}/token",service="registry",scope="{scope}"'

    def _has_token(self, handler: BaseHTTPRequestHandler, path: str) -> bool:
        token = handler.headers.get("authorization", "").removeprefix("Bearer ")
        repository, verbs = self._scope(handler.command, path).rsplit(":", 1)
        granted = dict(scope.rsplit(":", 1) for scope in token.split("|") if ":" in scope)
        return set(verbs.split(",")) <= set(granted.get(repository, "").split(","))

    def _give_token(self, handler: BaseHTTPRequestHandler, scopes: tuple[str, ...]) -> None:
        login = handler.headers.get("authorization", "")
        self.tokens.append((scopes, login))
        if self.login and login != self.login:
            _respond(handler, 401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "who?"}]}', {})
            return
        # The scopes themselves: what matters here is which ones are asked for.
        _respond(handler, 200, f'{{"token": "{"|".join(scopes)}"}}'.encode(), {})

    def _pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        """Send a request to the registry byte by byte, and its answer back."""
        host, _, port = self._upstream.partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as upstream:
            # With the proxy's own host, which the registry names in the URLs of uploads.
            head = [f"{handler.command} {handler.path} HTTP/1.1"]
            left_out = ("authorization", "connection")
            head += [f"{k}: {v}" for k, v in handler.headers.items() if k.lower() not in left_out]
            upstream.sendall("\r\n".join([*head, "Connection: close", "", ""]).encode())
            handler.close_connection = True
            is_blob = "/blobs/" in handler.path
            length = int(handler.headers.get("content-length") or 0)
            if handler.command == "PATCH" and self._cuts_now(is_blob=is_blob, size=length):
                _copy(handler.rfile.read, upstream.sendall, self.cut_bytes)
                return
            _copy(handler.rfile.read, upstream.sendall, length)
            is_download = handler.command == "GET" and "/uploads/" not in handler.path
            is_cut = is_download and self._cuts_now(is_blob=is_blob, size=_MARGIN + self.cut_bytes)
            limit = self.cut_bytes if is_cut else 1 << 40
            with suppress(ConnectionError, BrokenPipeError):
                _copy(upstream.recv, handler.wfile.write, limit)

    def _cuts_now(self, *, is_blob: bool, size: int) -> bool:
        if self.cuts and is_blob and size > self.cut_bytes:
            self.cuts -= 1
            return True
        return False


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _copy(read: Callable[[int], bytes], write: Callable[[bytes], object], limit: int) -> None:
    while limit > 0 and (part := read(min(_MARGIN, limit))):
        write(part)
        limit -= len(part)


def _respond(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
) -> None:
    handler.send_response(status)
    if handler.close_connection:
        handler.send_header("Connection", "close")
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=1).close()
            return
        time.sleep(0.02)
    raise RuntimeError("docker-registry does not start")
