"""Load a converted model as a function would, and compare its answers with the original's."""

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

#: Rows published as the example, which runs at every start. The other rows only verify the
#: conversion.
_EXAMPLE_ROWS = 8

#: Share of values that may differ in recombined rows: rounding decides where votes or distances
#: tie.
_TIES = 0.01

#: Stack level of a warning that points to `push_model`'s caller.
_CALLER = 4

#: Why a converted model may answer differently, and what to do about it, by format.
_HINTS = {
    "onnx": "ONNX computes in 32-bit floats: fit the model on float32 data, push float32 rows as "
    "the example, and use no scaler before trees (rounding decides where a value equals a split)",
    "cloudpickle": "The model was only pickled and loaded again, so its answers may vary between "
    "calls: use a fixed seed and no state",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBundle:
    """A bundle whose answers agree with the original model's.

    Attributes:
        manifest: the complete manifest of the bundle.
        files: local file for each path inside the bundle.
        load_seconds: seconds that loading the bundle took.
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
    """Load a converted model, compare its answers with the original's, and complete its manifest.

    Args:
        converted: the model's files, with the original model's answers.
        name: the model's name.
        directory: directory of the files. Each file is renamed to its digest.
        rtol: largest relative difference between an answer and the original's.
        atol: largest absolute difference, added to the relative one.
        metadata: facts to store with the model.

    Raises:
        FormatError: the converted model cannot be loaded, or its answers differ too much.
        InvalidRequestError: a single row of the example is too large to publish.
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
    verifier = _Verifier(converted, predictor, rtol, atol)
    verifier.check_example()
    verifier.warn_of_resampled_rows()
    signature = verifier.signature()
    manifest = replace(
        draft, signature=signature, files=(*described, verifier.write_example(directory))
    )
    files = {file.path: directory / file.hex for file in manifest.files}
    return VerifiedBundle(manifest=manifest, files=files, load_seconds=load_seconds)


@dataclass(frozen=True, slots=True)
class _Verifier:
    """Compares a converted model, loaded again, with the original's answers."""

    converted: ConvertedModel
    predictor: Predictor
    rtol: float
    atol: float

    def check_example(self) -> None:
        """Raise FormatError if the answers to the example differ from the original's."""
        comparison = self._compare(Example(self.converted.inputs, self.converted.expected))
        if comparison.problem:
            raise FormatError(
                f"the converted model's answers differ from the original's: {comparison.problem}. "
                f"Nothing was published. {self._hint}, or raise rtol= or atol="
            )

    def warn_of_resampled_rows(self) -> None:
        """Warn if rows that recombine the example's values are answered differently."""
        if self.converted.resampled_example is None:
            return
        comparison = self._compare(self.converted.resampled_example)
        if comparison.share > _TIES:
            warnings.warn(
                "the converted model agrees with the original on the example, but not on all rows "
                f"that recombine its values: {comparison.problem}. {self._hint}, or push more rows "
                "as the example to see whether real rows are affected",
                UserWarning,
                stacklevel=_CALLER,
            )

    def signature(self) -> Signature:
        """Return the signature, with `nullable` set for inputs that accept missing values."""
        inputs = []
        for spec in self.converted.signature.inputs:
            is_known = spec.name in self.converted.missing_value_examples
            inputs.append(replace(spec, nullable=not is_known or self._is_nullable(spec.name)))
        return Signature(inputs=tuple(inputs), outputs=self.converted.signature.outputs)

    def _is_nullable(self, name: str) -> bool:
        """Return whether both models accept missing values of an input, and agree on them."""
        has_missing = bool(np.isnan(self.converted.inputs[name]).any())
        for example in self.converted.missing_value_examples[name]:
            comparison = self._compare(example)
            if not comparison.problem:
                continue
            problem = (
                f"if a value of {name!r} is missing, the converted model's answers differ from the "
                f"original's: {comparison.problem}"
            )
            if has_missing:
                raise FormatError(
                    f"{problem}. Nothing was published. Fill missing values before the model"
                )
            warning = (
                f"{problem}. So the published model refuses missing values in {name!r}: fill them "
                "before the model"
            )
            warnings.warn(warning, UserWarning, stacklevel=_CALLER + 1)
            return False
        return has_missing or bool(self.converted.missing_value_examples[name])

    def write_example(self, directory: Path) -> Descriptor:
        """Write the example's first rows with their answers, halving the rows until they fit."""
        names = self.converted.signature.output_names
        rows = _EXAMPLE_ROWS
        while True:
            inputs, are_fewer = self._first_rows(rows)
            data = Example(inputs, self.predictor.predict(inputs, names)).to_bytes()
            if len(data) <= EXAMPLE_LIMIT_BYTES:
                break
            if rows == 1 or not are_fewer:
                raise InvalidRequestError(
                    f"example: {human_bytes(len(data))} with its answers, but at most "
                    f"{human_bytes(EXAMPLE_LIMIT_BYTES)} are allowed, because the example runs at "
                    "every start: pass a smaller example"
                )
            rows //= 2
        file = directory / _EXAMPLE
        file.write_bytes(data)
        return _store_by_digest(_EXAMPLE, file, directory)

    def _first_rows(self, rows: int) -> tuple[dict[str, NDArray[Any]], bool]:
        """Return the first rows and True, or the whole example and False if it has no rows."""
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
    """Rename a file to its digest, as the loader expects, and return its descriptor."""
    with file.open("rb") as stream:
        described = describe(path, stream)
    file.rename(directory / described.hex)
    return described
