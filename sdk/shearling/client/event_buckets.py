"""Whether the bucket of an event sends its events to EventBridge; if not, no object ever arrives.

Terraform cannot read this setting of a bucket that it does not own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.client.event_queues import EventQueue

Delivery = Literal["on", "off", "unknown"]


@dataclass(frozen=True, slots=True)
class EventBucket:
    """The bucket that an event waits for.

    Attributes:
        name: name of the bucket; empty if the event's rule cannot be read.
        delivery: whether the bucket sends its events to EventBridge.
        reason: why this is unknown, or the rule cannot be read; empty otherwise.
    """

    name: str
    delivery: Delivery
    reason: str = ""


def event_bucket(
    queue: EventQueue, client_of: Callable[[str, str], Any] | None = None
) -> EventBucket:
    """Return the bucket of an event, and whether it sends its events to EventBridge.

    Args:
        queue: queue of the event; the rule that fills it has its name.
        client_of: returns the client of a service in a region; boto3's by default.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    client_of = client_of or _client
    region, name = queue.deployment.region, ""
    try:
        rule = client_of("events", region).describe_rule(Name=queue.name)
        (name,) = json.loads(rule["EventPattern"])["detail"]["bucket"]["name"]
        found = client_of("s3", region).get_bucket_notification_configuration(Bucket=name)
    except (BotoCoreError, ClientError, KeyError, ValueError, TypeError) as error:
        return EventBucket(name, "unknown", f"{error}"[:200])
    return EventBucket(name, "on" if "EventBridgeConfiguration" in found else "off")


def _client(service: str, region: str) -> Any:
    import boto3

    clients: Any = boto3.client  # its stubs know no service by a variable
    return clients(service, region_name=region)
