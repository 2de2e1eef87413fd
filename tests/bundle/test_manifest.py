"""Manifests: canonical JSON, strict reading, and errors with the path of the field."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearling.bundle.canonical_json import canonical_json, plain_metadata
from shearling.bundle.digests import (
    CHUNK_BYTES,
    SMALLEST_CHUNK,
    Descriptor,
    Proof,
    chunked_digest,
    describe,
    digest_of,
)
from shearling.bundle.example import Example
from shearling.bundle.manifest import SCHEMA, Environment, ExampleFile, Manifest
from shearling.errors import BundleError, UnsupportedSchemaError
from shearling.formats.base import LoadSettings, load_bundle
from shearling.refs import Pin
from shearling.registry.registry import Registry
from shearling.tensors.comparison import compare
from shearling.tensors.spec import DATATYPES, Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_BUNDLES = {"schema-1": 1, "schema-1-whole": 1, "schema-2": 2}
DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64

VALID: dict[str, Any] = {
    "schema": 1,
    "model": "fraud",
    "format": "onnx",
    "entry": "model.onnx",
    "files": [
        {"path": "model.onnx", "digest": DIGEST, "size": 7},
        {
            "path": "data/example",
            "digest": OTHER,
            "size": 25,
            "chunk_bytes": 10,
            "chunks": [DIGEST, OTHER, DIGEST],
        },
    ],
    "signature": {
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 30]}],
        "outputs": [{"name": "label", "datatype": "BYTES", "shape": [-1]}],
    },
    "example": {"path": "data/example", "rtol": "0.001", "atol": "1e-06"},
    "options": {"opset": {"ai.onnx": 18}},
    "metadata": {"auc": "0.987"},
    "environment": {"python": "3.13", "requirements": ["scikit-learn==1.7.0"]},
}
REMOVED = object()


def changed(path: str, value: object) -> bytes:
    """Return the valid manifest with one field changed, as `files.0.path`, or removed."""
    document: Any = copy.deepcopy(VALID)
    *parents, last = path.split(".")
    place = document
    for parent in parents:
        place = place[int(parent)] if isinstance(place, list) else place[parent]
    key: Any = int(last) if isinstance(place, list) else last
    if value is REMOVED:
        del place[key]
    else:
        place[key] = value
    return json.dumps(document).encode()


def read(document: dict[str, Any]) -> Manifest:
    return Manifest.from_bytes(json.dumps(document).encode())


# Canonical JSON


def test_canonical_json_sorts_keys_and_writes_no_spaces() -> None:
    assert canonical_json({"b": [1, None], "a": {"d": True, "c": "x"}}) == (
        b'{"a":{"c":"x","d":true},"b":[1,null]}'
    )


def test_canonical_json_is_utf_8_and_not_escapes() -> None:
    assert canonical_json("ü€") == '"ü€"'.encode()


@pytest.mark.parametrize("number", [0.5, float("nan"), 2**53, -(2**53)])
def test_a_number_that_json_readers_may_round_is_refused(number: float) -> None:
    with pytest.raises(BundleError, match=r"must be written as a string in 'a\.b\[1\]'"):
        canonical_json({"a": {"b": [0, number]}})


def test_the_largest_safe_integers_are_written() -> None:
    assert canonical_json([2**53 - 1, 1 - 2**53]) == b"[9007199254740991,-9007199254740991]"


OPTIONS = ["ir", "opset", "onnxruntime", "prepack", "takes", "columns"]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 2**53, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON_VALUES)
def test_canonical_json_reads_back_and_is_a_fixed_point(value: object) -> None:
    data = canonical_json(value)
    assert json.loads(data) == value
    assert canonical_json(json.loads(data)) == data


# Metadata


def test_metadata_keeps_what_json_has_and_writes_other_numbers_as_strings() -> None:
    assert plain_metadata(
        {"auc": 0.5, "rows": 7, "big": 2**60, "of": (np.float32(0.25), np.int64(3)), "ok": True}
    ) == {
        "auc": "0.5",
        "rows": 7,
        "big": str(2**60),
        "of": ["0.25", 3],
        "ok": True,
    }


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.array(["leaves", "stays"]), ["leaves", "stays"]),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(0.5), "0.5"),
        (np.array([0.5]), ["0.5"]),
        (np.array([False, True]), [False, True]),
        (np.array([1, "a", None], object), [1, "a", None]),
        (pd.Series([0.5], index=["a"]), ["0.5"]),
        (pd.Index(["a"]), ["a"]),
        (pd.Categorical(["a"]), ["a"]),
        (np.longdouble(0.5), "0.5"),
        (np.array([0.5], np.longdouble), ["0.5"]),
        ((np.float64(0.5), np.str_("a"), np.bool_(True)), ["0.5", "a", True]),
        (MappingProxyType({"a": np.arange(2)}), {"a": [0, 1]}),
        (2**64, str(2**64)),
    ],
    ids=str,
)
def test_arrays_series_and_scalars_of_other_libraries_are_metadata(
    value: object, plain: object
) -> None:
    found = plain_metadata({"x": value})
    assert found == {"x": plain}
    assert json.loads(canonical_json(found)) == found


def nested(depth: int, kind: Callable[[list[object]], object] = list) -> Any:
    value: object = 1
    for _ in range(depth):
        value = kind([value])
    return value


def test_metadata_that_are_nested_too_deeply_are_refused_by_name() -> None:
    for value in (nested(3_000), nested(3_000, tuple), nested(3_000, lambda v: {"a": v[0]})):
        with pytest.raises(BundleError, match=r"nested more than 200 deep in 'metadata\.x"):
            plain_metadata({"x": value})


def test_metadata_that_contain_themselves_are_refused() -> None:
    inner: dict[str, Any] = {}
    inner["a"] = [inner]
    array = np.empty(1, object)
    array[0] = array
    for value in (inner, array):
        with pytest.raises(BundleError, match=r"it contains itself in 'metadata\.x"):
            plain_metadata({"x": value})
    shared = [1]
    assert plain_metadata({"x": [shared, shared]}) == {"x": [[1], [1]]}


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"x": 10**5_000}, "metadata.x"),
        ({"x": 1j}, "metadata.x"),
        ({"x": np.clongdouble(1)}, "metadata.x"),
        ({"x": [pd.NA]}, "metadata.x[0]"),
        ({"x": pd.DataFrame({"a": [1]})}, "metadata.x"),
        ({"when": {"at": object()}}, "metadata.when.at"),
        ({"list": [1, {2, 3}]}, "metadata.list[1]"),
        ({"deep": {1: 2}}, "metadata.deep"),
        ({7: "seven"}, "metadata"),
        ({nested(3_000, tuple): 1}, "metadata"),
        ({"x": {10**5_000: 1}}, "metadata.x"),
    ],
)
def test_metadata_without_json_names_its_field(metadata: dict[Any, object], field: str) -> None:
    with pytest.raises(BundleError) as caught:
        plain_metadata(metadata)
    assert caught.value.field == field


# Reading manifests


def test_a_valid_manifest_is_read_in_full() -> None:
    manifest = read(VALID)
    assert manifest.file("data/example").chunks == (DIGEST, OTHER, DIGEST)
    assert manifest.size == 32
    assert manifest.signature.inputs == (TensorSpec(name="X", datatype="FP32", shape=(-1, 30)),)
    assert manifest.example == ExampleFile(path="data/example", rtol=1e-3, atol=1e-6)
    assert manifest.environment == Environment(python="3.13", requirements=("scikit-learn==1.7.0",))


def test_fields_that_a_reader_does_not_know_are_ignored() -> None:
    document = copy.deepcopy(VALID)
    document["colour"] = "green"
    document["files"][0]["compression"] = None
    document["signature"]["inputs"][0]["unit"] = "EUR"
    document["example"]["rows"] = 8
    assert read(document) == read(VALID)


@pytest.mark.parametrize("field", ["options", "metadata", "environment"])
def test_an_optional_field_may_be_missing(field: str) -> None:
    manifest = Manifest.from_bytes(changed(field, REMOVED))
    assert not getattr(manifest, field)


def test_a_newer_schema_is_refused_by_name_before_anything_else_is_read() -> None:
    with pytest.raises(
        UnsupportedSchemaError, match=r"schema 3; .* reads up to 2: upgrade"
    ) as error:
        Manifest.from_bytes(b'{"schema":3,"everything":"else is different"}')
    assert error.value.field == "schema"


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("schema", REMOVED, "schema"),
        ("schema", "1", "schema"),
        ("schema", True, "schema"),
        ("schema", -1, "schema"),
        ("schema", 0, "schema"),
        ("model", REMOVED, "model"),
        ("model", 7, "model"),
        ("model", "Fraud", "model"),
        ("format", REMOVED, "format"),
        ("format", None, "format"),
        ("entry", REMOVED, "entry"),
        ("entry", "other.onnx", "entry"),
        ("entry", "../model.onnx", "entry"),
        ("files", REMOVED, "files"),
        ("files", {}, "files"),
        ("files.0", "model.onnx", "files[0]"),
        ("files.0.path", REMOVED, "files[0].path"),
        ("files.0.path", 1, "files[0].path"),
        ("files.0.path", "data/example", "files"),
        ("files.0.digest", REMOVED, "files[0].digest"),
        ("files.0.digest", "sha256:" + "A" * 64, "files[0].digest"),
        ("files.0.digest", "md5:" + "a" * 32, "files[0].digest"),
        ("files.0.digest", DIGEST + "\n", "files[0].digest"),
        ("files.0.size", REMOVED, "files[0].size"),
        ("files.0.size", -1, "files[0].size"),
        ("files.0.size", 2**53, "files[0].size"),
        ("files.0.size", 7.0, "files[0].size"),
        ("files.0.size", False, "files[0].size"),
        ("files.0.chunk_bytes", "8", "files[0].chunk_bytes"),
        ("files.0.chunks", [DIGEST], "files[0].chunks"),
        ("files.1.chunks", [DIGEST, OTHER], "files[1].chunks"),
        ("files.1.chunks", [DIGEST, OTHER, DIGEST, OTHER], "files[1].chunks"),
        ("files.1.chunks.1", "b", "files[1].chunks[1]"),
        ("files.1.chunk_bytes", REMOVED, "files[1].chunks"),
        ("signature", REMOVED, "signature"),
        ("signature.inputs", REMOVED, "signature.inputs"),
        ("signature.inputs", [], "signature.inputs"),
        ("signature.inputs", VALID["signature"]["inputs"] * 2, "signature.inputs"),
        ("signature.inputs.0.name", REMOVED, "signature.inputs[0].name"),
        ("signature.inputs.0.name", 3, "signature.inputs[0].name"),
        ("signature.inputs.0.datatype", "FLOAT", "signature.inputs[0].datatype"),
        ("signature.inputs.0.shape", 3, "signature.inputs[0].shape"),
        ("signature.inputs.0.shape", [-2], "signature.inputs[0].shape"),
        ("signature.inputs.0.shape.1", "30", "signature.inputs[0].shape[1]"),
        ("signature.inputs.0.shape.1", True, "signature.inputs[0].shape[1]"),
        ("signature.outputs", REMOVED, "signature.outputs"),
        ("signature.outputs.0", None, "signature.outputs[0]"),
        ("example", REMOVED, "example"),
        ("example", [], "example"),
        ("example.path", "gone", "example.path"),
        ("example.rtol", 0.001, "example.rtol"),
        ("example.rtol", "nan", "example.rtol"),
        ("example.atol", "inf", "example.atol"),
        ("example.atol", "-1", "example.atol"),
        ("example.atol", "much", "example.atol"),
        ("options", [], "options"),
        ("options", {"onnxruntime": "abc"}, "options.onnxruntime"),
        ("options", {"onnxruntime": 1.23}, "options.onnxruntime"),
        ("options", {"onnxruntime": "1." + "9" * 5000}, "options.onnxruntime"),
        ("options", {"onnxruntime": "1"}, "options.onnxruntime"),
        ("options", {"ir": "8"}, "options.ir"),
        ("options", {"opset": [17]}, "options.opset"),
        ("options", {"opset": {"ai.onnx": "17"}}, "options.opset.ai.onnx"),
        ("options", {"prepack": "no"}, "options.prepack"),
        ("options", {"takes": 1}, "options.takes"),
        ("options", {"columns": 5}, "options.columns"),
        ("options", {"columns": "ab"}, "options.columns"),
        ("options", {"columns": ["a", 1]}, "options.columns[1]"),
        ("options", {"columns": ["a", "a"]}, "options.columns"),
        ("options", {"columns": ["a", "b"]}, "options.columns"),
        ("metadata", {"big": 2**64}, "metadata.big"),
        ("metadata", {"big": [1, -(2**53)]}, "metadata.big[1]"),
        ("metadata", {"ratio": 0.5}, "metadata.ratio"),
        ("metadata", {"note": "\ud800"}, "metadata.note"),
        ("metadata", {"note": {"\udfff": 1}}, "metadata.note.'\\udfff'"),
        ("model", "\ud800", "model"),
        ("unknown", {"more": [2**64]}, "unknown.more[0]"),
        ("metadata", "none", "metadata"),
        ("environment", "3.13", "environment"),
        ("environment.python", 3.13, "environment.python"),
        ("environment.requirements", "numpy==2.0", "environment.requirements"),
        ("environment.requirements.0", None, "environment.requirements[0]"),
    ],
)
def test_a_malformed_field_is_named_by_its_path(path: str, value: object, field: str) -> None:
    with pytest.raises(BundleError) as caught:
        Manifest.from_bytes(changed(path, value))
    assert type(caught.value) is BundleError
    assert caught.value.field == field
    assert repr(caught.value.field) in str(caught.value)


def in_schema_2() -> dict[str, Any]:
    """Return the valid manifest in schema 2, its second file named by its chunks."""
    document = copy.deepcopy(VALID)
    chunks = [DIGEST, OTHER, DIGEST]
    digest = chunked_digest(10_000, 4096, chunks)
    document["files"][1] |= {"digest": digest, "size": 10_000, "chunk_bytes": 4096}
    return document | {"schema": 2, "requires": []}


def test_schema_2_names_files_by_their_chunks() -> None:
    manifest = read(in_schema_2())
    assert manifest.schema == 2
    assert manifest.to_bytes() == canonical_json(in_schema_2())


@pytest.mark.parametrize("schema", [1, 2])
def test_a_manifest_that_needs_nothing_of_schema_2_is_written_in_schema_1(schema: int) -> None:
    document = copy.deepcopy(VALID)
    document["files"][1] = {"path": "data/example", "digest": OTHER, "size": 25}
    manifest = read(document | ({"schema": 2, "requires": []} if schema == 2 else {}))
    assert manifest.to_bytes() == canonical_json(document)


def test_what_a_bundle_requires_and_this_version_does_not_know_is_named() -> None:
    document = in_schema_2() | {"requires": ["telepathy"], "model": 7}
    with pytest.raises(
        UnsupportedSchemaError, match=r"requires 'telepathy', .*: upgrade"
    ) as caught:
        read(document)
    assert caught.value.field == "requires[0]"
    assert read(VALID | {"requires": ["telepathy"]}) == read(VALID)  # schema 1 has no such field


@pytest.mark.parametrize("requires", [None, "x", [1], {}, [[]]])
def test_schema_2_says_what_it_requires(requires: object) -> None:
    with pytest.raises(BundleError, match="requires"):
        read(in_schema_2() | {"requires": requires})
    document = in_schema_2()
    del document["requires"]
    with pytest.raises(BundleError, match="missing in 'requires'"):
        read(document)


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": OTHER},
        {"size": 10_001},
        {"chunk_bytes": 4097},
        {"chunks": [DIGEST, DIGEST, DIGEST]},
    ],
)
def test_schema_2_refuses_a_name_that_does_not_follow_from_the_chunks(
    changes: dict[str, Any],
) -> None:
    document = in_schema_2()
    document["files"][1] |= changes
    with pytest.raises(BundleError) as caught:
        read(document)
    assert caught.value.field == "files[1].digest"


@pytest.mark.parametrize(
    ("size", "chunk_bytes", "chunks"),
    [(10, 5, [DIGEST, OTHER]), (8190, 4095, [DIGEST, OTHER]), (4096, 4096, [DIGEST])],
)
def test_schema_2_refuses_chunks_that_another_file_of_that_size_could_be_named_by(
    size: int, chunk_bytes: int, chunks: list[str]
) -> None:
    document = in_schema_2()
    digest = chunked_digest(size, chunk_bytes, chunks)
    document["files"][1] |= {"size": size, "chunk_bytes": chunk_bytes, "chunks": chunks}
    document["files"][1]["digest"] = digest
    with pytest.raises(BundleError) as caught:
        read(document)
    assert caught.value.field == "files[1].digest"


@pytest.mark.parametrize("depth", [201, 400, 900, 5000, 100_000])
@pytest.mark.parametrize("place", ["metadata", "options", "schema", "requires", "files", "model"])
def test_what_is_nested_deeply_is_a_bundle_error(place: str, depth: int) -> None:
    data = json.dumps(VALID | {place: "here"}).encode()
    for nested in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"0" + b"}" * depth):
        with pytest.raises(BundleError):
            Manifest.from_bytes(data.replace(b'"here"', nested))


def test_metadata_that_is_nested_deeply_is_refused_at_the_push_and_not_later() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(BundleError, match="nested more than 200 deep"):
        plain_metadata(deep)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"null"])
def test_a_manifest_must_be_a_json_object(data: bytes) -> None:
    with pytest.raises(BundleError):
        Manifest.from_bytes(data)


HOSTILE_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, categories=["Cs", "Cc", "L", "Nd", "P"]), max_size=5)
    | st.sampled_from([2**64, 10**400, "abc", "sha256:" + "a" * 64, "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.sampled_from(OPTIONS), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(HOSTILE_VALUES, st.sampled_from([*VALID, "files.0", "files.1.chunks", "signature.inputs.0"]))
def test_no_value_of_a_field_raises_anything_but_a_bundle_error(value: object, path: str) -> None:
    with contextlib.suppress(BundleError):
        Manifest.from_bytes(changed(path, value))


# Paths


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "a//b",
        "a/",
        ".",
        "..",
        "a/../b",
        "./a",
        "a\\b",
        "C:/a",
        "C:",
        "a\0b",
    ],
)
def test_a_path_that_leaves_the_bundle_is_refused(path: str) -> None:
    with pytest.raises(BundleError, match="is not a relative path") as caught:
        Manifest.from_bytes(changed("files.0.path", path))
    assert caught.value.field == "files[0].path"


@pytest.mark.parametrize("path", ["a", "a/b.c", "..a", "a..", "ü/é", "a b", "a/b:c"])
def test_an_ordinary_path_is_accepted(path: str) -> None:
    document = copy.deepcopy(VALID)
    document["files"][0]["path"] = document["entry"] = path
    assert read(document).entry == path


# Round trips

NAMES = st.text(min_size=1, max_size=8)
PATHS = st.lists(
    st.text("abcü. -_0", min_size=1, max_size=6).filter(lambda part: part not in (".", "..")),
    min_size=1,
    max_size=3,
).map("/".join)
DIGESTS = st.binary(max_size=4).map(digest_of)
SPECS = st.lists(
    st.builds(
        TensorSpec,
        name=NAMES,
        datatype=st.sampled_from(sorted(DATATYPES)),
        shape=st.lists(st.integers(-1, 5), max_size=4).map(tuple),
        nullable=st.booleans(),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda spec: spec.name,
).map(tuple)


@st.composite
def descriptors(draw: st.DrawFn, path: str, *, schema: int) -> Descriptor:
    size = draw(st.integers(0, 10**9))
    if size < 2 or draw(st.booleans()):
        return Descriptor(path=path, digest=draw(DIGESTS), size=size)
    count = draw(st.integers(2, min(5, size)))
    chunk_bytes = -(-size // count)
    chunks = tuple(draw(DIGESTS) for _ in range(-(-size // chunk_bytes)))
    named = chunked_digest(size, chunk_bytes, chunks)
    file = Descriptor(path=path, digest=named, size=size, chunk_bytes=chunk_bytes, chunks=chunks)
    if schema == 2 and not file.is_proven_by_ranges:  # its chunks are too small for that
        return Descriptor(path=path, digest=named, size=size)
    return file if schema == 2 else replace(file, digest=draw(DIGESTS))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    paths = draw(st.lists(PATHS, min_size=1, max_size=4, unique=True))
    tolerances = st.floats(0, 1e300)
    schema = draw(st.sampled_from([1, 2]))
    return Manifest(
        model=draw(st.from_regex(r"[a-z0-9][a-z0-9-]{0,47}", fullmatch=True)),
        format=draw(st.text()),
        entry=draw(st.sampled_from(paths)),
        files=tuple(draw(descriptors(path, schema=schema)) for path in paths),
        signature=Signature(inputs=draw(SPECS), outputs=draw(SPECS)),
        example=ExampleFile(
            path=draw(st.sampled_from(paths)), rtol=draw(tolerances), atol=draw(tolerances)
        ),
        options=draw(st.dictionaries(st.text(), JSON_VALUES, max_size=2)),
        metadata=draw(st.dictionaries(st.text(), JSON_VALUES, max_size=2)),
        environment=draw(
            st.none()
            | st.builds(
                Environment,
                python=st.text(),
                requirements=st.lists(st.text(), max_size=2).map(tuple),
            )
        ),
    )


@given(manifests())
def test_a_manifest_reads_back_as_it_was_written(manifest: Manifest) -> None:
    data = manifest.to_bytes()
    assert Manifest.from_bytes(data) == manifest
    assert Manifest.from_bytes(data).to_bytes() == data


@given(manifests())
def test_a_manifest_is_canonical_json(manifest: Manifest) -> None:
    data = manifest.to_bytes()
    assert canonical_json(json.loads(data)) == data


# Describing files


@pytest.mark.parametrize(
    ("size", "chunks"),
    [(0, 0), (1, 0), (CHUNK_BYTES, 0), (CHUNK_BYTES + 1, 2), (2 * CHUNK_BYTES, 2)],
)
def test_only_a_file_of_more_than_one_chunk_has_chunks(size: int, chunks: int) -> None:
    data = bytes(size)
    described = describe("a", io.BytesIO(data))
    assert described.size == size
    assert len(described.chunks) == chunks
    assert (described.digest == digest_of(data)) == (not chunks)


def test_a_file_of_chunks_is_named_by_them_as_anybody_can_compute() -> None:
    registry, pin = golden("schema-2")
    file = next(file for file in registry.manifest(pin).files if file.chunks)
    data = registry.store.read(f"blobs/sha256/{file.hex}")
    assert data is not None
    chunks = [f'"{digest_of(data[start : start + 4096])}"' for start in (0, 4096, 8192)]
    text = f'{{"chunk_bytes":4096,"chunks":[{",".join(chunks)}],"size":10000}}'
    assert file.digest == digest_of(text.encode())
    assert len(text) < file.size  # so that no file has both its name and its size


@given(st.binary(max_size=40), st.integers(1, 12), st.data())
def test_a_proof_takes_bytes_in_any_pieces(data: bytes, piece: int, draw: st.DataObject) -> None:
    size, chunk_bytes = 3 * SMALLEST_CHUNK + len(data), SMALLEST_CHUNK
    whole = bytes(3 * SMALLEST_CHUNK) + data
    chunks = [digest_of(whole[i : i + chunk_bytes]) for i in range(0, size, chunk_bytes)]
    digest = chunked_digest(size, chunk_bytes, chunks)
    named = Descriptor(
        path="a", digest=digest, size=size, chunk_bytes=chunk_bytes, chunks=tuple(chunks)
    )
    kind = draw.draw(st.sampled_from([named, replace(named, digest=digest_of(whole))]))
    assert kind.is_proven_by_ranges == (kind is named)
    proof = Proof(kind)
    for start in range(0, size, 1000 * piece):
        proof.update(whole[start : start + 1000 * piece])
    assert proof.digest() == kind.digest


def test_the_ranges_of_a_file_cover_it_and_have_the_digests_of_their_bytes() -> None:
    data = bytes(range(256)) * (CHUNK_BYTES // 256) + b"the rest"
    ranges = list(describe("a", io.BytesIO(data)).ranges())
    assert b"".join(data[start:end] for start, end, _ in ranges) == data
    assert [digest_of(data[start:end]) for start, end, _ in ranges] == [d for _, _, d in ranges]


def test_describe_reports_every_byte_read() -> None:
    told: list[int] = []
    describe("a", io.BytesIO(bytes(CHUNK_BYTES + 5)), told.append)
    assert told == [CHUNK_BYTES, 5]


# The bundle that must load for ever


def golden(name: str = "schema-1") -> tuple[Registry, Pin]:
    pin = (GOLDEN / name / "pin.txt").read_text().strip()
    return Registry(GOLDEN / name / "registry"), Pin.parse(pin)


def test_the_golden_bundle_of_schema_1_is_found_and_read() -> None:
    registry, pin = golden()
    assert registry.resolve(pin.model) == registry.resolve(f"{pin.model}:prod") == pin
    manifest = registry.manifest(pin)
    assert [str(spec) for spec in manifest.signature.inputs] == [
        "amount FP32[-1, 1]",
        "country BYTES[-1, 1]",
    ]
    assert manifest.metadata == {"auc": "0.5", "note": "grüße"}
    assert registry.versions(pin.model)[0].details["pushed_by"] == "golden"


def test_the_golden_bundle_is_verified_in_chunks(tmp_path: Path) -> None:
    registry, pin = golden()
    manifest = registry.manifest(pin)
    assert len(manifest.file(manifest.entry).chunks) > 1
    registry.fetch(manifest, tmp_path)
    assert all((tmp_path / file.hex).stat().st_size == file.size for file in manifest.files)


def test_the_golden_bundle_of_schema_1_answers_its_example(tmp_path: Path) -> None:
    registry, pin = golden()
    manifest = registry.manifest(pin)
    registry.fetch(manifest, tmp_path)
    data = (tmp_path / manifest.file(manifest.example.path).hex).read_bytes()
    example = Example.from_bytes(data)
    assert example.inputs["country"].ravel().tolist() == ["de", "", "grüße"]
    assert np.isnan(example.inputs["amount"][2, 0])
    predictor = load_bundle(manifest, tmp_path, LoadSettings())
    answers = predictor.predict(example.inputs, list(example.outputs))
    found = compare(
        example.outputs, answers, rtol=manifest.example.rtol, atol=manifest.example.atol
    )
    assert not found.problem
    assert answers["country_again"].ravel().tolist() == ["de", "", "grüße"]
    assert answers["doubled"][0, 0] == 2.5


def test_every_schema_has_golden_bundles() -> None:
    assert set(GOLDEN_BUNDLES.values()) == set(range(1, SCHEMA + 1))
    assert {path.name for path in GOLDEN.iterdir() if path.is_dir()} == set(GOLDEN_BUNDLES)


@pytest.mark.parametrize("name", GOLDEN_BUNDLES)
def test_a_golden_manifest_still_has_the_same_bytes(name: str) -> None:
    registry, pin = golden(name)
    manifest = registry.manifest(pin)
    assert manifest.schema == GOLDEN_BUNDLES[name]
    assert digest_of(manifest.to_bytes()) == pin.digest


@pytest.mark.parametrize("name", ["schema-1-whole", "schema-2"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_golden_bundle_answers_its_example(tmp_path: Path, name: str, *, shared: bool) -> None:
    registry, pin = golden(name)
    manifest = registry.manifest(f"{pin.model}:prod")
    registry.fetch(manifest, tmp_path / "blobs", shared=shared)
    assert any(file.chunks for file in manifest.files) == (name == "schema-2")
    data = (tmp_path / "blobs" / manifest.file(manifest.example.path).hex).read_bytes()
    example = Example.from_bytes(data)
    predictor = load_bundle(manifest, tmp_path / "blobs", LoadSettings())
    answers = predictor.predict(example.inputs, list(example.outputs))
    assert not compare(example.outputs, answers, rtol=0, atol=0).problem
    assert np.isfinite(answers["Y"]).all()


# What turns texts into tokens

TOKENIZER = {
    "input": "text",
    "path": "tokenizer.json",
    "max_tokens": 256,
    "cut": "right",
    "pad": 0,
    "prompt": "",
}


def with_tokenizer(**changes: Any) -> bytes:
    document: Any = copy.deepcopy(VALID) | {"schema": 2, "requires": ["tokenizer"]}
    document["files"] = [
        {"path": path, "digest": DIGEST, "size": 7} for path in ("model.onnx", "tokenizer.json")
    ]
    document["example"]["path"] = "model.onnx"
    document["signature"]["inputs"] = [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    document["options"] = {"tokenizer": {**TOKENIZER, **changes}}
    return json.dumps(document).encode()


def test_a_tokenizer_makes_a_manifest_that_older_readers_refuse() -> None:
    manifest = Manifest.from_bytes(with_tokenizer())
    assert (manifest.schema, manifest.requires) == (2, ("tokenizer",))
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"input": "words"}, "options.tokenizer.input"),
        ({"path": "../tokenizer.json"}, "options.tokenizer.path"),
        ({"path": "other.json"}, "options.tokenizer.path"),
        ({"max_tokens": 0}, "options.tokenizer.max_tokens"),
        ({"max_tokens": 2**40}, "options.tokenizer.max_tokens"),
        ({"max_tokens": "256"}, "options.tokenizer.max_tokens"),
        ({"cut": "middle"}, "options.tokenizer.cut"),
        ({"pad": -1}, "options.tokenizer.pad"),
        ({"prompt": None}, "options.tokenizer.prompt"),
        ({"stride": 3}, "options.tokenizer"),
    ],
)
def test_a_setting_of_a_tokenizer_that_is_not_known_is_refused(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(BundleError) as caught:
        Manifest.from_bytes(with_tokenizer(**changes))
    assert caught.value.field == field
