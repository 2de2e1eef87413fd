"""A bundle that does not fit a function is refused before anything is published."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shearling.bundle.measurement import MEASURED_FIELD
from shearling.models.push import push_model
from shearling.release.capacity import capacity_error
from shearling.release.function_configuration import FunctionConfiguration
from tests.support.bundles import MEASURED, scaling_bundle, weights_graph
from tests.support.releases import Stage, mounted_stage, publish_sized

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20


@pytest.fixture
def stage() -> Stage:
    """A function with an empty file system."""
    return mounted_stage()


@pytest.fixture
def plain() -> Stage:
    """A function with 512 MB of memory and of /tmp, and no file system."""
    return Stage()


@pytest.mark.parametrize(
    ("size", "changes", "reason"),
    [
        (
            600 * MIB,
            {"MemorySize": 2048},
            (
                "601 MB, but the function's /tmp has 512 MB: raise ephemeral_storage_mb to 601, "
                "or give the model a file_system"
            ),
        ),
        (
            11_000 * MIB,
            {"MemorySize": 10240},
            "11,001 MB, but the function's /tmp has 512 MB: give the model a file_system",
        ),
        (
            700 * MIB,
            {"EphemeralStorage": {"Size": 1024}},
            "more than 701 MB of memory, but the function has 512 MB: raise memory_mb above 701",
        ),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused_before_anything_is_published(
    plain: Stage,
    tmp_path: Path,
    size: int,
    changes: dict[str, Any],
    reason: str,
) -> None:
    plain.change_latest(**changes)
    pinned = publish_sized(plain, tmp_path, size)
    plain.name(pinned.version)
    outcome = plain.release()
    assert outcome.outcome == "failed"
    assert reason in outcome.reason
    assert not {"PublishVersion", "UpdateFunctionConfiguration"} & set(plain.fake.calls)


def test_a_bundle_just_as_large_as_tmp_fits(plain: Stage, tmp_path: Path) -> None:
    plain.change_latest(MemorySize=1024)
    pinned = publish_sized(plain, tmp_path, 511 * MIB)
    plain.name(pinned.version)
    assert plain.release().outcome == "released"


def test_a_function_in_front_of_an_endpoint_needs_no_room_for_the_model(
    plain: Stage, tmp_path: Path
) -> None:
    plain.change_latest(Environment={"Variables": {"SHEARLING_ENDPOINT": "legacy"}})
    pinned = publish_sized(plain, tmp_path, 11_000 * MIB)
    plain.name(pinned.version)
    assert plain.release().outcome == "released"


def test_mapped_weights_need_no_memory_and_a_mount_has_no_tmp_to_fit(
    stage: Stage, tmp_path: Path
) -> None:
    stage.fake.stager = lambda _: {"staged": True}
    pinned = publish_sized(stage, tmp_path, 12_000 * MIB, prepack=False)
    stage.name(pinned.version)
    assert stage.release().outcome == "released"


def test_packed_weights_beyond_any_memory_are_refused_with_a_remedy(
    stage: Stage, tmp_path: Path
) -> None:
    pinned = publish_sized(stage, tmp_path, 12_000 * MIB, prepack=True)
    stage.name(pinned.version)
    assert 'push it with load="latency"' in stage.release().reason
    assert stage.fake.started == []


def measured(**changes: object) -> dict[str, Any]:
    """The details of a version whose push measured 300 MB without imports, and 400 MB in all."""
    document = replace(MEASURED, model_mb=300.0, start_mb=400.0, peak_mb=900.0).to_record()
    return {MEASURED_FIELD: document | changes}


def test_the_measured_memory_counts_instead_of_the_size(plain: Stage, tmp_path: Path) -> None:
    plain.change_latest(MemorySize=256)
    pinned = publish_sized(plain, tmp_path, MIB, measured())
    plain.name(pinned.version)
    outcome = plain.release()
    assert outcome.outcome == "failed"
    assert "more than 270 MB of memory, but the function has 256 MB" in outcome.reason
    assert outcome.reason.endswith("raise memory_mb above 400")
    assert "PublishVersion" not in plain.fake.calls


def test_files_that_are_larger_than_what_was_measured_block_nothing(
    plain: Stage, tmp_path: Path
) -> None:
    plain.change_latest(EphemeralStorage={"Size": 1024})
    pinned = publish_sized(plain, tmp_path, 700 * MIB, measured())
    plain.name(pinned.version)
    assert plain.release().outcome == "released"


@pytest.mark.parametrize(
    "details",
    [
        measured(model_mb=None),
        measured(model_mb=-1),
        measured(model_mb="9000"),
        {MEASURED_FIELD: [9000]},
        {MEASURED_FIELD: None},
    ],
)
def test_a_record_without_a_valid_measurement_leaves_the_size(
    plain: Stage, tmp_path: Path, details: dict[str, Any]
) -> None:
    plain.change_latest(EphemeralStorage={"Size": 1024})
    fitting = publish_sized(plain, tmp_path, 100 * MIB, details)
    plain.name(fitting.version)
    assert plain.release().outcome == "released"
    too_large = publish_sized(plain, tmp_path, 700 * MIB, details)
    plain.name(too_large.version)
    assert "more than 701 MB" in plain.release().reason


def test_imports_of_a_pickle_on_the_machine_of_its_push_block_nothing(
    plain: Stage, tmp_path: Path
) -> None:
    pickled = replace(scaling_bundle(tmp_path).manifest, format="cloudpickle")
    function = FunctionConfiguration.read(plain.fake.latest)
    assert not capacity_error(
        pickled, function, is_staged=False, measured=replace(MEASURED, model_mb=9000.0)
    )


def test_what_the_push_of_a_model_measured_stops_its_release_to_a_function_that_is_too_small(
    plain: Stage,
) -> None:
    plain.change_latest(MemorySize=128)
    graph, rows = weights_graph(100), np.ones((3, 256), np.float32)
    options: dict[str, Any] = {"measure": True, "load": "throughput", "registry": plain.registry}
    version = push_model(graph, "fraud", example=rows, **options)
    plain.name(version.version)
    assert re.search(
        r"more than \d+ MB of memory, but the function has 128", plain.release().reason
    )
