"""Threads that read an object ahead end with its scoring, whatever keeps the error alive."""

from __future__ import annotations

import gc
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from shearling.errors import InvalidRequestError, PredictionError
from shearling.scoring import reading
from tests.scoring.models import table_scorer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from shearling.protocol.requests import InferRequest
    from tests.scoring.places import Places


@pytest.fixture(autouse=True)
def _many_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PART_BYTES", 64)


@pytest.fixture(autouse=True)
def _without_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("kind", [PredictionError, InvalidRequestError])
@pytest.mark.parametrize(
    ("key", "row"), [("a.csv", b"1,a\n"), ("a.jsonl", b'{"age": 1, "name": "a"}\n')]
)
def test_no_thread_reads_on_after_a_model_has_failed(
    places: Places, key: str, row: bytes, kind: type[Exception]
) -> None:
    def failing(_: InferRequest) -> Mapping[str, NDArray[Any]]:
        raise kind("the reason")

    head = b"age,name\n" if key == "a.csv" else b""
    places.put(key, head + row * 500)
    scorer = replace(table_scorer(), answer=failing)
    outcome = places.score(key, scorer, block_bytes=20)
    assert isinstance(outcome.error, kind)
    assert [each.name for each in threading.enumerate() if each.name.startswith("read")] == []
