"""Asynchronous jobs over HTTP, in this process: the directory or memory stands for the bucket."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from openapi_spec_validator import validate

from shearling.protocol.binary import request_body
from shearling.storage.store import Store
from shearling_runtime.events.dispatch import respond
from tests.support.jobs import ROWS, Invocation, JobFunction, later, message

if TYPE_CHECKING:
    from pathlib import Path

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
ALICE, BOB = "arn:aws:iam::123456789012:user/alice", "arn:aws:iam::123456789012:user/bob"


@pytest.fixture
def function(tmp_path: Path) -> JobFunction:
    return JobFunction(tmp_path)


def test_a_request_that_prefers_it_becomes_a_job(function: JobFunction) -> None:
    answer = function.submit()
    job = answer.document
    assert answer.status == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["location"] == f"/v2/models/fraud/jobs/{job['id']}"
    assert (job["status"], job["model_name"]) == ("queued", "fraud")
    assert len(job["id"]) == 32


def test_a_job_succeeds_with_the_answer_of_the_request(function: JobFunction) -> None:
    job_id = function.submit().document["id"]
    assert function.deliver(job_id) == []
    state = function.state(job_id)
    assert (state["status"], state["model_version"]) == ("succeeded", "1")
    assert state["result"]["content_type"] == "application/json"
    document = json.loads(function.result(job_id))
    assert document["outputs"][0]["data"] == [2.0, 4.0]
    assert state["result"]["size"] == len(function.result(job_id))


def test_the_result_is_csv_where_the_request_accepts_csv(function: JobFunction) -> None:
    job_id = function.submit(accept="text/csv").document["id"]
    function.deliver(job_id)
    assert function.state(job_id)["result"]["content_type"].startswith("text/csv")
    assert function.result(job_id).splitlines()[1:] == [b"2.0,4.0"]


def test_csv_is_answered_with_csv(function: JobFunction) -> None:
    job_id = function.submit(b"1,2\n3,4\n", content_type="text/csv").document["id"]
    function.deliver(job_id)
    assert function.result(job_id).splitlines()[1:] == [b"2.0,4.0", b"6.0,8.0"]


def test_binary_tensors_are_answered_with_binary_tensors(function: JobFunction) -> None:
    rows = np.random.default_rng(0).random((5000, 2), np.float32)
    body, length = request_body({"X": rows})
    job_id = function.submit(
        body, content_type="application/octet-stream", inference_header_content_length=str(length)
    ).document["id"]
    function.deliver(job_id)
    result = function.state(job_id)["result"]
    data = function.result(job_id)
    tensor = data[result["inference_header_content_length"] :]
    assert np.array_equal(np.frombuffer(tensor, "<f4").reshape(-1, 2), rows * 2)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"inputs": []}, "missing"),
        ({"instances": [[1, 2, 3]]}, "instances"),
        ({"instances": [["a", "b"]]}, "a"),
        (b"{", "not JSON"),
        (b"", "missing"),
    ],
)
def test_a_request_that_does_not_fit_the_contract_is_refused_at_once(
    function: JobFunction, body: Any, reason: str
) -> None:
    answer = function.submit(body)
    assert answer.status == 400
    assert reason in answer.document["error"]
    assert function.store().queued() == []


@pytest.mark.parametrize("content_type", ["application/jsonl", "Application/X-NPY; a=b"])
def test_a_format_of_uploads_is_refused_in_a_request(
    function: JobFunction, content_type: str
) -> None:
    answer = function.submit(content_type=content_type)
    assert answer.status == 400
    assert content_type in answer.document["error"]
    assert "POST .../jobs" in answer.document["error"]
    assert function.store().queued() == []


@pytest.mark.parametrize("prefer", ["wait=10", "respond-sync", "handling=strict", ""])
def test_other_preferences_are_answered_at_once(function: JobFunction, prefer: str) -> None:
    answer = function.send("POST", "/infer", json.dumps(ROWS).encode(), prefer=prefer)
    assert answer.status == 200
    assert "preference-applied" not in answer.headers


@pytest.mark.parametrize(
    "prefer", ["respond-async, wait=10", "wait=5,Respond-Async", "respond-async;x=1"]
)
def test_the_preference_may_stand_among_others(function: JobFunction, prefer: str) -> None:
    assert function.send("POST", "/infer", json.dumps(ROWS).encode(), prefer=prefer).status == 202


def test_a_model_without_jobs_answers_at_once(tmp_path: Path) -> None:
    function = JobFunction(tmp_path, jobs="")
    assert function.submit().status == 200
    answer = function.send("POST", "/jobs")
    assert answer.status == 404
    assert "jobs = {}" in answer.document["error"]


def test_a_body_is_uploaded_and_starts_the_job(function: JobFunction) -> None:
    answer = function.send("POST", "/jobs", b'{"content_type": "text/csv"}')
    job = answer.document
    assert answer.status == 201
    assert job["upload"]["method"] == "PUT"
    assert job["upload"]["url"].endswith(f"/jobs/{job['id']}/request")
    function.store().put_request(job["id"], b"X_0,X_1\n1,2\n")
    function.deliver(job["id"])
    assert function.result(job["id"]).splitlines()[1:] == [b"2.0,4.0"]


def test_an_uploaded_body_that_does_not_fit_the_contract_fails(function: JobFunction) -> None:
    job_id = function.send("POST", "/jobs").document["id"]
    function.store().put_request(job_id, b'{"instances": [[1, 2, 3]]}')
    assert function.deliver(job_id) == []
    state = function.state(job_id)
    assert (state["status"], state["error_status"]) == ("failed", 400)
    assert "instances" in state["error"]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"content_type": "image/gif"}, "content_type: 'image/gif'"),
        ({"content_typ": "text/csv"}, "content_typ: unknown field"),
        ({"content_type": 5.5}, "content_type: 5.5"),
        ({"content_type": "text/csv;header=maybe"}, "header=maybe"),
        ({"content_type": "application/octet-stream"}, "inference_header_content_length"),
        ({"inference_header_content_length": 10}, "inference_header_content_length"),
        ([], "expected an object"),
    ],
)
def test_the_description_of_an_upload_is_checked_at_once(
    function: JobFunction, document: Any, reason: str
) -> None:
    answer = function.send("POST", "/jobs", json.dumps(document).encode())
    assert answer.status == 400
    assert reason in answer.document["error"]


def test_a_body_larger_than_the_memory_allows_fails_with_both_sizes(tmp_path: Path) -> None:
    function = JobFunction(tmp_path, memory_mb=8)
    job = function.send("POST", "/jobs").document
    assert job["upload"]["max_bytes"] == 2**20
    function.store().put_request(job["id"], b" " * (2**20 + 1))
    function.deliver(job["id"])
    state = function.state(job["id"])
    assert state["error_status"] == 413
    assert "1,048,577" in state["error"]
    assert "1,048,576" in state["error"]


# Who sees which job


@pytest.mark.parametrize("job_id", ["0" * 32, "x", "..", "%2e%2e", "A" * 32, "0" * 31])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_guessed_id_is_not_found(function: JobFunction, method: str, job_id: str) -> None:
    assert function.send(method, f"/jobs/{job_id}").status == 404


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_the_id_of_another_alias_is_not_found(function: JobFunction, method: str) -> None:
    job_id = function.submit().document["id"]
    assert function.send(method, f"/jobs/{job_id}", alias="staging").status == 404
    assert function.send("GET", f"/jobs/{job_id}").status == 200


def test_an_expired_job_is_not_found(
    function: JobFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = function.submit().document["id"]
    function.deliver(job_id)
    later(monkeypatch, 7.1 * 86_400)
    assert function.send("GET", f"/jobs/{job_id}").status == 404
    assert function.deliver(job_id) == []


def test_a_message_for_another_alias_fails(function: JobFunction) -> None:
    job_id = function.submit().document["id"]
    key = f"jobs/staging/{job_id}/request"
    record = {
        "messageId": "m-1",
        "eventSource": "aws:sqs",
        "body": json.dumps(message(key)),
    }
    answer = respond({"Records": [record]}, Invocation("prod"), function.server)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}


# Idempotency


def test_one_key_of_one_caller_is_one_job(function: JobFunction) -> None:
    def submit(_: int) -> str:
        return str(function.submit(idempotency_key=KEY).document["id"])

    with ThreadPoolExecutor(20) as pool:
        ids = set(pool.map(submit, range(20)))
    assert len(ids) == 1
    assert function.store().queued() == list(ids)


def test_a_key_may_be_quoted(function: JobFunction) -> None:
    ids = {function.submit(idempotency_key=key).document["id"] for key in (KEY, f'"{KEY}"')}
    assert len(ids) == 1


def test_the_same_key_of_two_callers_is_two_jobs(function: JobFunction) -> None:
    ids = {
        function.submit(idempotency_key="order-17", caller=caller).document["id"]
        for caller in (ALICE, BOB, ALICE)
    }
    assert len(ids) == 2


def test_two_aliases_have_jobs_of_their_own_for_one_key(function: JobFunction) -> None:
    for alias in ("prod", "staging"):
        assert function.submit(idempotency_key=KEY, alias=alias).status == 202
        assert len(function.store(alias).queued()) == 1


def test_a_key_for_another_request_is_refused(function: JobFunction) -> None:
    function.submit(idempotency_key=KEY)
    answer = function.submit({"instances": [[5, 6]]}, idempotency_key=KEY)
    assert answer.status == 422
    assert "another request" in answer.document["error"]


@pytest.mark.parametrize("key", ["order-17", "12345678901234567890123456789012", "a" * 64, ""])
def test_without_authentication_a_key_that_can_be_guessed_is_refused(
    function: JobFunction, key: str
) -> None:
    answer = function.submit(idempotency_key=key)
    assert answer.status == 400
    assert "idempotency-key" in answer.document["error"]
    assert function.submit(idempotency_key=key or "x", caller=ALICE).status == 202


def test_ids_of_keys_differ_between_buckets(tmp_path: Path) -> None:
    ids = {JobFunction(tmp_path).submit(idempotency_key=KEY).document["id"] for _ in range(2)}
    assert len(ids) == 2


def test_a_function_reads_the_key_of_ids_once(
    function: JobFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    plain = Store.read

    def counting(store: Store, key: str) -> bytes | None:
        read.append(key)
        return plain(store, key)

    monkeypatch.setattr(Store, "read", counting)
    function.submit(idempotency_key=KEY)
    assert "secret/idempotency" in read
    read.clear()
    function.submit(idempotency_key=KEY)
    assert "secret/idempotency" not in read


def test_a_retried_post_after_a_kill_stores_the_missing_body(
    function: JobFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("shearling_runtime.jobs.job_store.JobStore.put_request", killed)
        assert function.submit(idempotency_key=KEY).status == 500
    assert function.store().queued() == []
    job_id = function.submit(idempotency_key=KEY).document["id"]
    assert function.store().queued() == [job_id]


# Cancelling


def test_a_queued_job_is_cancelled_and_never_run(function: JobFunction) -> None:
    job_id = function.submit().document["id"]
    for _ in range(2):
        answer = function.send("DELETE", f"/jobs/{job_id}")
        assert (answer.status, answer.document["status"]) == (200, "failed")
        assert answer.document["error"] == "the job was cancelled"
    assert function.deliver(job_id) == []
    assert function.state(job_id)["error"] == "the job was cancelled"


def test_a_finished_job_cannot_be_cancelled(function: JobFunction) -> None:
    job_id = function.submit().document["id"]
    function.deliver(job_id)
    answer = function.send("DELETE", f"/jobs/{job_id}")
    assert answer.status == 409
    assert function.state(job_id)["status"] == "succeeded"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/jobs", "POST"), ("PUT", f"/jobs/{'0' * 32}", "DELETE")],
)
def test_other_methods_are_refused(
    function: JobFunction, method: str, path: str, allowed: str
) -> None:
    answer = function.send(method, path)
    assert answer.status == 405
    assert allowed in answer.headers["allow"]


def killed(*_: object, **__: object) -> None:
    raise KeyError("killed")


# What describes the jobs


def test_the_openapi_document_has_the_jobs_of_a_model_that_has_them(function: JobFunction) -> None:
    document = function.send("GET", "/openapi.json").document
    validate(document)
    paths = document["paths"]
    assert set(paths["/v2/models/fraud/jobs/{job}"]) == {"parameters", "get", "delete"}
    assert set(paths["/v2/models/fraud/jobs"]) == {"post"}
    submit = paths["/v2/models/fraud/infer"]["post"]
    assert "202" in submit["responses"]
    assert "Prefer" in {header["name"] for header in submit["parameters"]}


def test_the_openapi_document_of_a_model_without_jobs_has_none(tmp_path: Path) -> None:
    document = JobFunction(tmp_path, jobs="").send("GET", "/openapi.json").document
    assert not any("jobs" in path for path in document["paths"])
    assert "202" not in document["paths"]["/v2/models/fraud/infer"]["post"]["responses"]


def test_each_document_of_a_job_is_as_the_openapi_document_says(function: JobFunction) -> None:
    described = function.send("GET", "/openapi.json").document
    schema = described["components"]["schemas"]["Job"]
    queued = function.submit().document
    uploading = function.send("POST", "/jobs").document
    done, failed = (function.submit().document["id"] for _ in range(2))
    function.deliver(done)
    function.send("DELETE", f"/jobs/{failed}")
    for document in (queued, uploading, function.state(done), function.state(failed)):
        assert set(schema["required"]) <= set(document) <= set(schema["properties"])
        assert document["status"] in schema["properties"]["status"]["enum"]
