"""The file of the example, and the comparison of outputs with it."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from shearling.bundle.example import Example
from shearling.errors import BundleError
from shearling.tensors.comparison import Comparison, compare

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
