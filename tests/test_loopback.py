"""The server behind `shearling serve` and `shearling open`: HTTP as callers speak it."""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import sys
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from shearling.loopback import Reply, Request, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 1_000_000


def mirror(request: Request) -> Reply:
    """Say what was asked."""
    if request.target == "/none":
        return Reply(204, {}, b"")
    if request.target == "/bug":
        raise ZeroDivisionError
    document = {
        "method": request.method,
        "target": request.target,
        "headers": request.headers,
        "body": request.body.decode("latin-1"),
    }
    return Reply(200, {"content-type": "application/json"}, json.dumps(document).encode())


@pytest.fixture
def port() -> Iterator[int]:
    with serving(mirror, body_limit=LIMIT, names=["Dev.example"]) as port:
        yield port


@pytest.fixture
def connection(port: int) -> Iterator[http.client.HTTPConnection]:
    opened = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    yield opened
    opened.close()


Answered = tuple[int, bytes]


def asked(connection: http.client.HTTPConnection, *request: Any, **more: Any) -> Answered:
    connection.request(*request, **more)
    answer = connection.getresponse()
    return answer.status, answer.read()


def mirrored(answered: Answered) -> dict[str, object]:
    status, body = answered
    assert status == 200, body
    document: dict[str, object] = json.loads(body)
    return document


def test_a_request_arrives_as_it_was_sent(connection: http.client.HTTPConnection) -> None:
    connection.putrequest("PATCH", "/a%2Fb//c?x=%20&y", skip_accept_encoding=True)
    for value in ("1", "2"):
        connection.putheader("X-Twice", value)
    connection.putheader("content-length", "3")
    connection.endheaders(b"abc")
    answer = connection.getresponse()
    document = mirrored((answer.status, answer.read()))
    assert (document["method"], document["target"]) == ("PATCH", "/a%2Fb//c?x=%20&y")
    assert document["body"] == "abc"
    assert document["headers"] == [
        ["host", f"127.0.0.1:{connection.port}"],
        ["x-twice", "1"],
        ["x-twice", "2"],
        ["content-length", "3"],
    ]


def test_64_connections_at_once_wait_for_none_of_each_other(port: int) -> None:
    """A connection that finds the queue full is dropped, and tried again after a second."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(64)]
        for one in sockets:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        waiting = set(sockets)
        while waiting:
            _, connected, _ = select.select([], list(waiting), [], 0.9)
            assert connected, f"{len(waiting)} connections were dropped"
            waiting.difference_update(connected)
        for one in sockets:
            one.setblocking(True)
            one.settimeout(20)
            one.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert all(one.recv(100).startswith(b"HTTP/1.1 200") for one in sockets)


def test_who_expects_a_continue_is_told_to_before_the_body_is_sent(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=4) as caller:
        caller.sendall(
            b"POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n"
            b"content-length: 3\r\n\r\n"
        )
        assert caller.recv(1000).startswith(b"HTTP/1.1 100 ")
        caller.sendall(b"abc")
        answer = b""
        while not answer.endswith(b"}"):
            more = caller.recv(10_000)
            assert more, answer
            answer += more
        assert b'"body": "abc"' in answer


def test_who_expects_a_continue_for_too_much_is_refused_before_the_body_is_sent(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=4) as caller:
        caller.sendall(
            b"POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n"
            b"content-length: 1000001\r\n\r\n"
        )
        assert caller.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_body_in_chunks_is_one_body(connection: http.client.HTTPConnection) -> None:
    for _ in range(2):  # what follows on the same connection is the next request
        parts = iter([b"GET /evil HTTP/1.1\r\n", b"\r\n" * 3, b"end"])
        document = mirrored(asked(connection, "POST", "/", parts, encode_chunked=True))
        assert document["body"] == "GET /evil HTTP/1.1\r\n" + "\r\n" * 3 + "end"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_refused_and_no_request(
    connection: http.client.HTTPConnection, *, chunked: bool
) -> None:
    large = b"GET /evil HTTP/1.1\r\nhost: localhost\r\n\r\n" * 40_000
    body = iter([large]) if chunked else large
    status, said = asked(connection, "POST", "/", body, encode_chunked=chunked)
    assert (status, json.loads(said)["error"]) == (
        413,
        "a request can have 1,000,000 bytes at most",
    )
    assert mirrored(asked(connection, "GET", "/next"))["target"] == "/next"
    assert mirrored(asked(connection, "POST", "/", b"x" * LIMIT))["body"] == "x" * LIMIT


@pytest.mark.parametrize(
    "head",
    [
        "content-length: ²",
        "content-length: -1",
        "content-length: 3\r\ncontent-length: 4",
        "transfer-encoding: gzip",
        "host: two.example",
        "no header",
    ],
)
def test_what_is_not_http_is_refused(port: int, head: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
        caller.sendall(f"POST / HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\nabc".encode())
        answer = b""
        while more := caller.recv(1000):
            answer += more
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "LocalHost:1234", "[::1]:80", "127.9.9.9", "dev.example:8080"],
)
def test_names_of_this_machine_and_those_asked_for_are_served(
    connection: http.client.HTTPConnection, host: str
) -> None:
    for headers in ({"Host": host}, {"Origin": f"http://{host}"}, {"Origin": f"https://{host}"}):
        assert asked(connection, "POST", "/", b"", headers)[0] == 200


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example@localhost",
        "localhost@evil.example",
        "10.0.0.1",
        "0.0.0.0",
        "[::2]",
        "[",
        "localhost:port:80",
        "",
        "null",
        "x" * 9000,
    ],
)
def test_names_of_others_are_refused(connection: http.client.HTTPConnection, name: str) -> None:
    for headers in ({"Host": name}, {"Origin": f"http://{name}"}, {"Origin": name}):
        status, said = asked(connection, "POST", "/", b"", headers)
        assert status == 403
        assert len(said) < 300


def test_a_fault_of_ours_is_an_answer_and_a_traceback_in_the_log(
    connection: http.client.HTTPConnection, caplog: pytest.LogCaptureFixture
) -> None:
    status, said = asked(connection, "GET", "/bug")
    assert status == 500
    assert json.loads(said)["error"].startswith("internal error")
    assert "ZeroDivisionError" in caplog.text
    assert asked(connection, "GET", "/")[0] == 200


def test_answers_without_a_body_leave_the_connection_usable(
    connection: http.client.HTTPConnection,
) -> None:
    assert asked(connection, "GET", "/none") == (204, b"")
    assert asked(connection, "HEAD", "/") == (200, b"")
    assert asked(connection, "GET", "/")[0] == 200


def test_an_answer_under_way_does_not_hold_up_the_end() -> None:
    asked_for, may_end = threading.Event(), threading.Event()

    def answer(_: Request) -> Reply:
        asked_for.set()
        may_end.wait(60)
        return Reply(200, {}, b"")

    with socket.socket() as caller:
        with serving(answer, body_limit=LIMIT) as port:
            caller.connect(("127.0.0.1", port))
            caller.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert asked_for.wait(20)
        assert not may_end.is_set()
        with socket.create_server(("127.0.0.1", port)):
            pass  # the port is free again
    may_end.set()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_small_responses_do_not_wait_for_others() -> None:
    with (
        serving(lambda _: Reply(200, {}, b"yes"), body_limit=0) as port,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        [accepted] = sockets_to(client.getsockname())
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def sockets_to(address: tuple[str, int]) -> list[socket.socket]:
    """Return copies of the sockets of this process that are connected to an address."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as each:
            if each.getpeername() == address:
                found.append(each.dup())
    return found
