"""Commands for asynchronous jobs: job show, wait and cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.cli.command import add_command, add_group
from shearling.cli.invoke import add_answer
from shearling.cli.output import note, say, say_json
from shearling.cli.target import add_target, connected
from shearling.errors import InferenceError
from shearling.text_table import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from shearling.cli.command import Commands
    from shearling.client.base import RemoteModel
    from shearling.client.jobs import Job
    from shearling.tensors.spec import Classes

#: Fields of a job's document that `show` prints, in this order.
_SHOWN = ("id", "status", "model_name", "model_version", "created", "finished", "expires", "error")


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    verbs = add_group(
        commands,
        "job",
        summary="asynchronous jobs: show, wait, cancel",
        description="Asynchronous jobs, which `shearling invoke --async` creates.",
        example="shearling job wait acme-fraud:prod 5f0c... --output answers.csv",
    )
    show = add_command(
        verbs,
        "show",
        _show,
        summary="show the state of a job",
        example="shearling job show acme-fraud:prod 5f0c9b1e7d2a4c3f8e6b0a1d2c3e4f50",
        json="the job's document, with a URL of the result that needs no credentials,",
        registry=False,
    )
    wait = add_command(
        verbs,
        "wait",
        _wait,
        summary="wait until a job is done, and show its outputs",
        example="shearling job wait acme-fraud:prod 5f0c9b1e7d2a4c3f8e6b0a1d2c3e4f50 --timeout 600",
        registry=False,
    )
    cancel = add_command(
        verbs,
        "cancel",
        _cancel,
        summary="cancel a job that is queued",
        example="shearling job cancel acme-fraud:prod 5f0c9b1e7d2a4c3f8e6b0a1d2c3e4f50",
        registry=False,
    )
    for parser in (show, wait, cancel):
        add_target(parser)
        parser.add_argument("job", metavar="ID", help="ID of the job")
    wait.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="seconds to wait at most (default: no end)"
    )
    add_answer(wait)


def _job(arguments: argparse.Namespace) -> Job:
    return connected(arguments).job(arguments.job)


def _show(arguments: argparse.Namespace) -> None:
    state = _job(arguments).state()
    if arguments.json:
        say_json(state)
        return
    facts = [[name.replace("_", " "), str(state[name])] for name in _SHOWN if name in state]
    say(table(["", ""], facts))


def _wait(arguments: argparse.Namespace) -> None:
    from shearling.cli.answers import answer_document, check_destination, rendered, write_answer

    model = connected(arguments)
    job = model.job(arguments.job)
    if arguments.output:
        check_destination(arguments.output, model.signature.outputs)
    outputs = job.result(arguments.timeout)
    state = job.state()
    note(f"answered by {state['model_name']}:{state['model_version']}")
    if arguments.raw:
        say_json(answer_document(outputs))
        return
    classes = _classes_of(model, state["model_version"])
    if arguments.output:
        write_answer(arguments.output, outputs, classes)
    else:
        say(rendered(outputs, classes))


def _classes_of(model: RemoteModel, version: str) -> Mapping[str, Classes]:
    """Return the classes of the version that answered a job; none if another serves now."""
    from shearling.protocol.metadata import read_signature

    metadata = model.metadata()
    return read_signature(metadata).classes if metadata.get("versions") == [version] else {}


def _cancel(arguments: argparse.Namespace) -> None:
    if not _job(arguments).cancel():
        raise InferenceError(f"job {arguments.job} is done, so it cannot be cancelled")
    note(f"job {arguments.job} is cancelled")
