"""Commands about the objects of events: events status and redrive."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from shearling.cli.command import add_command
from shearling.cli.output import note, say, say_json
from shearling.text_table import table

if TYPE_CHECKING:
    from shearling.cli.command import Commands


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    group = commands.add_parser(
        "events",
        help="objects that arrive in S3 and are scored: status, redrive",
        description="Objects that arrive in S3 and are scored, as Terraform's `events` of a model "
        "says.",
        epilog="example:\n  shearling events redrive fraud --event incoming",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    status = add_command(
        verbs,
        "status",
        _status,
        summary="show how many objects wait, are in work, and failed",
        details="SQS counts approximately.",
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
    from shearling.client.event_queues import event_queues
    from shearling.registry.registry import Registry

    queues = event_queues(Registry.existing(arguments.registry), arguments.model)
    rows = [asdict(queue.state()) for queue in queues]
    if arguments.json:
        say_json(rows)
    elif rows:
        headers = ["MODEL", "EVENT", "FUNCTION", "WAITING", "IN WORK", "FAILED"]
        say(table(headers, (list(row.values()) for row in rows)))
    else:
        note("no model has events; add them to Terraform's `models`")


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
