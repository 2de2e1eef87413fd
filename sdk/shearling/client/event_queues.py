"""The queues of events: what waits in them, and redriving what failed.

Terraform names them after function and event, and the record of a deployment lists the events.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from shearling.errors import ModelNotFoundError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_sqs import SQSClient

    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry

#: Messages of one request to SQS at most, and seconds to wait for the first of them.
_MESSAGES, _WAIT_SECONDS = 10, 1

#: Seconds for which nobody else receives the messages that are being moved.
_MOVE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class EventState:
    """How many objects are in the queues of an event; SQS counts approximately.

    Attributes:
        model: name of the model.
        event: name of the event.
        function: name of the function.
        waiting: objects that wait.
        in_work: objects that are scored, or that are tried again after a failure.
        failed: objects that were given up.
    """

    model: str
    event: str
    function: str
    waiting: int
    in_work: int
    failed: int


class EventQueue:
    """The queue of an event and its dead-letter queue.

    Args:
        deployment: the function that scores the objects.
        event: name of the event.
        client: SQS client of the function's region.
    """

    def __init__(self, deployment: Deployment, event: str, client: SQSClient) -> None:
        self.deployment = deployment
        self.event = event
        self.name = f"{deployment.function}_{event}"
        self._client = client

    def state(self) -> EventState:
        """Return how many objects wait, are in work, and failed.

        Raises:
            StoreError: SQS refuses.
        """
        queue = self._counts(self._url)
        return EventState(
            model=self.deployment.model,
            event=self.event,
            function=self.deployment.function,
            waiting=queue[0],
            in_work=queue[1],
            failed=sum(self._counts(self._failures_url)),
        )

    def redrive(self) -> int:
        """Send the objects that failed to the queue again; return their number.

        A message is deleted from the dead-letter queue after it was sent: one whose move is
        interrupted is scored twice, which writes one result.

        Raises:
            StoreError: SQS refuses.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        moved = 0
        try:
            while messages := self._client.receive_message(
                QueueUrl=self._failures_url,
                MaxNumberOfMessages=_MESSAGES,
                VisibilityTimeout=_MOVE_SECONDS,
                WaitTimeSeconds=_WAIT_SECONDS,
            ).get("Messages", []):
                for message in messages:
                    self._client.send_message(QueueUrl=self._url, MessageBody=message["Body"])
                    self._client.delete_message(
                        QueueUrl=self._failures_url, ReceiptHandle=message["ReceiptHandle"]
                    )
                    moved += 1
        except (BotoCoreError, ClientError) as error:
            raise StoreError(
                f"{self.name}: {moved} objects were sent again, then {error}"
            ) from error
        return moved

    @cached_property
    def _url(self) -> str:
        return self._queue_url(self.name)

    @cached_property
    def _failures_url(self) -> str:
        return self._queue_url(f"{self.name}_failures")

    def _queue_url(self, name: str) -> str:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = self._client.get_queue_url(
                QueueName=name, QueueOwnerAWSAccountId=self.deployment.account
            )
        except (BotoCoreError, ClientError) as error:
            raise StoreError(
                f"queue {name} in {self.deployment.region}: {error}. Terraform's output "
                "`redrive_policy` has the rights that this needs"
            ) from error
        return found["QueueUrl"]

    def _counts(self, url: str) -> tuple[int, int]:
        """Return how many messages of a queue are visible, and how many are not."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = self._client.get_queue_attributes(
                QueueUrl=url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                ],
            )["Attributes"]
        except (BotoCoreError, ClientError) as error:
            raise StoreError(f"queue {self.name}: {error}") from error
        return (
            int(found["ApproximateNumberOfMessages"]),
            int(found["ApproximateNumberOfMessagesNotVisible"]),
        )


def event_queues(
    registry: Registry,
    model: str | None = None,
    event: str | None = None,
    *,
    client_of: Callable[[str], SQSClient] | None = None,
) -> list[EventQueue]:
    """Return the queues of a model's events, on all functions that serve the model.

    Args:
        registry: the registry, where Terraform records the deployments.
        model: name of the model; None: all models.
        event: name of the event; None: all events.
        client_of: returns the SQS client of a region.

    Raises:
        ModelNotFoundError: no such model is deployed, or it has no such event.
    """
    deployments = registry.release_log.deployments(model)
    client = client_of or _client
    found = [
        EventQueue(deployment, name, client(deployment.region))
        for deployment in deployments
        for name in deployment.events
        if event in (None, name)
    ]
    if found or model is None:
        return found
    if not deployments:
        raise ModelNotFoundError(
            f"model {model!r:.80} is not deployed: add it to Terraform's `models` and apply"
        )
    names = sorted({name for deployment in deployments for name in deployment.events})
    if event is None or not names:
        raise ModelNotFoundError(
            f"model {model!r} has no events: add them to Terraform's `models`, as `events`"
        )
    raise ModelNotFoundError(
        f"model {model!r} has no event {event!r:.80}; its events are {', '.join(names)}"
    )


def _client(region: str) -> SQSClient:
    import boto3

    return boto3.client("sqs", region_name=region)
