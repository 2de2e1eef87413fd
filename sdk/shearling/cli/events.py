"""Commands about the objects of events: events status and redrive."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from shearling.cli.command import add_command, add_group
from shearling.cli.output import note, say, say_json
from shearling.text_table import table

if TYPE_CHECKING:
    import argparse

    from shearling.cli.command import Commands
    from shearling.client.event_buckets import EventBucket


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    verbs = add_group(
        commands,
        "events",
        summary="objects that arrive in S3 and are scored: status, redrive",
        description="Objects that arrive in S3 and are scored, as Terraform's `events` of a model "
        "says.",
        example="shearling events redrive fraud --event incoming",
    )
    status = add_command(
        verbs,
        "status",
        _status,
        summary="show how many objects wait, are in work, and failed, and whether any can arrive",
        details="SQS counts approximately. EVENTBRIDGE says whether the bucket sends its events to "
        "EventBridge: if not, nothing arrives. Requires Terraform's output `redrive_policy`.",
        example="shearling events status\nshearling events status fraud",
        json="the counts",
    )
    status.add_argument("model", nargs="?", metavar="MODEL", help="show only this model")
    redrive = add_command(
        verbs,
        "redrive",
        _redrive,
        summary="score the objects in a dead-letter queue again",
        details="They are there because scoring failed several times with an error that may go "
        "away. Read the function's log first. Requires Terraform's output `redrive_policy`.",
        example="shearling events redrive fraud\nshearling events redrive fraud --event incoming",
        json="the numbers",
    )
    redrive.add_argument("model", metavar="MODEL", help="name of the model")
    redrive.add_argument("--event", metavar="NAME", help="only this event (default: all)")


def _status(arguments: argparse.Namespace) -> None:
    from shearling.client.event_buckets import event_bucket
    from shearling.client.event_queues import event_queues
    from shearling.registry.registry import Registry

    queues = event_queues(Registry.existing(arguments.registry), arguments.model)
    buckets = [event_bucket(queue) for queue in queues]
    rows = [
        asdict(queue.state()) | {"bucket": bucket.name, "eventbridge": bucket.delivery}
        for queue, bucket in zip(queues, buckets, strict=True)
    ]
    if arguments.json:
        say_json(rows)
    elif rows:
        headers = ["MODEL", "EVENT", "FUNCTION", "WAITING", "IN WORK", "FAILED", "BUCKET"]
        say(table([*headers, "EVENTBRIDGE"], (list(row.values()) for row in rows)))
    else:
        note("no model has events; add them to Terraform's `models`")
    for queue, bucket in zip(queues, buckets, strict=True):
        _note_delivery(queue.name, bucket)


def _note_delivery(event: str, bucket: EventBucket) -> None:
    """Say what to do if no object can arrive, or nobody can tell."""
    if bucket.delivery == "off":
        note(
            f"{event}: bucket {bucket.name} sends no events to EventBridge, so no object arrives. "
            "Set `eventbridge = true` in its aws_s3_bucket_notification, or turn on Amazon "
            "EventBridge in the bucket's properties"
        )
    elif bucket.delivery == "unknown":
        note(
            f"{event}: whether its bucket sends events to EventBridge cannot be read: "
            f"{bucket.reason}. Terraform's output `redrive_policy` has the rights that this needs"
        )


def _redrive(arguments: argparse.Namespace) -> None:
    from shearling.client.event_queues import event_queues
    from shearling.registry.registry import Registry

    registry = Registry.existing(arguments.registry)
    rows = [
        {
            "model": queue.deployment.model,
            "event": queue.event,
            "function": queue.deployment.function,
            "redriven": queue.redrive(),
        }
        for queue in event_queues(registry, arguments.model, arguments.event)
    ]
    if arguments.json:
        say_json(rows)
    else:
        say(table(["MODEL", "EVENT", "FUNCTION", "REDRIVEN"], (list(row.values()) for row in rows)))
