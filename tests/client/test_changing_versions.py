"""Long-lived clients while the alias moves, and rows that several versions answer."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pandas as pd
import pytest

from shearling.client.connect import connect
from shearling.errors import (
    InferenceError,
    InvalidRequestError,
    ModelNotReadyError,
    RowsFailedError,
    UnknownModelError,
)
from shearling.models.push import push_model
from tests.client.test_batch import is_metadata
from tests.support.fake_lambda import refusal
from tests.support.http_server import http_api
from tests.support.lambda_server import LocalLambda, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from shearling.client.base import RemoteModel
    from tests.support.lambda_server import Handler

TARGET = "acme-fraud:prod"
WHOLE = np.array([[1, 2], [3, 4]], np.float32)
HALVES = np.array([[0.5, 2.5]], np.float32)


def graph(datatype: int, factor: float, name: str = "X") -> onnx.ModelProto:
    """`Y = factor * X`, where `X` has a datatype of ONNX."""
    floats = onnx.TensorProto.FLOAT
    nodes = [
        onnx.helper.make_node("Cast", [name], ["floats"], to=floats),
        onnx.helper.make_node("Mul", ["floats", "factor"], ["Y"]),
    ]
    made = onnx.helper.make_graph(
        nodes,
        "scaling",
        [onnx.helper.make_tensor_value_info(name, datatype, ["rows", 2])],
        [onnx.helper.make_tensor_value_info("Y", floats, ["rows", 2])],
        [onnx.helper.make_tensor("factor", floats, [1], [factor])],
    )
    opset = onnx.helper.make_opsetid("", 17)
    return onnx.helper.make_model(made, opset_imports=[opset], ir_version=8)


@dataclass
class Alias:
    """A function whose alias moves; counts the requests by kind."""

    versions: dict[int, Handler]
    serves: Callable[[], int]
    metadata_reads: int = 0
    requests: int = 0

    def move(self, version: int) -> None:
        self.serves = lambda: version

    def share(self, *versions: int) -> None:
        """Let versions answer in turn, as a canary of half of the requests."""
        turns = itertools.cycle(versions)
        self.serves = lambda: next(turns)

    def __call__(self, event: Any) -> Any:
        if is_metadata(event):
            self.metadata_reads += 1
        else:
            self.requests += 1
        return self.versions[self.serves()](event)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Handler]:
    """1 and 2 take floats, 3 takes integers, 4 has another input."""
    directory: Path = tmp_path_factory.mktemp("versions")
    registry = str(directory / "registry")
    graphs = [
        graph(onnx.TensorProto.FLOAT, 1),
        graph(onnx.TensorProto.FLOAT, 2),
        graph(onnx.TensorProto.INT64, 3),
        graph(onnx.TensorProto.FLOAT, 4, "Z"),
    ]
    handlers = {}
    for number, model in enumerate(graphs, start=1):
        dtype = np.int64 if number == 3 else np.float32
        pushed = push_model(model, "fraud", example=WHOLE.astype(dtype), registry=registry)
        handlers[number] = served(registry, str(pushed.pin), directory / f"scratch-{number}")
    return handlers


@pytest.fixture
def alias(versions: dict[int, Handler]) -> Alias:
    return Alias(versions, lambda: 1)


@contextmanager
def by_lambda(alias: Alias) -> Iterator[RemoteModel]:
    yield connect(TARGET, client=LocalLambda({TARGET: alias}).client)


@contextmanager
def by_url(alias: Alias) -> Iterator[RemoteModel]:
    with http_api(alias) as url:
        yield connect(url, model="fraud")


@pytest.fixture(params=[by_lambda, by_url])
def model(alias: Alias, request: pytest.FixtureRequest) -> Iterator[RemoteModel]:
    with request.param(alias) as connected:
        yield connected


def test_a_client_lives_through_promotions_and_rollbacks(alias: Alias, model: RemoteModel) -> None:
    for version in (1, 2, 3, 4, 1):
        alias.move(version)
        np.testing.assert_array_equal(model.infer(WHOLE)["Y"], WHOLE * version)
        np.testing.assert_array_equal(model.infer_many(WHOLE)["Y"], WHOLE * version)


def test_the_signature_is_read_again_once_for_each_new_version(
    alias: Alias, model: RemoteModel
) -> None:
    for version in (1, 2, 1, 2):
        alias.move(version)
        for _ in range(3):
            model.infer(WHOLE)
    assert alias.metadata_reads == 2
    assert alias.requests == 12


def test_a_value_that_only_the_new_version_accepts_is_sent(
    alias: Alias, model: RemoteModel
) -> None:
    alias.move(3)
    model.infer(WHOLE)
    with pytest.raises(InvalidRequestError, match=r"0\.5"):
        model.infer(HALVES)
    alias.move(1)
    np.testing.assert_array_equal(model.infer(HALVES)["Y"], HALVES)


def test_a_value_that_the_new_version_refuses_is_an_error_that_names_both_versions(
    alias: Alias, model: RemoteModel
) -> None:
    model.infer(HALVES)
    alias.move(3)
    with pytest.raises(
        InvalidRequestError, match=r"0\.5.*version 3 answers now, and version 1 did before"
    ):
        model.infer(HALVES)
    assert alias.metadata_reads == 2


def test_a_refusal_by_the_same_version_is_not_sent_again(alias: Alias, model: RemoteModel) -> None:
    alias.move(3)
    model.infer(WHOLE)
    for _ in range(2):
        with pytest.raises(InvalidRequestError):
            model.infer(HALVES)
    assert alias.requests == 1


def test_many_rows_are_converted_again_when_the_alias_moves_between_calls(
    alias: Alias, model: RemoteModel
) -> None:
    frame = pd.DataFrame(np.arange(40).reshape(20, 2), columns=["a", "b"])
    turns = iter([1] * 3 + [4] * 100)
    alias.serves = lambda: next(turns)
    with pytest.warns(UserWarning, match="several versions"):
        outputs = model.infer_many(frame, rows_per_call=2, max_concurrency=1)
    expected = frame.to_numpy() * outputs.versions.reshape(-1, 1)
    np.testing.assert_array_equal(outputs["Y"], expected)
    assert set(outputs.versions.tolist()) == {1, 4}


def test_metadata_that_cannot_be_read_again_do_not_fail_a_request_that_is_answered(
    alias: Alias, model: RemoteModel, versions: dict[int, Handler]
) -> None:
    model.infer(WHOLE)
    alias.move(2)
    model.infer(WHOLE)

    def without_metadata(event: Any) -> Any:
        if is_metadata(event):
            raise refusal("ServiceException", "try later", 500)
        return versions[2](event)

    alias.versions = {2: without_metadata}
    np.testing.assert_array_equal(model.infer(WHOLE)["Y"], WHOLE * 2)


# Rows that several versions answer


def test_the_result_knows_which_version_answered_which_rows_and_warns(
    alias: Alias, model: RemoteModel
) -> None:
    model.infer(WHOLE)
    alias.share(1, 2)
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    with pytest.warns(UserWarning, match=r"rows by version 1, \d+ rows by version 2"):
        outputs = model.infer_many(rows, rows_per_call=3, max_concurrency=2)
    assert outputs.versions.shape == (20,)
    np.testing.assert_array_equal(outputs["Y"], rows * outputs.versions.reshape(-1, 1))


def test_versions_that_are_not_all_numbers_are_strings(alias: Alias) -> None:
    numbered = alias.versions[2]

    def unnumbered(event: Any) -> Any:
        return numbered(event) | {"model_version": ""}

    alias.versions = {1: alias.versions[1], 2: unnumbered}
    alias.share(1, 2)
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    with (
        by_lambda(alias) as model,
        pytest.warns(UserWarning, match=r"\d+ rows by an unknown version, \d+ rows by version 1"),
    ):
        outputs = model.infer_many(rows, rows_per_call=3, max_concurrency=1)
    assert set(outputs.versions.tolist()) == {"", "1"}


def test_one_version_is_no_reason_to_warn(alias: Alias, model: RemoteModel) -> None:
    outputs = model.infer_many(WHOLE, rows_per_call=1)
    assert outputs.versions.tolist() == [1, 1]
    assert model.infer_many(WHOLE[:0]).versions.shape == (0,)
    assert alias.requests == 3


def test_rows_that_were_answered_beside_failed_ones_have_their_version(
    alias: Alias, model: RemoteModel
) -> None:
    model.infer(WHOLE)
    alias.share(1, 3)
    rows = np.array([[1, 2], [0.5, 1]] * 4, np.float32)
    with (
        pytest.warns(UserWarning, match="several versions"),
        pytest.raises(RowsFailedError) as caught,
    ):
        model.infer_many(rows, rows_per_call=1, max_concurrency=1)
    answered = caught.value.outputs
    assert len(answered.versions) == len(caught.value.answered)  # type: ignore[attr-defined]


# One version


@pytest.fixture
def shared(versions: dict[int, Handler]) -> LocalLambda:
    """An alias that names version 1 of the model, and version 2 for a part of the requests."""
    alias = Alias(versions, lambda: 1)
    alias.share(1, 2)
    return LocalLambda(
        {TARGET: alias, "acme-fraud:11": versions[1], "acme-fraud:12": versions[2]},
        {
            TARGET: {
                "FunctionVersion": "11",
                "RoutingConfig": {"AdditionalVersionWeights": {"12": 0.5}},
            }
        },
    )


@pytest.mark.parametrize("version", [1, 2, np.int64(2)])
def test_one_version_of_the_alias_answers_all_rows(shared: LocalLambda, version: int) -> None:
    model = connect(TARGET, client=shared.client)
    outputs = model.infer_many(WHOLE, rows_per_call=1, version=version)
    assert outputs.versions.tolist() == [version, version]
    read = [name for name, event in shared.calls if event == {"shearling": "metadata"}]
    assert read == ["acme-fraud:11", "acme-fraud:12"][:version]  # each once


def test_a_version_that_the_alias_does_not_name_is_refused(shared: LocalLambda) -> None:
    with pytest.raises(UnknownModelError, match=r"not answered by version 3; .* by 1, 2"):
        connect(TARGET, client=shared.client).infer_many(WHOLE, version=3)


@pytest.mark.parametrize("version", ["prod", -1, True, 1.5])
def test_a_version_that_is_no_number_is_refused(shared: LocalLambda, version: Any) -> None:
    with pytest.raises(InvalidRequestError, match="expected a number such as 8"):
        connect(TARGET, client=shared.client).infer_many(WHOLE, version=version)


def test_without_the_right_to_read_the_alias_the_error_names_it(shared: LocalLambda) -> None:
    shared.aliases.clear()
    with pytest.raises(InferenceError, match=r"one version: .*\(lambda:GetAlias\)"):
        connect(TARGET, client=shared.client).infer_many(WHOLE, version=1)


def test_without_the_right_to_invoke_a_version_the_error_names_it(shared: LocalLambda) -> None:
    def denied(_: Any) -> Any:
        raise refusal("AccessDeniedException", "not authorized", 403)

    shared.functions["acme-fraud:11"] = denied
    with pytest.raises(InferenceError, match=r"lambda:InvokeFunction on its versions.*not author"):
        connect(TARGET, client=shared.client).infer_many(WHOLE, version=1)


def test_a_version_that_fails_is_no_matter_of_rights(
    shared: LocalLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = connect(TARGET, client=shared.client)
    shared.functions["acme-fraud:11"] = lambda _: {"error": "no version is released", "status": 503}
    with pytest.raises(ModelNotReadyError, match=r"^no version is released$"):
        model.infer_many(WHOLE, version=1)

    def missing(*_: Any, **__: Any) -> Any:
        raise refusal("ResourceNotFoundException", "no such alias", 404)

    monkeypatch.setattr(LocalLambda, "get_alias", missing)
    with pytest.raises(InferenceError, match=r"one version: .*no such alias") as caught:
        model.infer_many(WHOLE, version=1)
    assert "right" not in str(caught.value)


def test_an_api_cannot_choose_a_version_and_says_so(alias: Alias) -> None:
    with (
        by_url(alias) as model,
        pytest.raises(InvalidRequestError, match="Connect by <function>:<alias>"),
    ):
        model.infer_many(WHOLE, version=1)
