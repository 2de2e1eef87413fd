"""Requests to S3: signed, repeated after an error that goes away, and with errors as ours."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING
from xml.sax.saxutils import unescape

from shearling.errors import StoreError
from shearling.sigv4 import Keys, encoded_path, encoded_query, signed_headers
from shearling.storage.s3 import aws_domain, s3_configuration
from shearling.storage.store import DENIED, UNREADABLE, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from obstore.store import S3Credential
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

#: Number of attempts of a request, and the seconds before the second, which double each time.
_ATTEMPTS, _PAUSE = 5, 0.2

#: Statuses that go away by themselves; 409: another write of the key is in progress.
_TEMPORARY = frozenset({409, 429, 500, 502, 503, 504})

#: Errors that go away, and that S3 may report after it began to answer with 200.
_LATE = re.compile(rb"<Code>(?:InternalError|SlowDown)</Code>")

_CONNECT_SECONDS, _READ_SECONDS = 3.0, 60.0

#: Connections at a time: parts that are read ahead, and parts that are uploaded.
_CONNECTIONS = 8

#: Seconds before their end at which credentials are renewed.
_RENEWAL = 300

_VERBS = {"HEAD": "read", "GET": "read", "DELETE": "delete"}


class S3Requests:
    """Sends requests about the objects of one bucket."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._provided: tuple[Keys, datetime | None] | None = None

    def send(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> BaseHTTPResponse:
        """Return the answer to a request, which is sent again after an error that goes away.

        Raises:
            StoreError: S3 cannot be reached, or cannot answer now.
        """
        import urllib3

        path = encoded_path(f"/{self._bucket}/{key}")
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE * 2 ** (attempt - 1))
            try:
                answer = self._send(method, path, encoded_query(query or {}), headers or {}, body)
            except urllib3.exceptions.HTTPError as error:
                cause = f"{type(error).__name__}: {error}"
                continue
            if answer.status not in _TEMPORARY and not _LATE.search(answer.data[:1000]):
                return answer
            cause = f"status {answer.status} {described(answer.data)}"
            if attempt == _ATTEMPTS - 1 and answer.status == HTTPStatus.CONFLICT:
                return answer
        raise self._error(_VERBS.get(method, "write"), key, cause)

    def check(self, answer: BaseHTTPResponse, key: str, verb: str) -> None:
        """Refuse an answer that is an error.

        Raises:
            UnreadableError: the object is archived, or encrypted with a key of its writer's.
            StoreError: S3 refuses.
        """
        if answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return
        cause = described(answer.data) or f"status {answer.status}"
        if cause.startswith(UNREADABLE):
            raise UnreadableError(f"cannot {verb} s3://{self._bucket}/{key}: {cause:.300}")
        is_denied = answer.status == HTTPStatus.FORBIDDEN
        raise self._error(verb, key, DENIED if is_denied else cause, denied=is_denied)

    def _error(self, verb: str, key: str, cause: str, *, denied: bool = False) -> StoreError:
        return StoreError(f"cannot {verb} s3://{self._bucket}/{key}: {cause:.300}", denied=denied)

    def _send(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> BaseHTTPResponse:
        region, endpoint, _ = self._configuration
        signed = signed_headers(
            method,
            path,
            query,
            {"host": endpoint.partition("://")[2], **headers},
            body,
            keys=self._keys(),
            region=region,
            service="s3",
            now=datetime.now(UTC),
        )
        target = f"{path}?{query}" if query else path
        # Without the pool's `request`, which would decode `..` in a path.
        return self._pool.urlopen(method, target, body=body, headers=signed)

    @cached_property
    def _pool(self) -> HTTPConnectionPool:
        import urllib3

        return urllib3.connection_from_url(
            self._configuration[1],
            maxsize=_CONNECTIONS,
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
            retries=False,
        )

    @cached_property
    def _configuration(self) -> tuple[str, str, Callable[[], S3Credential] | Keys]:
        """The region, the endpoint, and the keys or what provides them."""
        config, provider = s3_configuration(self._bucket)
        region = str(config["region"])
        own = f"https://s3.{region}.{aws_domain(region)}"
        endpoint = str(config.get("endpoint") or own).rstrip("/")
        keys = provider or Keys(
            str(config["access_key_id"]),
            str(config["secret_access_key"]),
            str(config.get("session_token", "")),
        )
        return region, endpoint, keys

    def _keys(self) -> Keys:
        provider = self._configuration[2]
        if isinstance(provider, Keys):
            return provider
        provided = self._provided
        if provided is None or _is_ending(provided[1]):
            found = provider()
            keys = Keys(
                found["access_key_id"], found["secret_access_key"], found.get("token") or ""
            )
            provided = self._provided = keys, found["expires_at"]
        return provided[0]


def field_of(name: str, data: bytes) -> str:
    """Return the text of the first XML element of a name; empty without one."""
    match = re.search(rf"<{name}>(.*?)</{name}>".encode(), data)
    return unescape(match[1].decode(errors="replace"), {"&quot;": '"'}) if match else ""


def described(data: bytes) -> str:
    """Return code and message of S3's error in one line; empty if it is none."""
    code = field_of("Code", data)
    return f"{code}: {field_of('Message', data)}" if code else ""


def _is_ending(end: datetime | None) -> bool:
    return end is not None and (end - datetime.now(UTC)).total_seconds() < _RENEWAL
