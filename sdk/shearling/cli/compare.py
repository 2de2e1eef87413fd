"""The command that compares the versions of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.cli.command import add_command
from shearling.cli.labels import add_label_options, rows_and_labels
from shearling.cli.option_names import with_option_names
from shearling.cli.output import say, say_json

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
    add_label_options(compare)
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
    if arguments.labels is not None and arguments.csv is None and arguments.npy is None:
        arguments.refuse("--labels names the labels of the rows of --csv or --npy")
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

    from shearling.registry.registry import Registry

    manifest = Registry.existing(arguments.registry).manifest(arguments.ref)
    return rows_and_labels(arguments, path, manifest.signature.inputs)
