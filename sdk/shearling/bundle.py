"""What a bundle is: a manifest, read strictly and written canonically, and the files it describes.

A manifest is canonical JSON: UTF-8, sorted keys, no spaces, integers below 2^53, every other number
as a string. Its digest is over the stored bytes. Readers ignore fields that they don't know; what
must be understood raises `schema`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shearling.canonical import Field, canonical_json
from shearling.errors import BundleError, InvalidRefError, UnsupportedSchemaError
from shearling.ref import check_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

SCHEMA = 1

#: A file larger than this is fetched in parallel ranges, each proven by a digest of its own.
CHUNK_BYTES = 8 * 1024 * 1024

#: Datatypes of the Open Inference Protocol v2 that a tensor may have.
DATATYPES = frozenset(
    ["BOOL", "BYTES", "FP16", "FP32", "FP64"]
    + [f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A file of a bundle: where it stands in the bundle, and which bytes it has.

    Attributes:
        path: relative, with `/` between its parts.
        digest: `sha256:<hex>` of the whole file.
        size: bytes.
        chunk_bytes: size of every chunk but the last, if the file has more than one; else 0.
        chunks: the digest of each chunk, in order.
    """

    path: str
    digest: str
    size: int
    chunk_bytes: int = 0
    chunks: tuple[str, ...] = ()

    @property
    def hex(self) -> str:
        """The digest without its algorithm: the blob's name."""
        return self.digest.removeprefix("sha256:")

    def ranges(self) -> Iterator[tuple[int, int, str]]:
        """Yield (start, end, digest) of each part that can be proven alone."""
        if not self.chunks:
            yield 0, self.size, self.digest
        for i, digest in enumerate(self.chunks):
            start = i * self.chunk_bytes
            yield start, min(start + self.chunk_bytes, self.size), digest


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: of the tensor.
        datatype: of the protocol.
        shape: with -1 for any size.
        nullable: whether values of an input of floats may be missing: NaN, in JSON null.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    nullable: bool = True

    def __str__(self) -> str:
        return f"{self.name} {self.datatype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The tensors that a model takes and gives, in the model's order.

    Attributes:
        by_name: the inputs by name.
        output_names: the outputs' names.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    by_name: Mapping[str, TensorSpec] = field(init=False, repr=False, compare=False)
    output_names: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once, and not for every request.
        object.__setattr__(self, "by_name", {spec.name: spec for spec in self.inputs})
        object.__setattr__(self, "output_names", tuple(spec.name for spec in self.outputs))


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


def digest_of(data: bytes | memoryview) -> str:
    """Return the digest of bytes: `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def describe(path: str, stream: BinaryIO, advance: Callable[[int], object] = int) -> Descriptor:
    """Read a file once and describe it, chunk digests included, for the bundle path `path`.

    Args:
        path: where the file stands in the bundle.
        stream: the file, opened for reading in binary.
        advance: told the number of bytes of every chunk read.
    """
    whole = hashlib.sha256()
    chunks = []
    size = 0
    while chunk := stream.read(CHUNK_BYTES):
        whole.update(chunk)
        chunks.append(digest_of(chunk))
        size += len(chunk)
        advance(len(chunk))
    digest = f"sha256:{whole.hexdigest()}"
    if len(chunks) < 2:  # noqa: PLR2004 - one chunk is the file
        return Descriptor(path=path, digest=digest, size=size)
    return Descriptor(
        path=path, digest=digest, size=size, chunk_bytes=CHUNK_BYTES, chunks=tuple(chunks)
    )


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
