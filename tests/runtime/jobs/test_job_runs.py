"""Jobs that are run: kills at every step, failing models, retries, and jobs given up."""

from __future__ import annotations

import contextlib
import io
import json
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shearling.errors import (
    DeadlineError,
    ModelNotReadyError,
    PayloadTooLargeError,
    StoreError,
)
from shearling.storage.store import Store
from shearling_runtime.events.dispatch import respond
from shearling_runtime.jobs.job_store import ATTEMPTS
from shearling_runtime.serving.loaded_model import LoadedModel
from tests.support.jobs import Invocation, JobFunction, later

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shearling.errors import InferenceError

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def function(tmp_path: Path) -> JobFunction:
    return JobFunction(tmp_path)


class Killed(BaseException):
    """The process ends, whatever it was doing."""


@contextlib.contextmanager
def killed_at(step: int, *, before: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """End the process before or after one of the writes to the bucket; yields the writes."""
    writes: list[str] = []

    def dying(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(self: Store, key: str, *args: Any, **options: Any) -> Any:
            writes.append(key)
            if len(writes) == step and before:
                raise Killed
            done = method(self, key, *args, **options)
            if len(writes) == step:
                raise Killed
            return done

        return call

    with monkeypatch.context() as patched:
        for name in ("create", "write"):
            patched.setattr(Store, name, dying(getattr(Store, name)))
        with contextlib.suppress(Killed):
            yield writes


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("step", range(1, 5))
def test_a_post_that_is_killed_and_sent_again_is_one_job(
    function: JobFunction, monkeypatch: pytest.MonkeyPatch, step: int, *, before: bool
) -> None:
    with killed_at(step, before=before, monkeypatch=monkeypatch):
        function.submit(idempotency_key=KEY)
    job_id = function.submit(idempotency_key=KEY).document["id"]
    assert function.store().queued() == [job_id]
    function.deliver(job_id)
    assert function.state(job_id)["status"] == "succeeded"


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("step", range(1, 6))
def test_a_run_that_is_killed_and_tried_again_answers_once(
    function: JobFunction, monkeypatch: pytest.MonkeyPatch, step: int, *, before: bool
) -> None:
    job_id = function.submit().document["id"]
    with killed_at(step, before=before, monkeypatch=monkeypatch) as writes:
        function.deliver(job_id)
    assert len(writes) <= 4  # attempt, result, outcome, event: each was a step to be killed at
    seen = function.state(job_id)
    assert seen["status"] in ("queued", "succeeded")
    function.serve(function.publish(3.0))  # another version answers the second attempt
    assert function.deliver(job_id, received=2) == []
    state = function.state(job_id)
    version = "1" if seen["status"] == "succeeded" else "2"
    assert (state["status"], state["model_version"]) == ("succeeded", version)
    answer = json.loads(function.result(job_id))
    assert answer["model_version"] == version
    assert announced(function) == [f"completed/prod/{job_id}/succeeded.json"]


def test_the_metrics_of_a_job_are_those_of_its_alias(
    function: JobFunction, capfd: pytest.CaptureFixture[str]
) -> None:
    job_id = function.submit(alias="staging").document["id"]
    function.deliver(job_id, alias="staging")
    lines = map(json.loads, capfd.readouterr().out.splitlines())
    (line,) = [line for line in lines if line["event"] == "job"]
    assert (line["alias"], line["Jobs"], line["JobFailures"]) == ("staging", 1, 0)
    assert job_id not in json.dumps(line)


def test_a_message_that_is_delivered_twice_runs_the_model_once(function: JobFunction) -> None:
    job_id = function.submit().document["id"]
    function.deliver(job_id)
    first = function.state(job_id)
    function.deliver(job_id, received=2)
    assert function.state(job_id)["finished"] == first["finished"]
    assert len([key for key in function.store()._store.keys("jobs/") if "/result-" in key]) == 1


def test_the_version_that_runs_the_job_answers_it(function: JobFunction) -> None:
    job_id = function.submit().document["id"]
    function.serve(function.publish(5.0))
    function.deliver(job_id)
    assert function.state(job_id)["model_version"] == "2"
    assert json.loads(function.result(job_id))["outputs"][0]["data"] == [5.0, 10.0]


def test_a_failing_model_fails_the_job_without_another_attempt(
    function: JobFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = function.submit().document["id"]
    function.server.start()
    model = function.server._model
    assert model is not None
    monkeypatch.setattr(model.predictor, "predict", failing, raising=True)
    assert function.deliver(job_id) == []
    state = function.state(job_id)
    assert (state["status"], state["error_status"]) == ("failed", 500)
    assert "request-1" in state["error"]
    assert "no such operator" not in state["error"]
    assert announced(function) == [f"completed/prod/{job_id}/failed.json"]


def test_too_little_time_fails_the_job(function: JobFunction) -> None:
    job_id = function.submit().document["id"]
    assert function.server._model is not None
    function.server._model.warm_seconds = 100.0
    function.deliver(job_id)
    assert function.state(job_id)["error_status"] == 504


def test_an_error_that_may_go_away_is_tried_again(
    function: JobFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = function.submit().document["id"]
    with monkeypatch.context() as patched:
        patched.setattr(LoadedModel, "infer", unreachable)
        assert function.deliver(job_id) == ["m-1"]
    assert function.state(job_id)["status"] == "queued"
    assert function.deliver(job_id, received=2) == []
    assert function.state(job_id)["status"] == "succeeded"


def test_the_last_attempt_fails_the_job_and_leaves_its_message_to_the_dead_letter_queue(
    function: JobFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = function.submit().document["id"]
    with monkeypatch.context() as patched:
        patched.setattr(LoadedModel, "infer", unreachable)
        assert function.deliver(job_id, received=ATTEMPTS) == ["m-1"]
    state = function.state(job_id)
    assert (state["status"], state["error"]) == ("failed", "the bucket does not answer")
    assert announced(function) == [f"completed/prod/{job_id}/failed.json"]
    # Sent again from the dead-letter queue after the cause is mended.
    assert function.deliver(job_id) == []
    assert function.state(job_id)["status"] == "succeeded"


def test_a_model_that_is_not_ready_at_the_last_attempt_fails_the_job_with_503(
    function: JobFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unready(*_: object, **__: object) -> None:
        raise ModelNotReadyError("the model cannot be loaded")

    job_id = function.submit().document["id"]
    monkeypatch.setattr(LoadedModel, "infer", unready)
    assert function.deliver(job_id, received=ATTEMPTS) == ["m-1"]
    state = function.state(job_id)
    assert (state["status"], state["error_status"]) == ("failed", 503)
    (key,) = announced(function)
    assert json.loads(function.store()._store.read(key) or b"")["error_status"] == 503


def test_an_attempt_that_an_older_version_recorded_is_read(function: JobFunction) -> None:
    job_id = function.submit().document["id"]
    attempt = {"number": ATTEMPTS, "ends": 1, "version": "1", "error": "the reason"}
    function.store()._store.write(f"jobs/prod/{job_id}/attempt.json", json.dumps(attempt).encode())
    state = function.state(job_id)
    assert (state["error"], state["error_status"]) == ("the reason", 500)


def test_a_job_whose_function_was_stopped_at_each_attempt_has_failed(
    function: JobFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = function.submit().document["id"]
    for number in range(1, ATTEMPTS + 1):
        with monkeypatch.context() as patched, contextlib.suppress(Killed):
            patched.setattr(LoadedModel, "infer", killing)
            function.deliver(job_id, received=number)
        assert function.state(job_id)["status"] == "queued"
    later(monkeypatch, 60 + 200)
    state = function.state(job_id)
    assert state["status"] == "failed"
    assert f"stopped at each of {ATTEMPTS} attempts" in state["error"]
    assert "timeout_seconds" in state["error"]


def test_a_job_that_no_function_ever_gets_has_failed_after_the_queue_forgot_it(
    function: JobFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = function.submit().document["id"]
    later(monkeypatch, 3.9 * 86_400)
    assert function.state(job_id)["status"] == "queued"
    later(monkeypatch, 4.1 * 86_400)
    assert "not started within 4 days" in function.state(job_id)["error"]


def test_a_job_without_a_body_has_failed_after_the_upload_ended(
    function: JobFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = function.send("POST", "/jobs").document["id"]
    assert function.state(job_id)["status"] == "queued"
    later(monkeypatch, 3600 + 200)
    state = function.state(job_id)
    assert (state["status"], state["error_status"]) == ("failed", 408)


def test_an_answer_above_lambdas_limit_is_a_result(function: JobFunction) -> None:
    rows = [[1.25, 2.5]] * 700_000
    job_id = function.send("POST", "/jobs").document["id"]
    function.store().put_request(job_id, json.dumps({"instances": rows}).encode())
    function.deliver(job_id)
    state = function.state(job_id)
    assert state["status"] == "succeeded"
    assert state["result"]["size"] > 6 * 2**20


@pytest.mark.parametrize(
    "body", ["{", "[]", "null", '{"shearling": "other"}', '{"shearling": "job", "detail": "x"}', ""]
)
def test_a_message_of_another_kind_is_left_to_the_dead_letter_queue(
    function: JobFunction, body: str
) -> None:
    records = [{"messageId": "m-1", "eventSource": "aws:sqs", "body": body}]
    answer = respond({"Records": records}, Invocation(), function.server)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}


def announced(function: JobFunction) -> list[str]:
    return list(function.store()._store.keys("completed/"))


def failing(*_: object, **__: object) -> None:
    raise RuntimeError("no such operator")


def unreachable(*_: object, **__: object) -> None:
    raise StoreError("the bucket does not answer")


def killing(*_: object, **__: object) -> None:
    raise Killed


# Bodies that are read in blocks


@pytest.fixture
def large(tmp_path: Path) -> JobFunction:
    """A function with jobs in a directory, and hardly any memory."""
    return JobFunction(tmp_path, jobs=str(tmp_path / "jobs"), memory_mb=8)


def uploaded(function: JobFunction, body: bytes, **description: str) -> str:
    """Run the job of an uploaded body, and return its ID."""
    answer = function.send("POST", "/jobs", json.dumps(description).encode())
    job_id = str(answer.document["id"])
    function.store().put_request(job_id, body)
    assert function.deliver(job_id) == []
    return job_id


def test_a_csv_that_is_larger_than_the_memory_allows_is_answered_in_blocks(
    large: JobFunction,
) -> None:
    body = b"X_0,X_1\n" + b"1.5,2.5\n" * 300_000
    job_id = uploaded(large, body, content_type="text/csv; header=present")
    assert large.state(job_id)["result"]["content_type"] == "text/csv"
    lines = large.result(job_id).split()
    assert len(lines) == 300_001
    assert set(lines[1:]) == {b"3.0,5.0"}


def test_json_lines_are_answered_with_json_lines(large: JobFunction) -> None:
    job_id = uploaded(large, b'{"X": [1, 2]}\n{"X": [3, 4]}\n', content_type="application/jsonl")
    state = large.state(job_id)
    assert state["result"]["content_type"] == "application/jsonl"
    lines = [json.loads(line) for line in large.result(job_id).splitlines()]
    assert [line["Y"] for line in lines] == [[2.0, 4.0], [6.0, 8.0]]
    assert state["result"]["size"] == len(large.result(job_id))


def test_an_array_is_answered_with_csv_where_that_is_asked_for(large: JobFunction) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([[1, 2]], np.float32))
    job_id = uploaded(large, stream.getvalue(), content_type="application/x-npy", accept="text/csv")
    assert large.result(job_id).splitlines()[1:] == [b"2.0,4.0"]


def test_an_invalid_row_fails_the_job_with_its_number(large: JobFunction) -> None:
    job_id = uploaded(large, b'{"X": [1, 2]}\n{"X": [3]}\n', content_type="application/jsonl")
    state = large.state(job_id)
    assert (state["status"], state["error_status"]) == ("failed", 400)
    assert "row 2" in state["error"]


def test_a_model_that_fails_in_a_block_fails_the_job(
    large: JobFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    large.server.start()
    assert large.server._model is not None
    monkeypatch.setattr(large.server._model.predictor, "predict", failing)
    job_id = uploaded(large, b'{"X": [1, 2]}\n', content_type="application/jsonl")
    assert large.state(job_id)["error_status"] == 500


@pytest.mark.parametrize("kind", [DeadlineError, PayloadTooLargeError])
def test_an_error_in_a_block_has_the_status_of_infer(
    large: JobFunction, monkeypatch: pytest.MonkeyPatch, kind: type[InferenceError]
) -> None:
    def refusing(*_: object, **__: object) -> None:
        raise kind("the reason")

    large.server.start()
    monkeypatch.setattr(LoadedModel, "answer", refusing)
    job_id = uploaded(large, b'{"X": [1, 2]}\n', content_type="application/jsonl")
    state = large.state(job_id)
    assert (state["error_status"], state["error"]) == (kind.status, "the reason")


def test_a_body_that_would_not_be_answered_in_time_fails_with_504(
    large: JobFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = str(large.send("POST", "/jobs", b'{"content_type": "text/csv"}').document["id"])
    large.store().put_request(job_id, b"X_0,X_1\n" + b"1.5,2.5\n" * 300_000)
    monkeypatch.setattr("shearling.scoring.pace.Pace.seconds", 59.0)
    large.deliver(job_id)
    state = large.state(job_id)
    assert (state["status"], state["error_status"]) == ("failed", 504)
    assert "timeout_seconds" in state["error"]


def test_a_format_that_cannot_be_answered_as_asked_is_refused_at_once(large: JobFunction) -> None:
    description = {"content_type": "application/jsonl", "accept": "application/json"}
    answer = large.send("POST", "/jobs", json.dumps(description).encode())
    assert answer.status == 400
    assert "accept: application/json" in answer.document["error"]


def test_only_a_body_that_is_read_as_a_whole_has_a_limit(large: JobFunction) -> None:
    for description, limited in (
        ({}, True),
        ({"content_type": "text/csv", "accept": "application/json"}, True),
        ({"content_type": "text/csv"}, False),
        ({"content_type": "application/x-npy"}, False),
    ):
        answer = large.send("POST", "/jobs", json.dumps(description).encode())
        assert ("max_bytes" in answer.document["upload"]) is limited
