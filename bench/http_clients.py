"""Clients that send a request to a server, one after another each, on connections of their own.

`python -m bench.http_clients PORT CLIENTS SECONDS FILE` sends the body in the file and prints, as
JSON, the number of responses and the seconds that each took.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

_OK = b"HTTP/1.1 200 "
_HEAD_END = b"\r\n\r\n"


@dataclass(slots=True)
class _Client:
    connection: socket.socket
    received: bytearray = field(default_factory=bytearray)
    sent_at: float = 0.0

    def send(self, request: bytes) -> None:
        self.received.clear()
        self.sent_at = time.perf_counter()
        self.connection.sendall(request)

    def receive(self) -> bool:
        """Read what there is; return whether the response is whole."""
        part = self.connection.recv(1 << 20)
        if not part:
            raise RuntimeError("the server closed a connection")
        self.received += part
        end = self.received.find(_HEAD_END)
        if end < 0:
            return False
        head = bytes(self.received[:end]).lower()
        if not self.received.startswith(_OK):
            raise RuntimeError(f"the server answers {bytes(self.received[:1000])!r}")
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return len(self.received) >= end + len(_HEAD_END) + length


def main() -> None:
    """Send requests for some seconds."""
    port, clients, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    body = Path(sys.argv[4]).read_bytes()
    head = (
        "POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    request = head.encode() + body
    selector = selectors.DefaultSelector()
    for _ in range(clients):
        client = _Client(socket.create_connection(("127.0.0.1", port)))
        selector.register(client.connection, selectors.EVENT_READ, client)
        client.send(request)
    durations: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for key, _ in selector.select(1):
            if key.data.receive():
                durations.append(time.perf_counter() - key.data.sent_at)
                key.data.send(request)
    sys.stdout.write(json.dumps(durations))


if __name__ == "__main__":
    main()
