"""The manifest of a bundle, which describes the model and lists the files.

A manifest is canonical JSON: UTF-8, sorted keys, no spaces, integers below 2^53, every other number
as a string. Its digest is computed over the stored bytes. Readers ignore unknown fields, so a
feature that readers must understand is named in `requires`, which schema 2 has.

A manifest that needs nothing of schema 2 is written in schema 1, so that it keeps its digest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shearling.bundle.canonical_json import canonical_json
from shearling.bundle.digests import SMALLEST_CHUNK, Descriptor
from shearling.bundle.json_reader import check_value, read_json
from shearling.bundle.options import IMAGE, TEXT, TOKENIZER, read_options, required_by_options
from shearling.bundle.signatures import CATEGORIES, read_signature, requirements, signature_document
from shearling.errors import BundleError, InvalidRefError, UnsupportedSchemaError
from shearling.refs import check_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.bundle.json_reader import Field
    from shearling.tensors.spec import Signature


#: The newest schema that is read, and written where a manifest needs it.
SCHEMA = 2

#: What a manifest may require of its readers.
_KNOWN_REQUIREMENTS = frozenset({CATEGORIES, IMAGE, TEXT, TOKENIZER})

_UPGRADE = "upgrade shearling, or rebuild the function's package"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleFile:
    """The file of the example, and the tolerance of the check.

    Attributes:
        path: path of the file in the bundle.
        rtol: relative tolerance, as in numpy.allclose.
        atol: absolute tolerance, as in numpy.allclose.
    """

    path: str
    rtol: float
    atol: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The Python environment that a bundle with code needs.

    Attributes:
        python: major and minor version, as in `3.13`.
        requirements: pinned packages, as in `scikit-learn==1.6.1`.
    """

    python: str
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The description of a bundle.

    Attributes:
        model: name of the model.
        format: format that loads the model, as in `onnx`.
        entry: path of the file that the format opens.
        files: descriptors of all files, including the entry and the example.
        signature: inputs and outputs of the model.
        example: the file of the example, and the tolerance of the check.
        options: settings for loading, which the format defines.
        metadata: the user's metadata.
        environment: Python version and packages; None for a format that needs neither.
        requires: names of features that a reader must know; other readers refuse the bundle. What
            the signature and the options require is added.
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
    requires: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        needed = requirements(self.signature) + required_by_options(self.options)
        object.__setattr__(self, "requires", tuple(sorted({*self.requires, *needed})))

    @property
    def schema(self) -> int:
        """The oldest schema that has all that the manifest says."""
        is_named_by_chunks = any(file.chunks and file.is_proven_by_ranges for file in self.files)
        return 2 if self.requires or is_named_by_chunks else 1

    @property
    def size(self) -> int:
        """Total size of the files in bytes."""
        return sum(file.size for file in self.files)

    def file(self, path: str) -> Descriptor:
        """Return the descriptor of a path, which must be in the manifest."""
        return next(file for file in self.files if file.path == path)

    def to_bytes(self) -> bytes:
        """Encode the manifest as canonical JSON; equal manifests have equal bytes."""
        schema = self.schema
        return canonical_json(
            {
                "schema": schema,
                "model": self.model,
                "format": self.format,
                "entry": self.entry,
                "files": [_descriptor_dict(file) for file in self.files],
                "signature": signature_document(self.signature),
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
            | ({"requires": list(self.requires)} if schema > 1 else {})
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Decode a manifest.

        Raises:
            UnsupportedSchemaError: a newer version of Shearling wrote it.
            BundleError: it is invalid; the message names the field.
        """
        return _read_manifest(read_json(data, "the manifest"))


def _descriptor_dict(file: Descriptor) -> dict[str, object]:
    document: dict[str, object] = {"path": file.path, "digest": file.digest, "size": file.size}
    if file.chunks:
        document |= {"chunk_bytes": file.chunk_bytes, "chunks": list(file.chunks)}
    return document


def _read_manifest(root: Field) -> Manifest:
    schema, requires = _read_schema(root)
    check_value(root.value)
    try:
        model = check_model(root["model"].text())
    except InvalidRefError as error:
        raise BundleError(str(error), field="model") from error
    files = tuple(_read_descriptor(item, schema) for item in root["files"].items())
    paths = [file.path for file in files]
    if len(set(paths)) < len(paths):
        raise BundleError("two files have the same path", field="files")
    signature = read_signature(root["signature"])
    options = read_options(root.get("options", {}), signature.inputs)
    if IMAGE in options:
        _known_path(root["options"][IMAGE]["graph"], paths)
    if TOKENIZER in options:
        _known_path(root["options"][TOKENIZER]["path"], paths)
    needed = requirements(signature) + required_by_options(options)
    if missing := set(needed).difference(requires):
        # An older reader must have been warned of it.
        raise BundleError(f"the bundle needs {min(missing)!r} in it", field="requires")
    return Manifest(
        model=model,
        format=root["format"].text(),
        entry=_known_path(root["entry"], paths),
        files=files,
        signature=signature,
        example=ExampleFile(
            path=_known_path(root["example"]["path"], paths),
            rtol=root["example"]["rtol"].tolerance(),
            atol=root["example"]["atol"].tolerance(),
        ),
        options=options,
        metadata=root.get("metadata", {}).expect(dict, "an object"),
        environment=_read_environment(root.get("environment", None)),
        requires=requires,
    )


def _read_schema(root: Field) -> tuple[int, tuple[str, ...]]:
    """Return the schema and what it requires of a reader, before anything else is read."""
    schema = root["schema"].count()
    if schema > SCHEMA:
        raise UnsupportedSchemaError(
            f"the bundle has schema {schema}; this version of shearling reads up to {SCHEMA}: "
            f"{_UPGRADE}",
            field="schema",
        )
    if schema == 0:
        raise BundleError("0 is not a schema: the first is 1", field="schema")
    if schema == 1:
        return schema, ()
    for place in root["requires"].items():
        if place.text() not in _KNOWN_REQUIREMENTS:
            raise UnsupportedSchemaError(
                f"the bundle requires {place.text()!r:.80}, which this version of shearling does "
                f"not know: {_UPGRADE}",
                field=place.path,
            )
    return schema, tuple(place.text() for place in root["requires"].items())


def _known_path(place: Field, paths: list[str]) -> str:
    path = place.relative_path()
    if path not in paths:
        raise BundleError(f"{path!r} is not in the list of files", field=place.path)
    return path


def _read_descriptor(place: Field, schema: int) -> Descriptor:
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
            f"{len(file.chunks)} chunks, expected {needed} for {file.size} bytes in chunks of "
            f"{file.chunk_bytes} bytes",
            field=f"{place.path}.chunks",
        )
    if schema > 1 and not file.is_proven_by_ranges:
        raise BundleError(
            f"{file.digest} is not the digest of two or more chunks of at least {SMALLEST_CHUNK} "
            "bytes, which schema 2 names such a file by",
            field=f"{place.path}.digest",
        )
    return file


def _read_environment(place: Field) -> Environment | None:
    if place.value is None:
        return None
    return Environment(
        python=place["python"].text(),
        requirements=tuple(item.text() for item in place["requirements"].items()),
    )
