"""The JSON documents of a run and of its plan."""

from __future__ import annotations

import re
from typing import Any

import pytest

from shearling.batches.plan_document import Plan
from shearling.batches.run_document import RunDocument, new_id
from shearling.errors import InvalidRequestError

RUN = {
    "shearling": "batch",
    "run": "fraud-20260501-120000-abc123",
    "model": "fraud",
    "alias": "prod",
    "inputs": ["s3://in/2026/*.parquet", "s3://in/old/"],
    "output": "s3://out/run-7/",
    "max_concurrency": 200,
    "tolerated_failure_percentage": 2.5,
    "options": {"on_bad_rows": "skip"},
}

PLAN = {
    "shearling": "plan",
    "run": RUN,
    "pin": "fraud:7@sha256:" + "a" * 64,
    "function": "arn:aws:lambda:eu-west-1:123456789012:function:acme-fraud:12",
    "memory_mb": 1024,
    "parts": 3,
    "sources": 2,
    "bytes": 300,
    "created": "2026-05-01T12:00:00+00:00",
}


def test_a_run_reads_back_as_it_was_written() -> None:
    run = RunDocument.from_document(RUN)

    assert RunDocument.from_document(run.document()) == run
    assert run.document().items() >= {**RUN, "options": run.options.document()}.items()


def test_what_limits_a_run_is_in_its_document_even_by_default() -> None:
    run = RunDocument.from_document(
        {"run": "r", "model": "fraud", "version": 7, "inputs": "in", "output": "out"}
    )

    assert run.inputs == ("in",)
    assert run.document()["max_concurrency"] == 50
    assert run.document()["tolerated_failure_percentage"] == 0


def test_a_new_id_is_readable_and_unique() -> None:
    first, second = new_id("fraud"), new_id("fraud")

    assert re.fullmatch(r"fraud-\d{8}-\d{6}-[0-9a-f]{6}", first)
    assert first != second


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"input": "x"}, "'input': unknown field; did you mean 'inputs'?"),
        ({"alias": ""}, "alias, version: exactly one is required"),
        ({"version": 7}, "alias, version: exactly one is required"),
        ({"alias": "Prod"}, "alias 'Prod'"),
        ({"model": "a/b"}, "model 'a/b'"),
        ({"run": "a b"}, "run: 'a b' is not the ID of a run"),
        ({"run": "r" * 76}, "is not the ID of a run"),
        ({"inputs": []}, "inputs: [] is not an object, a prefix or a pattern"),
        ({"inputs": ["a", 1]}, "inputs[1]: 1 is not a text"),
        ({"output": ""}, "output: empty, but required"),
        ({"output_format": "image"}, "output_format: 'image' is not one of csv"),
        ({"input_format": "xml"}, "input_format: 'xml' is not one of csv"),
        ({"max_concurrency": 0}, "max_concurrency: 0 is not a whole number from 1 to 10,000"),
        ({"max_concurrency": True}, "max_concurrency: True is not a whole number"),
        ({"tolerated_failure_percentage": 101}, "101 is not a percentage from 0 to 100"),
        ({"tolerated_failure_percentage": float("nan")}, "nan is not a percentage"),
        ({"part_bytes": 5}, "part_bytes: 5 is not a whole number from 1,048,576"),
        ({"options": {"header": "no"}}, "options.header: 'no' is not one of auto"),
        ({"shearling": "score"}, "shearling: 'score' is not one of batch"),
    ],
)
def test_an_invalid_field_of_a_run_is_refused_by_name(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(problem)):
        RunDocument.from_document(RUN | fields)


def test_a_plan_reads_back_as_it_was_written() -> None:
    plan = Plan.from_document(PLAN)

    assert Plan.from_document(plan.document()) == plan


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"pin": "fraud:7"}, "pin: 'fraud:7' is not pinned"),
        ({"parts": -1}, "parts: -1 is not a number from 0"),
        ({"run": {}}, "alias, version: exactly one is required"),
        ({"rows": 1}, "'rows': unknown field"),
    ],
)
def test_an_invalid_field_of_a_plan_is_refused_by_name(
    fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(problem)):
        Plan.from_document(PLAN | fields)
