"""Commands for batch runs: batch run, status, redrive, stop and list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.cli.command import add_command, add_group
from shearling.cli.output import note, say, say_json, utc
from shearling.progress import human_bytes
from shearling.scoring.formats import OUTPUTS, SUPPORTED
from shearling.text_table import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from shearling.batches.run import BatchRun, RunStatus
    from shearling.batches.run_result import PartFailure, RunResult
    from shearling.cli.command import Commands

#: Failures that `status` shows at most, without --json.
_SHOWN = 20

_EXAMPLE = "shearling batch run acme-fraud:prod 's3://in/2026/*.parquet' s3://out/run-7/ --wait"

_RUN = "ID of a run on AWS, or the output of any run"


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    verbs = add_group(
        commands,
        "batch",
        summary="score many objects: run, status, redrive, stop, list",
        description="Runs that score many objects, on AWS by the state machine of Terraform's "
        "`batch`. With a registry in a directory, or with local files, runs are done on this "
        "machine.",
        example=_EXAMPLE,
    )
    _add_run(verbs)
    _add_status(verbs)
    redrive = add_command(
        verbs,
        "redrive",
        _redrive,
        summary="score the parts of a run that have no result",
        details="The parts that are finished stay as they are, and the same version of the model "
        "answers. A run on this machine is waited for.",
        example="shearling batch redrive fraud-20260501-120000-1a2b3c --wait",
        json="what became of the run with --wait, else how far it is,",
    )
    _add_wait(redrive)
    stop = add_command(
        verbs,
        "stop",
        _stop,
        summary="stop a run on AWS",
        details="Parts that are finished stay. `shearling batch redrive` goes on with the others. "
        "Interrupt a run on this machine where it runs.",
        example="shearling batch stop fraud-20260501-120000-1a2b3c",
    )
    for parser in (redrive, stop):
        parser.add_argument("run_name", metavar="RUN", help=_RUN)
    _add_pickle(redrive)
    runs = add_command(
        verbs,
        "list",
        _list,
        summary="list the runs on AWS of the last 90 days, newest first",
        details="A run on this machine is known by its output: see `shearling batch status`.",
        example="shearling batch list --limit 50",
        json="the list",
    )
    runs.add_argument(
        "--limit", type=int, default=20, metavar="N", help="runs at most (default: 20)"
    )


def _add_run(verbs: Commands) -> None:
    run = add_command(
        verbs,
        "run",
        _run,
        summary="score objects, each into an object below the output",
        details="Quote patterns, so that the shell leaves them alone. On this machine, the run is "
        "waited for.",
        example=f"{_EXAMPLE}\nshearling batch run fraud:prod 'in/**/*.csv' out/ "
        "--registry ./registry",
        json="what became of the run with --wait, else how far it is,",
    )
    run.add_argument(
        "target", metavar="TARGET", help="<function>:<alias>; on this machine a ref, as fraud:prod"
    )
    run.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="objects, prefixes or patterns: s3://in/2026/*.parquet, or paths",
    )
    run.add_argument("output", metavar="OUTPUT", help="an empty prefix, or a directory")
    run.add_argument(
        "--max-concurrency",
        type=int,
        metavar="N",
        help="parts at a time (default: 50; on this machine, the number of processors)",
    )
    run.add_argument(
        "--tolerate",
        type=float,
        default=0,
        metavar="PERCENT",
        help="share of the parts that may fail (default: 0)",
    )
    run.add_argument(
        "--on-bad-rows",
        choices=("fail", "skip"),
        default="fail",
        help="whether an invalid row fails its part, or goes to a file of its own (default: fail)",
    )
    run.add_argument(
        "--keep-columns", action="store_true", help="begin the outputs with the sources' columns"
    )
    run.add_argument(
        "--header",
        choices=("auto", "present", "absent"),
        default="auto",
        help="whether the first line of a CSV has column names (default: auto, which detects it)",
    )
    for name, choices in (("input", SUPPORTED), ("output", OUTPUTS)):
        run.add_argument(
            f"--{name}-format",
            choices=choices,
            help=f"format of all {name}s (default: as each input's suffix says)",
        )
    run.add_argument("--kms-key-arn", default="", metavar="ARN", help="key that encrypts outputs")
    run.add_argument(
        "--part-bytes",
        type=int,
        metavar="N",
        help="bytes above which an object is cut into parts (default: 134217728)",
    )
    _add_wait(run)
    _add_pickle(run)


def _add_status(verbs: Commands) -> None:
    status = add_command(
        verbs,
        "status",
        _status,
        summary="show how far a run is, and its parts without a result",
        example="shearling batch status fraud-20260501-120000-1a2b3c\n"
        "shearling batch status s3://out/run-7/",
        json="the status and the failures",
    )
    status.add_argument("run_name", metavar="RUN", help=_RUN)


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wait", action="store_true", help="wait until the run is over")


def _add_pickle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-pickle",
        action="store_true",
        help="on this machine, load a pickle, which runs the code in it; needs a pinned ref",
    )


def _run(arguments: argparse.Namespace) -> None:
    from shearling.batches.batch import batch

    run = batch(
        arguments.target,
        arguments.inputs,
        arguments.output,
        max_concurrency=arguments.max_concurrency,
        tolerate=arguments.tolerate,
        on_bad_rows=arguments.on_bad_rows,
        keep_columns=arguments.keep_columns,
        header=arguments.header,
        input_format=arguments.input_format,
        output_format=arguments.output_format,
        kms_key_arn=arguments.kms_key_arn,
        part_bytes=arguments.part_bytes,
        allow_pickle=arguments.allow_pickle,
        registry=arguments.registry,
    )
    note(f"run {run.id} writes to {run.output}")
    _follow(run, arguments)


def _redrive(arguments: argparse.Namespace) -> None:
    _follow(_found(arguments).redrive(), arguments)


def _stop(arguments: argparse.Namespace) -> None:
    run = _found(arguments)
    run.stop()
    note(f"run {run.id} is {run.status().state}")


def _status(arguments: argparse.Namespace) -> None:
    run = _found(arguments)
    status, failures = run.status(), run.failures()
    if arguments.json:
        documents = [failure.document() for failure in failures]
        say_json(status.document() | {"failures": documents})
        return
    _say_status(status)
    _say_failures(failures)


def _list(arguments: argparse.Namespace) -> None:
    from shearling.batches.batch import batch_runs

    executions = batch_runs(arguments.limit, registry=arguments.registry)
    if arguments.json:
        say_json([execution.summary() for execution in executions])
    elif executions:
        headers = ["RUN", "EXECUTION", "STATE", "STARTED (UTC)", "ENDED (UTC)"]
        rows = (
            [each.run, each.name, each.state, utc(each.started), each.stopped and utc(each.stopped)]
            for each in executions
        )
        say(table(headers, rows))
    else:
        note("no runs; begin one with `shearling batch run`")


def _found(arguments: argparse.Namespace) -> BatchRun:
    from shearling.batches.batch import batch_run

    allow_pickle = getattr(arguments, "allow_pickle", False)
    return batch_run(arguments.run_name, allow_pickle=allow_pickle, registry=arguments.registry)


def _follow(run: BatchRun, arguments: argparse.Namespace) -> None:
    """Wait for a run if that is asked for or if this process does it, and say how far it is."""
    if not (arguments.wait or run.is_here):
        if arguments.json:
            say_json(run.status().document())
        else:
            say(run.id)
            note(f"to see how far it is, run: shearling batch status {run.id}")
        return
    try:
        result = run.wait()
    except KeyboardInterrupt:
        if run.is_here:
            run.stop()
            note(f"stopped; to go on, run: shearling batch redrive {run.output}")
        raise
    if arguments.json:
        say_json(result.document())
    else:
        _say_result(result)


def _say_result(result: RunResult) -> None:
    billed = "" if result.gb_seconds is None else f"{result.gb_seconds:,.1f}"
    facts: list[tuple[str, object]] = [
        ("status", result.status),
        ("model", result.model),
        ("output", result.output),
        ("parts", f"{result.parts:,} ({result.failed:,} failed)"),
        ("rows", f"{result.rows:,} ({result.rejected:,} rejected)"),
        ("bytes", human_bytes(result.bytes)),
        ("seconds", f"{result.seconds:,.1f}"),
        ("rows a second", f"{result.rows / max(result.seconds, 0.001):,.0f}"),
        ("GB-seconds", billed),
    ]
    say(table(["", ""], [fact for fact in facts if fact[1]]))
    _say_failures(result.failures)


def _say_status(status: RunStatus) -> None:
    share = f"{status.bytes / max(status.total_bytes, 1):.0%}"
    facts: list[tuple[str, object]] = [
        ("run", status.run),
        ("state", status.state),
        ("reason", status.reason),
        ("model", status.model),
        ("output", status.output),
        ("parts", f"{status.scored:,} of {status.parts:,} ({status.failed:,} failed)"),
        ("rows", f"{status.rows:,} ({status.rejected:,} rejected)"),
        ("bytes", f"{human_bytes(status.bytes)} of {human_bytes(status.total_bytes)} ({share})"),
    ]
    say(table(["", ""], [fact for fact in facts if fact[1]]))


def _say_failures(failures: Sequence[PartFailure]) -> None:
    if not failures:
        return
    headers = ["FAILED SOURCE", "FROM", "ROW", "COLUMN", "VALUE", "REASON"]
    rows: list[list[Any]] = [
        [each.source, each.start, each.row, each.column, each.value, each.message]
        for each in failures[:_SHOWN]
    ]
    say(f"\n{table(headers, rows)}")
    if len(failures) > _SHOWN:
        note(f"{len(failures) - _SHOWN:,} more; --json of `shearling batch status` shows them")
