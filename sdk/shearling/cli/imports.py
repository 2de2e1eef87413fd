"""The command `import`: a model that another library saved, as the next version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shearling.cli.command import add_command
from shearling.cli.publishing import add_publishing, publishing_options, say_version

if TYPE_CHECKING:
    import argparse

    from shearling.cli.command import Commands


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    parser = add_command(
        commands,
        "import",
        _import,
        summary="write a model that another library saved to the registry as the next version",
        details="The first few rows of the example are published with the model, for the check "
        "before each release, so use no personal data.",
        example="shearling import models:/fraud/7 --name fraud --allow-pickle\n"
        "shearling import fraud.skops --name fraud --example rows.csv\n"
        "shearling import fraud.skops --name fraud --example rows.csv "
        "--trusted xgboost.core.Booster xgboost.sklearn.XGBClassifier",
        json="the version",
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="folder or URI of a model of MLflow, or a .skops file"
    )
    parser.add_argument(
        "--name", required=True, metavar="NAME", help="name of the model: a-z, 0-9 and -"
    )
    parser.add_argument(
        "--example",
        type=Path,
        metavar="FILE",
        help="rows of input: .npy, .npz, .json, or .csv (default: those that MLflow has)",
    )
    parser.add_argument(
        "--trusted",
        nargs="+",
        action="extend",
        metavar="TYPE",
        help="for a .skops file, types to load besides those that skops trusts",
    )
    parser.add_argument(
        "--allow-pickle",
        action="store_true",
        help="the model of MLflow may be a pickle, which runs code when it is loaded",
    )
    add_publishing(parser)


def _import(arguments: argparse.Namespace) -> None:
    from shearling.cli.data import data_frame, read_data
    from shearling.converters.onnx_inputs import stated_inputs
    from shearling.models.import_model import import_model

    options = publishing_options(arguments)
    example = None
    if arguments.example is not None:
        specs = stated_inputs(Path(arguments.source))
        rows = read_data(arguments.example, specs)
        example = rows if specs else data_frame(rows, arguments.example)
    pushed = import_model(
        arguments.source,
        arguments.name,
        example=example,
        trusted=arguments.trusted,
        allow_pickle=arguments.allow_pickle,
        **options,
    )
    say_version(arguments, pushed)
