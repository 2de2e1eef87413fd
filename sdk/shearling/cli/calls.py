"""The command that calls a deployed model: invoke."""

from __future__ import annotations

import os
import sys
from itertools import zip_longest
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.cli.command import API_KEY_VARIABLE, TOKEN_VARIABLE, add_command
from shearling.cli.output import note, say, say_json
from shearling.cli.tables import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.cli.command import Commands
    from shearling.remote import RemoteModel

_STDIN = "-"

#: More are seldom read in a terminal.
_ROWS_SHOWN, _COLUMNS_SHOWN = 50, 12


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    invoke = add_command(
        commands,
        "invoke",
        _invoke,
        summary="call a deployed model by alias",
        details="Without data it says what to pass. A URL of AWS's own is signed for with your "
        f"credentials, unless {TOKEN_VARIABLE} or {API_KEY_VARIABLE} is set, which is sent then.",
        example="shearling invoke acme-fraud:prod\n"
        "shearling invoke acme-fraud:prod --csv rows.csv\n"
        "echo '[[1.5, 2]]' | shearling invoke acme-fraud:prod --json - --raw",
        registry=False,
    )
    invoke.add_argument("target", metavar="TARGET", help="<function>:<alias>, or an API's URL")
    invoke.add_argument("--model", metavar="NAME", help="of a URL: the model's name")
    invoke.add_argument("--alias", metavar="ALIAS", help="of a URL: the alias, or a version")
    invoke.add_argument("--region", help="of a URL: sign for it, also beside a key")
    data = invoke.add_mutually_exclusive_group()
    data.add_argument(
        "--json",
        metavar="FILE",
        help="rows, lists by input, or a request of the Open Inference Protocol; - is what is "
        "piped in",
    )
    data.add_argument("--csv", type=Path, metavar="FILE", help="rows, with a line of names or not")
    data.add_argument("--npy", type=Path, metavar="FILE", help="an array; .npz: one for each input")
    invoke.add_argument("--raw", action="store_true", help="print the answer as JSON")


def _invoke(arguments: argparse.Namespace) -> None:
    from shearling.client import connect
    from shearling.protocol import read_answer

    model: RemoteModel
    if "://" in arguments.target:
        if not arguments.model:
            arguments.refuse("a URL needs --model, the model's name")
        model = connect(
            arguments.target,
            model=arguments.model,
            alias=arguments.alias,
            auth="iam" if arguments.region else "auto",
            region=arguments.region,
            token=os.environ.get(TOKEN_VARIABLE),
            api_key=os.environ.get(API_KEY_VARIABLE),
        )
    else:
        if arguments.model or arguments.alias or arguments.region:
            arguments.refuse("--model, --alias and --region are for a URL: give <function>:<alias>")
        client_of = arguments.lambda_client
        model = connect(arguments.target, client=client_of(None) if client_of else None)
    if not (arguments.json or arguments.csv or arguments.npy):
        _explain(model, as_json=arguments.raw)
        return
    answer = model.call(_request(model, arguments))
    if arguments.raw:
        say_json(answer)
        return
    note(f"answered by {answer['model_name']}:{answer['model_version']}")
    say(_rendered(read_answer(answer)))


def _request(model: RemoteModel, arguments: argparse.Namespace) -> dict[str, Any]:
    from shearling.cli.data import is_request, json_document, read_data, rows_of

    if not arguments.json:
        return model.request(read_data(arguments.csv or arguments.npy))
    is_piped = arguments.json == _STDIN
    place = "standard input" if is_piped else arguments.json
    data = sys.stdin.buffer.read() if is_piped else Path(arguments.json).read_bytes()
    document = json_document(data, place)
    if is_request(document):
        return dict(document)
    return model.request(rows_of(document, place))


def _explain(model: RemoteModel, *, as_json: bool) -> None:
    """Say what the model takes; it is not run."""
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
    say(f"{model.target} serves {metadata['name']}:{version} (-1 is any size)\n")
    say(table(["TENSOR", "NAME", "DATATYPE", "SHAPE"], tensors))
    say("\nPass data to run it: --csv rows.csv, --npy rows.npy, or --json rows.json.")


def _rendered(outputs: Mapping[str, NDArray[Any]]) -> str:
    """Return outputs as a table: a line for each row, a column for each number in it."""
    columns: list[tuple[str, list[Any]]] = []
    for name, array in outputs.items():
        count = prod(array.shape[1:])
        rows = array.reshape(-1 if array.size else 0, count)
        columns += [
            (name if count == 1 else f"{name}[{i}]", rows[:_ROWS_SHOWN, i].tolist())
            for i in range(min(count, _COLUMNS_SHOWN))
        ]
        if count > _COLUMNS_SHOWN or len(rows) > _ROWS_SHOWN:
            note(f"{name} is {len(rows)} rows of {count}: --raw prints all of it")
    lines = zip_longest(*(values for _, values in columns), fillvalue="")
    return table([name for name, _ in columns], lines)
