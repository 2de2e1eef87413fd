"""The command `push`: an ONNX file, or the model of a training job, as the next version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.cli.command import add_command
from shearling.cli.publishing import add_publishing, publishing_options, say_version

if TYPE_CHECKING:
    import argparse

    from shearling.cli.command import Commands
    from shearling.models.model_version import ModelVersion


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    push = add_command(
        commands,
        "push",
        _push,
        summary="write an ONNX model to the registry as the next version",
        details="Pushing an identical model again creates no new version. The command compares the "
        "answers of the stored model and of the original on the example's rows. It publishes the "
        "first few rows with the model, for the check before each release, so use no personal "
        "data.",
        example="shearling push fraud.onnx --name fraud --example rows.csv --alias staging --wait\n"
        "shearling push cats.onnx --name cats --example pictures/ --image-settings "
        "size=224 crop=center\n"
        "shearling push fraud.onnx --name fraud --example rows.npy --metadata auc=0.93\n"
        "shearling push --training-job fraud-2026-11-27 --name fraud --example rows.csv",
        json="the version",
    )
    push.add_argument(
        "file",
        nargs="?",
        metavar="FILE.onnx",
        help="ONNX file; external data is read from its directory. Or the folder of a text model",
    )
    push.add_argument(
        "--training-job",
        metavar="JOB",
        help="instead of a file, the model that this SageMaker training job saved: its name or ARN",
    )
    push.add_argument(
        "--allow-pickle",
        action="store_true",
        help="the training job's model may be a pickle, which runs code when it is loaded",
    )
    push.add_argument(
        "--name", required=True, metavar="NAME", help="name of the model: a-z, 0-9 and -"
    )
    push.add_argument(
        "--example",
        required=True,
        type=Path,
        metavar="FILE",
        help="rows of input: .npy, .npz (an array for each input), .json, or .csv; with "
        "--image-settings, a picture or a folder of pictures",
    )
    push.add_argument(
        "--image-settings",
        nargs="+",
        action="extend",
        default=[],
        metavar="K=V",
        help="the network takes pictures: what sdk.Image takes, as in size=224 crop=center "
        "resize=256 mean=0.485,0.456,0.406",
    )
    push.add_argument(
        "--class-names",
        type=Path,
        metavar="FILE",
        help="names of the output's columns, one on a line",
    )
    add_publishing(push)


def _push(arguments: argparse.Namespace) -> None:
    options = publishing_options(arguments)
    if (arguments.file is None) == (arguments.training_job is None):
        arguments.refuse("pass either FILE.onnx or --training-job JOB")
    if arguments.allow_pickle and not arguments.training_job:
        arguments.refuse("--allow-pickle applies to --training-job only")
    if arguments.training_job and (arguments.image_settings or arguments.class_names):
        arguments.refuse("--image-settings and --class-names apply to FILE.onnx only")
    pushed = (_push_job if arguments.training_job else _push_file)(arguments, options)
    say_version(arguments, pushed)


def _push_file(arguments: argparse.Namespace, options: dict[str, Any]) -> ModelVersion:
    from shearling.cli.data import read_data
    from shearling.cli.pictures import class_names, image_settings, picture_files
    from shearling.converters.onnx_inputs import stated_inputs
    from shearling.models.push import push_model

    if arguments.class_names:
        options["classes"] = class_names(arguments.class_names)
    if arguments.image_settings:
        options["image"] = image_settings(arguments.image_settings)
        example: Any = picture_files(arguments.example)
    else:
        example = read_data(arguments.example, stated_inputs(Path(arguments.file)))
    return push_model(arguments.file, arguments.name, example=example, **options)


def _push_job(arguments: argparse.Namespace, options: dict[str, Any]) -> ModelVersion:
    from shearling.cli.data import read_data
    from shearling.converters.onnx_inputs import stated_inputs
    from shearling.models.training_job import trained_model
    from shearling.refs import check_model

    check_model(arguments.name)
    with trained_model(arguments.training_job, allow_pickle=arguments.allow_pickle) as trained:
        example = read_data(arguments.example, stated_inputs(trained.path))
        return trained.push(arguments.name, example=example, **options)
