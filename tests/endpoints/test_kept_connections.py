"""Connections to an endpoint stay open, end in time, and say how they failed."""

from __future__ import annotations

import base64
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shearling.endpoints.kept_connections import (
    BrokenConnectionError,
    KeptConnections,
    NoAnswerError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Kind: A\r\n\r\nok"
SHORT = OK[:-1]


class Peer:
    """A host that answers each request with the next of some bytes, and then hangs up.

    Only after `OK` it waits for another request on the same connection.

    Attributes:
        requests: the requests of each connection.
    """

    def __init__(self, answers: Sequence[bytes], context: ssl.SSLContext | None) -> None:
        self._context = context
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(5)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[list[bytes]] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while self._answers:
            connection, _ = self._listener.accept()
            connection.settimeout(5)
            if self._context:
                try:
                    connection = self._context.wrap_socket(connection, server_side=True)
                except ssl.SSLError:  # the client does not trust the certificate
                    connection.close()
                    continue
            self.requests.append([])
            with connection:
                while self._answers and (request := _request(connection)):
                    self.requests[-1].append(request)
                    answer = self._answers.pop(0)
                    connection.sendall(answer)
                    if answer != OK:
                        break
        self._listener.close()

    def end(self) -> None:
        """Wait until all answers are given."""
        self._thread.join(10)


def _request(connection: socket.socket) -> bytes:
    """Return a request whose body is `body` if it has one; empty at the connection's end."""
    data = b""
    while not data.endswith(b"body" if b"content-length" in data.lower() else b"\r\n\r\n"):
        received = connection.recv(65536)
        if not received:
            return b""
        data += received
    return data


@contextmanager
def peer(*answers: bytes, context: ssl.SSLContext | None = None) -> Iterator[Peer]:
    host = Peer(answers, context)
    try:
        yield host
    finally:
        host.end()


def test_a_request_has_its_body_and_headers_and_an_answer_its_own() -> None:
    with peer(OK) as host:
        answer = KeptConnections(host.url).post("/a/b", b"body", {"accept": "x/y"}, 5)
    assert (answer.status, answer.headers["x-kind"], answer.body) == (200, "A", b"ok")
    [[request]] = host.requests
    assert request.startswith(b"POST /a/b HTTP/1.1\r\n")
    assert b"accept: x/y\r\n" in request
    assert request.endswith(b"\r\n\r\nbody")


def test_the_next_request_goes_over_the_same_connection() -> None:
    with peer(OK, OK) as host:
        connections = KeptConnections(host.url)
        for _ in range(2):
            assert connections.post("/", b"body", {}, 5).status == 200
    assert [len(requests) for requests in host.requests] == [2]


def test_a_connection_that_the_host_closes_is_not_used_again() -> None:
    closing = OK.replace(b"X-Kind: A", b"Connection: close")
    with peer(closing, OK) as host:
        connections = KeptConnections(host.url)
        for _ in range(2):
            assert connections.post("/", b"body", {}, 5).status == 200
    assert [len(requests) for requests in host.requests] == [1, 1]


def test_a_connection_that_the_host_closes_while_idle_is_not_used_again() -> None:
    with peer(OK) as host:
        connections = KeptConnections(host.url)
        assert connections.post("/", b"body", {}, 5).status == 200
        host.end()  # it hangs up
        with pytest.raises(UnreachableError):
            connections.post("/", b"body", {}, 5)


@pytest.mark.parametrize("answer", [b"", SHORT, b"SMTP\r\n\r\n"], ids=["none", "short", "no HTTP"])
def test_a_request_without_a_whole_answer_is_an_error_and_is_not_sent_again(answer: bytes) -> None:
    with peer(answer) as host, pytest.raises(BrokenConnectionError):
        KeptConnections(host.url).post("/", b"body", {}, 5)
    assert [len(requests) for requests in host.requests] == [1]


def test_a_host_that_does_not_answer_is_left_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connections = KeptConnections(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(NoAnswerError, match=r"0\.1 s"):
            connections.post("/", b"body", {}, 0.1)


def test_https_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(b"HTTP/1.1 403 no\r\n\r\n") as proxy:
        place = proxy.url.removeprefix("http://")
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:p%40ss@{place}")
        with pytest.raises(UnreachableError, match="403"):
            KeptConnections("https://runtime.invalid").post("/", b"body", {}, 5)
    [[request]] = proxy.requests
    assert request.startswith(b"CONNECT runtime.invalid:443 ")
    assert base64.b64encode(b"user:p@ss") in request
    assert b"body" not in request


def test_hosts_that_the_environment_excludes_are_reached_without_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connections = KeptConnections(f"https://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(UnreachableError, match="handshake operation timed out"):
            connections.post("/", b"body", {}, 0.2)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key, and the certificate of `localhost` that it signed itself."""
    path = tmp_path_factory.mktemp("certificate") / "localhost.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    key, own = f"{path}.key", f"{path}.certificate"
    subprocess.run([*command, *name, "-keyout", key, "-out", own], check=True, capture_output=True)
    path.write_text(Path(key).read_text() + Path(own).read_text())
    return path


def test_https_trusts_the_certificates_of_the_environment_and_no_others(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with peer(OK, context=context) as host:
        url = host.url.replace("http://127.0.0.1", "https://localhost")
        with pytest.raises(UnreachableError, match="certificate verify failed"):
            KeptConnections(url).post("/", b"body", {}, 5)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert KeptConnections(url).post("/", b"body", {}, 5).status == 200
