"""Load what was saved as a function would, and hold its answers to the original model's."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.bundle.digests import describe
from shearling.bundle.example import EXAMPLE_LIMIT_BYTES, Example
from shearling.bundle.manifest import ExampleFile, Manifest
from shearling.errors import FormatError, InvalidRequestError
from shearling.formats.base import LoadSettings, load_bundle
from shearling.progress import human_bytes
from shearling.tensors.comparison import compare
from shearling.tensors.spec import Signature

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.bundle.digests import Descriptor
    from shearling.converters.base import ConvertedModel
    from shearling.formats.base import Predictor
    from shearling.tensors.comparison import Comparison

_EXAMPLE = "example.tensors"

#: The example runs at every start; the rest of what is given only proves the conversion.
_EXAMPLE_ROWS = 8

#: Where votes or distances tie, the last bit decides: that happens in few rows.
_TIES = 0.01

#: From a warning up to who called `push_model`.
_CALLER = 4

#: What makes a saved model answer differently, and what helps.
_HINTS = {
    "onnx": "ONNX computes in 32 bits: fit and push on float32 data (trees without a scaler before "
    "them: its last bit decides where a value lies on a split)",
    "cloudpickle": "It was only pickled and loaded again: let it answer the same every time, with "
    "a fixed seed and no state",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBundle:
    """A bundle that answers as the original model does.

    Attributes:
        manifest: of it.
        files: where each of its paths lies.
        load_seconds: how long it took to load.
    """

    manifest: Manifest
    files: Mapping[str, Path]
    load_seconds: float


def verify(
    converted: ConvertedModel,
    name: str,
    directory: Path,
    *,
    rtol: float,
    atol: float,
    metadata: Mapping[str, Any],
) -> VerifiedBundle:
    """Load what was converted, compare its answers with the original's, and complete its manifest.

    Args:
        converted: the model's files, and what the original answers.
        name: the model's name.
        directory: where the files lie; each gets the name that its blob has.
        rtol: how far, relatively, an answer may be from the original's.
        atol: the same, absolutely.
        metadata: what else to say of the model.

    Raises:
        FormatError: it cannot be loaded, or answers differently.
        InvalidRequestError: not even one row of the example is small enough.
    """
    described = [_store_by_digest(path, file, directory) for path, file in converted.files.items()]
    draft = Manifest(
        model=name,
        format=converted.format,
        entry=converted.entry,
        files=tuple(described),
        signature=converted.signature,
        example=ExampleFile(path=_EXAMPLE, rtol=rtol, atol=atol),
        options=converted.options,
        metadata=metadata,
        environment=converted.environment,
    )
    started = time.perf_counter()
    predictor = load_bundle(draft, directory, LoadSettings(allow_pickle=True))
    load_seconds = time.perf_counter() - started
    proof = _Proof(converted, predictor, rtol, atol)
    proof.check_example()
    proof.warn_of_other_rows()
    signature = proof.signature()
    manifest = replace(
        draft, signature=signature, files=(*described, proof.write_example(directory))
    )
    files = {file.path: directory / file.hex for file in manifest.files}
    return VerifiedBundle(manifest=manifest, files=files, load_seconds=load_seconds)


@dataclass(frozen=True, slots=True)
class _Proof:
    """What was converted, loaded again."""

    converted: ConvertedModel
    predictor: Predictor
    rtol: float
    atol: float

    def check_example(self) -> None:
        """Refuse a model that does not answer the example as the original does."""
        found = self._compare(Example(self.converted.inputs, self.converted.expected))
        if found.problem:
            raise FormatError(
                f"the saved model does not answer as the original does: {found.problem}. Nothing "
                f"is published. {self._hint}, or allow more with rtol= and atol="
            )

    def warn_of_other_rows(self) -> None:
        """Say that rows like those of the example are answered otherwise than by the original."""
        if self.converted.resampled_example is None:
            return
        found = self._compare(self.converted.resampled_example)
        if found.share > _TIES:
            warnings.warn(
                "the saved model answers the example as the original does, but not all rows that "
                f"mix its values: {found.problem}. {self._hint}, or push more rows as the example, "
                "to see whether any of them is answered so",
                UserWarning,
                stacklevel=_CALLER,
            )

    def signature(self) -> Signature:
        """Return the signature, with what is found out of missing values."""
        inputs = []
        for spec in self.converted.signature.inputs:
            is_known = spec.name in self.converted.missing_value_examples
            inputs.append(replace(spec, nullable=not is_known or self._is_nullable(spec.name)))
        return Signature(inputs=tuple(inputs), outputs=self.converted.signature.outputs)

    def _is_nullable(self, name: str) -> bool:
        """Say whether values of an input may be missing: both models take such rows, and agree."""
        has_missing = bool(np.isnan(self.converted.inputs[name]).any())
        for example in self.converted.missing_value_examples[name]:
            found = self._compare(example)
            if not found.problem:
                continue
            differs = (
                f"where a value of {name!r} is missing, the saved model does not answer as the "
                f"original does: {found.problem}"
            )
            if has_missing:
                raise FormatError(
                    f"{differs}. Nothing is published. Fill such values before the model"
                )
            refuses = f"{differs}. It refuses such values: fill them before the model"
            warnings.warn(refuses, UserWarning, stacklevel=_CALLER + 1)
            return False
        return has_missing or bool(self.converted.missing_value_examples[name])

    def write_example(self, directory: Path) -> Descriptor:
        """Write the example's first rows, as many as are allowed, with the answers to them."""
        names = self.converted.signature.output_names
        rows = _EXAMPLE_ROWS
        while True:
            inputs, are_fewer = self._first_rows(rows)
            data = Example(inputs, self.predictor.predict(inputs, names)).to_bytes()
            if len(data) <= EXAMPLE_LIMIT_BYTES:
                break
            if rows == 1 or not are_fewer:
                raise InvalidRequestError(
                    f"example: {human_bytes(len(data))} with its answers, and it runs at every "
                    f"start: pass a smaller one, of at most {human_bytes(EXAMPLE_LIMIT_BYTES)}"
                )
            rows //= 2
        file = directory / _EXAMPLE
        file.write_bytes(data)
        return _store_by_digest(_EXAMPLE, file, directory)

    def _first_rows(self, rows: int) -> tuple[dict[str, NDArray[Any]], bool]:
        """Return the example's first rows, and True; all of it if its first dimension is no row."""
        inputs = dict(self.converted.inputs)
        counts = {array.shape[:1] for array in inputs.values()}
        specs = self.converted.signature.inputs
        if len(counts) == 1 and all(spec.shape[:1] == (-1,) for spec in specs):
            return {key: array[:rows] for key, array in inputs.items()}, True
        return inputs, False

    def _compare(self, example: Example) -> Comparison:
        answers = self.predictor.predict(example.inputs, list(example.outputs))
        return compare(example.outputs, answers, rtol=self.rtol, atol=self.atol)

    @property
    def _hint(self) -> str:
        return _HINTS[self.converted.format]


def _store_by_digest(path: str, file: Path, directory: Path) -> Descriptor:
    """Describe a file, and rename it to its digest: the name of its blob wherever it is loaded."""
    with file.open("rb") as stream:
        described = describe(path, stream)
    file.rename(directory / described.hex)
    return described
