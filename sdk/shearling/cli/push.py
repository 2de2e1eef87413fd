"""The command `push`: an ONNX file, or the model of a training job, as the next version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.cli.command import add_command, add_wait
from shearling.cli.output import say, say_json

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
    push.add_argument("--alias", metavar="ALIAS", help="set this alias to the version")
    push.add_argument(
        "--allow-breaking", action="store_true", help="set the alias even if callers would break"
    )
    add_wait(push)
    push.add_argument(
        "--metadata",
        nargs="+",
        action="extend",
        default=[],
        metavar="K=V",
        help="facts to record with the model, as in auc=0.93",
    )
    push.add_argument(
        "--load",
        choices=("latency", "throughput"),
        help="start as fast as possible and map large weights, or answer large batches as fast as "
        "possible (default: by the size of the weights)",
    )
    push.add_argument("--no-measure", action="store_true", help="do not measure for `plan`")
    push.add_argument(
        "--largest", type=int, default=64, help="rows of the largest request (default: 64)"
    )
    push.add_argument(
        "--rtol", type=float, default=1e-3, help="relative tolerance of answers (default: 1e-3)"
    )
    push.add_argument(
        "--atol", type=float, default=1e-4, help="absolute tolerance of answers (default: 1e-4)"
    )


def _push(arguments: argparse.Namespace) -> None:
    if arguments.wait and not arguments.alias:
        arguments.refuse("--wait requires --alias, since it waits for the release of that alias")
    pairs = (pair.split("=", 1) for pair in arguments.metadata if "=" in pair)
    metadata = {key: _number_or_text(text) for key, text in pairs}
    if len(metadata) < len(arguments.metadata):
        arguments.refuse("--metadata: expected KEY=VALUE, with each key once")

    if (arguments.file is None) == (arguments.training_job is None):
        arguments.refuse("pass either FILE.onnx or --training-job JOB")
    if arguments.allow_pickle and not arguments.training_job:
        arguments.refuse("--allow-pickle applies to --training-job only")
    if arguments.training_job and (arguments.image_settings or arguments.class_names):
        arguments.refuse("--image-settings and --class-names apply to FILE.onnx only")
    options = {
        "alias": arguments.alias,
        "wait": arguments.wait,
        "allow_breaking": arguments.allow_breaking,
        "metadata": metadata,
        "rtol": arguments.rtol,
        "atol": arguments.atol,
        "load": arguments.load,
        "measure": False if arguments.no_measure else None,
        "largest": arguments.largest,
        "registry": arguments.registry,
    }
    pushed = (_push_job if arguments.training_job else _push_file)(arguments, options)
    if not arguments.json:
        say(str(pushed))
        return
    names = ("model", "version", "digest", "alias", "is_new", "uploaded_bytes", "size_bytes")
    say_json({name: getattr(pushed, name) for name in names})


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


def _number_or_text(text: str) -> float | str:
    """Return a decimal number as a float if it is written as Python writes it, else the text."""
    try:
        return float(text) if repr(float(text)) == text else text
    except ValueError:
        return text
