"""HTTP connections that stay open, by the standard library: urllib3 takes 30 ms to import."""

from __future__ import annotations

import base64
import os
import select
import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

#: Idle time after which a connection is closed: a network device may have dropped it by then.
_IDLE_SECONDS = 50.0

#: How long to wait for a connection.
_CONNECT_SECONDS = 5.0


class UnreachableError(OSError):
    """There is no connection to the host, so nothing was sent."""


class NoAnswerError(OSError):
    """The time was over before the response was complete."""


class BrokenConnectionError(OSError):
    """The connection broke before the response was complete."""


class Answer(NamedTuple):
    """A response; the header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class KeptConnections:
    """Sends requests to one host, from any number of threads; never repeats one.

    Args:
        url: URL of the host. For `https`, the proxy and the certificates of the environment are
            used.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.netloc
        # Reading the certificates takes as long as a small function's start, so once, and early.
        self._context = ssl.create_default_context() if parts.scheme == "https" else None
        self._kept: list[tuple[HTTPConnection, float]] = []

    def __del__(self) -> None:
        """Close the connections."""
        for connection, _ in self._kept:
            connection.close()

    def post(self, path: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        """Send a request and return the response, whatever its status.

        Args:
            path: path on the host, encoded.
            body: body of the request.
            headers: headers by name.
            seconds: seconds to wait at most for a connection, and for each read of the response.

        Raises:
            UnreachableError: there is no connection.
            NoAnswerError: the response was not complete in time.
            BrokenConnectionError: the connection broke.
        """
        connection = self._open_one() or self._connect(min(seconds, _CONNECT_SECONDS))
        connection.sock.settimeout(seconds)
        try:
            connection.request("POST", path, body, dict(headers))
            response = connection.getresponse()
            data = response.read()
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise NoAnswerError(f"no response within {seconds:.1f} s") from error
            if isinstance(error, OSError | HTTPException):
                raise BrokenConnectionError(f"{type(error).__name__}: {error}") from error
            raise
        if connection.sock is not None:  # the response does not close it
            self._kept.append((connection, time.monotonic()))
        lower = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, lower, data)

    def _open_one(self) -> HTTPConnection | None:
        """Return a connection of an earlier request, unless its host has closed it."""
        while self._kept:
            connection, used = self._kept.pop()
            poll = select.poll()
            poll.register(connection.sock, select.POLLIN)
            # What could be read now is no response, but the end of the connection.
            if time.monotonic() - used < _IDLE_SECONDS and not poll.poll(0):
                return connection
            connection.close()
        return None

    def _connect(self, seconds: float) -> HTTPConnection:
        connection = self._new(seconds)
        try:
            connection.connect()
        except (OSError, HTTPException) as error:
            connection.close()
            raise UnreachableError(str(error) or type(error).__name__) from error
        return connection

    def _new(self, seconds: float) -> HTTPConnection:
        if self._context is None:
            return HTTPConnection(self._host, timeout=seconds)
        proxy = urlsplit(_https_proxy(self._host))
        host = proxy.netloc.rpartition("@")[2] or self._host
        connection = HTTPSConnection(host, timeout=seconds, context=self._context)
        if proxy.netloc:
            connection.set_tunnel(self._host, headers=_authorization(proxy))
        return connection


def _https_proxy(host: str) -> str:
    """Return the URL of the environment's proxy for a host; empty for none."""
    if not {"HTTPS_PROXY", "https_proxy"} & os.environ.keys():
        return ""
    from urllib.request import getproxies, proxy_bypass  # slow to import, and rarely needed

    return "" if proxy_bypass(host) else getproxies().get("https", "")


def _authorization(proxy: SplitResult) -> dict[str, str]:
    """Return the header with the user and the password in a proxy's URL."""
    if proxy.username is None:
        return {}
    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
