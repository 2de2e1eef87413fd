"""How a command is declared: a line of help, an example, and the options that many share."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no other name

_WIDTH = 90

#: What an API takes. Not options: a command line is seen by every user of the machine.
TOKEN_VARIABLE = "SHEARLING_TOKEN"  # noqa: S105 - its name
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
        commands: where it belongs.
        name: what a person types.
        run: what it does; `arguments.refuse(text)` there is wrong usage.
        summary: one line of help.
        example: lines that a person can copy.
        details: what else its own help says.
        registry: whether it reads the registry.
        json: what it prints with --json; empty if it has no such option.
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
            help="s3://bucket/prefix or a directory (default: the variable SHEARLING_REGISTRY)",
        )
    if json:
        parser.add_argument("--json", action="store_true", help=f"print {json} as JSON")
    return parser


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Add the option to wait for a release."""
    parser.add_argument(
        "--wait",
        action="store_true",
        help="return when every function that serves the alias has released the version",
    )
