"""Which places URIs and paths name."""

from __future__ import annotations

from pathlib import Path

import pytest

from shearling.batches.places import output_place, parse_place
from shearling.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://in/2026/*.parquet", "s3://in/2026/*.parquet"),
        ("s3://in", "s3://in/"),
        ("/data/*.csv", "/data/*.csv"),
        ("/data/x/../in/", "/data/in/"),
        ("/", "/"),
    ],
)
def test_a_place_reads_as_it_was_written(text: str, shown: str) -> None:
    assert str(parse_place(text, "inputs")) == shown


def test_a_path_is_relative_to_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/tmp")
    monkeypatch.setenv("HOME", "/home/ada")

    assert str(parse_place("in/*.csv", "inputs")) == f"{Path('/tmp')}/in/*.csv"
    assert str(parse_place("~/in", "inputs")) == "/home/ada/in"


def test_an_output_is_a_folder() -> None:
    assert [str(output_place(text)) for text in ("s3://out/run", "s3://out", "/out/run/")] == [
        "s3://out/run/",
        "s3://out/",
        "/out/run/",
    ]


@pytest.mark.parametrize("text", ["gs://in/a", "s3://", "s3:///a", "s3://in put/a", "a\0b"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"output: .* is neither s3://bucket/prefix nor"):
        output_place(text)


def test_a_path_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match=r"inputs: 'in/\\udcff' is not UTF-8: rename it"):
        parse_place("in/\udcff", "inputs")
