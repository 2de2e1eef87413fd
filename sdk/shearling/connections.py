"""Send HTTP requests over connections that stay open, since opening one takes round trips."""

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

#: Maximum number of open connections that are kept for later requests.
_MAX_KEPT_CONNECTIONS = 64

#: Idle time after which connections are closed. A network device may have dropped an idle
#: connection without notice. A request on it would fail, with no way to tell whether the function
#: ran.
IDLE_SECONDS = 50.0


class Answer(NamedTuple):
    """A response; the header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """Sends requests to one host, from any number of threads.

    Follows no redirects, because a signature or token is for one host only, and never retries.
    Uses the proxies and certificates of the environment.

    Args:
        url: URL of the host.
        idle_seconds: seconds after which an unused connection is closed.
    """

    def __init__(self, url: str, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._used = time.monotonic()
        self._lock = threading.Lock()
        parts = urlsplit(url)
        options: dict[str, Any] = {"maxsize": _MAX_KEPT_CONNECTIONS, "retries": False}
        if parts.scheme == "https":
            options["ssl_context"] = ssl.create_default_context()
        proxy = getproxies().get(parts.scheme)
        if proxy and not proxy_bypass(parts.hostname or ""):
            self._pool: urllib3.PoolManager = _proxy_pool(proxy, options)
        else:
            self._pool = urllib3.PoolManager(**options)

    def send(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> Answer:
        """Send a request and return the response, whatever its status.

        Args:
            method: HTTP method.
            url: URL on the host.
            body: bytes of the body, empty for none.
            headers: headers by name.
            seconds: seconds to wait at most for a connection, and for each read of the response.

        Raises:
            urllib3.exceptions.NewConnectionError: no connection; nothing was sent.
            urllib3.exceptions.HTTPError: no complete response.
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


def _proxy_pool(proxy: str, options: dict[str, Any]) -> urllib3.ProxyManager:
    """Return connections through a proxy, with the user name and password in its URL."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return urllib3.ProxyManager(proxy, **options)
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return urllib3.ProxyManager(
        proxy, proxy_headers=urllib3.make_headers(proxy_basic_auth=user), **options
    )
