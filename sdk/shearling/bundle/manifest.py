"""What a bundle is: a manifest, read strictly and written canonically, and the files it describes.

A manifest is canonical JSON: UTF-8, sorted keys, no spaces, integers below 2^53, every other number
as a string. Its digest is over the stored bytes. Readers ignore fields that they don't know; what
must be understood raises `schema`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shearling.bundle.canonical_json import canonical_json
from shearling.bundle.digests import Descriptor
from shearling.bundle.json_reader import Field
from shearling.errors import BundleError, InvalidRefError, UnsupportedSchemaError
from shearling.refs import check_model
from shearling.tensors.spec import DATATYPES, Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping


SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleFile:
    """Which file holds the example, and how far an answer may be from it (as numpy.allclose)."""

    path: str
    rtol: float
    atol: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What a format that runs code needs: a Python minor version and pinned requirements."""

    python: str
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All that is known of a bundle without reading its files.

    Attributes:
        model: the model's name.
        format: how `entry` is loaded, as in `onnx`.
        entry: path of the file that the format opens.
        files: every file of the bundle, the entry and the example among them.
        options: what the format recorded for loading; its meaning is the format's.
        metadata: what the user said of the model.
        environment: None for a format that does not depend on one.
    """

    model: str
    format: str
    entry: str
    files: tuple[Descriptor, ...]
    signature: Signature
    example: ExampleFile
    options: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    environment: Environment | None = None

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def file(self, path: str) -> Descriptor:
        """Return the descriptor of a path that the manifest is known to hold."""
        return next(file for file in self.files if file.path == path)

    def to_bytes(self) -> bytes:
        """Write the manifest as canonical JSON: the same manifest is always the same bytes."""
        return canonical_json(
            {
                "schema": SCHEMA,
                "model": self.model,
                "format": self.format,
                "entry": self.entry,
                "files": [_descriptor_dict(file) for file in self.files],
                "signature": {
                    "inputs": [_spec_dict(spec) for spec in self.signature.inputs],
                    "outputs": [_spec_dict(spec) for spec in self.signature.outputs],
                },
                "example": {
                    "path": self.example.path,
                    "rtol": repr(self.example.rtol),
                    "atol": repr(self.example.atol),
                },
                "options": dict(self.options),
                "metadata": dict(self.metadata),
                "environment": self.environment
                and {
                    "python": self.environment.python,
                    "requirements": list(self.environment.requirements),
                },
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read a manifest.

        Raises:
            UnsupportedSchemaError: a newer Shearling wrote it.
            BundleError: it is broken; the message names the field.
        """
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"the manifest is not JSON: {error}") from error
        return _read_manifest(Field(document, ""))


def _descriptor_dict(file: Descriptor) -> dict[str, object]:
    document: dict[str, object] = {"path": file.path, "digest": file.digest, "size": file.size}
    if file.chunks:
        document |= {"chunk_bytes": file.chunk_bytes, "chunks": list(file.chunks)}
    return document


def _spec_dict(spec: TensorSpec) -> dict[str, object]:
    document: dict[str, object] = {
        "name": spec.name,
        "datatype": spec.datatype,
        "shape": list(spec.shape),
    }
    if not spec.nullable:
        document["nullable"] = False
    return document


def _read_manifest(root: Field) -> Manifest:
    schema = root["schema"].count()
    if schema > SCHEMA:
        raise UnsupportedSchemaError(
            f"the bundle has schema {schema}; this version of shearling reads up to {SCHEMA}: "
            "upgrade shearling, or rebuild the function's package",
            field="schema",
        )
    try:
        model = check_model(root["model"].text())
    except InvalidRefError as error:
        raise BundleError(str(error), field="model") from error
    files = tuple(_read_descriptor(item) for item in root["files"].items())
    paths = [file.path for file in files]
    if len(set(paths)) < len(paths):
        raise BundleError("a path stands there twice", field="files")
    return Manifest(
        model=model,
        format=root["format"].text(),
        entry=_known_path(root["entry"], paths),
        files=files,
        signature=Signature(
            inputs=_read_specs(root["signature"]["inputs"]),
            outputs=_read_specs(root["signature"]["outputs"]),
        ),
        example=ExampleFile(
            path=_known_path(root["example"]["path"], paths),
            rtol=root["example"]["rtol"].tolerance(),
            atol=root["example"]["atol"].tolerance(),
        ),
        options=root.get("options", {}).expect(dict, "an object"),
        metadata=root.get("metadata", {}).expect(dict, "an object"),
        environment=_read_environment(root.get("environment", None)),
    )


def _known_path(place: Field, paths: list[str]) -> str:
    path = place.relative_path()
    if path not in paths:
        raise BundleError(f"{path!r} is not among the files", field=place.path)
    return path


def _read_descriptor(place: Field) -> Descriptor:
    file = Descriptor(
        path=place["path"].relative_path(),
        digest=place["digest"].digest(),
        size=place["size"].count(),
        chunk_bytes=place.get("chunk_bytes", 0).count(),
        chunks=tuple(item.digest() for item in place.get("chunks", []).items()),
    )
    needed = -(-file.size // file.chunk_bytes) if file.chunk_bytes else 0
    if len(file.chunks) != needed:
        raise BundleError(
            f"{len(file.chunks)} chunks where {file.size} bytes need {needed}",
            field=f"{place.path}.chunks",
        )
    return file


def _read_specs(place: Field) -> tuple[TensorSpec, ...]:
    specs = tuple(_read_spec(item) for item in place.items())
    if not specs:
        raise BundleError("a model has at least one tensor", field=place.path)
    if len({spec.name for spec in specs}) < len(specs):
        raise BundleError("a name stands there twice", field=place.path)
    return specs


def _read_spec(place: Field) -> TensorSpec:
    datatype = place["datatype"].text()
    if datatype not in DATATYPES:
        raise BundleError(f"{datatype!r:.80} is not a datatype", field=f"{place.path}.datatype")
    shape = tuple(item.expect(int, "an integer") for item in place["shape"].items())
    if any(size < -1 for size in shape):
        raise BundleError(f"{list(shape)} is not a shape", field=f"{place.path}.shape")
    return TensorSpec(
        name=place["name"].text(),
        datatype=datatype,
        shape=shape,
        nullable=place.get("nullable", True).expect(bool, "true or false"),
    )


def _read_environment(place: Field) -> Environment | None:
    if place.value is None:
        return None
    return Environment(
        python=place["python"].text(),
        requirements=tuple(item.text() for item in place["requirements"].items()),
    )
