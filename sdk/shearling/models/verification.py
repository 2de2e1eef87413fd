"""Load a converted model as a function would, and compare its answers with the original's."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shearling.bundle.digests import describe
from shearling.bundle.example import EXAMPLE_FILE, EXAMPLE_LIMIT_BYTES, Example
from shearling.bundle.manifest import ExampleFile, Manifest
from shearling.converters.remote import RecordedAnswers
from shearling.errors import FormatError, InvalidRequestError
from shearling.formats.base import REMOTE, LoadSettings, load_bundle
from shearling.models.agreement import (
    check_example,
    check_other_sizes,
    check_repeated,
    row_dependence,
    warning_of_other_rows,
)
from shearling.models.both_models import BothModels
from shearling.models.input_limits import limit_inputs
from shearling.models.tensor_rows import count_of
from shearling.progress import human_bytes
from shearling.tensors.comparison import ATOL, RTOL
from shearling.tensors.inputs import has_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.bundle.digests import Descriptor
    from shearling.converters.base import ConvertedModel
    from shearling.formats.base import Predictor, Tensors
    from shearling.tensors.spec import Signature

#: Rows published as the example, which runs at every start. The other rows only verify the
#: conversion.
_EXAMPLE_ROWS = 8

#: Stack level of a warning that points to `push_model`'s caller.
_CALLER = 4

#: Limits of the rows of one kind that both models are asked about, and the seconds that they may
#: take.
_FEW, _MANY, _SECONDS = 4, 512, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBundle:
    """A bundle whose answers agree with the original model's.

    Attributes:
        manifest: the complete manifest of the bundle.
        files: local file for each path inside the bundle.
        load_seconds: seconds that loading the bundle took.
        predictor: the loaded bundle.
    """

    manifest: Manifest
    files: Mapping[str, Path]
    load_seconds: float
    predictor: Predictor


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
    draft = draft_manifest(converted, name, directory, rtol=rtol, atol=atol, metadata=metadata)
    signature = draft.signature
    predictor: Predictor
    if converted.format == REMOTE:  # the endpoint is asked before each release
        predictor, load_seconds = RecordedAnswers(converted.expected), 0.0
    else:
        started = time.perf_counter()
        predictor = load_bundle(draft, directory, LoadSettings(allow_pickle=True))
        load_seconds = time.perf_counter() - started
        signature, texts = _verified_signature(draft, converted, predictor)
        for text in texts:
            warnings.warn(text, UserWarning, stacklevel=_CALLER)
    example = _write_example(converted, signature, predictor, directory)
    manifest = replace(draft, signature=signature, files=(*draft.files, example))
    files = {file.path: directory / file.hex for file in manifest.files}
    return VerifiedBundle(
        manifest=manifest, files=files, load_seconds=load_seconds, predictor=predictor
    )


def _verified_signature(
    draft: Manifest, converted: ConvertedModel, predictor: Predictor
) -> tuple[Signature, list[str]]:
    """Compare the answers of both models; return what they agree on, and warnings."""
    tolerance = draft.example
    both = BothModels(
        converted.original, predictor, draft.signature, tolerance.rtol, tolerance.atol
    )
    answers = _answers_to_example(both, converted)
    started = time.perf_counter()
    check_repeated(both, answers, _answers_to_example(both, converted))
    seconds = time.perf_counter() - started
    check_example(both, converted, answers)
    of_sizes = check_other_sizes(both)
    signature, texts = _checked_signature(both, seconds)
    return signature, [text for text in (of_sizes, *texts) if text]


def draft_manifest(
    converted: ConvertedModel,
    name: str,
    directory: Path,
    *,
    rtol: float = RTOL,
    atol: float = ATOL,
    metadata: Mapping[str, Any] = MappingProxyType({}),
) -> Manifest:
    """Return the manifest of a converted model, whose example is still to be written.

    Each file is renamed to its digest, so that `load_bundle` finds it.
    """
    described = [_store_by_digest(path, file, directory) for path, file in converted.files.items()]
    return Manifest(
        model=name,
        format=converted.format,
        entry=converted.entry,
        files=tuple(described),
        signature=_compared_outputs(converted),
        example=ExampleFile(path=EXAMPLE_FILE, rtol=rtol, atol=atol),
        options=converted.options,
        metadata=metadata,
        environment=converted.environment,
    )


def _compared_outputs(converted: ConvertedModel) -> Signature:
    """Return the signature with only those outputs that the original has an answer for."""
    outputs = converted.signature.outputs
    compared = tuple(spec for spec in outputs if spec.name in converted.expected)
    if not compared:
        raise FormatError(
            f"the original has no answers to compare the outputs of the converted model with "
            f"({', '.join(spec.name for spec in outputs)}), so nothing was published"
        )
    return replace(converted.signature, outputs=compared)


def _answers_to_example(both: BothModels, converted: ConvertedModel) -> Tensors:
    try:
        return both.predictor.predict(converted.inputs, both.signature.output_names)
    except Exception as error:  # models raise errors of any class
        advice = converted.original.advice
        raise FormatError(
            f"the converted model fails on the example: {error!r:.300}. Nothing was published. "
            f"{advice(error) if advice else ''}".strip()
        ) from error


def _checked_signature(both: BothModels, seconds: float) -> tuple[Signature, list[str]]:
    """Ask both models about rows unlike the example; return the signature and warnings.

    Args:
        both: the models.
        seconds: how long the example took.
    """
    signature = both.signature
    rows = both.original.rows
    if not has_rows(rows, signature.inputs):
        return signature, []
    limit = max(_FEW, min(_MANY, int(_SECONDS * count_of(rows) / max(seconds, 1e-9))))
    signature, texts = limit_inputs(both, limit)
    both = replace(both, signature=signature)
    is_dependent, dependence = row_dependence(both, limit)
    others = warning_of_other_rows(both, limit)
    signature = replace(signature, independent_rows=not is_dependent)
    return signature, [text for text in (*texts, others, dependence) if text]


def _write_example(
    converted: ConvertedModel, signature: Signature, predictor: Predictor, directory: Path
) -> Descriptor:
    """Write the example's first rows with their answers, halving the rows until they fit."""
    rows = _EXAMPLE_ROWS
    while True:
        inputs, are_fewer = _first_rows(converted, rows)
        data = Example(inputs, predictor.predict(inputs, signature.output_names)).to_bytes()
        if len(data) <= EXAMPLE_LIMIT_BYTES:
            break
        if rows == 1 or not are_fewer:
            raise InvalidRequestError(
                f"example: {human_bytes(len(data))} with its answers, but at most "
                f"{human_bytes(EXAMPLE_LIMIT_BYTES)} are allowed, because the example runs at "
                "every start: pass a smaller example"
            )
        rows //= 2
    file = directory / EXAMPLE_FILE
    file.write_bytes(data)
    return _store_by_digest(EXAMPLE_FILE, file, directory)


def _first_rows(converted: ConvertedModel, rows: int) -> tuple[dict[str, NDArray[Any]], bool]:
    """Return the first rows and True, or the whole example and False if it has no rows."""
    inputs = dict(converted.inputs)
    if has_rows(inputs, converted.signature.inputs):
        return {key: array[:rows] for key, array in inputs.items()}, True
    return inputs, False


def _store_by_digest(path: str, file: Path, directory: Path) -> Descriptor:
    """Rename a file to its digest, as the loader expects, and return its descriptor."""
    with file.open("rb") as stream:
        described = describe(path, stream)
    file.rename(directory / described.hex)
    return described
