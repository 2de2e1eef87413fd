"""Calls to an AWS API, retried while a retry can help, and the kinds of failures that remain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from shearling.errors import ReleaseError
from shearling.release.clock import Clock, FreshRoleGrace, Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Response = TypeVar("Response")

#: The error code for a call without a response, and how often such a call is retried.
_UNREACHABLE = "unreachable"
_TRIES = 4


class ConflictError(Exception):
    """State that a decision was based on has changed: read it again and decide again."""


class ResourceMissingError(ConflictError):
    """What a call is about does not exist."""


class AlreadyExistsError(ConflictError):
    """What a call would create exists."""


class RetryLaterError(ReleaseError):
    """The release is undecided, and the next trigger continues it."""


class DeniedError(ReleaseError):
    """The caller's role lacks a permission."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiErrors:
    """The error codes of an API, by what they mean for a release.

    Attributes:
        api: name of the API in messages.
        conflict: the state has changed.
        absent: what the call is about does not exist.
        denied: the role lacks a permission, or it is new and does not have it yet.
        busy: another attempt may succeed.
        exists: what the call would create exists.
        texts: codes of errors that the API tells apart only by a part of the message.
    """

    api: str
    conflict: frozenset[str]
    absent: frozenset[str]
    denied: frozenset[str]
    busy: frozenset[str]
    exists: frozenset[str] = frozenset()
    texts: Mapping[str, str] = field(default_factory=dict)

    def code_of(self, error: Exception) -> tuple[str, str]:
        """Return the code and message of a boto3 error; raise any other error again."""
        response = getattr(error, "response", None)
        if isinstance(response, dict) and "Error" in response:
            code, message = response["Error"].get("Code", ""), response["Error"].get("Message", "")
            return next((self.texts[text] for text in self.texts if text in message), code), message
        if any(kind.__name__ == "BotoCoreError" for kind in type(error).__mro__):
            return _UNREACHABLE, str(error)
        raise error


class ApiCalls:
    """Makes the calls about one resource.

    Args:
        errors: error codes of the API.
        name: name of the resource for messages.
        clock: time source.
        deadline: time of the clock, in seconds, at which to stop retrying.
        pace: limits the calls a second; no limit by default.
    """

    def __init__(
        self, errors: ApiErrors, name: str, clock: Clock, deadline: float, pace: Pace | None = None
    ) -> None:
        self._errors = errors
        self._name = name
        self._clock = clock
        self._deadline = deadline
        self._pace = pace

    def call(self, request: Callable[[], Response]) -> Response:
        """Send a request, with retries while the API is busy or the caller's role is new.

        Raises:
            ConflictError: the state has changed.
            ResourceMissingError: what the request is about does not exist.
            DeniedError: the role lacks a permission.
            RetryLaterError: there is no time left, or the API cannot be reached.
            ReleaseError: the API refused the request.
        """
        attempt = 0
        grace = FreshRoleGrace(self._clock)
        while True:
            if self._pace:
                self._pace.wait()
            try:
                return request()
            except Exception as error:
                code, message = self._errors.code_of(error)
                if code in self._errors.denied:
                    if not grace.covers_denial():
                        raise DeniedError(f"access to {self._name} denied: {message}") from error
                elif code not in self._errors.busy and not (
                    code == _UNREACHABLE and attempt < _TRIES
                ):
                    raise self._error_for(code, message) from error
            self.wait(attempt, f"{self._name}: {code}: {message}")
            attempt += 1

    def wait(self, attempt: int, reason: str) -> None:
        """Pause before another attempt.

        Raises:
            RetryLaterError: there is no time left.
        """
        if self._clock.now() >= self._deadline:
            raise RetryLaterError(f"no time left: {reason}")
        self._clock.pause(attempt)

    def _error_for(self, code: str, message: str) -> Exception:
        if code in self._errors.conflict:
            return ConflictError(message)
        if code in self._errors.absent:
            return ResourceMissingError(message)
        if code in self._errors.exists:
            return AlreadyExistsError(message)
        api = self._errors.api
        if code == _UNREACHABLE:
            return RetryLaterError(f"{api} could not be reached for {self._name}: {message}")
        return ReleaseError(f"{api} refused a request for {self._name}: {code}: {message}")
