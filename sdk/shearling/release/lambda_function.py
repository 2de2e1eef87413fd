"""Calls to Lambda's API for one function, retried while a retry can help.

The client is an argument, so that tests can pass one that emulates AWS.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from shearling.errors import ReleaseError
from shearling.release.api_calls import ApiCalls, ApiErrors, ConflictError
from shearling.release.function_configuration import FunctionConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_lambda import LambdaClient

    from shearling.release.clock import Clock, Pace

_ERRORS = ApiErrors(
    api="Lambda",
    conflict=frozenset({"ResourceConflictException", "PreconditionFailedException"}),
    absent=frozenset({"ResourceNotFoundException"}),
    # Also what a role or a file system refuses that has been created just now.
    denied=frozenset(
        {
            "AccessDenied",
            "AccessDeniedException",
            "EC2AccessDeniedException",
            "EFSMountFailureException",
            "KMSAccessDeniedException",
        }
    ),
    busy=frozenset(
        {
            "EC2ThrottledException",
            "EC2UnexpectedException",
            "EFSIOException",
            "EFSMountConnectivityException",
            "EFSMountTimeoutException",
            "ENILimitReachedException",
            "InternalFailure",
            "RequestLimitExceeded",
            "ResourceNotReadyException",
            "ServiceException",
            "ServiceUnavailable",
            "SnapStartNotReadyException",
            "SubnetIPAddressLimitReachedException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        }
    ),
    texts={"cannot be assumed": "AccessDenied"},  # the function's role is new
)


@dataclass(frozen=True, slots=True)
class LambdaAlias:
    """An alias of a function.

    Attributes:
        version: number of the Lambda version that the alias points to.
        weights: share of the calls, from 0 to 1, for each additional version by its number.
        revision: revision id, which a conditional update requires.
        description: text about the alias; see `registry_mark`.
    """

    version: str
    weights: Mapping[str, float]
    revision: str
    description: str = ""

    @property
    def versions(self) -> frozenset[str]:
        """Numbers of all Lambda versions that the alias points to."""
        return frozenset({self.version, *self.weights})


class LambdaFunction:
    """The calls to Lambda that a release needs, for one function.

    Args:
        client: a Lambda client, as `shearling.lambda_api.lambda_client` returns it.
        name: name or ARN of the function.
        clock: time source.
        deadline: time of the clock, in seconds, at which to stop retrying.
        pace: limits the calls a second; no limit by default.
    """

    def __init__(
        self,
        client: LambdaClient,
        name: str,
        clock: Clock,
        deadline: float,
        pace: Pace | None = None,
    ) -> None:
        self._client = client
        self._calls = ApiCalls(_ERRORS, name, clock, deadline, pace)
        self._call = self._calls.call
        self.name = name

    # Reading

    def alias(self, alias: str) -> LambdaAlias:
        """Return an alias.

        Raises:
            ResourceMissingError: there is no such function or alias.
        """
        response = self._call(lambda: self._client.get_alias(FunctionName=self.name, Name=alias))
        return _alias(cast("Mapping[str, Any]", response))

    def aliases(self) -> dict[str, LambdaAlias]:
        """Return all aliases of the function, by name."""
        pages = self._pages(
            lambda marker: self._client.list_aliases(FunctionName=self.name, **marker)
        )
        return {item["Name"]: _alias(item) for page in pages for item in page["Aliases"]}

    def versions(self) -> list[FunctionConfiguration]:
        """Return the published versions, newest first."""
        pages = self._pages(
            lambda marker: self._client.list_versions_by_function(FunctionName=self.name, **marker)
        )
        versions = [FunctionConfiguration.read(item) for page in pages for item in page["Versions"]]
        published = [version for version in versions if version.number != "$LATEST"]
        return sorted(published, key=lambda version: int(version.number), reverse=True)

    def latest(self) -> FunctionConfiguration:
        """Wait until no update of `$LATEST` is in progress, and return it."""
        return self._settled("$LATEST")

    def version(self, number: str) -> FunctionConfiguration:
        """Wait until a published version can be invoked, and return it.

        Raises:
            ResourceMissingError: the version was deleted.
            ReleaseError: the version cannot start.
        """
        version = self._settled(number)
        if version.state[0] == "Failed":
            raise ReleaseError(f"version {number} of {self.name} cannot start: {version.state[1]}")
        return version

    def concurrency(self) -> int:
        """Return how many invocations run at the same time at most: the reserved, or all others."""
        found: Mapping[str, Any] = self._call(
            lambda: self._client.get_function_concurrency(FunctionName=self.name)
        )
        if "ReservedConcurrentExecutions" in found:
            return int(found["ReservedConcurrentExecutions"])
        account = self._call(self._client.get_account_settings)
        return account["AccountLimit"]["UnreservedConcurrentExecutions"]

    # Writing

    def set_pin(
        self, latest: FunctionConfiguration, pin: str, endpoint: str = ""
    ) -> FunctionConfiguration:
        """Set what `$LATEST` serves if it has not changed since it was read, and return it.

        Args:
            latest: `$LATEST` as it was read.
            pin: the model; empty for none.
            endpoint: name of the endpoint that serves the model; empty if the function does.
        """
        variables = latest.environment_with(pin, endpoint)
        self._call(
            lambda: self._client.update_function_configuration(
                FunctionName=self.name,
                Environment={"Variables": variables},
                RevisionId=latest.revision,
            )
        )
        # The revision changes again when the update settles, so read `$LATEST` again.
        latest = self.latest()
        if (latest.pin, latest.endpoint) != (pin, endpoint):
            raise ConflictError(f"the pin of {self.name} was changed by another process")
        return latest

    def publish(self, latest: FunctionConfiguration) -> FunctionConfiguration:
        """Publish `$LATEST` if it has not changed since it was read, and return the new version.

        Raises:
            ConflictError: `$LATEST` has changed.
            ReleaseError: the last update of the function failed.
        """
        if latest.update[0] == "Failed":
            raise ReleaseError(f"the last update of {self.name} failed: {latest.update[1]}")
        response = self._call(
            lambda: self._client.publish_version(
                FunctionName=self.name,
                RevisionId=latest.revision,
                CodeSha256=latest.code_sha256,
            )
        )
        version = self.version(response["Version"])
        published, wanted = ((it.pin, it.endpoint, it.code_sha256) for it in (version, latest))
        if published != wanted:
            raise ConflictError(f"{self.name} changed while it was being published")
        return version

    def check(self, number: str) -> tuple[Any, str]:
        """Run the bundle's example on a version; return its answer and Lambda's kind of failure."""
        return self._invoke(
            lambda: self._client.invoke(
                FunctionName=self.name, Qualifier=number, Payload=b'{"shearling": "check"}'
            )
        )

    def ask(self, request: Mapping[str, Any]) -> tuple[Any, str]:
        """Invoke the function unqualified; return its answer and Lambda's kind of failure."""
        payload = json.dumps(request).encode()
        return self._invoke(lambda: self._client.invoke(FunctionName=self.name, Payload=payload))

    def start(self, request: Mapping[str, Any]) -> None:
        """Invoke the function asynchronously."""
        payload = json.dumps(request).encode()
        self._call(
            lambda: self._client.invoke(
                FunctionName=self.name, InvocationType="Event", Payload=payload
            )
        )

    def _invoke(self, call: Callable[[], Any]) -> tuple[Any, str]:
        response = self._call(call)
        payload = response["Payload"].read()
        try:
            return json.loads(payload), response.get("FunctionError", "")
        except ValueError:
            return payload.decode(errors="replace"), response.get("FunctionError", "")

    def move(
        self,
        alias: str,
        seen: LambdaAlias,
        version: str,
        weights: dict[str, float],
        description: str,
    ) -> None:
        """Point an alias at a version, if it has not been moved since it was read.

        Args:
            alias: name of the alias.
            seen: the alias as it was read.
            version: number of the Lambda version.
            weights: share of the calls for each additional version by its number.
            description: text about the alias.

        Raises:
            ConflictError: the alias has been moved.
        """
        self._call(
            lambda: self._client.update_alias(
                FunctionName=self.name,
                Name=alias,
                FunctionVersion=version,
                RoutingConfig={"AdditionalVersionWeights": weights},
                Description=description,
                RevisionId=seen.revision,
            )
        )

    def delete_version(self, number: str) -> None:
        """Delete a published version.

        Raises:
            ConflictError: an alias points to the version, or it does not exist.
        """
        if not number.isdecimal():
            # Without a number, Lambda deletes the whole function.
            raise ValueError(f"{number!r} is not the number of a published version")
        self._call(lambda: self._client.delete_function(FunctionName=self.name, Qualifier=number))

    # Calling and retrying

    def _settled(self, number: str) -> FunctionConfiguration:
        attempt = 0
        while True:
            response = self._call(
                lambda: self._client.get_function_configuration(
                    FunctionName=self.name, Qualifier=number
                )
            )
            configuration = FunctionConfiguration.read(cast("Mapping[str, Any]", response))
            if configuration.state[0] != "Pending" and configuration.update[0] != "InProgress":
                return configuration
            self._calls.wait(attempt, f"{self.name}:{number} is {configuration.state[0]}")
            attempt += 1

    def _pages(self, call: Callable[[dict[str, Any]], Any]) -> Iterator[Any]:
        marker: dict[str, Any] = {}
        while True:
            page = self._call(lambda marker=marker: call(marker))  # type: ignore[misc]
            yield page
            if not page.get("NextMarker"):
                return
            marker = {"Marker": page["NextMarker"]}


def _alias(response: Mapping[str, Any]) -> LambdaAlias:
    routing = response.get("RoutingConfig") or {}
    weights = routing.get("AdditionalVersionWeights") or {}
    return LambdaAlias(
        response["FunctionVersion"],
        {number: float(share) for number, share in weights.items()},
        response.get("RevisionId", ""),
        response.get("Description", ""),
    )
