"""The command that calls a deployed model: invoke."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.cli.command import API_KEY_VARIABLE, TOKEN_VARIABLE, add_command
from shearling.cli.output import note, say, say_json
from shearling.cli.target import add_target, connected, target_words
from shearling.errors import InvalidRequestError, PayloadTooLargeError, RowsFailedError
from shearling.text_table import table

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from shearling.cli.command import Commands
    from shearling.client.base import RemoteModel

_STDIN = "-"


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    invoke = add_command(
        commands,
        "invoke",
        _invoke,
        summary="call a deployed model by alias",
        details="Without data, shows the model's inputs and outputs. Splits rows that are too "
        "many for one call. Signs requests to an AWS URL with your credentials, unless "
        f"{TOKEN_VARIABLE} or {API_KEY_VARIABLE} is set; then it sends the token or key.",
        example="shearling invoke acme-fraud:prod\n"
        "shearling invoke acme-fraud:prod --csv rows.csv --output answers.csv\n"
        "echo '[[1.5, 2]]' | shearling invoke acme-fraud:prod --json - --raw\n"
        "shearling invoke acme-fraud:prod --npy rows.npy --async\n"
        "shearling invoke acme-cats:prod --images cat.jpg",
        registry=False,
    )
    add_target(invoke)
    data = invoke.add_mutually_exclusive_group()
    data.add_argument(
        "--json",
        metavar="FILE",
        help="JSON file with rows, a list for each input, or a request of the Open Inference "
        "Protocol; - reads standard input",
    )
    data.add_argument(
        "--csv", metavar="FILE", help="CSV file with or without a header; - reads standard input"
    )
    invoke.add_argument(
        "--header",
        choices=("present", "absent"),
        help="for --csv: whether the first line is a header, if the file does not show it",
    )
    data.add_argument(
        "--npy",
        type=Path,
        metavar="FILE",
        help=".npy file with an array, or .npz file with an array for each input",
    )
    data.add_argument(
        "--images",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="JPEG, PNG or WebP files, or a folder of them, for a model that takes pictures",
    )
    for option, text in (
        ("--rows-per-call", "split rows into calls of N rows"),
        ("--max-concurrency", "send N calls at a time (default: 8)"),
    ):
        invoke.add_argument(option, type=int, metavar="N", help=text)
    invoke.add_argument(
        "--async",
        action="store_true",
        dest="later",
        help="create an asynchronous job, and print its ID for `shearling job wait`",
    )
    add_answer(invoke)


def add_answer(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what becomes of the outputs."""
    answer = parser.add_mutually_exclusive_group()
    answer.add_argument("--raw", action="store_true", help="print the outputs as JSON")
    answer.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the outputs to a .csv, .npy, .npz or .json file",
    )


def _invoke(arguments: argparse.Namespace) -> None:
    model = connected(arguments)
    if arguments.later:
        _submit(model, arguments)
        return
    if not _has_data(arguments):
        _explain(model, as_json=arguments.raw)
        return
    from shearling.cli.answers import answer_document, check_destination, rendered, write_answer
    from shearling.cli.data import is_request

    if arguments.output:
        check_destination(arguments.output, model.signature.outputs)
    data = _data(model, arguments)
    try:
        document, outputs = _answer(model, data, arguments)
    except RowsFailedError as error:
        if arguments.output and error.outputs:
            write_answer(arguments.output, error.outputs, model.signature.classes)
        raise
    if document:
        note(f"answered by {document['model_name']}:{document['model_version']}")
    if arguments.output:
        write_answer(arguments.output, outputs, model.signature.classes)
    elif arguments.raw:
        say_json(document or answer_document(outputs))
    else:
        # A request of the protocol needs no signature, so none is asked for.
        say(rendered(outputs, {} if is_request(data) else model.signature.classes))


def _has_data(arguments: argparse.Namespace) -> bool:
    return bool(arguments.json or arguments.csv or arguments.npy or arguments.images)


def _submit(model: RemoteModel, arguments: argparse.Namespace) -> None:
    """Create an asynchronous job, and print its ID."""
    from shearling.cli.data import is_request

    if not _has_data(arguments):
        arguments.refuse(
            "--async needs data: --csv rows.csv, --npy rows.npy, --json rows.json, or --images "
            "picture.jpg"
        )
    if arguments.output or arguments.rows_per_call or arguments.max_concurrency:
        arguments.refuse(
            "--async sends one request and does not wait: --rows-per-call, --max-concurrency and "
            "--output do not apply. `shearling job wait` writes the outputs"
        )
    data = _data(model, arguments)
    if is_request(data):
        raise InvalidRequestError("--async needs rows, not a request of the protocol")
    job = model.infer_async(data)
    if arguments.raw:
        say_json(job.state())
        return
    say(job.id)
    note(f"to wait for the outputs, run: shearling job wait {target_words(arguments)} {job.id}")


def _answer(
    model: RemoteModel, data: Any, arguments: argparse.Namespace
) -> tuple[dict[str, Any] | None, dict[str, NDArray[Any]]]:
    """Return the response's document, None if there were several calls, and the outputs."""
    from shearling.cli.data import is_request
    from shearling.protocol.responses import read_answer

    given = {"rows_per_call": arguments.rows_per_call, "max_concurrency": arguments.max_concurrency}
    options = {name: value for name, value in given.items() if value is not None}
    if is_request(data):
        if options:
            raise InvalidRequestError(
                "--rows-per-call and --max-concurrency need rows; a request of the protocol is "
                "sent as one call"
            )
        document = model.call(data)
    elif options:
        return None, model.infer_many(data, **options)
    else:
        try:
            document = model.call(model.request(data))
        except PayloadTooLargeError:
            if any(spec.shape[:1] != (-1,) for spec in model.signature.inputs):
                raise
            return None, model.infer_many(data)
    return document, read_answer(document)


def _data(model: RemoteModel, arguments: argparse.Namespace) -> Any:
    """Return rows, or the document of a request."""
    from shearling.cli.data import is_request, json_document, read_data, rows_of, text_of

    if arguments.csv:
        from shearling.protocol.csv_rows import parse_csv

        has_names = {"present": True, "absent": False}.get(arguments.header)
        data, place = _read(arguments.csv)
        text, columns = text_of(data, place), model.columns
        return parse_csv(text, model.signature, columns, has_names=has_names, place=place).inputs
    if arguments.images:
        from shearling.cli.pictures import picture_files

        return [file for path in arguments.images for file in picture_files(path)]
    if not arguments.json:
        return read_data(arguments.npy)
    data, place = _read(arguments.json)
    document = json_document(data, place)
    return document if is_request(document) else rows_of(document, place)


def _read(file: str) -> tuple[bytes, str]:
    """Return the content of a file or of standard input, and its name for messages."""
    if file == _STDIN:
        return sys.stdin.buffer.read(), "standard input"
    return Path(file).read_bytes(), file


def _explain(model: RemoteModel, *, as_json: bool) -> None:
    """Show the model's inputs and outputs, without running it."""
    from shearling.cli.contract import contract_facts
    from shearling.protocol.metadata import read_columns, read_signature

    metadata = model.metadata()
    if as_json:
        say_json(metadata)
        return
    tensors = [
        [role, tensor["name"], tensor["datatype"], f"[{', '.join(map(str, tensor['shape']))}]"]
        for role in ("input", "output")
        for tensor in metadata[f"{role}s"]
    ]
    version = ", ".join(metadata["versions"])
    say(f"{model.target} serves {metadata['name']}:{version} (-1 means any size)\n")
    say(table(["TENSOR", "NAME", "DATATYPE", "SHAPE"], tensors))
    if facts := contract_facts(read_signature(metadata), read_columns(metadata)):
        say(f"\n{table(['', ''], facts)}")
    takes_pictures = any(spec.content for spec in read_signature(metadata).inputs)
    files = "--csv rows.csv, --npy rows.npy, or --json rows.json"
    say(f"\nTo run the model, pass data: {'--images picture.jpg' if takes_pictures else files}.")
