"""A push measures the new version in a process of its own, and never fails because of it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from shearling.bundle.measurement import Measurement
from shearling.errors import InvalidRequestError
from shearling.models import measuring
from shearling.models.push import push_model
from tests.support.bundles import ROWS, scaling_graph, weights_graph

if TYPE_CHECKING:
    from shearling.models.model_version import ModelVersion
    from shearling.registry.registry import Registry

MIB = 2**20


def measured(registry: Registry, version: ModelVersion) -> Measurement | None:
    return Measurement.from_details(registry.version(version.pin).details)


def push(registry: Registry, model: Any = None, **options: Any) -> ModelVersion:
    model = scaling_graph() if model is None else model
    return push_model(model, "fraud", registry=registry, **{"example": ROWS, **options})


def test_a_push_records_memory_load_and_latency(registry: Registry) -> None:
    found = measured(registry, push(registry, measure=True))
    assert found
    assert found.import_ms > 0
    assert found.load_ms > 0
    assert 20 < found.imports_mb <= found.start_mb <= found.peak_mb < 400
    threads = (1, 2)
    assert [(it.rows, it.threads) for it in found.latencies] == [
        (rows, count) for count in threads for rows in (1, 64)
    ]
    assert all(0 < it.p50_ms <= it.p95_ms for it in found.latencies)


def test_the_memory_of_the_pushing_process_does_not_count(registry: Registry) -> None:
    ballast = np.ones(400 * MIB, np.uint8)
    found = measured(registry, push(registry, measure=True))
    assert found
    assert found.peak_mb < 400
    assert ballast.nbytes


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells")  # noqa: PTH110
def test_the_memory_of_the_model_is_that_of_its_weights(registry: Registry) -> None:
    rows = np.ones((3, 256), np.float32)
    graph = weights_graph(32)
    found = measured(registry, push(registry, graph, example=rows, measure=True, load="throughput"))
    assert found
    assert found.model_mb
    # ONNX Runtime packs a copy, and frees what it read only afterwards.
    assert 32 <= found.model_mb <= 2.5 * 32
    assert found.imports_mb < found.start_mb - 32


def test_the_largest_request_has_the_rows_that_callers_send(registry: Registry) -> None:
    found = measured(registry, push(registry, measure=True, largest=500))
    assert found
    assert {it.rows for it in found.latencies} == {1, 500}


@pytest.mark.parametrize("largest", [0, -1, True, 1.5, "64", 100_001])
def test_a_number_of_rows_that_is_not_allowed_is_refused(registry: Registry, largest: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"largest .*from 1 to 100,000"):
        push(registry, largest=largest)
    assert registry.models() == []


def test_a_pickle_is_measured_with_one_thread(registry: Registry) -> None:
    def double(rows: Any) -> Any:
        return rows * 2

    found = measured(
        registry,
        push(registry, double, format="cloudpickle", requirements=[], measure=True),
    )
    assert found
    assert {it.threads for it in found.latencies} == {1}


def test_a_version_that_exists_is_not_measured_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(registry, measure=True)
    monkeypatch.setattr(measuring, "_run", lambda *_, **__: pytest.fail("it was measured"))
    assert not push(registry, measure=True).is_new


def test_the_environment_turns_measuring_off_but_an_argument_decides(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHEARLING_MEASURE")
    assert measuring.is_measured(wanted=None)
    monkeypatch.setenv("SHEARLING_MEASURE", "0")
    assert measuring.is_measured(wanted=True)
    assert measured(registry, push(registry)) is None


def test_a_model_that_ends_the_process_is_published_with_a_warning(registry: Registry) -> None:
    parent = os.getpid()

    def dying(rows: Any) -> Any:
        if os.getpid() != parent:
            os._exit(7)
        return rows

    with pytest.warns(UserWarning, match=r"fraud could not be measured.*measure=False") as caught:
        version = push(registry, dying, format="cloudpickle", requirements=[], measure=True)
    (warning,) = (it for it in caught if "could not be measured" in str(it.message))
    assert warning.filename == __file__
    assert version.is_new
    assert measured(registry, version) is None


def test_a_model_that_raises_has_its_error_in_the_warning(registry: Registry) -> None:
    parent = os.getpid()

    def failing(rows: Any) -> Any:
        if os.getpid() != parent:
            raise ValueError("no licence")
        return rows

    with pytest.warns(UserWarning, match="no licence"):
        push(registry, failing, format="cloudpickle", requirements=[], measure=True)


def test_a_model_that_hangs_is_ended(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_LIMIT_SECONDS", 2.0)
    parent = os.getpid()

    def hanging(rows: Any) -> Any:
        if os.getpid() != parent:
            time.sleep(60)
        return rows

    started = time.monotonic()
    with pytest.warns(UserWarning, match="more than 2 s"):
        push(registry, hanging, format="cloudpickle", requirements=[], measure=True)
    assert time.monotonic() - started < 30


def test_what_was_measured_before_the_limit_is_kept(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_LIMIT_SECONDS", 3.0)
    parent = os.getpid()

    def slow_in_bulk(rows: Any) -> Any:
        if len(rows) > 8 and os.getpid() != parent:
            time.sleep(60)
        return rows

    version = push(registry, slow_in_bulk, format="cloudpickle", requirements=[], measure=True)
    found = measured(registry, version)
    assert found
    assert [it.rows for it in found.latencies] == [1]


def test_a_model_without_rows_is_measured_on_its_example(registry: Registry) -> None:
    graph = helper.make_graph(
        [helper.make_node("Neg", ["X"], ["Y"])],
        "fixed",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [3, 2])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [3, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = measured(registry, push(registry, model, measure=True))
    assert found
    assert [it.rows for it in found.latencies] == [None, None]


def test_a_request_is_no_larger_than_one_can_be(registry: Registry) -> None:
    wide = np.ones((2, 2**18), np.float32)  # 1 MiB a row, and 6 MiB a request
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["X"], ["Y"], axes=[1])],
        "wide",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 2**18])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = measured(registry, push(registry, model, example=wide, measure=True))
    assert found
    assert {it.rows for it in found.latencies} == {1, 6}


def test_a_slow_model_is_measured_in_time(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_SECONDS", 5.0)
    parent = os.getpid()

    def slow(rows: Any) -> Any:
        if os.getpid() != parent:
            time.sleep(1)
        return rows

    started = time.monotonic()
    version = push(registry, slow, format="cloudpickle", requirements=[], measure=True)
    assert time.monotonic() - started < 20
    found = measured(registry, version)
    assert found
    assert [it.rows for it in found.latencies] == [1]
