"""Send requests to a registry of images: authentication, retries and errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import parse_http_list, parse_keqv_list

from shearling.errors import PackageError
from shearling.loopback import is_loopback
from shearling.package.image.credentials import find_login

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from urllib3 import BaseHTTPResponse

    from shearling.package.image.credentials import Login
    from shearling.package.image.reference import ImageReference

_CONNECT_SECONDS, _READ_SECONDS = 10, 120
_UNAUTHORIZED, _NOT_FOUND = 401, 404

#: Requests that may be sent again, and the statuses that pass.
_REPEATABLE = frozenset({"GET", "HEAD"})
_PASSING = frozenset({429, 500, 502, 503, 504})
_ATTEMPTS = 4

#: Maximum bytes of an answer that is read into memory.
_ANSWER_BYTES = 4 * 1024 * 1024 + 1


class Transport:
    """Sends requests for one repository.

    Args:
        reference: names the repository.
        login: returns the login for a host; None for none.
        pause_seconds: pause before a request is sent again; it doubles each time.
    """

    def __init__(
        self,
        reference: ImageReference,
        login: Callable[[str], Login | None] = find_login,
        *,
        pause_seconds: float = 0.5,
    ) -> None:
        from urllib3 import PoolManager, Retry, Timeout

        self.reference = reference
        self.pause_seconds = pause_seconds
        self._login = login
        self._authorization: dict[str, str] = {}
        self._pool = PoolManager(
            timeout=Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
            # urllib3 sends Authorization to no other host after a redirect.
            retries=Retry(
                total=_ATTEMPTS,
                backoff_factor=pause_seconds,
                allowed_methods=_REPEATABLE,
                status_forcelist=_PASSING,
                raise_on_status=False,
            ),
        )

    def send(
        self,
        method: str,
        url: str,
        *,
        expected: Collection[int],
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        stream: bool = False,
        mount_from: str = "",
    ) -> BaseHTTPResponse:
        """Send a request and return the response, whose body is read unless it is a stream.

        Args:
            method: HTTP method.
            url: URL, or a path below the repository.
            expected: statuses to return; another raises.
            headers: headers of the request.
            body: bytes, or a function that returns an iterable of bytes, called for each attempt.
            stream: whether the caller reads the body.
            mount_from: other repository of the registry that the request reads.

        Raises:
            PackageError: the registry cannot be reached, or answers with another status.
        """
        from urllib3.exceptions import HTTPError

        url = urljoin(f"{self.reference.api}/", url)
        try:
            response = self._attempt(method, url, headers, body)
            if response.status == _UNAUTHORIZED:
                challenge = response.headers.get("www-authenticate", "")
                response.drain_conn()
                self._authenticate(challenge, mount_from)
                response = self._attempt(method, url, headers, body)
            if response.status not in expected:
                raise self._refusal(method, response)
            if not stream:
                response.read(cache_content=True)
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error  # of the last of several attempts
            raise UnreachableError(
                f"{self.reference.host} cannot be reached: {reason!s:.300}"
            ) from error
        return response

    def _attempt(
        self, method: str, url: str, headers: Mapping[str, str] | None, body: Any
    ) -> BaseHTTPResponse:
        # A blob's URL may be one of another host, such as the storage behind the registry.
        is_own = urlsplit(url).netloc == urlsplit(self.reference.api).netloc
        return self._pool.request(
            method,
            url,
            headers={**(self._authorization if is_own else {}), **(headers or {})},
            body=body() if callable(body) else body,
            preload_content=False,
        )

    def _authenticate(self, challenge: str, mount_from: str) -> None:
        """Do what the registry's header WWW-Authenticate asks for."""
        scheme, _, rest = challenge.partition(" ")
        login = self._login(self.reference.host)
        if scheme.lower() == "basic" and login:
            self._authorization = {"authorization": login.basic}
        elif scheme.lower() == "bearer":
            fields = parse_keqv_list(parse_http_list(rest))
            token = self._token(fields, login, mount_from)
            self._authorization = {"authorization": f"Bearer {token}"}
        else:
            raise PackageError(
                f"{self.reference.host} requires a login for {self.reference.repository}. Run "
                f"`docker login {self.reference.host}`, or write Docker's config.json"
            )

    def _token(self, challenge: Mapping[str, str], login: Login | None, mount_from: str) -> str:
        realm, host = challenge.get("realm", ""), self.reference.host
        parts = urlsplit(realm)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise PackageError(
                f"{host} wants the login to be sent to {realm!r:.100}, which has no TLS"
            )
        scopes = [challenge.get("scope", "")]
        if mount_from:
            scopes.append(f"repository:{mount_from}:pull")
        query = [("service", challenge["service"])] if "service" in challenge else []
        query += [("scope", scope) for scope in scopes if scope]
        response = self._pool.request(
            "GET",
            f"{realm}{'&' if parts.query else '?'}{urlencode(query)}",
            headers={"authorization": login.basic} if login else {},
        )
        if response.status != 200:  # noqa: PLR2004
            raise self._refusal("GET", response)
        document = _json(response.data)
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str):
            raise PackageError(f"{host}: the answer of {realm:.100} has no token")
        return token

    def _refusal(self, method: str, response: BaseHTTPResponse) -> PackageError:
        """Return the error for an answer, with the registry's own words."""
        reference = self.reference
        document = _json(response.read(_ANSWER_BYTES) or response.data)
        response.drain_conn()
        errors = document.get("errors")
        words = [
            f"{error.get('code', '')} {error.get('message', '')}".strip()
            for error in (errors if isinstance(errors, list) else [])
            if isinstance(error, dict)
        ]
        said = f" ({'; '.join(words):.300})" if words else ""
        text = f"{reference}: the registry answered {method} with {response.status}{said}"
        if response.status in _PASSING:
            return UnreachableError(text)
        if any("NAME_UNKNOWN" in word for word in words) and ".dkr" in reference.host:
            text += (
                ". Create the repository first: aws ecr create-repository --repository-name "
                f"{reference.repository}"
            )
        return NotFoundError(text) if response.status == _NOT_FOUND else PackageError(text)


class UnreachableError(PackageError):
    """The registry could not be reached, or is overloaded; a later request may succeed."""


class NotFoundError(PackageError):
    """The registry has no such image, blob, upload or repository."""


def _json(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
