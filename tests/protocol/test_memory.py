"""What a request takes in memory is a small multiple of its body, whatever it says."""

from __future__ import annotations

import contextlib
import tracemalloc
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearling.errors import InvalidRequestError
from shearling.protocol.csv_rows import parse_csv
from shearling.protocol.instances import parse_instances
from shearling.protocol.requests import parse_request
from shearling.tensors.json_values import array_of
from shearling.tensors.spec import Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes that reading may take for each byte of a body, and for a block of rows.
MULTIPLE, BLOCK = 32, 3 * 2**20

BODY = 60_000
DATATYPES = ["FP32", "INT64", "INT8", "BOOL", "BYTES"]
SHAPES = [(-1,), (-1, 1), (-1, 2)]

#: What fills a body as the values of a list.
VALUES = {
    "integers": "1",
    "floats": "1.5",
    "strings": '"ab"',
    "wide characters": '"\u20ac\u20ac"',
    "nothing": "null",
    "numbers and strings": '1,"ab"',
    "objects among numbers": '1,{"a":1}',
    "beyond 64 bits": "18446744073709551616",
    "rows": "[1,2]",
    "empty rows": "[]",
    "rows with strings": '[1,"a"]',
    "rows of different lengths": "[1],[1,2]",
    "nested": "[[[[[[[[[[1]]]]]]]]]]",
}


def filled(unit: str, separator: str = ",") -> str:
    return separator.join([unit] * (BODY // (len(unit) + len(separator))))


def bodies() -> dict[str, str]:
    third = BODY // 3
    long = f'"{"x" * third}"'
    return {
        **{name: filled(unit) for name, unit in VALUES.items()},
        "a long string": f"{long},{','.join(['1'] * third)}",
        "a long string in rows": f"[{long}],{','.join(['[1]'] * (third // 2))}",
        "deeply nested": "[" * 900 + "]" * 900,
    }


def signature(datatype: str, shape: tuple[int, ...]) -> Signature:
    return Signature(
        inputs=(TensorSpec(name="X", datatype=datatype, shape=shape),),
        outputs=(TensorSpec(name="Y", datatype="FP32", shape=(-1,)),),
    )


def peak(call: Callable[[], object]) -> int:
    """Return the most memory that a call held, be what it reads refused or not."""
    tracemalloc.start()
    try:
        with contextlib.suppress(InvalidRequestError):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("body", bodies().items(), ids=lambda body: str(body[0]))
@pytest.mark.parametrize("datatype", DATATYPES)
def test_reading_json_takes_a_small_multiple_of_the_body(
    datatype: str, body: tuple[str, str]
) -> None:
    data = orjson.loads(f"[{body[1]}]")
    for shape in SHAPES:
        takes = signature(datatype, shape)
        sizes = [len(data), *shape[1:]]
        tensor = {"name": "X", "datatype": datatype, "shape": sizes, "data": data}
        for call in (
            lambda tensor=tensor, takes=takes: parse_request({"inputs": [tensor]}, takes),
            lambda takes=takes: parse_instances({"instances": data}, takes, ("a", "b")),
        ):
            assert peak(call) < MULTIPLE * len(body[1]) + BLOCK


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize(
    "text",
    [
        *(filled(line, "\n") for line in ("1", "12", "ab", '"1"', '""', "", " 1", "1,ab", ",")),
        filled("12"),
        filled('"12"'),
        "x" * (BODY // 2) + filled("1", "\n")[: BODY // 2],
    ],
    ids=lambda text: repr(text[:6]),
)
def test_reading_a_table_takes_a_small_multiple_of_the_body(datatype: str, text: str) -> None:
    for shape in (*SHAPES, (-1, -1)):
        takes = signature(datatype, shape)
        call = lambda takes=takes: parse_csv(text, takes, has_names=False)  # noqa: E731
        assert peak(call) < MULTIPLE * len(text) + BLOCK


LONG = st.integers(1, 20_000).map(lambda count: "x" * count)
LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | LONG
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner)
)


@given(
    data=st.lists(ANYTHING, max_size=30),
    repeated=st.integers(1, 2000),
    datatype=st.sampled_from(DATATYPES),
)
def test_no_values_take_more_than_a_small_multiple_of_themselves(
    data: list[Any], repeated: int, datatype: str
) -> None:
    size = len(repr(data)) * repeated
    takes = TensorSpec(name="X", datatype=datatype, shape=(-1,))
    repeats = data * repeated
    assert peak(lambda: array_of(repeats, takes, "data")) < MULTIPLE * size + BLOCK
