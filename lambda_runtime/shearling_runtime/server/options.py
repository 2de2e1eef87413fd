"""The server's own settings: address, processes and limits, from arguments and the environment."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling_runtime.server.machine import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PORT, _LARGEST = 8080, 65535
_MEGABYTE = 1024 * 1024

#: Each setting's variable, default and smallest value. SageMaker waits 60 s for an answer.
_NUMBERS = {
    "workers": (
        "SHEARLING_WORKERS",
        0,
        1,
        "processes, each with the model; default: one a processor",
    ),
    "timeout": ("SHEARLING_TIMEOUT_SECONDS", 60, 1, "time limit of a request in seconds"),
    "drain": ("SHEARLING_DRAIN_SECONDS", 25, 0, "seconds for running requests after SIGTERM"),
    "max_body": ("SHEARLING_MAX_BODY_MB", 64, 1, "size limit of a request and of an answer in MB"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of the server.

    Attributes:
        host: address to listen on.
        port: port to listen on; 0 selects a free one.
        alias: alias that requests may name; empty for none.
        workers: number of processes; 0 lets processors and memory decide.
        timeout_seconds: time limit of a request.
        drain_seconds: time for running requests after SIGTERM.
        body_limit: maximum bytes of a request and of an answer.
    """

    host: str
    port: int
    alias: str
    workers: int
    timeout_seconds: int
    drain_seconds: int
    body_limit: int

    @property
    def threads(self) -> int:
        """Threads of ONNX Runtime for one prediction: the processors that a worker has."""
        return max(1, processors() // (self.workers or processors()))


def parse_options(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ
) -> Options:
    """Return the settings; wrong ones raise SystemExit with a message, as argparse does.

    Args:
        arguments: arguments after the program; by default those of the process.
        environment: environment variables, which give the defaults.
    """
    parser = argparse.ArgumentParser(
        prog="python -m shearling_runtime.server",
        description="Serve the model at SHEARLING_MODEL over HTTP, in several processes.",
        allow_abbrev=False,
    )
    parser.add_argument("command", choices=["serve"], help="what SageMaker starts a container with")
    parser.add_argument("--host", default="0.0.0.0", help="address (default: %(default)s)")  # noqa: S104 - of a container
    parser.add_argument(
        "--port", type=_number("--port", 0), default=_PORT, help="port (default: %(default)s)"
    )
    parser.add_argument("--alias", default="", help="alias that requests may name")
    for name, (variable, default, least, text) in _NUMBERS.items():
        # argparse parses a default that is a text, and reports what is wrong with it.
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=_number(variable, least),
            default=environment.get(variable, default),
            help=f"{text} (variable {variable}, default: {default or 'see above'})",
        )
    parsed = parser.parse_args(arguments)
    return Options(
        host=parsed.host,
        port=parsed.port,
        alias=parsed.alias,
        workers=parsed.workers,
        timeout_seconds=parsed.timeout,
        drain_seconds=parsed.drain,
        body_limit=parsed.max_body * _MEGABYTE,
    )


def _number(name: str, least: int) -> Callable[[str], int]:
    """Return the parser of a whole number, for argparse."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= _LARGEST):
            raise argparse.ArgumentTypeError(
                f"{name} is {text[:80]!r}; expected a whole number from {least} to {_LARGEST}"
            )
        return int(text)

    return parse
