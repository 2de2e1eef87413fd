"""Pictures as objects: each is one row, answered by a line of JSON."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import polars as pl
import pytest

import shearling as sdk
from shearling.models.push import push_model
from shearling.registry.registry import Registry
from shearling.scoring.formats import format_of, renamed
from shearling.scoring.request import ScoreRequest
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.settings import Settings
from tests.scoring.models import matrix_scorer
from tests.scoring.places import Places
from tests.support.pictures import COLOURS, SIDE, drawn, file_of, mean_colours

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.scoring.blocks import Scorer


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """A network that tells colours, as a function has it."""
    registry = Registry(tmp_path_factory.mktemp("registry"))
    version = push_model(
        mean_colours(),
        "cats",
        example=[drawn()],
        image=sdk.Image(size=SIDE),
        classes=COLOURS,
        registry=registry,
    )
    environment = {
        "SHEARLING_REGISTRY": registry.store.uri,
        "SHEARLING_MODEL": str(version.pin),
        "SHEARLING_SCRATCH": str(tmp_path_factory.mktemp("scratch")),
        "AWS_LAMBDA_FUNCTION_NAME": "acme-cats",
    }
    return ModelServer(Settings.from_environment(environment)).scorer()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


@pytest.mark.parametrize(
    ("key", "kind"),
    [("a/cat.jpg", "JPEG"), ("b.JPEG", "JPEG"), ("c.png", "PNG"), ("d.webp", "WEBP")],
)
def test_a_picture_is_scored_into_a_line_of_json(
    places: Places, scorer: Scorer, key: str, kind: str
) -> None:
    places.put(key, file_of(drawn(colour="blue"), kind))
    outcome = places.score(key, scorer)
    assert (outcome.status, outcome.rows) == ("scored", 1)
    assert places.files() == [f"{key}.jsonl", f"{key}.jsonl.manifest.json"]
    (line,) = places.read(f"{key}.jsonl").splitlines()
    assert np.argmax(orjson.loads(line)["probabilities"]) == 2
    manifest = places.json(f"{key}.jsonl.manifest.json")
    assert (manifest["source"]["key"], manifest["output"]["format"]) == (key, "jsonl")


def test_another_format_names_the_classes(places: Places, scorer: Scorer) -> None:
    places.put("cat.png", file_of(drawn()))
    assert places.score("cat.png", scorer, output={"format": "csv"}).has_result
    names, _ = places.read("cat.png.csv").decode().splitlines()
    assert names == "probabilities[red],probabilities[green],probabilities[blue]"


def test_pictures_of_one_name_do_not_replace_each_other() -> None:
    keys = ["cat.jpg", "cat.png"]
    assert [renamed(key, "jsonl") for key in keys] == ["cat.jpg.jsonl", "cat.png.jsonl"]
    assert {format_of(key) for key in keys} == {"image"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "source: row 1: image: not a JPEG, PNG or WebP picture: it is empty"),
        (b"GIF89a", "source: row 1: image: not a JPEG, PNG or WebP picture"),
        (file_of(drawn())[:300], "source: row 1: image: the PNG picture cannot be decoded"),
    ],
)
def test_what_is_no_picture_is_a_result(
    places: Places, scorer: Scorer, data: bytes, message: str
) -> None:
    places.put("cat.png", data)
    assert places.score("cat.png", scorer).status == "failed"
    error = places.json("cat.png.jsonl.error.json")["error"]
    assert error["message"].startswith(message)
    assert error["row"] == 1


def test_a_picture_that_is_skipped_leaves_an_empty_output(places: Places, scorer: Scorer) -> None:
    places.put("cat.png", b"\x89PNG")
    outcome = places.score("cat.png", scorer, on_bad_rows="skip")
    assert (outcome.rows, outcome.rejected) == (1, 1)
    assert places.read("cat.png.jsonl") == b""
    rejected = places.json("cat.png.jsonl.rejected.jsonl")
    assert rejected["data"] == "a picture of 4 bytes"


def test_rows_of_json_and_csv_carry_pictures_as_base64(places: Places, scorer: Scorer) -> None:
    texts = [b64encode(file_of(drawn(colour=colour))).decode() for colour in COLOURS]
    places.put("a.jsonl", b"".join(orjson.dumps({"image": text}) + b"\n" for text in texts))
    places.put("a.csv", "\n".join(["image", *texts, ""]).encode())
    for key in ("a.jsonl", "a.csv"):
        assert places.score(key, scorer).rows == 3
    lines = map(orjson.loads, places.read("a.jsonl").splitlines())
    assert [int(np.argmax(line["probabilities"])) for line in lines] == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"keep_columns": True}, "options.keep_columns: a picture has no columns"),
        ({"output": {"format": "npy"}}, ""),
    ],
)
def test_a_picture_keeps_no_columns(
    places: Places, scorer: Scorer, options: dict[str, Any], problem: str
) -> None:
    places.put("cat.png", file_of(drawn()))
    outcome = places.score("cat.png", scorer, **options)
    assert (outcome.failure.message if outcome.failure else "").startswith(problem)


def test_a_model_of_numbers_takes_no_pictures(places: Places) -> None:
    places.put("cat.png", file_of(drawn()))
    outcome = places.score("cat.png", matrix_scorer())
    assert outcome.failure
    assert outcome.failure.message == "source: a picture, but the model takes x FP32[-1, 3]"


def test_no_output_is_a_picture() -> None:
    from shearling.errors import InvalidRequestError

    document = {
        "source": {"bucket": "in", "key": "a.csv"},
        "output": {"bucket": "out", "format": "image"},
    }
    with pytest.raises(InvalidRequestError, match=r"output.format: 'image' is not one of csv, "):
        ScoreRequest.from_document(document)


def test_parquet_carries_pictures_as_bytes(places: Places, scorer: Scorer) -> None:
    files = [file_of(drawn(colour=colour)) for colour in COLOURS]
    stream = io.BytesIO()
    pl.DataFrame({"image": files}).write_parquet(stream)
    places.put("a.parquet", stream.getvalue())
    outcome = places.score("a.parquet", scorer, output={"format": "jsonl"})
    assert outcome.failure is None
    lines = map(orjson.loads, places.read("a.jsonl").splitlines())
    assert [int(np.argmax(line["probabilities"])) for line in lines] == [0, 1, 2]
