"""Declare a command with its help, its example and the options that several commands share."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - no public name

_WIDTH = 90

#: Credentials of an API. Not options, since all users of a machine can see command lines.
TOKEN_VARIABLE = "SHEARLING_TOKEN"  # noqa: S105 - a name
API_KEY_VARIABLE = "SHEARLING_API_KEY"


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], None],
    *,
    summary: str,
    example: str,
    details: str = "",
    registry: bool = True,
    json: str = "",
) -> argparse.ArgumentParser:
    """Add a command and return its parser, for its own arguments.

    Args:
        commands: parsers that the command is added to.
        name: name of the command.
        run: runs the command with its arguments; `arguments.refuse(text)` reports wrong usage.
        summary: one line of help, without a full stop.
        example: command lines to copy.
        details: sentences that its own help adds to the summary.
        registry: whether to add the option --registry.
        json: what --json prints, as in "the list"; empty for no such option.
    """
    description = f"{summary[0].upper()}{summary[1:]}. {details}"
    parser = commands.add_parser(
        name,
        help=summary,
        description=textwrap.fill(description, _WIDTH),
        epilog="example:\n" + "\n".join(f"  {line}" for line in example.splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, refuse=parser.error)
    if registry:
        parser.add_argument(
            "--registry",
            metavar="URI",
            help="s3://bucket/prefix or a directory (default: environment variable "
            "SHEARLING_REGISTRY)",
        )
    if json:
        parser.add_argument("--json", action="store_true", help=f"print {json} as JSON")
    return parser


def add_group(
    commands: Commands, name: str, *, summary: str, description: str, example: str
) -> Commands:
    """Add a command that has commands of its own, and return where to add these.

    Args:
        commands: parsers that the command is added to.
        name: name of the command.
        summary: one line of help that ends with the commands' names.
        description: sentences that its own help begins with.
        example: a command line to copy.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Add the option to wait for a release."""
    parser.add_argument(
        "--wait",
        action="store_true",
        help="wait until every function that serves the alias has released the version",
    )
