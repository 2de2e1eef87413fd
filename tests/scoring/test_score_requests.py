"""The JSON document of a score request."""

from __future__ import annotations

from typing import Any

import pytest

from shearling.errors import InvalidRequestError
from shearling.scoring.formats import format_of, format_of_type, renamed
from shearling.scoring.request import ScoreRequest, check_places, is_score_request

SOURCE = {"bucket": "in", "key": "incoming/a b+ü%.csv", "etag": '"e1"', "size": 12}
OUTPUT = {"bucket": "out", "prefix": "scored/"}


def document(**fields: Any) -> dict[str, Any]:
    return {"shearling": "score", "event": "incoming", "source": SOURCE, "output": OUTPUT} | fields


def refusal(value: object) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        ScoreRequest.from_document(value)
    return str(caught.value)


def test_a_request_reads_back_as_it_was_written() -> None:
    request = ScoreRequest.from_document(document(options={"keep_columns": True}))

    assert ScoreRequest.from_document(request.document()) == request


def test_a_request_of_a_part_reads_back_as_it_was_written() -> None:
    source = SOURCE | {"etag": "e1", "if_match": True, "part": {"start": 12, "stop": 40, "head": 5}}
    request = ScoreRequest.from_document(document(source=source))

    assert ScoreRequest.from_document(request.document()) == request
    assert request.document()["source"] == source


def test_the_output_has_the_sources_key_without_its_prefix() -> None:
    request = ScoreRequest.from_document(document(options={"source_prefix": "incoming/"}))

    assert request.output_key == "scored/a b+ü%.csv"


def test_the_output_has_the_suffix_of_another_format() -> None:
    request = ScoreRequest.from_document(document(output=OUTPUT | {"format": "jsonl"}))

    assert request.output_key == "scored/incoming/a b+ü%.jsonl"
    assert (request.source_format, request.output_format) == ("csv", "jsonl")


def test_a_key_names_the_output_exactly() -> None:
    request = ScoreRequest.from_document(document(output={"bucket": "out", "key": "result.bin"}))

    assert request.output_key == "result.bin"


def test_fields_that_an_event_leaves_empty_are_absent() -> None:
    source = SOURCE | {"version_id": "", "size": "", "etag": None}

    read = ScoreRequest.from_document(document(source=source)).source

    assert (read.version_id, read.size, read.etag) == ("", None, "")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "request: [] is not an object"),
        (document(sources={}), "'sources': unknown field; did you mean 'source'?"),
        (document(source={}), "source.bucket: null is not a text"),
        (document(source=SOURCE | {"bucket": ""}), "source.bucket: empty, but required"),
        (document(source=SOURCE | {"key": 7}), "source.key: 7 is not a text"),
        (document(source=SOURCE | {"size": -1}), "source.size: -1 is not a number from 0"),
        (document(source=SOURCE | {"part": {"stop": 5}}), "source.part.start: missing"),
        (document(source=SOURCE | {"part": {"start": 5, "stop": 5}}), "stop: 5 is not above"),
        (
            document(source=SOURCE | {"part": {"start": 5, "stop": 9, "head": 6}}),
            "head: 6 is above",
        ),
        (document(source=SOURCE | {"part": {"from": 5}}), "source.part.'from': unknown field"),
        (document(source={"bucket": "in", "key": "k", "if_match": True}), "source.etag: missing"),
        (document(source=SOURCE | {"format": "xml"}), "source.format: 'xml' is not one of csv"),
        (document(output=OUTPUT | {"key": "k"}), "output: has both `key` and `prefix`"),
        (document(output=OUTPUT | {"kms": "k"}), "output.'kms': unknown field"),
        (document(options={"on_bad_rows": "drop"}), "'drop' is not one of fail, skip"),
        (document(options={"keep_columns": 1}), "options.keep_columns: 1 is not true or false"),
        (document(options={"header": "no"}), "'no' is not one of auto, present, absent"),
        (document(shearling="check"), "shearling: 'check' is not one of score"),
    ],
)
def test_an_invalid_field_is_refused_by_name(value: object, problem: str) -> None:
    assert problem in refusal(value)


@pytest.mark.parametrize("ending", ["", ".manifest.json", ".error.json", ".rejected.jsonl"])
def test_a_result_of_which_a_file_is_its_own_source_is_refused(ending: str) -> None:
    request = document(
        source={"bucket": "in", "key": f"a.csv{ending}"}, output={"bucket": "in", "key": "a.csv"}
    )

    with pytest.raises(InvalidRequestError, match="would be the source itself"):
        check_places(ScoreRequest.from_document(request))


def test_only_a_document_that_says_so_is_a_score_request() -> None:
    assert is_score_request({"shearling": "score"})
    assert not is_score_request({"shearling": "check"})
    assert not is_score_request([1])


@pytest.mark.parametrize(
    ("key", "found"),
    [("a.csv", "csv"), ("A.CSV", "csv"), ("x/y.ndjson", "jsonl"), ("a.npy", "npy")],
)
def test_the_suffix_of_a_key_names_its_format(key: str, found: str) -> None:
    assert format_of(key) == found


def test_a_compressed_key_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequestError, match="is compressed"):
        format_of("incoming/a.csv.gz")


def test_a_key_without_a_known_suffix_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequestError, match="no known suffix"):
        format_of("incoming.csv/a")


def test_a_content_type_names_a_format() -> None:
    assert format_of_type("text/CSV; header=present") == "csv"
    assert format_of_type("application/json") is None


def test_a_key_without_a_suffix_gets_that_of_its_new_format() -> None:
    assert renamed("a", "csv") == "a.csv"
    assert renamed("a.ndjson", "jsonl") == "a.ndjson"


@pytest.mark.parametrize("value", [0, "", [], False])
def test_an_empty_value_that_is_no_object_is_refused_like_any_other(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"options: .* is not an object"):
        ScoreRequest.from_document(document(options=value))


def test_half_of_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(InvalidRequestError, match=r"source.key: .* is not a text"):
        ScoreRequest.from_document(document(source={"bucket": "in", "key": "\ud800"}))
