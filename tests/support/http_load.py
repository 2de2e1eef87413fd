"""Clients that send one request after another over connections that stay open."""

from __future__ import annotations

import http.client
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_WAIT_SECONDS = 30


@dataclass(slots=True)
class Outcome:
    """What became of the requests.

    Attributes:
        statuses: status of each response.
        lost: error of each request that got no response, although its connection was accepted. A
            reset of a connection without any response is a refusal: the kernel had queued it, and
            no process had accepted it.
    """

    statuses: list[int] = field(default_factory=list)
    lost: list[Exception] = field(default_factory=list)

    def wait_for(self, responses: int) -> None:
        """Wait until there are this many responses."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while len(self.statuses) < responses:
            assert time.monotonic() < deadline, f"{len(self.statuses)} responses"
            time.sleep(0.01)


@contextmanager
def load(url: str, body: bytes, *, clients: int) -> Iterator[Outcome]:
    """Send requests to `/invocations` until the server refuses connections or the block ends."""
    outcome = Outcome()
    ended = threading.Event()
    threads = [
        threading.Thread(target=_client, args=(url, body, outcome, ended), daemon=True)
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield outcome
    finally:
        ended.set()
        for thread in threads:
            thread.join(_WAIT_SECONDS)


def _client(url: str, body: bytes, outcome: Outcome, ended: threading.Event) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_WAIT_SECONDS)
    is_accepted = False
    while not ended.is_set():
        try:
            if connection.sock is None:
                connection.connect()
                is_accepted = False
        except OSError:  # refused, so nothing is lost
            return
        try:
            connection.request("POST", "/invocations", body)
            response = connection.getresponse()
            response.read()
            outcome.statuses.append(response.status)
            is_accepted = True
        except (OSError, http.client.HTTPException) as error:
            if is_accepted or not isinstance(error, ConnectionResetError):
                outcome.lost.append(error)
            return
