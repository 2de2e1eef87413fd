"""The log group of an endpoint's containers, which would keep its events for ever."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from shearling.release.api_calls import AlreadyExistsError, ApiCalls, ApiErrors

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

    from shearling.release.clock import Clock
    from shearling.release.endpoints.specification import EndpointSpecification

_ERRORS = ApiErrors(
    api="CloudWatch Logs",
    conflict=frozenset({"OperationAbortedException"}),
    absent=frozenset({"ResourceNotFoundException"}),
    denied=frozenset({"AccessDenied", "AccessDeniedException"}),
    busy=frozenset({"InternalFailure", "ServiceUnavailableException", "ThrottlingException"}),
    exists=frozenset({"ResourceAlreadyExistsException"}),
)


def log_group(endpoint: str) -> str:
    """Return the name of the log group that SageMaker writes to."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


class LogGroups:
    """The log groups of a function's endpoints.

    Args:
        client: a client of CloudWatch Logs.
        name: name of the function, for messages.
        clock: time source.
        deadline: time of the clock, in seconds, at which to stop retrying.
    """

    def __init__(
        self, client: CloudWatchLogsClient, name: str, clock: Clock, deadline: float
    ) -> None:
        self._client = client
        self._call = ApiCalls(_ERRORS, f"the logs of {name}", clock, deadline).call

    def apply(self, wanted: EndpointSpecification) -> None:
        """Create the log group of an endpoint unless it exists, and set how long it keeps events.

        Repeating it changes nothing. SageMaker uses a log group that exists. Without a number of
        days in the settings the group is left to SageMaker.
        """
        settings = wanted.settings
        if not settings.log_retention_days:
            return
        name = log_group(wanted.name)
        request: dict[str, Any] = {"logGroupName": name, "tags": dict(wanted.tags)}
        if settings.log_key_arn:
            request["kmsKeyId"] = settings.log_key_arn
        with suppress(AlreadyExistsError):
            self._call(lambda: self._client.create_log_group(**request))
        self._call(
            lambda: self._client.put_retention_policy(
                logGroupName=name, retentionInDays=settings.log_retention_days
            )
        )
