"""What commands that publish a version share: their options, and how the version is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.cli.command import add_wait
from shearling.cli.output import say, say_json

if TYPE_CHECKING:
    import argparse

    from shearling.models.model_version import ModelVersion


def add_publishing(parser: argparse.ArgumentParser) -> None:
    """Add the options about the version: its alias, metadata, loading, measuring, tolerances."""
    parser.add_argument("--alias", metavar="ALIAS", help="set this alias to the version")
    parser.add_argument(
        "--allow-breaking", action="store_true", help="set the alias even if callers would break"
    )
    add_wait(parser)
    parser.add_argument(
        "--metadata",
        nargs="+",
        action="extend",
        default=[],
        metavar="K=V",
        help="facts to record with the model, as in auc=0.93",
    )
    parser.add_argument(
        "--load",
        choices=("latency", "throughput"),
        help="start as fast as possible and map large weights, or answer large batches as fast as "
        "possible (default: by the size of the weights)",
    )
    parser.add_argument("--no-measure", action="store_true", help="do not measure for `plan`")
    parser.add_argument(
        "--largest", type=int, default=64, help="rows of the largest request (default: 64)"
    )
    parser.add_argument(
        "--rtol", type=float, default=1e-3, help="relative tolerance of answers (default: 1e-3)"
    )
    parser.add_argument(
        "--atol", type=float, default=1e-4, help="absolute tolerance of answers (default: 1e-4)"
    )


def publishing_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options as `push_model` takes them."""
    if arguments.wait and not arguments.alias:
        arguments.refuse("--wait requires --alias, since it waits for the release of that alias")
    pairs = (pair.split("=", 1) for pair in arguments.metadata if "=" in pair)
    metadata = {key: _number_or_text(text) for key, text in pairs}
    if len(metadata) < len(arguments.metadata):
        arguments.refuse("--metadata: expected KEY=VALUE, with each key once")
    return {
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


def say_version(arguments: argparse.Namespace, pushed: ModelVersion) -> None:
    """Print the version."""
    if not arguments.json:
        say(str(pushed))
        return
    names = ("model", "version", "digest", "alias", "is_new", "uploaded_bytes", "size_bytes")
    say_json({name: getattr(pushed, name) for name in names})


def _number_or_text(text: str) -> float | str:
    """Return a decimal number as a float if it is written as Python writes it, else the text."""
    try:
        return float(text) if repr(float(text)) == text else text
    except ValueError:
        return text
