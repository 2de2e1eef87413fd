"""The built package in front of an endpoint, under AWS's runtime interface emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import shearling as sdk
from shearling.protocol.requests import request_document
from tests.embedded_aws import install
from tests.support.packages import unzipped_package
from tests.support.runtime_emulator import RuntimeEmulator
from tests.support.sagemaker_runtime import KEYS, sagemaker_runtime

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws

ROWS = np.array([[1, 2], [3, 4]], np.float32)


@pytest.mark.slow
def test_the_package_signs_forwards_and_checks(
    embedded_aws: EmbeddedAws, s3_uri: str, tmp_path: Path
) -> None:
    contract = sdk.Remote({"Y": 2 * ROWS}, body="binary")
    pin = sdk.push_model(contract, "legacy", example=ROWS, registry=s3_uri).pin
    python = install.function_versions()[-1]
    with sagemaker_runtime() as url:
        environment = {
            **embedded_aws.environment(),
            **KEYS,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url,
            "SHEARLING_REGISTRY": s3_uri,
            "SHEARLING_MODEL": str(pin),
            "SHEARLING_ENDPOINT": "doubler",
        }
        with RuntimeEmulator(
            unzipped_package("runtime", tmp_path, python),
            "shearling_runtime.handler.handler",
            environment,
            python=install.function_python(python),
        ) as function:
            answer = function.invoke(request_document({"X": ROWS}))
            assert answer["outputs"][0]["data"] == [2.0, 4.0, 6.0, 8.0], answer
            verdict = function.invoke({"shearling": "check"})
            assert verdict["passed"], verdict
