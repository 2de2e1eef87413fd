"""The command that compares the versions of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.cli.command import add_command
from shearling.cli.option_names import with_option_names
from shearling.cli.output import say, say_json
from shearling.errors import InvalidRequestError

if TYPE_CHECKING:
    import argparse

    from shearling.cli.command import Commands

#: Exit code if something speaks against the version; 1 is an error, and 2 wrong usage.
_NOT_GOOD = 3


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    compare = add_command(
        commands,
        "compare",
        _compare,
        summary="compare versions: metrics, size, latency, memory, and answers to data",
        details="Exits with code 0 if nothing speaks against the version, and with 3 if it breaks "
        "callers of the other one, does not answer the data, or exceeds a limit (1 is an error, 2 "
        "wrong usage). Of a model, the newest version is judged.",
        example="shearling compare fraud\n"
        "shearling compare fraud:8 --csv golden.csv --min-agreement 0.99",
        json="the comparison",
    )
    compare.add_argument("ref", metavar="REF", help="fraud (its newest versions), fraud:8")
    compare.add_argument(
        "--against",
        metavar="ALIAS",
        help="an alias, a version's number or a ref to compare with (default: prod, or the only "
        "alias)",
    )
    data = compare.add_mutually_exclusive_group()
    data.add_argument("--csv", type=Path, metavar="FILE", help="rows to ask the versions about")
    data.add_argument("--npy", type=Path, metavar="FILE", help="the same as an array of NumPy")
    compare.add_argument(
        "--label-column", metavar="NAME", help="the column of the CSV file with the right answers"
    )
    compare.add_argument(
        "--min-agreement", type=float, metavar="SHARE", help="share of rows with the same answer"
    )
    compare.add_argument(
        "--max-difference", type=float, metavar="NUMBER", help="largest difference of a number"
    )


def _compare(arguments: argparse.Namespace) -> None:
    from shearling.models.compare import compare

    if arguments.label_column is not None and arguments.csv is None:
        arguments.refuse("--label-column names a column of the file of --csv")
    rows, labels = _data(arguments)
    comparison = compare(
        arguments.ref,
        against=arguments.against,
        data=rows,
        y=labels,
        min_agreement=arguments.min_agreement,
        max_difference=arguments.max_difference,
        registry=arguments.registry,
    )
    if arguments.json:
        say_json(comparison.to_dict())
    else:
        say(with_option_names(str(comparison)))
    if not comparison.is_good:
        raise SystemExit(_NOT_GOOD)


def _data(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """Return the rows to ask about and their labels."""
    path = arguments.csv or arguments.npy
    if path is None:
        return None, None

    from shearling.cli.data import Frame, read_data, with_missing
    from shearling.registry.registry import Registry

    if arguments.label_column is None:
        manifest = Registry.existing(arguments.registry).manifest(arguments.ref)
        return read_data(path, manifest.signature.inputs), None
    frame = read_data(path)
    if not isinstance(frame, Frame) or arguments.label_column not in frame.columns:
        names = frame.columns if isinstance(frame, Frame) else ["no names"]
        raise InvalidRequestError(
            f"{path} has no column {arguments.label_column!r:.80}: --label-column is one of "
            f"{', '.join(names):.300}"
        )
    rows = {name: array for name, array in frame.arrays.items() if name != arguments.label_column}
    return Frame(rows), with_missing(frame.arrays[arguments.label_column])
