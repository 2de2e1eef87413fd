"""The definition of the state machine of batch runs, as it is planned."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.plans import planned
from tests.support.terraform_cli import TOOLS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

VALIDATOR = TOOLS / "asl-validator" / "node_modules" / ".bin" / "asl-validator"


@pytest.fixture
def definition(everything: dict[str, Any]) -> dict[str, Any]:
    [machine] = planned(everything, "aws_sfn_state_machine").values()
    found: dict[str, Any] = json.loads(machine["definition"])
    return found


def validated(definition: object, directory: Path) -> subprocess.CompletedProcess[str]:
    if not VALIDATOR.exists():
        if "CI" in os.environ:
            pytest.fail("asl-validator is missing: `make test` installs it where npm is")
        pytest.skip("the definition is not validated: npm's asl-validator is missing")
    path = directory / "definition.json"
    path.write_text(json.dumps(definition))
    return subprocess.run(
        [str(VALIDATOR), "--json-path", str(path)], capture_output=True, text=True, check=False
    )


def test_the_definition_is_valid(definition: dict[str, Any], tmp_path: Path) -> None:
    completed = validated(definition, tmp_path)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_the_validator_refuses_what_step_functions_does(
    definition: dict[str, Any], tmp_path: Path
) -> None:
    del definition["States"]["Score"]["ItemProcessor"]["States"]["Part"]["Resource"]
    assert validated(definition, tmp_path).returncode


def test_an_error_of_lambda_that_goes_away_fails_no_part(definition: dict[str, Any]) -> None:
    """What the planner and the engine raise for it has the class that the definition names."""
    part = definition["States"]["Score"]["ItemProcessor"]["States"]["Part"]
    names = {name for retry in part["Retry"] for name in retry["ErrorEquals"]}
    assert names >= {
        "Lambda.TooManyRequestsException",
        "Lambda.ServiceException",
        "Lambda.SdkClientException",
        "StoreError",
        "ModelNotReadyError",
    }
    # Three events an attempt, of the 25,000 that the history of an execution has.
    assert 3 * sum(retry["MaxAttempts"] for retry in part["Retry"]) < 25_000
