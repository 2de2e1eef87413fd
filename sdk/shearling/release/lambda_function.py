"""One Lambda function as a release sees it: every call asked again while that can help.

The client is an argument, so tests give one that shows what AWS does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from shearling.errors import ReleaseError
from shearling.release.clock import Clock, FreshRoleGrace
from shearling.release.function_configuration import FunctionConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_lambda import LambdaClient


Answer = TypeVar("Answer")

#: In place of a code when there was no answer, and how often to ask again then.
_UNREACHABLE = "unreachable"
_TRIES = 4

_CONFLICT = frozenset({"ResourceConflictException", "PreconditionFailedException"})
_ABSENT = frozenset({"ResourceNotFoundException"})
_DENIED = frozenset({"AccessDeniedException", "AccessDenied", "KMSAccessDeniedException"})
_BUSY = frozenset(
    {
        "EC2ThrottledException",
        "InternalFailure",
        "RequestLimitExceeded",
        "ResourceNotReadyException",
        "ServiceException",
        "ServiceUnavailable",
        "SnapStartNotReadyException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


class ConflictError(Exception):
    """Someone else changed what a decision was based on: read again and decide again."""


class ResourceMissingError(ConflictError):
    """What a call names does not exist, or not any more."""


class RetryLaterError(ReleaseError):
    """Neither released nor failed: the next trigger goes on from here."""


class DeniedError(ReleaseError):
    """The releaser's role lacks a right."""


@dataclass(frozen=True, slots=True)
class LambdaAlias:
    """Where an alias of a function points.

    Attributes:
        weights: the share of calls that another version gets, by its number.
    """

    version: str
    weights: Mapping[str, float]
    revision: str

    @property
    def versions(self) -> frozenset[str]:
        """All versions that it names."""
        return frozenset({self.version, *self.weights})


class LambdaFunction:
    """The verbs of Lambda that a release is made of, for one function.

    Args:
        client: a Lambda client; see `shearling.lambda_api`.
        name: of the function.
        clock: time.
        deadline: when to give up waiting, in the clock's seconds.
    """

    def __init__(self, client: LambdaClient, name: str, clock: Clock, deadline: float) -> None:
        self._client = client
        self._clock = clock
        self._deadline = deadline
        self.name = name

    # Reading

    def alias(self, alias: str) -> LambdaAlias:
        """Return where an alias points.

        Raises:
            ResourceMissingError: there is no such function or alias.
        """
        answer = self._ask(lambda: self._client.get_alias(FunctionName=self.name, Name=alias))
        return _alias(cast("Mapping[str, Any]", answer))

    def aliases(self) -> dict[str, LambdaAlias]:
        """Return where all aliases of the function point."""
        pages = self._pages(
            lambda marker: self._client.list_aliases(FunctionName=self.name, **marker)
        )
        return {item["Name"]: _alias(item) for page in pages for item in page["Aliases"]}

    def versions(self) -> list[FunctionConfiguration]:
        """Return the published versions, newest first."""
        pages = self._pages(
            lambda marker: self._client.list_versions_by_function(FunctionName=self.name, **marker)
        )
        found = [FunctionConfiguration.read(item) for page in pages for item in page["Versions"]]
        published = [version for version in found if version.number != "$LATEST"]
        return sorted(published, key=lambda version: int(version.number), reverse=True)

    def latest(self) -> FunctionConfiguration:
        """Return `$LATEST` once no update of it is under way."""
        return self._settled("$LATEST")

    def version(self, number: str) -> FunctionConfiguration:
        """Return a published version once it can be invoked.

        Raises:
            ResourceMissingError: it was deleted.
            ReleaseError: it cannot start.
        """
        version = self._settled(number)
        if version.state[0] == "Failed":
            raise ReleaseError(f"version {number} of {self.name} cannot start: {version.state[1]}")
        return version

    # Writing

    def set_pin(self, latest: FunctionConfiguration, pin: str) -> FunctionConfiguration:
        """Pin `$LATEST`, if it still is what was read; return it as it is then."""
        variables = latest.environment_with(pin)
        self._ask(
            lambda: self._client.update_function_configuration(
                FunctionName=self.name,
                Environment={"Variables": variables},
                RevisionId=latest.revision,
            )
        )
        # The revision changes once more when the update settles, so it is read again.
        latest = self.latest()
        if latest.pin != pin:
            raise ConflictError(f"{self.name} was given another pin")
        return latest

    def publish(self, latest: FunctionConfiguration) -> FunctionConfiguration:
        """Freeze `$LATEST`, if it still is what was read; return the version that came of it.

        Raises:
            ReleaseError: the last update of the function failed.
        """
        if latest.update[0] == "Failed":
            raise ReleaseError(f"the last update of {self.name} failed: {latest.update[1]}")
        answer = self._ask(
            lambda: self._client.publish_version(
                FunctionName=self.name,
                RevisionId=latest.revision,
                CodeSha256=latest.code_sha256,
            )
        )
        version = self.version(answer["Version"])
        if version.pin != latest.pin or version.code_sha256 != latest.code_sha256:
            raise ConflictError(f"{self.name} changed while it was being published")
        return version

    def check(self, number: str) -> tuple[Any, str]:
        """Run the bundled example on a version; return its answer, and the kind of failure."""
        return self._answer(
            lambda: self._client.invoke(
                FunctionName=self.name, Qualifier=number, Payload=b'{"shearling": "check"}'
            )
        )

    def ask(self, request: Mapping[str, Any]) -> tuple[Any, str]:
        """Invoke the function itself; return its answer, and the kind of failure."""
        payload = json.dumps(request).encode()
        return self._answer(lambda: self._client.invoke(FunctionName=self.name, Payload=payload))

    def start(self, request: Mapping[str, Any]) -> None:
        """Invoke the function itself without waiting for what comes of it."""
        payload = json.dumps(request).encode()
        self._ask(
            lambda: self._client.invoke(
                FunctionName=self.name, InvocationType="Event", Payload=payload
            )
        )

    def _answer(self, call: Callable[[], Any]) -> tuple[Any, str]:
        answer = self._ask(call)
        payload = answer["Payload"].read()
        try:
            return json.loads(payload), answer.get("FunctionError", "")
        except ValueError:
            return payload.decode(errors="replace"), answer.get("FunctionError", "")

    def move(self, alias: str, seen: LambdaAlias, version: str, weights: dict[str, float]) -> None:
        """Point an alias at a version, if nobody has moved it since it was seen."""
        self._ask(
            lambda: self._client.update_alias(
                FunctionName=self.name,
                Name=alias,
                FunctionVersion=version,
                RoutingConfig={"AdditionalVersionWeights": weights},
                RevisionId=seen.revision,
            )
        )

    def delete_version(self, number: str) -> None:
        """Delete a published version.

        Raises:
            ConflictError: an alias names it, or it is gone.
        """
        if not number.isdecimal():
            # Without a number the whole function would be deleted.
            raise ValueError(f"{number!r} is not the number of a published version")
        self._ask(lambda: self._client.delete_function(FunctionName=self.name, Qualifier=number))

    # How it asks

    def _settled(self, number: str) -> FunctionConfiguration:
        attempt = 0
        while True:
            answer = self._ask(
                lambda: self._client.get_function_configuration(
                    FunctionName=self.name, Qualifier=number
                )
            )
            configuration = FunctionConfiguration.read(cast("Mapping[str, Any]", answer))
            if configuration.state[0] != "Pending" and configuration.update[0] != "InProgress":
                return configuration
            self._wait(attempt, f"{self.name}:{number} is {configuration.state[0]}")
            attempt += 1

    def _pages(self, call: Callable[[dict[str, Any]], Any]) -> Iterator[Any]:
        marker: dict[str, Any] = {}
        while True:
            page = self._ask(lambda marker=marker: call(marker))  # type: ignore[misc]
            yield page
            if not page.get("NextMarker"):
                return
            marker = {"Marker": page["NextMarker"]}

    def _ask(self, call: Callable[[], Answer]) -> Answer:
        """Ask Lambda, and again while it is only busy or the releaser's role is fresh."""
        attempt = 0
        grace = FreshRoleGrace(self._clock)
        while True:
            try:
                return call()
            except Exception as error:
                code, message = _refusal(error)
                if code in _DENIED:
                    if not grace.covers_denial():
                        raise DeniedError(f"access to {self.name} denied: {message}") from error
                elif code not in _BUSY and not (code == _UNREACHABLE and attempt < _TRIES):
                    raise self._meaning(code, message) from error
            self._wait(attempt, f"{self.name}: {code}: {message}")
            attempt += 1

    def _meaning(self, code: str, message: str) -> Exception:
        if code in _CONFLICT:
            return ConflictError(message)
        if code in _ABSENT:
            return ResourceMissingError(message)
        if code == _UNREACHABLE:
            return RetryLaterError(f"Lambda could not be asked about {self.name}: {message}")
        return ReleaseError(f"Lambda refused for {self.name}: {code}: {message}")

    def _wait(self, attempt: int, what_for: str) -> None:
        if self._clock.now() >= self._deadline:
            raise RetryLaterError(f"no time left: {what_for}")
        self._clock.pause(attempt)


def _refusal(error: Exception) -> tuple[str, str]:
    """Return code and message of a refusal by AWS; whatever is none is raised again."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict) and "Error" in answer:
        code, message = answer["Error"].get("Code", ""), answer["Error"].get("Message", "")
        if code == "InvalidParameterValueException" and "cannot be assumed" in message:
            return "AccessDenied", message  # how Lambda says that the function's role is fresh
        return code, message
    if any(kind.__name__ == "BotoCoreError" for kind in type(error).__mro__):
        return _UNREACHABLE, str(error)
    raise error


def _alias(answer: Mapping[str, Any]) -> LambdaAlias:
    routing = answer.get("RoutingConfig") or {}
    weights = routing.get("AdditionalVersionWeights") or {}
    return LambdaAlias(
        answer["FunctionVersion"],
        {number: float(share) for number, share in weights.items()},
        answer.get("RevisionId", ""),
    )
