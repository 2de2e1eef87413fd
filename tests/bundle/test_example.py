"""The file of the example, and the comparison of outputs with it."""

from __future__ import annotations

import contextlib
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearling.bundle.example import Example
from shearling.errors import BundleError
from shearling.tensors.comparison import Comparison, compare
from shearling.tensors.spec import Signature, TensorSpec

NAN = float("nan")
INF = float("inf")


def strings(*values: str) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def compared(wanted: Any, given: Any, *, rtol: float = 0.0, atol: float = 0.0) -> Comparison:
    return compare({"Y": np.asarray(wanted)}, {"Y": np.asarray(given)}, rtol=rtol, atol=atol)


def test_an_example_reads_back_as_it_was_written() -> None:
    example = Example(
        {
            "floats": np.array([[1.5, NAN], [-INF, -0.0]], np.float32),
            "strings": strings("de", "", "grüße\n\0"),
            "flags": np.array([[True], [False]]),
        },
        {"label": np.array([2**63 - 1, -1]), "none": np.empty((0, 3), np.float64)},
    )
    again = Example.from_bytes(example.to_bytes())
    for tensors, read in ((example.inputs, again.inputs), (example.outputs, again.outputs)):
        assert list(tensors) == list(read)
        for name, array in tensors.items():
            assert array.dtype == read[name].dtype
            np.testing.assert_array_equal(array, read[name])
    assert np.signbit(again.inputs["floats"][1, 1])


def test_the_file_of_an_example_is_little_endian_whatever_the_array_is() -> None:
    big = Example({"X": np.array([1.5], ">f8")}, {})
    little = Example({"X": np.array([1.5], "<f8")}, {})
    assert big.to_bytes() == little.to_bytes()
    assert big.to_bytes().endswith(struct.pack("<d", 1.5))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 4) + b"null",
        struct.pack("<Q", 2**63) + b"{}",
        Example({"X": np.ones(3)}, {"Y": np.ones(3)}).to_bytes()[:-1],
        Example({"X": strings("abc")}, {}).to_bytes()[:-1],
        Example({"X": np.ones(3)}, {}).to_bytes().replace(b'"FP64"', b'"FP65"'),
        Example({"X": np.ones(3)}, {}).to_bytes().replace(b"[3]", b"[4]"),
        Example({"X": strings("abc")}, {}).to_bytes().replace(b"abc", b"\xff\xff\xff"),
    ],
)
def test_a_broken_example_is_a_bundle_error(data: bytes) -> None:
    with pytest.raises(BundleError, match="the example cannot be read"):
        Example.from_bytes(data)


def with_head(**head: object) -> bytes:
    """An example of one float, with a head that says something else."""
    one = {"name": "X", "datatype": "FP32", "shape": [1], "size": 4}
    document = {"inputs": [one | head], "outputs": []}
    text = json.dumps(document).encode()
    return struct.pack("<Q", len(text)) + text + bytes(4)


@pytest.mark.parametrize(
    "head",
    [
        {"name": 1},
        {"name": "\ud800"},
        {"name": None},
        {"datatype": []},
        {"datatype": {}},
        {"shape": 1},
        {"shape": [1.0]},
        {"shape": [True]},
        {"shape": [-1]},
        {"shape": [2**64, 0], "size": 0},
        {"shape": [2**52, 2**52, 0], "size": 0},
        {"shape": [1] * 70},
        {"size": -4},
        {"size": 2**64},
        {"size": "4"},
        {"size": 4.0},
        {"unit": 0.5},
    ],
)
def test_a_head_that_says_something_impossible_is_a_bundle_error(head: dict[str, object]) -> None:
    with pytest.raises(BundleError, match="the example cannot be read"):
        Example.from_bytes(with_head(**head))


@pytest.mark.parametrize("depth", [201, 900, 100_000])
@pytest.mark.parametrize("nested", ["[", '{"a":'])
def test_a_head_that_is_nested_deeply_is_a_bundle_error(nested: str, depth: int) -> None:
    close = "]" if nested == "[" else "}"
    text = f'{{"inputs":[],"outputs":[],"more":{nested * depth}0{close * depth}}}'.encode()
    with pytest.raises(BundleError, match="the example cannot be read"):
        Example.from_bytes(struct.pack("<Q", len(text)) + text)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda b: struct.pack("<Q", 2) + b))
def test_no_bytes_raise_anything_but_a_bundle_error(data: bytes) -> None:
    with contextlib.suppress(BundleError):
        Example.from_bytes(data)


@given(st.data())
def test_a_changed_byte_of_an_example_raises_nothing_but_a_bundle_error(
    draw: st.DataObject,
) -> None:
    data = bytearray(
        Example({"X": np.ones((2, 2)), "S": strings("a")}, {"Y": np.ones(2)}).to_bytes()
    )
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(BundleError):
        Example.from_bytes(bytes(data))


# What an example must have to prove a signature

SIGNATURE = Signature(
    inputs=(TensorSpec(name="X", datatype="FP32", shape=(-1, 2)),),
    outputs=(
        TensorSpec(name="Y", datatype="FP32", shape=(-1, 2)),
        TensorSpec(name="Z", datatype="INT64", shape=(-1,)),
    ),
)
ONES = np.ones((1, 2), np.float32)


def test_an_example_with_all_that_the_signature_says_is_taken() -> None:
    Example({"X": ONES}, {"Y": ONES, "Z": np.ones(1, np.int64)}).check(SIGNATURE)


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ({"X": ONES}, {}, "no output 'Y', so it proves nothing"),
        ({"X": ONES}, {"Y": ONES}, "no output 'Z', so it proves nothing"),
        ({}, {"Y": ONES, "Z": ONES}, "no input 'X'"),
        ({"X": ONES[:, :1]}, {"Y": ONES, "Z": ONES}, r"FP32\[1, 1\] for input X FP32\[-1, 2\]"),
        ({"X": ONES[0]}, {"Y": ONES, "Z": ONES}, r"FP32\[2\] for input X"),
        ({"X": np.ones((1, 2))}, {"Y": ONES, "Z": ONES}, r"FP64\[1, 2\] for input X"),
        ({"X": ONES[:0]}, {"Y": ONES[:0], "Z": ONES}, "no rows, so it proves nothing"),
    ],
)
def test_an_example_that_would_prove_nothing_is_refused(
    inputs: dict[str, Any], outputs: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BundleError, match=reason):
        Example(inputs, outputs).check(SIGNATURE)


# Comparing


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ([1.0, NAN], [1.0, NAN]),
        ([INF, -INF], [INF, -INF]),
        ([1, 2], [1, 2]),
        ([True], [True]),
        (strings("a", ""), strings("a", "")),
        (1.5, 1.5),
        (np.empty((0, 2)), np.empty((0, 2))),
        (np.array([1.0], np.float32), np.array([1.0], np.float64)),
        (np.array([1.0]), np.array([1])),
    ],
)
def test_equal_answers_have_no_problem_and_no_difference(wanted: Any, given: Any) -> None:
    assert compared(wanted, given) == Comparison(0.0, "")


@pytest.mark.parametrize(
    ("wanted", "given", "difference", "problem"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.5, "output Y[1] is 2.5, expected 2.0 (1 of 2 values differ)"),
        ([[1.0, 5.0]], [[2.0, 2.0]], 3.0, "output Y[0, 1] is 2.0, expected 5.0 (2 of 2"),
        ([NAN], [1.0], INF, "output Y[0] is 1.0, expected nan"),
        ([1.0], [NAN], INF, "output Y[0] is nan, expected 1.0"),
        ([INF], [-INF], INF, "output Y[0] is -inf, expected inf"),
        ([1.0, INF], [2.0, 3.0], INF, "output Y[1] is 3.0, expected inf"),
        ([1, 2, 3, 4], [1, 0, 3, 4], 0.25, "output Y[1] is 0, expected 2 (1 of 4"),
        (strings("a", "b"), strings("a", "c"), 0.5, "output Y[1] is 'c', expected 'b'"),
        (strings("1"), [1.0], 1.0, "output Y[0] is 1.0, expected '1'"),
        ([1.0], strings("1"), 1.0, "output Y[0] is '1', expected 1.0"),
        (1.5, 2.0, 0.5, "output Y[] is 2.0, expected 1.5"),
        ([1.0], [[1.0]], INF, "output 'Y' has shape [1, 1], expected [1]"),
        (np.empty((0, 2)), np.empty((0, 3)), INF, "has shape [0, 3], expected [0, 2]"),
    ],
)
def test_a_difference_is_reported_with_its_worst_place(
    wanted: Any, given: Any, difference: float, problem: str
) -> None:
    found = compared(wanted, given)
    assert found.difference == difference
    assert problem in found.problem


@pytest.mark.parametrize(
    ("rtol", "atol", "fits"),
    [(0.0, 0.1, True), (0.0, 0.09, False), (0.01, 0.0, True), (0.009, 0.0, False)],
)
def test_the_tolerance_is_relative_to_the_expected_value_or_absolute(
    *, rtol: float, atol: float, fits: bool
) -> None:
    found = compared([10.0], [10.0999], rtol=rtol, atol=atol)
    assert (not found.problem) == fits
    assert found.difference == pytest.approx(0.0999)


def test_the_worst_place_is_outside_the_tolerance() -> None:
    found = compared([1000.0, 1.0], [1005.0, 1.5], rtol=0.01)
    assert "Y[1]" in found.problem
    assert found.difference == 5.0


def test_a_missing_output_is_named() -> None:
    found = compare({"Y": np.ones(1)}, {"Z": np.ones(1)}, rtol=0.0, atol=0.0)
    assert found == Comparison(INF, "output 'Y' is missing")


def test_additional_outputs_are_ignored() -> None:
    assert not compare({}, {"Z": np.ones(1)}, rtol=0.0, atol=0.0).problem


def test_the_largest_difference_is_over_all_outputs() -> None:
    wanted = {"a": np.zeros(1), "b": np.zeros(1), "c": np.zeros(1)}
    given = {"a": np.full(1, 0.1), "b": np.full(1, 0.3), "c": np.full(1, 0.2)}
    assert compare(wanted, given, rtol=0.0, atol=1.0) == Comparison(0.3, "")
