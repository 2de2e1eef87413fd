"""examples/large-model, applied once and used, from the first push to the destroy.

The tests run in order. The emulator mounts a directory, and enforces neither file-system policies
nor security groups.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import shearling as sdk
from shearling.cli import main as shearling
from shearling.registry.registry import Registry
from tests.support.bundles import ROWS, scaling_bundle
from tests.support.packages import built_package, function_python
from tests.support.terraform_cli import (
    REPOSITORY,
    TerraformStack,
    working_copy,
    write_emulator_override,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aws_environment", "registry_variable")]


class LargeModel:
    """The stack of examples/large-model on the embedded AWS."""

    def __init__(self, aws: EmbeddedAws, directory: Path) -> None:
        self.aws = aws
        copy = working_copy(REPOSITORY / "examples" / "large-model", directory)
        write_emulator_override(copy, aws.url)
        self.terraform = TerraformStack(
            copy,
            environment=aws.process_environment(),
            variables={
                "name": "large",
                "python": function_python(),
                "packages": {kind: str(built_package(kind)) for kind in ("runtime", "control")},
            },
        )
        self.terraform.init()
        self.terraform.apply()
        self.outputs = self.terraform.outputs()
        self.function = self.outputs["function_name"]

    def mount(self) -> Path:
        """The directory that the emulator mounts as the access point."""
        client = self.aws.client("efs")
        (system,) = client.describe_file_systems()["FileSystems"]
        return self.aws.file_system_directory(system["FileSystemId"], "/models")

    def invoke(self, name: str, event: object) -> Any:
        answer = self.aws.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())


@pytest.fixture(scope="module")
def stack(
    embedded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LargeModel]:
    directory = tmp_path_factory.mktemp("large-model")
    yield LargeModel(embedded_aws, directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def registry_variable(stack: LargeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLING_REGISTRY", stack.outputs["registry_uri"])


def test_a_second_plan_has_nothing_to_change(stack: LargeModel) -> None:
    assert stack.terraform.changes() == {}


def test_a_release_goes_through_stager_and_mount_and_the_alias_answers(
    stack: LargeModel, tmp_path: Path
) -> None:
    pin = scaling_bundle(tmp_path, model="embed", factor=3.0).publish(Registry()).pin
    sdk.set_alias("embed", "prod", 1, wait=True, timeout_seconds=120)
    (deployment,) = Registry().release_log.deployments("embed")
    outcomes = [release.outcome for release in Registry().release_log.entries(deployment, "prod")]
    assert outcomes == ["staging", "released"]
    blobs = {path.name for path in (stack.mount() / "blobs/sha256").iterdir()}
    manifest = Registry().manifest(pin)
    assert blobs == {pin.digest.removeprefix("sha256:"), *(file.hex for file in manifest.files)}
    outputs = sdk.connect(f"{stack.function}:prod").infer(ROWS)
    np.testing.assert_array_equal(outputs["Y"], ROWS * 3)


def test_the_model_is_served_from_the_mount_and_not_from_s3(stack: LargeModel) -> None:
    log = stack.aws.log_file.read_text().replace(" ", "")
    starts = [line for line in log.splitlines() if '"event":"start"' in line and "embed:1" in line]
    assert starts
    assert all('"source":"/mnt/models"' in line for line in starts)


def test_a_blob_changed_in_s3_fails_the_release_and_the_old_version_still_serves(
    stack: LargeModel, tmp_path: Path
) -> None:
    bundle = scaling_bundle(tmp_path, model="embed", factor=4.0)
    version = bundle.publish(Registry()).pin.version
    bucket = stack.outputs["registry_uri"].removeprefix("s3://")
    file = bundle.manifest.file("model.onnx")
    key = f"blobs/sha256/{file.hex}"
    stack.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"0" * file.size)
    with pytest.raises(sdk.ReleaseError, match="is corrupt or was changed"):
        sdk.set_alias("embed", "prod", version, wait=True, timeout_seconds=120)
    outputs = sdk.connect(f"{stack.function}:prod").infer(ROWS)
    np.testing.assert_array_equal(outputs["Y"], ROWS * 3)
    sdk.set_alias("embed", "prod", 1, wait=True, timeout_seconds=120)


def test_prune_keeps_served_blobs_and_marks_the_others(
    stack: LargeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    stray = stack.mount() / "blobs/sha256" / ("0" * 64)
    stray.write_bytes(b"left by a model of long ago")
    assert shearling(["prune", "--dry-run"]) == 0
    assert shearling(["prune"]) == 0
    assert "waiting" in capsys.readouterr().out
    past = time.time() - 90_000
    mark = stack.mount() / "unpinned" / stray.name
    os.utime(mark, (past, past))
    assert shearling(["prune"]) == 0
    assert "removed" in capsys.readouterr().out
    assert not stray.exists()
    outputs = sdk.connect(f"{stack.function}:prod").infer(ROWS)
    np.testing.assert_array_equal(outputs["Y"], ROWS * 3)


def test_destroy_leaves_nothing_behind(stack: LargeModel) -> None:
    stack.terraform.destroy()
    assert stack.aws.client("efs").describe_file_systems()["FileSystems"] == []
    functions = stack.aws.client("lambda").list_functions()["Functions"]
    assert [one["FunctionName"] for one in functions if "large" in one["FunctionName"]] == []
