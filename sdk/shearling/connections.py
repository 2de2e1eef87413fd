"""Connections to an API that stay open between requests: a new one costs several round trips."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Of as many requests at once each keeps its connection.
_KEPT = 64


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
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
        options: dict[str, Any] = {"maxsize": _KEPT, "retries": False}
        if parts.scheme == "https":
            options["ssl_context"] = ssl.create_default_context()
        self._pool = (
            urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
        )

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
        answer = self._pool.request(
            method, url, body=body or None, headers=headers, timeout=seconds, redirect=False
        )
        lower = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status, lower, answer.data)
