"""Asynchronous jobs from Python, against the local server's jobs in this process."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import shearling as sdk
from shearling.client.http_model import HttpModel
from shearling.client.jobs import submit
from shearling.connections import Connections
from shearling.loopback import serving
from shearling.protocol.binary import request_body
from shearling_runtime.events.dispatch import respond
from shearling_runtime.http.decompression import REQUEST_LIMIT
from shearling_runtime.jobs.job_store import ATTEMPTS
from shearling_runtime.local import answering, event_of
from shearling_runtime.serving.loaded_model import LoadedModel
from tests.support.bundles import ROWS
from tests.support.jobs import Invocation, JobFunction, served_with_jobs
from tests.support.lambda_server import LocalLambda

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


@pytest.fixture
def function(tmp_path: Path) -> JobFunction:
    function = JobFunction(tmp_path, jobs=str(tmp_path / "jobs"))
    function.server.start()
    return function


@pytest.fixture
def model(function: JobFunction) -> Iterator[HttpModel]:
    with served_with_jobs(function) as url:
        yield sdk.connect(url, model="fraud")


@pytest.fixture
def waiting(function: JobFunction) -> Iterator[HttpModel]:
    """A model whose jobs wait for ever."""
    with served_with_jobs(function, starts=False) as url:
        yield sdk.connect(url, model="fraud")


def test_a_job_has_the_outputs_of_infer(model: HttpModel) -> None:
    job = model.infer_async(ROWS)
    assert np.array_equal(job.result(timeout=30)["Y"], model.infer(ROWS)["Y"])
    assert job.done()
    assert job.state()["model_version"] == "1"


def test_another_process_finds_the_job_by_its_id(model: HttpModel) -> None:
    job_id = model.infer_async(ROWS).id
    assert np.array_equal(model.job(job_id).result(timeout=30)["Y"], ROWS * 2)


@pytest.mark.parametrize(
    ("content_type", "body", "found"),
    [
        ("application/json", b'{"instances": [[1, 2]]}', "plain predictions"),
        ("text/csv", b"1,2\n", "text/csv"),
    ],
)
def test_a_result_that_is_no_tensors_is_named_with_its_url(
    model: HttpModel, content_type: str, body: bytes, found: str
) -> None:
    headers = {"Content-Type": content_type, "Accept": content_type, "Prefer": "respond-async"}
    _, _, answer = model.send("POST", "/infer", body, headers)
    job = model.job(json.loads(answer)["id"])
    with pytest.raises(sdk.InferenceError, match=rf"{found}.*\burl\b"):
        job.result(timeout=30)


def test_a_job_is_awaited_without_blocking_the_loop(
    model: HttpModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    send = Connections.send

    def recording(*arguments: Any) -> Any:
        threads.append(threading.get_ident())
        return send(*arguments)

    async def awaited() -> Any:
        return await job

    job = model.infer_async(ROWS)
    monkeypatch.setattr(Connections, "send", recording)
    assert np.array_equal(asyncio.run(awaited())["Y"], ROWS * 2)
    assert len(threads) >= 2  # the state and the download
    assert threading.get_ident() not in threads


def test_fifty_megabytes_are_uploaded_and_answered(model: HttpModel) -> None:
    rows = np.random.default_rng(0).random((6_250_000, 2), np.float32)
    assert rows.nbytes == 50_000_000
    assert np.array_equal(model.infer_async(rows).result(timeout=120)["Y"], rows * 2)


@pytest.mark.parametrize(("text", "path"), [("x" * 6, "/infer"), ('"' * 6, "/jobs")])
def test_texts_that_are_too_long_once_they_are_escaped_are_uploaded(text: str, path: str) -> None:
    paths: list[str] = []

    class Recording:
        target = "a model"

        def send(self, _method: str, path: str, *_: object) -> tuple[int, dict[str, str], bytes]:
            paths.append(path)
            return 202, {}, json.dumps({"id": "0" * 32}).encode()

    texts = np.full(200_000, text, object)
    assert len(request_body({"X": texts})[0]) < 4_000_000
    submit(Recording(), {"X": texts}, None)
    assert paths == [path]


def test_a_value_that_does_not_fit_is_refused_at_once(model: HttpModel) -> None:
    with pytest.raises(sdk.InvalidRequestError, match="X"):
        model.infer_async([[1, 2, 3]])


def test_a_failed_job_raises_the_error_of_infer(
    model: HttpModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = model.infer_async(ROWS)
    job.result(timeout=30)
    monkeypatch.setattr(LoadedModel, "infer", failing)
    job = model.infer_async(ROWS)
    with pytest.raises(sdk.PredictionError, match=f"job {job.id} failed: the model failed"):
        job.result(timeout=30)


def test_a_result_is_waited_for_no_longer_than_its_caller_wants(waiting: HttpModel) -> None:
    job = waiting.infer_async(ROWS)
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"still queued after 0\.3 s"):
        job.result(timeout=0.3)
    assert time.monotonic() - started < 10
    assert not job.done()
    for seconds in (0, -1, float("nan")):
        with pytest.raises(sdk.JobTimeoutError):
            job.result(timeout=seconds)


def test_a_queued_job_is_cancelled(waiting: HttpModel) -> None:
    job = waiting.infer_async(ROWS)
    assert job.cancel()
    assert job.cancel()
    with pytest.raises(sdk.InferenceError, match="cancelled"):
        job.result(timeout=10)


def test_a_job_that_is_done_is_not_cancelled(model: HttpModel) -> None:
    job = model.infer_async(ROWS)
    job.result(timeout=30)
    assert not job.cancel()
    assert job.state()["status"] == "succeeded"


def test_calls_with_one_key_are_one_job(model: HttpModel) -> None:
    ids = {model.infer_async(ROWS, idempotency_key=KEY).id for _ in range(3)}
    assert len(ids) == 1
    assert model.infer_async(ROWS).id != model.infer_async(ROWS).id


@pytest.mark.parametrize("key", ["", " ", "a\nb", "\u2192" * 40, "x" * 256, 17])
def test_a_key_that_no_header_carries_is_refused(model: HttpModel, key: Any) -> None:
    with pytest.raises(sdk.InvalidRequestError, match=r"idempotency-key: .* such as a UUID"):
        model.infer_async(ROWS, idempotency_key=key)


def test_an_unknown_job_is_an_error_when_it_is_asked(model: HttpModel) -> None:
    with pytest.raises(sdk.UnknownModelError, match="is not known here"):
        model.job("0" * 32).state()
    with pytest.raises(sdk.InvalidRefError, match="32 hexadecimal digits"):
        model.job("1")


def test_the_local_server_goes_on_with_the_jobs_of_an_earlier_one(function: JobFunction) -> None:
    with served_with_jobs(function, starts=False) as url:
        job_id = sdk.connect(url, model="fraud").infer_async(ROWS).id
    with served_with_jobs(function) as url:
        outputs = sdk.connect(url, model="fraud").job(job_id).result(timeout=30)
    assert np.array_equal(outputs["Y"], ROWS * 2)


def test_the_local_server_tries_a_job_no_more_often_than_lambda(
    model: HttpModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def failing(*_: object, **__: object) -> None:
        nonlocal tries
        tries += 1
        raise sdk.StoreError("no space left")

    model.infer(ROWS)
    monkeypatch.setattr("shearling_runtime.local_jobs._PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(LoadedModel, "infer", failing)
    for jobs in (1, 2):
        with pytest.raises(sdk.InferenceError, match="no space left"):
            model.infer_async(ROWS).result(timeout=30)
        assert tries == jobs * ATTEMPTS


def test_a_model_without_jobs_says_what_to_set(tmp_path: Path) -> None:
    function = JobFunction(tmp_path, jobs="")
    answer = answering(lambda event: respond(event, Invocation(), function.server), event_of)
    with serving(answer, body_limit=REQUEST_LIMIT) as port:
        model = sdk.connect(f"http://127.0.0.1:{port}", model="fraud")
        with pytest.raises(sdk.UnknownModelError, match=r"no asynchronous jobs.*jobs = \{\}"):
            model.infer_async(ROWS)


def test_a_job_is_submitted_read_and_cancelled_by_direct_invocation(function: JobFunction) -> None:
    lock = threading.Lock()

    def handler(event: Any) -> Any:
        with lock:
            return respond(event, Invocation(), function.server)

    client = LocalLambda({"acme-fraud:prod": handler}).client
    model = sdk.connect("acme-fraud:prod", client=client)
    job = model.infer_async(ROWS)
    assert not job.done()
    function.deliver(job.id)
    assert job.done()
    assert not job.cancel()
    assert job.state()["model_version"] == "1"


@pytest.mark.parametrize("error", [sdk.PayloadTooLargeError, sdk.DeadlineError])
def test_infer_names_jobs_where_an_answer_is_too_large_or_too_slow(
    model: HttpModel, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    model.infer(ROWS)

    def refusing(*_: object, **__: object) -> None:
        raise error("too much")

    monkeypatch.setattr(LoadedModel, "infer", refusing)
    with pytest.raises(error, match=r"too much.*`infer_async`"):
        model.infer(ROWS)


@pytest.mark.parametrize(
    ("error", "is_late"),
    [(sdk.InferenceError, True), (sdk.PredictionError, False), (sdk.InvalidRequestError, False)],
)
def test_infer_names_jobs_after_an_error_of_an_api_that_waits_no_longer(
    model: HttpModel,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
    is_late: bool,  # noqa: FBT001
) -> None:
    def refusing(*_: object, **__: object) -> None:
        raise error("the reason")

    model.infer(ROWS)
    monkeypatch.setattr(HttpModel, "_exchange", refusing)
    for seconds, expected in ((60.0, False), (0.0, is_late)):
        monkeypatch.setattr("shearling.client.http_model._API_SECONDS", seconds)
        with pytest.raises(error) as caught:
            model.infer(ROWS)
        assert ("infer_async" in str(caught.value)) is expected


def test_infer_names_no_jobs_where_the_function_itself_has_too_little_time(
    function: JobFunction,
) -> None:
    client = LocalLambda(
        {"acme-fraud:prod": lambda event: respond(event, Invocation(), function.server)}
    ).client
    model = sdk.connect("acme-fraud:prod", client=client)
    assert function.server._model is not None
    function.server._model.warm_seconds = 100.0
    with pytest.raises(sdk.DeadlineError) as caught:
        model.infer(ROWS)
    assert "infer_async" not in str(caught.value)


def failing(*_: object, **__: object) -> None:
    raise sdk.PredictionError("the model failed")
