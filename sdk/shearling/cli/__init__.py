"""The `shearling` command: each verb of the library for a terminal, an error as one line."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from shearling.cli import aliases, invoke, models, packages, releases, try_model
from shearling.cli.output import note, say
from shearling.errors import PackageError, RowsFailedError, ShearlingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_lambda import LambdaClient

_DEBUG_VARIABLE = "SHEARLING_DEBUG"
_INTERRUPTED = 130

#: Verbs of earlier versions, and what they are called now.
_RENAMED = {"release": "retry-release"}
_PIPE_CLOSED = 141  # as a shell tells of a program that ended by it

_DESCRIPTION = """\
Shearling puts machine-learning models on AWS Lambda.

A model is pushed to a registry as version 1, 2, 3 ...; an alias such as `prod` names one of them;
and the function is called by that alias. Moving the alias is no deployment, and can be undone."""

_EPILOG = f"""\
for a start:
  export SHEARLING_REGISTRY=s3://bucket/prefix        # `registry_uri`, as Terraform printed it
  shearling push fraud.onnx --name fraud --example rows.csv --alias staging --wait
  shearling alias set fraud prod 7 --wait
  shearling invoke acme-fraud:prod --csv rows.csv

A ref names a version: fraud (the newest), fraud:7, fraud:prod, or pinned: fraud:7@sha256:...
Each command has an example: shearling COMMAND --help.
Where an error comes from is shown with {_DEBUG_VARIABLE}=1."""


def main(
    argv: Sequence[str] | None = None,
    *,
    lambda_client: Callable[[str | None], LambdaClient] | None = None,
) -> int:
    """Run the command and return its exit code; wrong usage leaves by SystemExit with 2.

    Args:
        argv: what follows `shearling`; by default what the process was given.
        lambda_client: makes the client that calls functions in a region; by default boto3's.
    """
    try:
        try:
            given = argparse.Namespace(lambda_client=lambda_client)
            arguments = _parse(argv, given)
            arguments.run(arguments)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # What is left in the buffer goes nowhere, or Python would complain of it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except Exception as error:
        if os.environ.get(_DEBUG_VARIABLE) == "1":
            raise
        note(f"shearling: {_sentence(error)}")
        return 1
    return 0


def _parse(argv: Sequence[str] | None, given: argparse.Namespace) -> argparse.Namespace:
    parser = _parser()
    words = sys.argv[1:] if argv is None else list(argv)
    if words and (new := _RENAMED.get(words[0])):
        parser.error(f"`shearling {words[0]}` is now `shearling {new}`")
    return parser.parse_args(words, given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shearling",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, help="show the version of shearling and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in (models, aliases, releases, invoke, try_model, packages):
        group.add_commands(commands)
    return parser


class _Version(argparse.Action):
    """Look the version up only when it is asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        say(f"shearling {version('shearling')}")
        parser.exit()


def _sentence(error: Exception) -> str:
    if isinstance(error, PackageError | RowsFailedError):
        return str(error)  # with the itemised report
    # Without importing botocore: a command that does not need it does not pay for it.
    is_foreseen = isinstance(error, ShearlingError) or any(
        kind.__module__ == "botocore.exceptions" for kind in type(error).__mro__
    )
    if is_foreseen:
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return f"unexpected {text} ({_DEBUG_VARIABLE}=1 shows where)"
