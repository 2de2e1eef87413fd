"""Asynchronous jobs behind a REST API, whose events have payload 1.0."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.jobs import JobFunction

if TYPE_CHECKING:
    from pathlib import Path

ALICE, BOB = "arn:aws:iam::123456789012:user/alice", "arn:aws:iam::123456789012:user/bob"


@pytest.fixture
def function(tmp_path: Path) -> JobFunction:
    return JobFunction(tmp_path, payload="1.0")


def test_a_request_that_prefers_it_becomes_a_job_below_the_stage(function: JobFunction) -> None:
    answer = function.submit()
    job_id = answer.document["id"]
    assert answer.status == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["location"] == f"/live/v2/models/fraud/jobs/{job_id}"


def test_a_job_is_looked_up_before_and_after_its_answer(function: JobFunction) -> None:
    job_id = function.submit().document["id"]
    assert function.state(job_id)["status"] == "queued"
    assert function.deliver(job_id) == []
    assert function.state(job_id)["status"] == "succeeded"
    assert json.loads(function.result(job_id))["outputs"][0]["data"] == [2.0, 4.0]


def test_a_body_is_uploaded_and_answered(function: JobFunction) -> None:
    answer = function.send("POST", "/jobs", b'{"content_type": "text/csv"}')
    job_id = answer.document["id"]
    assert answer.status == 201
    assert answer.headers["location"] == f"/live/v2/models/fraud/jobs/{job_id}"
    assert answer.document["upload"]["url"].endswith(f"/jobs/{job_id}/request")
    function.store().put_request(job_id, b"X_0,X_1\n1,2\n")
    function.deliver(job_id)
    assert function.result(job_id).splitlines()[1:] == [b"2.0,4.0"]


def test_a_job_without_a_description_is_one_of_json(function: JobFunction) -> None:
    job_id = function.send("POST", "/jobs").document["id"]
    function.store().put_request(job_id, b'{"instances": [[1, 2]]}')
    function.deliver(job_id)
    assert json.loads(function.result(job_id))["predictions"] == [[2.0, 4.0]]


def test_a_queued_job_is_cancelled_and_never_run(function: JobFunction) -> None:
    job_id = function.submit().document["id"]
    answer = function.send("DELETE", f"/jobs/{job_id}")
    assert (answer.status, answer.document["error"]) == (200, "the job was cancelled")
    function.deliver(job_id)
    assert function.state(job_id)["status"] == "failed"


def test_the_id_of_another_alias_is_not_found(function: JobFunction) -> None:
    job_id = function.submit().document["id"]
    for method in ("GET", "DELETE"):
        assert function.send(method, f"/jobs/{job_id}", alias="staging").status == 404


def test_a_short_idempotency_key_is_one_job_of_its_authenticated_caller(
    function: JobFunction,
) -> None:
    assert function.submit(idempotency_key="order-17").status == 400
    ids = {
        function.submit(idempotency_key="order-17", caller=caller).document["id"]
        for caller in (ALICE, BOB, ALICE)
    }
    assert len(ids) == 2
