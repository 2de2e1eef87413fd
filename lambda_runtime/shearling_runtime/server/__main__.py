"""Serve a model over HTTP in production: the entry of Shearling's container image."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from shearling.errors import InvalidRefError
from shearling_runtime.server.options import parse_options
from shearling_runtime.server.supervisor import StartError, Supervisor
from shearling_runtime.settings import Settings

#: Where SageMaker unpacks a model's data; a bundle in it needs no network.
_MODEL_DIRECTORY = "/opt/ml/model"


def main() -> int:
    """Serve until SIGTERM; return the exit code."""
    options = parse_options()
    try:
        settings = Settings.from_environment(os.environ)
    except InvalidRefError as error:
        sys.stderr.write(f"SHEARLING_MODEL: {error}\n")
        return 1
    pin = settings.pin
    if pin is None:
        sys.stderr.write(
            "SHEARLING_MODEL is not set. Set it to a pin, as in fraud:7@sha256:..., which "
            "`shearling show fraud:7` prints\n"
        )
        return 1
    directory = os.environ.get("SHEARLING_MODEL_DIRECTORY", _MODEL_DIRECTORY)
    settings = replace(settings, package=Path(directory), function=pin.model)
    settings.prepare(os.environ)
    try:
        return Supervisor(settings, pin, options).run()
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
