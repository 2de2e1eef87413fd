"""The command that distils a version into a smaller model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shearling.cli.command import add_command
from shearling.cli.labels import add_label_options, rows_and_labels
from shearling.cli.output import say, say_json

if TYPE_CHECKING:
    import argparse

    from shearling.cli.command import Commands


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    distil = add_command(
        commands,
        "distil",
        _distil,
        summary="fit small models on a version's answers, and push the smallest that agrees",
        details="The rows need no labels; with labels, the report has the quality of each model. A "
        "quarter of the rows is held out to judge the small models, "
        "so pass some hundred rows or more, if possible rows that the model was not fitted on. "
        "The first few rows are published with the new model, so use no personal data.",
        example="shearling distil fraud:prod --data rows.csv --name fraud-small\n"
        "shearling distil fraud:prod --data rows.csv --label-column is_fraud --name fraud-small",
        json="the report",
    )
    distil.add_argument("ref", metavar="REF", help="the version to learn from")
    distil.add_argument(
        "--data", required=True, type=Path, metavar="FILE", help="rows: .csv, .npy or .json"
    )
    distil.add_argument("--name", required=True, metavar="NAME", help="name of the new model")
    add_label_options(distil)
    distil.add_argument(
        "--min-agreement",
        type=float,
        default=0.98,
        metavar="SHARE",
        help="share of the held-out rows with the version's label, or R2 for numbers, that passes "
        "(default: 0.98)",
    )
    distil.add_argument(
        "--allow-pickle",
        action="store_true",
        help="load a pickle, whose ref must be pinned, and run the code in it",
    )


def _distil(arguments: argparse.Namespace) -> None:
    from shearling.cli.data import data_frame
    from shearling.models.distil import distil

    rows, labels = rows_and_labels(arguments, arguments.data)
    report = distil(
        arguments.ref,
        data_frame(rows, arguments.data),
        labels,
        name=arguments.name,
        min_agreement=arguments.min_agreement,
        allow_pickle=arguments.allow_pickle,
        registry=arguments.registry,
    )
    if arguments.json:
        say_json(report.to_dict())
    else:
        say(str(report))
