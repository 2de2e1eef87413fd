"""Helpers of the command's tests."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from shearling.cli import main
from shearling.models.push import push_model
from tests.support.bundles import ROWS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from shearling.registry.registry import Registry
    from tests.support.lambda_server import LocalLambda

TARGET = "acme-fraud:prod"


def run(*arguments: str, local_lambda: LocalLambda | None = None) -> int:
    return main(arguments, lambda_client=local_lambda.in_region if local_lambda else None)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def output(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def error(capsys: pytest.CaptureFixture[str]) -> str:
    """Return standard error; asserts that standard output is empty."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def invoke(local_lambda: LocalLambda, *arguments: str) -> int:
    return run("invoke", TARGET, *arguments, local_lambda=local_lambda)


# package

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def push_pickle(registry: Registry) -> None:
    push_model(np.abs, "guess", example=ROWS, format="cloudpickle", registry=registry)
