"""Many rows by several calls: order, failures and concurrency."""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from contextlib import contextmanager
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from shearling.client import batch as many
from shearling.client.connect import connect
from shearling.errors import (
    InferenceError,
    InvalidRequestError,
    PredictionError,
    RowFailure,
    RowsFailedError,
)
from shearling.protocol.constants import LENGTH_HEADER, split
from shearling.tensors.encoding import from_bytes
from shearling.tensors.spec import Signature, TensorSpec
from tests.support.attack import attack
from tests.support.bundles import scaling_bundle
from tests.support.fake_lambda import refusal
from tests.support.http_server import http_api
from tests.support.lambda_server import FunctionError, LocalLambda, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from shearling.client.base import RemoteModel
    from tests.support.lambda_server import Handler

TARGET = "acme-fraud:prod"
METADATA_REQUEST = {"shearling": "metadata"}


def numbered(count: int) -> NDArray[Any]:
    """Rows for the scaling model that begin with their number."""
    return np.column_stack([np.arange(count), np.full(count, 0.5)]).astype(np.float32)


def sent(event: Any) -> list[int]:
    """The numbers of the rows in a request."""
    if not event.get("isBase64Encoded"):
        request = json.loads(event["body"]) if "body" in event else event
        return [int(number) for number in request["inputs"][0]["data"][::2]]
    document, tail = split(base64.b64decode(event["body"]), event["headers"][LENGTH_HEADER])
    assert b'"shape"' in document
    return [int(number) for number in from_bytes(tail, "FP32", [len(tail) // 4])[::2]]


def is_metadata(event: Any) -> bool:
    return bool(event == METADATA_REQUEST or event.get("rawPath", "").endswith("/fraud"))


def where(function: Handler, instead: Callable[[list[int]], Any]) -> Handler:
    """Return a function that answers with `instead(rows)`, unless that is None."""

    def answer(event: Any) -> Any:
        replaced = None if is_metadata(event) else instead(sent(event))
        return function(event) if replaced is None else replaced

    return answer


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Handler:
    """The runtime with a model that doubles."""
    directory = tmp_path_factory.mktemp("registry")
    pin = scaling_bundle(directory).publish(str(directory / "registry")).pin
    return served(str(directory / "registry"), str(pin), directory / "scratch")


def calls(local_lambda: LocalLambda) -> list[list[int]]:
    """The numbers of the rows of each call."""
    return [sent(event) for _, event in local_lambda.calls if not is_metadata(event)]


def model_of(function: Handler) -> tuple[RemoteModel, LocalLambda]:
    local_lambda = LocalLambda({TARGET: function})
    return connect(TARGET, client=local_lambda.client), local_lambda


def refused(status: int, message: str = "so it is") -> dict[str, Any]:
    return {"error": message, "status": status}


@settings(deadline=None, max_examples=attack(40))
@given(
    count=st.integers(0, 150),
    rows_per_call=st.none() | st.integers(1, 170),
    max_concurrency=st.integers(1, 5),
)
def test_the_outputs_do_not_depend_on_how_rows_are_split(
    function: Handler, count: int, rows_per_call: int | None, max_concurrency: int
) -> None:
    model, _ = model_of(function)
    rows = numbered(count)
    expected = model.infer(rows)
    outputs = model.infer_many(rows, rows_per_call=rows_per_call, max_concurrency=max_concurrency)
    assert list(outputs) == list(expected)
    assert outputs["Y"].dtype == expected["Y"].dtype
    np.testing.assert_array_equal(outputs["Y"], expected["Y"])


@contextmanager
def by_lambda(function: Handler) -> Iterator[RemoteModel]:
    yield model_of(function)[0]


@contextmanager
def by_url(function: Handler) -> Iterator[RemoteModel]:
    with http_api(function) as url:
        yield connect(url, model="fraud")


@pytest.mark.parametrize("connected", [by_lambda, by_url])
def test_rows_stay_in_order_when_calls_end_out_of_order(function: Handler, connected: Any) -> None:
    ended: list[int] = []

    def slowly(event: Any) -> Any:
        answer = function(event)
        if not is_metadata(event):
            time.sleep(random.uniform(0, 0.02))
            ended.append(sent(event)[0])
        return answer

    rows = numbered(330)
    with connected(slowly) as model:
        found = model.infer_many(rows, rows_per_call=11, max_concurrency=6)
    np.testing.assert_array_equal(found["Y"], rows * 2)
    assert sorted(ended) == list(range(0, 330, 11))
    assert ended != sorted(ended)


def test_a_frame_is_answered_row_by_row_whatever_its_index(function: Handler) -> None:
    frame = pd.DataFrame(numbered(50), columns=["age", "height"], index=np.arange(50) % 7)
    model, _ = model_of(function)
    found = model.infer_many(frame, rows_per_call=8)
    np.testing.assert_array_equal(found["Y"], frame.to_numpy() * 2)


def test_failed_rows_are_reported_after_all_calls(function: Handler) -> None:
    def instead(rows: list[int]) -> Any:
        if 10 in rows or 20 in rows:
            time.sleep(0.1 if 10 in rows else 0)  # it fails after the next ones
            return FunctionError("out of memory")
        return refused(500, "the model failed on 99") if 99 in rows else None

    model, local_lambda = model_of(where(function, instead))
    with pytest.raises(RowsFailedError) as raised:
        model.infer_many(numbered(100), rows_per_call=10, max_concurrency=3)
    error = raised.value
    assert str(error).splitlines() == [
        "30 of 100 rows have no answer:",
        "  rows 10 to 29: acme-fraud:prod failed: out of memory",
        "  rows 90 to 99: the model failed on 99",
    ]
    assert [failure.rows for failure in error.failures] == [
        range(10, 20),
        range(20, 30),
        range(90, 100),
    ]
    kinds = [type(failure.error) for failure in error.failures]
    assert kinds == [InferenceError] * 2 + [PredictionError]
    assert error.__cause__ is error.failures[0].error
    np.testing.assert_array_equal(error.outputs["Y"], numbered(100)[error.answered] * 2)
    assert len(error.answered) == 70
    assert len(calls(local_lambda)) == 10


def test_an_error_holds_no_request(function: Handler) -> None:
    def refuse(_: list[int]) -> Any:
        raise refusal("AccessDeniedException")

    model, _ = model_of(where(function, refuse))
    with pytest.raises(RowsFailedError, match="AccessDeniedException") as raised:
        model.infer_many(numbered(100), rows_per_call=100)
    error: BaseException | None = raised.value.failures[0].error
    assert error
    assert isinstance(error.__cause__, ClientError)
    while error:
        held = [value for frame, _ in walk_tb(error.__traceback__) for value in frame.f_locals]
        assert not {"body", "payload", "Payload", "event", "tensors"} & set(held)
        error = error.__cause__


def test_a_call_that_is_too_large_is_split_in_two(function: Handler) -> None:
    def instead(rows: list[int]) -> Any:
        is_too_large = len(rows) > 16 or 40 in rows
        return refused(413, "the answer is too large") if is_too_large else None

    model, local_lambda = model_of(where(function, instead))
    with pytest.raises(RowsFailedError) as raised:
        model.infer_many(numbered(64), rows_per_call=64, max_concurrency=2)
    assert str(raised.value).splitlines() == [
        "1 of 64 rows have no answer:",
        "  row 40: the answer is too large",
    ]
    np.testing.assert_array_equal(raised.value.outputs["Y"][:, 0] / 2, raised.value.answered)
    assert sorted(map(len, calls(local_lambda)), reverse=True)[:3] == [64, 32, 32]


def test_a_request_above_lambdas_limit_is_split_before_it_is_sent(function: Handler) -> None:
    model, local_lambda = model_of(function)
    rows = np.random.default_rng(0).random((1_000_000, 2), np.float32)
    found = model.infer_many(rows, rows_per_call=len(rows))
    np.testing.assert_array_equal(found["Y"], rows * 2)
    assert [len(rows) for rows in calls(local_lambda)] == [500_000] * 2


def test_sending_stops_after_ten_failures_in_succession(function: Handler) -> None:
    model, local_lambda = model_of(
        where(function, lambda rows: None if rows[-1] < 20 else refused(404, "no such model"))
    )
    with pytest.raises(RowsFailedError) as raised:
        model.infer_many(numbered(1000), rows_per_call=5, max_concurrency=1)
    assert len(calls(local_lambda)) == 4 + 10
    assert str(raised.value).splitlines() == [
        "980 of 1000 rows have no answer:",
        "  rows 20 to 69: no such model",
        "  rows 70 to 999: not sent, because 10 calls in succession failed",
    ]
    assert raised.value.answered.tolist() == list(range(20))


@pytest.mark.parametrize("status", [400, 500])
def test_invalid_rows_do_not_stop_other_rows(function: Handler, status: int) -> None:
    model, local_lambda = model_of(
        where(function, lambda rows: None if rows[0] == 39 else refused(status))
    )
    with pytest.raises(RowsFailedError) as raised:
        model.infer_many(numbered(40), rows_per_call=1)
    assert len(calls(local_lambda)) == 40
    assert raised.value.answered.tolist() == [39]


def test_a_success_resets_the_count_of_failures(function: Handler) -> None:
    model, local_lambda = model_of(
        where(function, lambda rows: FunctionError("no") if rows[0] % 10 else None)
    )
    with pytest.raises(RowsFailedError) as raised:
        model.infer_many(numbered(50), rows_per_call=1, max_concurrency=1)
    assert len(calls(local_lambda)) == 50
    assert raised.value.answered.tolist() == [0, 10, 20, 30, 40]


def test_an_interrupt_sends_no_more(function: Handler) -> None:
    def instead(rows: list[int]) -> Any:
        if rows[0] == 2:
            raise KeyboardInterrupt

    model, local_lambda = model_of(where(function, instead))
    with pytest.raises(KeyboardInterrupt):
        model.infer_many(numbered(100), rows_per_call=1, max_concurrency=1)
    assert len(calls(local_lambda)) == 3


def test_max_concurrency_calls_run_at_a_time(function: Handler) -> None:
    barrier, lock = threading.Barrier(3), threading.Lock()
    running, most = 0, 0

    def counting(event: Any) -> Any:
        nonlocal running, most
        if is_metadata(event):
            return function(event)
        with lock:
            running += 1
            most = max(most, running)
        barrier.wait(10)  # breaks if fewer calls arrive
        try:
            return function(event)
        finally:
            with lock:
                running -= 1

    model, _ = model_of(counting)
    model.infer_many(numbered(30), rows_per_call=1, max_concurrency=3)
    assert most == 3


def test_progress_counts_each_row_once(function: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []

    @contextmanager
    def progress(title: str, total: int, *, unit: str) -> Iterator[Callable[[int], object]]:
        reported.append((title, total, unit))
        yield reported.append

    monkeypatch.setattr(many, "progress", progress)

    def instead(rows: list[int]) -> Any:
        return refused(413 if len(rows) == 30 else 500) if 30 in rows else None

    model, _ = model_of(where(function, instead))
    with pytest.raises(RowsFailedError):
        model.infer_many(numbered(90), rows_per_call=30, max_concurrency=1)
    assert reported == [("infer acme-fraud:prod", 90, " rows"), 30, 0, 15, 15, 30]


def test_progress_is_shown_in_a_terminal(
    function: Handler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shearling.progress.is_watched", lambda: True)
    model, _ = model_of(function)
    model.infer_many(numbered(20), rows_per_call=2)
    shown = capsys.readouterr().err
    assert "infer acme-fraud:prod: " in shown
    assert "/20.0 [" in shown
    assert " rows/s]" in shown


def tensor(name: str, shape: list[int], data: list[float]) -> dict[str, Any]:
    return {"name": name, "datatype": "FP64", "shape": shape, "data": data}


def answering(
    outputs: Callable[[int], list[dict[str, Any]]], *shapes: list[int], width: int = 1
) -> tuple[RemoteModel, LocalLambda]:
    """Return a model with inputs `a`, `b`, ... of these shapes; `outputs` takes a row count."""
    takes = [tensor(name, shape, []) for name, shape in zip("abc", shapes, strict=False)]

    def function(event: Any) -> Any:
        if is_metadata(event):
            gives = [tensor("mean", [-1, width], [])]
            return {"name": "fraud", "versions": ["1"], "inputs": takes, "outputs": gives}
        return {"outputs": outputs(event["inputs"][0]["shape"][0])}

    return model_of(function)


@pytest.mark.parametrize(
    ("value", "shapes", "message"),
    [
        (
            {"a": [[1, 2]]},
            [[1, 2]],
            r"input a FP64\[1, 2\] accepts only a fixed number of rows.* Use `infer`",
        ),
        ({"a": 1}, [[]], r"input a FP64\[\] accepts only a fixed number of rows.* Use `infer`"),
        ({"a": [1, 2], "b": [1]}, [[-1], [-1]], "different numbers of rows: 2 of 'a', 1 of 'b'"),
        ({}, [], "the model has no inputs, so it has no rows"),
        ({"a": [[1]]}, [[-1]], "'a'"),
    ],
    ids=["fixed", "scalar", "unequal", "no-inputs", "does-not-fit"],
)
def test_inputs_without_rows_are_refused_before_anything_is_sent(
    value: Any, shapes: list[list[int]], message: str
) -> None:
    model, local_lambda = answering(lambda _: [], *shapes)
    with pytest.raises(InvalidRequestError, match=message):
        model.infer_many(value)
    assert local_lambda.calls == [(TARGET, METADATA_REQUEST)]


@pytest.mark.parametrize(
    "bad", [{"rows_per_call": 0}, {"max_concurrency": -1}, {"rows_per_call": 1.5}]
)
def test_options_must_be_positive_integers(function: Handler, bad: dict[str, Any]) -> None:
    model, _ = model_of(function)
    with pytest.raises(
        InvalidRequestError, match=f"{next(iter(bad))} must be an integer of at least 1, not "
    ):
        model.infer_many(numbered(3), **bad)


def test_outputs_with_too_few_rows_are_an_error() -> None:
    model, local_lambda = answering(lambda _: [tensor("mean", [1], [0.5])], [-1])
    with pytest.raises(RowsFailedError, match=r"output 'mean' has shape \[1\]; expected"):
        model.infer_many(np.arange(200), rows_per_call=2, max_concurrency=1)
    assert len(local_lambda.calls) == 1 + 10


def test_outputs_of_different_shapes_are_an_error() -> None:
    model, _ = answering(lambda rows: [tensor("mean", [rows, rows], [0.5] * rows**2)], [-1])
    with pytest.raises(RowsFailedError, match="differ in name, type or shape from") as raised:
        model.infer_many(np.arange(5), rows_per_call=3, max_concurrency=1)
    assert raised.value.answered.tolist() == [0, 1, 2]


def test_a_call_is_about_a_megabyte_by_default(function: Handler) -> None:
    model, local_lambda = model_of(function)
    rows = np.random.default_rng(0).random((300_000, 2), np.float32)
    model.infer_many(rows)
    sizes = [len(event["body"]) for _, event in local_lambda.calls if not is_metadata(event)]
    assert len(sizes) == 4
    assert 900_000 < max(sizes) < 1_500_000  # as base64


def test_a_call_has_fewer_rows_if_the_outputs_are_large() -> None:
    model, local_lambda = answering(
        lambda rows: [tensor("mean", [rows, 1], [0.5] * rows)], [-1], width=12_500
    )
    model.infer_many(np.arange(95))
    shapes = sorted(event["inputs"][0]["shape"] for _, event in local_lambda.calls[1:])
    assert shapes == [[5], *[[10]] * 9]


def test_the_size_of_a_call_counts_long_strings() -> None:
    spec = TensorSpec(name="text", datatype="BYTES", shape=(-1,))
    texts = np.array(["x" * 10_000, "x" * 30_000] * 1000, object)
    signature = Signature(inputs=(spec,), outputs=())
    assert 40 <= many.rows_per_call_of({"text": texts}, signature) <= 60


def test_the_message_lists_the_first_reasons_and_rows() -> None:
    failures = [RowFailure(range(i, i + 1), InferenceError("odd")) for i in range(0, 20, 2)]
    failures += [
        RowFailure(range(i, i + 9), InferenceError(f"no\n {i}")) for i in range(20, 200, 9)
    ]
    lines = str(RowsFailedError(failures, answered=np.arange(5), outputs={})).splitlines()
    assert lines == [
        "190 of 195 rows have no answer:",
        "  rows 0, 2, 4, 6, 8 and 5 more places: odd",
        *(f"  rows {i} to {i + 8}: no {i}" for i in (20, 29, 38, 47)),
        "  and 16 more reasons",
    ]
