"""The `shearling` command: the library's functions in a terminal, with one-line errors."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from shearling.cli import (
    aliases,
    batch,
    compare,
    distil,
    events,
    imports,
    invoke,
    jobs,
    models,
    packages,
    plan,
    push,
    quantize,
    releases,
    try_model,
    verify,
)
from shearling.cli.option_names import with_option_names
from shearling.cli.output import note, say
from shearling.errors import (
    BatchFailedError,
    BreakingChangeError,
    PackageError,
    RowsFailedError,
    ShearlingError,
)
from shearling.plain_warnings import plain_warnings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_lambda import LambdaClient

_DEBUG_VARIABLE = "SHEARLING_DEBUG"
_INTERRUPTED = 130

#: New name of each command that was renamed.
_RENAMED = {"release": "retry-release"}
_PIPE_CLOSED = 141  # exit code that a shell gives a program ended by SIGPIPE

#: Errors of which the message has several lines.
_REPORTS = (BatchFailedError, BreakingChangeError, PackageError, RowsFailedError)

_DESCRIPTION = """\
Shearling puts machine-learning models on AWS Lambda.

You push a model to a registry, where it becomes version 1, 2, 3 ... An alias, such as `prod`, names
one version. Applications call the function by alias. Moving an alias needs no deployment and can be
undone."""

_EPILOG = f"""\
getting started:
  export SHEARLING_REGISTRY=s3://bucket/prefix        # Terraform's output `registry_uri`
  shearling push fraud.onnx --name fraud --example rows.csv --alias staging --wait
  shearling alias set fraud prod 7 --wait
  shearling invoke acme-fraud:prod --csv rows.csv

A ref (REF) names a version: fraud (the newest), fraud:7, fraud:prod, or fraud:7@sha256:... (a pin).
For options and examples of a command, run: shearling COMMAND --help.
To see the traceback of an error, set {_DEBUG_VARIABLE}=1."""


def main(
    argv: Sequence[str] | None = None,
    *,
    lambda_client: Callable[[str | None], LambdaClient] | None = None,
) -> int:
    """Run the command and return its exit code; wrong usage raises SystemExit with 2.

    Args:
        argv: arguments after `shearling`; by default those of the process.
        lambda_client: returns a Lambda client for a region; by default a new boto3 client.
    """
    try:
        try:
            namespace = argparse.Namespace(lambda_client=lambda_client)
            arguments = _parse(argv, namespace)
            with plain_warnings(with_option_names):
                arguments.run(arguments)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Discard the rest of the buffer; otherwise Python reports an error when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except Exception as error:
        if os.environ.get(_DEBUG_VARIABLE) == "1":
            raise
        note(f"shearling: {_sentence(error)}")
        for text in getattr(error, "__notes__", ()):
            note(with_option_names(text))
        return 1
    return 0


def _parse(argv: Sequence[str] | None, namespace: argparse.Namespace) -> argparse.Namespace:
    parser = _parser()
    words = sys.argv[1:] if argv is None else list(argv)
    if words and (new := _RENAMED.get(words[0])):
        parser.error(f"`shearling {words[0]}` is now `shearling {new}`")
    return parser.parse_args(words, namespace)


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
    groups = (
        push,
        imports,
        models,
        verify,
        aliases,
        releases,
        invoke,
        jobs,
        batch,
        events,
        try_model,
        packages,
        plan,
    )
    for group in (*groups, compare, quantize, distil):
        group.add_commands(commands)
    return parser


class _Version(argparse.Action):
    """Look up the version only for --version."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        say(f"shearling {version('shearling')}")
        parser.exit()


def _sentence(error: Exception) -> str:
    if isinstance(error, _REPORTS):
        return with_option_names(str(error))
    # Does not import botocore, since most commands do not need it.
    is_expected = isinstance(error, ShearlingError) or any(
        kind.__module__ == "botocore.exceptions" for kind in type(error).__mro__
    )
    if is_expected:
        return with_option_names(" ".join(str(error).split()))
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return f"unexpected {text} ({_DEBUG_VARIABLE}=1 shows the traceback)"
