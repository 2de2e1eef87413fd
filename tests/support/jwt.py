"""Issue JSON Web Tokens for tests: an issuer on loopback that signs with RS256."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_BITS = 2048
_EXPONENT = 65537
_KEY_ID = "test"
#: Prefix of a SHA-256 digest in PKCS #1.
_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


class Issuer:
    """Signs tokens, and publishes the key to verify them."""

    def __init__(self) -> None:
        self.url = ""
        self._modulus, self._private = _key()

    def token(self, audience: str, *, lives_seconds: int = 300, **claims: object) -> str:
        now = int(time.time())
        times = {"iat": now - 600, "exp": now + lives_seconds}
        body = {"iss": self.url, "sub": "tester", "aud": audience, **times, **claims}
        head = {"alg": "RS256", "typ": "JWT", "kid": _KEY_ID}
        signed = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(body).encode())}"
        return f"{signed}.{_encoded(self._signature(signed.encode()))}"

    def documents(self) -> dict[str, Any]:
        """Documents that the issuer serves, by path."""
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": _KEY_ID,
            "n": _encoded(self._modulus.to_bytes(_BITS // 8, "big")),
            "e": _encoded(_EXPONENT.to_bytes(3, "big")),
        }
        keys = "/.well-known/jwks.json"
        configuration = {"issuer": self.url, "jwks_uri": f"{self.url}{keys}"}
        return {"/.well-known/openid-configuration": configuration, keys: {"keys": [key]}}

    def _signature(self, data: bytes) -> bytes:
        size = _BITS // 8
        end = b"\0" + _DIGEST_INFO + hashlib.sha256(data).digest()
        padded = b"\0\1" + b"\xff" * (size - 2 - len(end)) + end
        number = pow(int.from_bytes(padded, "big"), self._private, self._modulus)
        return number.to_bytes(size, "big")


@contextlib.contextmanager
def issuer() -> Iterator[Issuer]:
    """Serve an issuer on loopback."""
    one = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = one.documents().get(self.path)
            body = json.dumps(document).encode()
            self.send_response(200 if document else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        one.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield one
        finally:
            server.shutdown()
            thread.join()


def _key() -> tuple[int, int]:
    """Return modulus and private exponent of a key that is only for tests."""
    p, q = _prime(_BITS // 2), _prime(_BITS // 2)
    return p * q, pow(_EXPONENT, -1, (p - 1) * (q - 1))


def _prime(bits: int) -> int:
    while True:
        # Sets the two highest bits, so that a product of two has full length, and the lowest.
        number = secrets.randbits(bits) | (3 << (bits - 2)) | 1
        bases = (2, 3, 5, 7, 11, 13)
        if (number - 1) % _EXPONENT and all(pow(base, number - 1, number) == 1 for base in bases):
            return number


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
