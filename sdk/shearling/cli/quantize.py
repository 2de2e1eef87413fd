"""The command that makes a version smaller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shearling.cli.command import add_command
from shearling.cli.labels import add_label_options, rows_and_labels
from shearling.cli.option_names import with_option_names
from shearling.cli.output import say, say_json

if TYPE_CHECKING:
    import argparse

    from shearling.cli.command import Commands


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    command = add_command(
        commands,
        "quantize",
        _quantize,
        summary="make a version smaller and faster, if its answers stay good enough",
        details="Half of the rows calibrate, and the others judge each recipe. The first recipe "
        "that passes and pays becomes a new version. With labels, the loss of the metric decides, "
        "at the upper end of its interval; without, the agreement with the version's own answers.",
        example="shearling quantize embed --data rows.npz\n"
        "shearling quantize fraud:7 --data rows.csv --label-column is_fraud --metric roc_auc "
        "--max-loss 0.005",
        json="the report",
    )
    command.add_argument("ref", metavar="REF", help="fraud (the newest), fraud:7, fraud:prod")
    command.add_argument(
        "--data",
        required=True,
        type=Path,
        metavar="FILE",
        help="rows like those of callers: .npy, .npz (an array for each input), .json, or .csv",
    )
    add_label_options(command)
    command.add_argument(
        "--metric",
        metavar="NAME",
        help="with labels, a metric of scikit-learn, such as roc_auc or mean_absolute_error "
        "(default: accuracy for classes, r2 for numbers)",
    )
    command.add_argument(
        "--max-loss",
        type=float,
        default=0.01,
        metavar="NUMBER",
        help="largest loss of the metric (default: 0.01)",
    )
    command.add_argument(
        "--recipe",
        default="auto",
        metavar="NAME",
        help="auto, int8, fp16, or the name of a recipe (default: auto)",
    )
    command.add_argument(
        "--name", metavar="NAME", help="model to publish the version of (default: the same)"
    )
    command.add_argument(
        "--min-rows",
        type=int,
        default=200,
        metavar="N",
        help="least number of different rows that judge (default: 200)",
    )


def _quantize(arguments: argparse.Namespace) -> None:
    from shearling.models.quantize import quantize
    from shearling.registry.registry import Registry

    registry = Registry.existing(arguments.registry)
    inputs = registry.manifest(arguments.ref).signature.inputs
    rows, labels = rows_and_labels(arguments, arguments.data, inputs)
    report = quantize(
        arguments.ref,
        rows,
        y=labels,
        metric=arguments.metric,
        max_loss=arguments.max_loss,
        recipe=arguments.recipe,
        name=arguments.name,
        min_rows=arguments.min_rows,
        registry=registry,
    )
    if arguments.json:
        say_json(report.to_dict())
    else:
        say(with_option_names(str(report)))
