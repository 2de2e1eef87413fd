"""Connections to an API that stay open between requests: a new one costs several round trips."""

from __future__ import annotations

import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Of as many requests at once each keeps its connection.
_KEPT = 64

#: A connection that nobody used for so long may have been dropped on the way, unknown to both ends:
#: a request on it would fail, and nobody could say whether it was answered.
IDLE_SECONDS = 50.0


class Answer(NamedTuple):
    """An answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """Sends requests to one host, from any number of threads.

    No redirect is followed, for a signature and a token are for one host, and nothing is tried
    again. Proxies and certificates are those of the environment.

    Args:
        url: of the host.
        idle_seconds: after which an unused connection is not used again.
    """

    def __init__(self, url: str, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._used = time.monotonic()
        self._lock = threading.Lock()
        parts = urlsplit(url)
        options: dict[str, Any] = {"maxsize": _KEPT, "retries": False}
        if parts.scheme == "https":
            options["ssl_context"] = ssl.create_default_context()
        proxy = getproxies().get(parts.scheme)
        if proxy and not proxy_bypass(parts.hostname or ""):
            self._pool: urllib3.PoolManager = _through(proxy, options)
        else:
            self._pool = urllib3.PoolManager(**options)

    def send(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> Answer:
        """Send a request and return what is answered, whatever its status.

        Args:
            method: of the request.
            url: on the host.
            body: empty for none.
            headers: of the request.
            seconds: to wait at most for a connection, and for each part of the answer.

        Raises:
            urllib3.exceptions.HTTPError: there is no answer; NewConnectionError: nothing was sent.
        """
        with self._lock:
            if time.monotonic() - self._used > self._idle_seconds:
                self._pool.clear()
            self._used = time.monotonic()
        answer = self._pool.request(
            method, url, body=body or None, headers=headers, timeout=seconds, redirect=False
        )
        lower = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status, lower, answer.data)


def _through(proxy: str, options: dict[str, Any]) -> urllib3.ProxyManager:
    """Return connections through a proxy, with the name and the password in its URL."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return urllib3.ProxyManager(proxy, **options)
    who = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return urllib3.ProxyManager(
        proxy, proxy_headers=urllib3.make_headers(proxy_basic_auth=who), **options
    )
