"""A model behind a SageMaker endpoint answers as its contract says, and its failures are mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shearling.endpoints.invoke import Endpoint
from shearling.endpoints.kept_connections import Answer, KeptConnections
from shearling.endpoints.predictor import EndpointPredictor
from shearling.errors import (
    DeadlineError,
    InferenceError,
    InvalidRequestError,
    ModelNotReadyError,
    PayloadTooLargeError,
    PredictionError,
)
from shearling.models.push import push_model
from shearling.registry.registry import Registry
from tests.support.sagemaker_runtime import KEYS, WRONG, sagemaker_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = np.array([[1, 2], [3, 4]], np.float32)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with sagemaker_runtime() as url:
        yield url


@pytest.fixture(autouse=True)
def endpoint(url: str, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let this process call the endpoints as a function does."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", url)
    return monkeypatch


def predictor(name: str = "doubler", body: Any = "json") -> EndpointPredictor:
    from shearling import Remote

    answers = {"Y": 2 * ROWS} if body != "csv" else {"score": 2 * ROWS.sum(axis=1)}
    registry = Registry("memory://endpoint-contracts")
    model = f"m-{body}"
    pin = push_model(Remote(answers, body=body), model, example=ROWS, registry=registry).pin
    return EndpointPredictor(registry.manifest(pin), Endpoint(name), by_row={*answers})


@pytest.mark.parametrize("body", ["json", "binary"])
def test_tensors_are_forwarded_and_answers_returned(body: str) -> None:
    answers = predictor(body=body).predict({"X": ROWS}, ["Y"])
    assert answers["Y"].dtype == np.float32
    np.testing.assert_array_equal(answers["Y"], 2 * ROWS)


def test_missing_values_are_forwarded() -> None:
    rows = np.array([[np.nan, 1]], np.float32)
    for body in ("json", "binary"):
        answers = predictor(body=body).predict({"X": rows}, ["Y"])
        np.testing.assert_array_equal(answers["Y"], 2 * rows)


@pytest.mark.parametrize("count", [1, 2, 100])
def test_rows_of_numbers_are_forwarded_as_csv(count: int) -> None:
    rows = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    answers = predictor(body="csv").predict({"X": rows}, ["score"])
    np.testing.assert_array_equal(answers["score"], 2 * rows.sum(axis=1))


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("throttled", ModelNotReadyError, r"busy .*ThrottlingException: Rate exceeded"),
        ("unavailable", ModelNotReadyError, "busy .*No capacity"),
        ("starting", ModelNotReadyError, "busy or not ready"),
        ("internal", ModelNotReadyError, "Send the request again"),
        ("missing", ModelNotReadyError, r"not found\.\)\. Compare `endpoint_name`"),
        ("denied", ModelNotReadyError, "sagemaker:InvokeEndpoint"),
        ("odd", ModelNotReadyError, "418"),
        ("small", PayloadTooLargeError, "Payload too large"),
        ("limited", PayloadTooLargeError, "less than or equal to 6291456"),
        ("refusing", InvalidRequestError, "refused the request: inputs: X is too large"),
        ("too-large", PayloadTooLargeError, "Payload too large"),
        ("crashing", PredictionError, "division by zero"),
        ("overloaded", ModelNotReadyError, "too many requests"),
        ("container-timeout", DeadlineError, "timed out"),
        ("gateway-timeout", DeadlineError, "did not answer in time"),
    ],
)
def test_a_failure_is_the_error_that_tells_the_caller_what_to_do(
    name: str, kind: type[InferenceError], message: str
) -> None:
    with pytest.raises(kind, match=message) as raised:
        predictor(name).predict({"X": ROWS}, ["Y"])
    assert type(raised.value) is kind
    assert name in str(raised.value)


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_that_does_not_fit_the_contract_is_an_error(name: str) -> None:
    with pytest.raises(PredictionError, match=f"endpoint {name}: its answer"):
        predictor(name).predict({"X": ROWS[:1]}, ["Y"])


def test_an_endpoint_that_is_too_slow_is_left_at_the_deadline() -> None:
    with pytest.raises(DeadlineError, match=r"did not answer within 0\.2 s"):
        predictor("slow").predict({"X": ROWS}, ["Y"], 0.3)


def test_an_endpoint_that_cannot_be_reached_is_an_error(endpoint: pytest.MonkeyPatch) -> None:
    endpoint.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "http://127.0.0.1:9")
    with pytest.raises(ModelNotReadyError, match="cannot be reached"):
        predictor().predict({"X": ROWS}, ["Y"])


@pytest.mark.parametrize(
    ("region", "domain"), [("eu-central-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn")]
)
def test_requests_go_to_the_region_of_the_function(
    endpoint: pytest.MonkeyPatch, region: str, domain: str
) -> None:
    asked: list[str] = []

    def answered(_: KeptConnections, path: str, __: bytes, headers: Any, ___: float) -> Answer:
        asked.append(headers["host"] + path)
        return Answer(200, {}, b"")

    endpoint.delenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME")
    endpoint.delenv("AWS_ENDPOINT_URL", raising=False)
    endpoint.setenv("AWS_REGION", region)
    endpoint.setattr(KeptConnections, "post", answered)
    Endpoint("legacy").invoke(b"1", "text/csv", "text/csv")
    assert asked == [f"runtime.sagemaker.{region}.{domain}/endpoints/legacy/invocations"]


def test_a_wrong_key_is_refused(endpoint: pytest.MonkeyPatch) -> None:
    endpoint.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(ModelNotReadyError, match="InvalidSignatureException"):
        predictor().predict({"X": ROWS}, ["Y"])


def test_a_function_without_keys_says_so(endpoint: pytest.MonkeyPatch) -> None:
    endpoint.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ModelNotReadyError, match="no credentials"):
        predictor().predict({"X": ROWS}, ["Y"])
