"""Rows with column names: instances, and CSV in requests and responses."""

from __future__ import annotations

import csv
import gzip
import io
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearling.errors import InvalidRequestError
from shearling.models.push import push_model
from shearling.protocol.csv_rows import csv_of, parse_csv, write_csv
from shearling.protocol.instances import predictions
from shearling.protocol.requests import InferRequest
from shearling.registry.registry import Registry
from shearling.tensors.spec import Signature, TensorSpec
from shearling_runtime.http.messages import json_bytes
from shearling_runtime.serving.model_server import ModelServer
from tests.runtime.events.test_event_sources import columns, content, post, server
from tests.runtime.test_runtime import settings_of
from tests.support.bundles import scaling_graph

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["columns", "server"]  # fixtures

CSV = "text/csv"
TABLE = "text/csv; charset=utf-8"


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> ModelServer:
    return frame_server(tmp_path_factory.mktemp("frame"))


def frame_server(directory: Path) -> ModelServer:
    """A model with one input that was pushed with a DataFrame, which it doubles."""
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    example = pd.DataFrame({"age": [1.0, 2.0], "height": [3.0, 4.0]}, dtype=np.float32)
    version = push_model(scaling_graph(2.0), "fraud", example=example, registry=registry)
    return ModelServer(settings_of(registry, version.pin, directory))


def table(server: ModelServer, text: str | bytes, **headers: str) -> dict[str, Any]:
    data = text.encode() if isinstance(text, str) else text
    return post(server, data, **{"Content_Type": CSV, **headers})


# Columns by name


def test_an_object_names_the_columns_of_the_push_in_any_order(frame: ModelServer) -> None:
    instances = [{"age": 1, "height": 2}, {"height": 4, "age": 3}]
    document, _ = content(post(frame, {"instances": instances}))
    assert document["predictions"] == [{"Y": [2.0, 4.0]}, {"Y": [6.0, 8.0]}]


def test_an_object_may_name_the_input_instead_of_its_columns(frame: ModelServer) -> None:
    document, _ = content(post(frame, {"instances": [{"X": [1, 2]}]}))
    assert document["predictions"] == [{"Y": [2.0, 4.0]}]


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ({"age": 1}, "instances[1]: missing height"),
        ({"age": 1, "height": 2, "x": 3}, "instances[1]: 'x' is not a column of the model; it"),
        ({"age": 1, "height": "tall"}, "instances: 'X': "),
    ],
)
def test_a_wrong_column_is_a_400_that_names_it(
    frame: ModelServer, instance: dict[str, Any], message: str
) -> None:
    answer = post(frame, {"instances": [{"age": 1, "height": 2}, instance]})
    assert answer["statusCode"] == 400
    assert content(answer)[0]["error"].startswith(message)


# CSV


@pytest.mark.parametrize(
    "text",
    [
        "age,height\n1,2\n3,\n",
        "height,age\r\n2,1\r\n,3\r\n",
        "1,2\n3,\n",
        "\ufeffage,height\n1,2\n\n3,",
    ],
)
def test_a_table_is_answered_by_a_table(frame: ModelServer, text: str) -> None:
    answer = table(frame, text)
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (200, TABLE)
    assert answer["body"].splitlines() == ["Y[0],Y[1]", "2.0,4.0", "6.0,"]


def test_a_table_has_a_column_for_each_input(columns: ModelServer) -> None:
    answer = table(columns, 'country,age\nde,1\n"a, ""b""",2.5\n')
    assert answer["body"].splitlines() == ["twice,name", "2.0,DE", '5.0,"A, ""B"""']
    assert table(columns, "1,de\n")["body"].splitlines() == ["twice,name", "2.0,DE"]


def test_names_above_the_columns_of_an_array_may_be_unknown(
    server: ModelServer,
) -> None:
    assert table(server, "left,right\n1,2\n")["body"].splitlines() == ["Y[0],Y[1]", "2.0,4.0"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (",4\n1,2\n", ["Y[0],Y[1]", ",8.0", "2.0,4.0"]),
        (",\n", ["Y[0],Y[1]", ","]),
        ("2024,sum\n1,2\n", None),
    ],
)
def test_a_line_with_a_number_or_without_text_is_not_a_line_of_names(
    server: ModelServer, text: str, expected: list[str] | None
) -> None:
    answer = table(server, text)
    if expected is None:
        assert content(answer)[0]["error"] == "body: row 1, column '1': 'sum' is not FP32"
    else:
        assert answer["body"].splitlines() == expected


def test_unnamed_columns_of_a_frame_have_no_names(tmp_path: Path) -> None:
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    example = pd.DataFrame(np.ones((2, 2), np.float32))
    version = push_model(scaling_graph(2.0), "fraud", example=example, registry=registry)
    server = ModelServer(settings_of(registry, version.pin, tmp_path))
    assert table(server, "1,0\n5,6\n")["body"].splitlines()[1:] == ["2.0,0.0", "10.0,12.0"]


def test_columns_that_are_named_by_numbers_have_names(tmp_path: Path) -> None:
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    example = pd.DataFrame(np.ones((1, 2), np.float32), columns=[2020, 2021])
    version = push_model(scaling_graph(2.0), "fraud", example=example, registry=registry)
    server = ModelServer(settings_of(registry, version.pin, tmp_path))
    assert table(server, example.to_csv())["body"].splitlines()[1:] == ["2.0,2.0"]
    refused = content(table(server, example.to_csv(index=False)))[0]["error"]
    assert "the first line, 2020, 2021 ..., may be names or values" in refused


YEARS = ("2020", "2021", "2022")
BY_YEAR = TensorSpec(name="X", datatype="FP32", shape=(-1, 3))


def by_year(text: str, *, has_names: bool | None = None) -> list[list[float]]:
    signature = Signature(inputs=(BY_YEAR,), outputs=(BY_YEAR,))
    rows: list[list[float]] = (
        parse_csv(text, signature, YEARS, has_names=has_names).inputs["X"].tolist()
    )
    return rows


@pytest.mark.parametrize("names", [YEARS, YEARS[::-1], ("2021", " 2020", "2022")])
@pytest.mark.parametrize("rows", ["", "1,2,3\n"])
def test_names_that_are_numbers_are_refused_unless_it_is_said_that_they_are_names(
    names: tuple[str, ...], rows: str
) -> None:
    with pytest.raises(InvalidRequestError, match=r"may be names or values.*header=present"):
        by_year(",".join(names) + "\n" + rows)


def test_names_that_are_numbers_are_read_in_any_order_where_they_are_said_to_be_names() -> None:
    assert by_year("2022,2020,2021\n1,2,3\n", has_names=True) == [[2, 3, 1]]
    assert by_year("2022,2020,2021\n", has_names=False) == [[2022, 2020, 2021]]


def test_names_that_are_numbers_are_names_after_the_index_of_a_frame() -> None:
    assert by_year(",2022,2020,2021\n0,1,2,3\n") == [[2, 3, 1]]


def test_numbers_other_than_the_names_are_values() -> None:
    assert by_year("2020,2021,2020\n") == [[2020, 2021, 2020]]


def test_an_empty_line_of_one_column_is_a_row_except_at_the_end() -> None:
    spec = TensorSpec(name="x", datatype="FP32", shape=(-1, 1))
    request = parse_csv("x\n1\n\n3\n\n\n", Signature(inputs=(spec,), outputs=(spec,)))
    assert np.array_equal(request.inputs["x"].ravel(), [1, np.nan, 3], equal_nan=True)


def test_a_misspelt_name_is_reported_as_an_unknown_column() -> None:
    spec = TensorSpec(name="text", datatype="BYTES", shape=(-1, 1))
    with pytest.raises(InvalidRequestError, match="column 'Text' is unknown: the model takes text"):
        parse_csv("Text\nhello\n", Signature(inputs=(spec,), outputs=(spec,)))


@pytest.mark.parametrize(
    ("sent", "accepted", "is_table"),
    [
        ("Text/CSV; charset=utf-8", "*/*", True),
        ("text/csv", "application/json", False),
        ("text/csv", "text/csv;q=0, application/json", False),
        ("text/csv", "text/csv; q=0.000, application/json", False),
        ("text/csv", "application/json, text/csv;q=0.1", False),
        ("text/csv", "text/csv;q=1.0, application/json", True),
        ("text/csv", "TEXT/CSV, application/json", True),
    ],
)
def test_content_type_and_accept_select_the_form_of_the_response(
    frame: ModelServer, sent: str, accepted: str, *, is_table: bool
) -> None:
    answer = table(frame, "1,2\n", Content_Type=sent, Accept=accepted)
    assert (answer["statusCode"], answer["headers"]["content-type"] == TABLE) == (200, is_table)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [("header=present", ["10.0,12.0"]), ("header=absent", ["0.0,2.0", "10.0,12.0"])],
)
def test_a_first_line_of_0_1_2_is_refused_unless_the_content_type_has_header(
    server: ModelServer, kind: str, rows: list[str]
) -> None:
    text = "0,1\n5,6\n"
    assert "may be names or values" in content(table(server, text))[0]["error"]
    answer = table(server, text, Content_Type=f"text/csv; {kind}")
    assert answer["body"].splitlines()[1:] == rows


def test_the_parameter_header_may_be_quoted(frame: ModelServer) -> None:
    answer = table(frame, "5,6\n", Content_Type='text/csv; charset=utf-8; Header="absent"')
    assert answer["body"].splitlines()[1:] == ["10.0,12.0"]


@pytest.mark.parametrize("value", ["maybe", "", "presents"])
def test_an_unknown_value_of_the_parameter_header_is_refused(
    frame: ModelServer, value: str
) -> None:
    answer = table(frame, "1,2\n", Content_Type=f"text/csv; header={value}")
    assert answer["statusCode"] == 400
    assert f"content-type: header={value} is unknown" in content(answer)[0]["error"]


def test_a_table_with_the_header_for_binary_data_is_refused(frame: ModelServer) -> None:
    answer = table(frame, "1,2\n", Inference_Header_Content_Length="0")
    assert answer["statusCode"] == 400
    assert content(answer)[0]["error"].startswith("inference-header-content-length: not allowed")


def test_integers_of_any_kind_are_predictions() -> None:
    request = InferRequest(id=None, inputs={"X": np.zeros((2, 1))}, outputs=("Y",), rows="values")
    answer = predictions("m", "1", request, {"Y": np.array([3, 4], np.longlong)})
    assert orjson.loads(json_bytes(answer.document))["predictions"] == [3, 4]


def test_a_table_larger_than_lambdas_limit_is_a_413(server: ModelServer) -> None:
    # Each end of a line is two characters, and four within Lambda's JSON.
    rows = np.ones((580_000, 2), np.float32).tobytes()
    answer = post(server, rows, Inference_Header_Content_Length="0", Accept=CSV)
    assert answer["statusCode"] == 413


def test_a_table_may_be_answered_in_json_and_json_by_a_table(frame: ModelServer) -> None:
    document, _ = content(table(frame, "1,2\n", Accept="application/json"))
    assert document["predictions"] == [{"Y": [2.0, 4.0]}]
    inputs = [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]
    for request in ({"instances": [[1, 2]]}, {"inputs": inputs}):
        answer = post(frame, request, Accept=CSV)
        assert (answer["headers"]["content-type"], answer["body"]) == (
            TABLE,
            "Y[0],Y[1]\r\n2.0,4.0\r\n",
        )


def test_a_gzipped_table_is_read(frame: ModelServer) -> None:
    answer = table(frame, gzip.compress(b"1,2\n"), Content_Encoding="gzip")
    assert answer["body"].splitlines() == ["Y[0],Y[1]", "2.0,4.0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,height\n", "body: no rows"),
        ("age,height\n1,2\n1\n", "body: row 3 has 1 cells, but the first row has 2"),
        ("age,height\n1,2\n1,tall\n", "body: row 3, column 'height': 'tall' is not FP32"),
        ("1,2\n1,tall\n", "body: row 2, column 'height': 'tall' is not FP32"),
        ("age,weight\n1,2\n", "body: column 'weight' is unknown: the model takes age, height"),
        ("age\n1\n", "body: column 'height' is missing: the model takes age, height"),
        ("age,age\n1,1\n", "body: duplicate column 'age'"),
        ("1,2,3\n", "body: 3 columns without names: the model takes age, height"),
        (
            "age;height\n1;2\n",
            "body: 1 column without names: the model takes age, height; separate cells by ','",
        ),
        ("1_000,2\n", "body: row 1, column 'age': '1_000' is not FP32"),
        ("1e39,2\n", "body: 'X': 1e+39 is out of range for float32"),
        ('"1,2\n' + "x" * 200_000, "body is not CSV: field larger than field limit"),
        (b"\xff\xfe", "body: not UTF-8"),
    ],
)
def test_a_bad_table_is_a_400_that_names_row_and_column(
    frame: ModelServer, text: str | bytes, message: str
) -> None:
    answer = table(frame, text)
    assert answer["statusCode"] == 400
    assert content(answer)[0]["error"].startswith(message)


@given(st.one_of(st.text(st.characters(codec="utf-8")), st.binary()))
def test_any_text_as_a_table_is_answered_or_refused(
    columns: ModelServer, text: str | bytes
) -> None:
    assert table(columns, text)["statusCode"] in (200, 400)


def test_a_model_whose_inputs_are_not_columns_refuses_a_table() -> None:
    spec = TensorSpec(name="image", datatype="UINT8", shape=(-1, 3, 8, 8))
    with pytest.raises(InvalidRequestError, match=r"send JSON for image UINT8\[-1, 3, 8, 8\]"):
        parse_csv("1,2\n", Signature(inputs=(spec,), outputs=(spec,)))


@pytest.mark.parametrize(
    ("datatype", "cells", "expected"),
    [
        ("BOOL", ["true", "False", "1", "0"], [True, False, True, False]),
        ("INT64", [str(2**63 - 1), "-7"], [2**63 - 1, -7]),
        ("UINT64", [str(2**64 - 1), "0"], [2**64 - 1, 0]),
        ("INT64", ["2.0", "-7.0"], [2, -7]),
        ("FP64", ["0.1", "-1e300"], [0.1, -1e300]),
        ("BYTES", ["", "x", "True"], ["", "x", "True"]),
        ("FP32", ["True", "false", "2.5"], [1, 0, 2.5]),
        ("INT64", ["TRUE", "False", "7"], [1, 0, 7]),
        ("BOOL", ["1.0", "0.0", "True"], [True, False, True]),
    ],
)
def test_a_cell_is_read_as_its_inputs_datatype(
    datatype: str, cells: list[str], expected: list[Any]
) -> None:
    spec = TensorSpec(name="X", datatype=datatype, shape=(-1, 1))
    text = "X\n" + "".join(f'"{cell}"\n' for cell in cells)
    request = parse_csv(text, Signature(inputs=(spec,), outputs=(spec,)))
    assert request.inputs["X"].ravel().tolist() == expected


@pytest.mark.parametrize(
    ("datatype", "cell"),
    [
        ("UINT8", "256"),
        ("INT8", "1.5"),
        ("INT8", "inf"),
        ("BOOL", "2"),
        ("INT64", ""),
        ("INT64", "yes"),
        ("FP32", "yes"),
    ],
)
def test_a_cell_that_is_not_of_its_inputs_datatype_is_refused(datatype: str, cell: str) -> None:
    spec = TensorSpec(name="X", datatype=datatype, shape=(-1,))
    with pytest.raises(InvalidRequestError, match=f"is not {datatype}"):
        parse_csv(f'X\n1\n"{cell}"\n', Signature(inputs=(spec,), outputs=(spec,)))


PUSHED = pd.DataFrame({"age": [41, 23], "vip": [True, False], "share": [0.5, None]}, index=[7, 9])
MATRIX = TensorSpec(name="X", datatype="FP64", shape=(-1, 3))


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize(
    "specs",
    [
        (MATRIX,),
        (
            TensorSpec(name="age", datatype="INT64", shape=(-1, 1)),
            TensorSpec(name="vip", datatype="BOOL", shape=(-1,)),
            TensorSpec(name="share", datatype="FP32", shape=(-1, 1)),
        ),
    ],
    ids=["matrix", "inputs"],
)
def test_the_csv_of_the_pushed_frame_is_accepted(
    specs: tuple[TensorSpec, ...], *, index: bool
) -> None:
    columns = list(PUSHED.columns) if len(specs) == 1 else []
    request = parse_csv(PUSHED.to_csv(index=index), Signature(inputs=specs, outputs=specs), columns)
    found = np.column_stack([array.astype(float) for array in request.inputs.values()])
    np.testing.assert_array_equal(found, [[41, 1, 0.5], [23, 0, np.nan]])


def test_the_csv_of_a_frame_without_names_is_accepted() -> None:
    rows = np.array([[1, 2, 3], [4, 5, 6.5]])
    request = parse_csv(pd.DataFrame(rows).to_csv(), Signature(inputs=(MATRIX,), outputs=(MATRIX,)))
    np.testing.assert_array_equal(request.inputs["X"], rows)


@pytest.mark.parametrize(
    ("header", "names", "problem"),
    [
        ("id,a,b", ("a", "b"), "column 'id' is unknown"),
        ("id,2021,2020", ("2020", "2021"), "column 'id' is unknown"),
        (",,b", ("", "b"), "duplicate column ''"),
        (",,a,b", ("a", "b"), "column '' is unknown"),
        ("a,a,b", ("a", "b"), "duplicate column 'a'"),
    ],
)
def test_an_index_that_the_model_does_not_know_is_refused_with_what_to_do(
    header: str, names: tuple[str, ...], problem: str
) -> None:
    spec = TensorSpec(name="X", datatype="FP32", shape=(-1, 2))
    row = ",".join("1" for _ in header.split(","))
    with pytest.raises(InvalidRequestError, match=rf"{problem}.*to_csv\(index=False\)"):
        parse_csv(f"{header}\n{row}\n", Signature(inputs=(spec,), outputs=(spec,)), names)


def test_a_column_without_a_name_that_the_model_was_pushed_with_is_no_index() -> None:
    columns = ["", "vip", "share"]
    request = parse_csv(
        ",vip,share\n41,1,2\n", Signature(inputs=(MATRIX,), outputs=(MATRIX,)), columns
    )
    assert request.inputs["X"].tolist() == [[41, 1, 2]]


def test_an_output_without_a_row_for_each_of_the_request_is_refused_as_a_table() -> None:
    request = InferRequest(id=None, inputs={"X": np.zeros((2, 1))}, outputs=("Y",))
    with pytest.raises(InvalidRequestError, match="'Y' does not have one row for each"):
        csv_of(request, {"Y": np.zeros(3)})


def test_a_single_value_is_refused_as_a_table() -> None:
    request = InferRequest(id=None, inputs={"X": np.zeros(())}, outputs=("Y",))
    with pytest.raises(InvalidRequestError, match="a single value has no rows"):
        csv_of(request, {"Y": np.zeros(1)})


def test_an_output_of_several_axes_has_a_column_for_each_place() -> None:
    request = InferRequest(id=None, inputs={"X": np.zeros((1, 1))}, outputs=("Y", "ok"))
    outputs = {"Y": np.arange(4).reshape(1, 2, 2), "ok": np.array([True])}
    assert csv_of(request, outputs).splitlines() == [
        "Y[0],Y[1],Y[2],Y[3],ok",
        "0,1,2,3,true",
    ]


@given(
    st.lists(
        st.tuples(st.floats(width=32, allow_infinity=False), st.text(st.characters(codec="utf-8"))),
        min_size=1,
    )
)
def test_a_written_table_is_read_back(rows: list[tuple[float, str]]) -> None:
    specs = (
        TensorSpec(name="a", datatype="FP32", shape=(-1, 1)),
        TensorSpec(name="b", datatype="BYTES", shape=(-1, 1)),
    )
    arrays = {
        "a": np.array([row[0] for row in rows], np.float32).reshape(-1, 1),
        "b": np.array([row[1] for row in rows], object).reshape(-1, 1),
    }
    written = csv_of(InferRequest(id=None, inputs=arrays, outputs=("a", "b")), arrays)
    read = parse_csv(written, Signature(inputs=specs, outputs=specs)).inputs
    assert len(list(csv.reader(io.StringIO(written, newline="")))) == len(rows) + 1
    assert np.array_equal(read["a"], arrays["a"], equal_nan=True)
    assert read["b"].tolist() == arrays["b"].tolist()


# The ways to read a table

NUMBERS = st.one_of(
    st.integers(-(2**64), 2**64).map(str),
    st.floats().map(repr),
    st.sampled_from(
        [
            "-0",
            "-0.0",
            "00",
            "+1",
            "1.",
            ".5",
            "1e5",
            "1E-400",
            "1e400",
            "1e39",
            "nan",
            "null",
            "true",
            "-",
            "1_0",
            "0x1",
            "[1]",
            "²",
        ]
    ),
    st.sampled_from(["", " 1", "1 ", str(2**53 + 1), str(-(2**63))]),
)
CELLS = NUMBERS | st.text(st.characters(codec="utf-8", exclude_characters='\n\r,"'), max_size=3)


@given(
    rows=st.integers(1, 3).flatmap(
        lambda width: st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=1)
    )
    | st.lists(st.lists(CELLS, min_size=1, max_size=3), min_size=1),
    datatype=st.sampled_from(["FP32", "FP64", "INT64", "UINT8", "BOOL", "BYTES"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_a_table_is_read_alike_with_and_without_quotes(
    rows: list[list[str]], datatype: str, end: str
) -> None:
    if len(rows[0]) == 1 or rows[-1] == [""]:
        rows = [*rows, ["7"] * len(rows[0])]  # an empty line at the end is no row
    spec = TensorSpec(name="X", datatype=datatype, shape=(-1, len(rows[0])))
    signature = Signature(inputs=(spec,), outputs=(spec,))
    plain = end.join(map(",".join, rows))
    quoted = end.join(",".join(f'"{cell}"' for cell in row) for row in rows)
    found: list[object] = []
    for text in (plain, quoted):
        try:
            array = parse_csv(text, signature, has_names=False).inputs["X"]
            values = array.tolist() if datatype == "BYTES" else array.tobytes()
            found.append((array.dtype, array.shape, values))
        except InvalidRequestError:
            found.append("refused")  # of several mistakes the one that is told may be another
    assert found[0] == found[1]


@pytest.mark.parametrize("line", ["1,2\n", '"1","2"\n', "a,b\n", "1,\n"])
def test_rows_of_many_blocks_are_all_read_and_counted(line: str) -> None:
    datatype = "BYTES" if line[0] == "a" else "FP32"
    spec = TensorSpec(name="X", datatype=datatype, shape=(-1, 2))
    signature = Signature(inputs=(spec,), outputs=(spec,))
    text = line * 50_000
    read = parse_csv("left,right\n" + text, signature, has_names=True).inputs["X"]
    assert read.shape == (50_000, 2)
    with pytest.raises(InvalidRequestError, match=r"^body: row 50001 has 1 cells, but the first"):
        parse_csv(f"{text}1\n", signature, has_names=False)
    if datatype == "FP32":
        with pytest.raises(InvalidRequestError, match=r"^body: row 50002, column '1': 'x' is not"):
            parse_csv(f"left,right\n{text}1,x\n", signature, has_names=True)


def test_columns_in_another_order_are_put_into_the_models() -> None:
    spec = TensorSpec(name="X", datatype="FP32", shape=(-1, 3))
    signature = Signature(inputs=(spec,), outputs=(spec,))
    for text in ("c,a,b\n3,1,2\n6,4,5\n", 'c,a,"b"\n3,1,2\n6,4,5\n', "c,a,b\n3,1, 2\n6,4,5\n"):
        read = parse_csv(text, signature, ("a", "b", "c")).inputs["X"]
        assert read.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("array", "lines"),
    [
        (
            np.array([[np.inf], [np.nan], [-np.inf], [1e-5]], np.float32),
            ["inf", '""', "-inf", "1e-05"],
        ),
        (np.array([[1.5, np.nan], [np.nan, 2]]), ["1.5,", ",2.0"]),
        (np.array([[0.1]], np.float16), ["0.1"]),
        (np.array([[""], ["a,b"], ['"']], object), ['""', '"a,b"', '""""']),
        (np.array([[7]], ">i4"), ["7"]),
        (np.zeros((2, 0)), []),
    ],
)
def test_values_of_every_kind_are_written(array: Any, lines: list[str]) -> None:
    stream = io.StringIO(newline="")
    write_csv(stream, {"Y": array})
    written = stream.getvalue().split("\r\n")[1:-1]
    assert written == lines


def test_outputs_of_different_lengths_are_written_side_by_side() -> None:
    stream = io.StringIO(newline="")
    write_csv(stream, {"a": np.array([1, 2]), "b": np.array([["x", "y"]], object)})
    assert stream.getvalue() == "a,b[0],b[1]\r\n1,x,y\r\n2,,\r\n"
