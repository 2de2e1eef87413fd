"""Make a bundle of a graph that a recipe changed, and load it as a function would."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shearling.bundle.digests import describe
from shearling.bundle.example import Example
from shearling.bundle.options import IMAGE, TOKENIZER
from shearling.converters.onnx_files import drop_unused_opsets, load_options, write_files
from shearling.converters.original import Original
from shearling.converters.quantization import prepared
from shearling.errors import FormatError
from shearling.formats.base import LoadSettings, load_bundle
from shearling.formats.image import ImagePredictor
from shearling.formats.tokenizer import TextPredictor
from shearling.models.both_models import BothModels
from shearling.models.input_limits import limit_inputs
from shearling.models.rounding import rounding_difference
from shearling.models.tensor_rows import count_of, in_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from shearling.bundle.digests import Descriptor
    from shearling.bundle.manifest import Manifest
    from shearling.converters.quantization import Recipe
    from shearling.formats.base import Predictor
    from shearling.tensors.spec import Signature, TensorSpec

    Tensors = Mapping[str, NDArray[Any]]

#: Rows that are answered at once.
_BATCH = 64

#: A tolerance that only differences between finite and other values exceed.
_ANY = 1e300


@dataclass(frozen=True, slots=True)
class Candidate:
    """A loaded bundle.

    Attributes:
        manifest: its manifest.
        directory: flat directory with its files, named by their digests.
        predictor: the loaded model, which runs in one thread.
    """

    manifest: Manifest
    directory: Path
    predictor: Predictor

    @classmethod
    def load(cls, manifest: Manifest, directory: Path) -> Candidate:
        """Load a bundle."""
        return cls(manifest, directory, load_bundle(manifest, directory, LoadSettings(threads=1)))

    def reload(self) -> Candidate:
        """Load the bundle once more."""
        return self.load(self.manifest, self.directory)

    def predict(self, rows: Tensors) -> dict[str, NDArray[Any]]:
        """Return the answers to rows in one request."""
        return self.predictor.predict(rows, self.manifest.signature.output_names)

    def answers(self, rows: Tensors, batch: int = _BATCH) -> dict[str, NDArray[Any]]:
        """Return the answers to any number of rows, in several requests.

        Raises:
            FormatError: the model does not answer each row.
        """
        answers = in_blocks(self.predict, rows, batch)
        count = count_of(rows)
        if wrong := [name for name, array in answers.items() if len(array) != count]:
            raise FormatError(
                f"output {wrong[0]!r} does not have a row for each row of the input, so the rows "
                "cannot be judged"
            )
        return answers

    def around(self, graph: Predictor) -> Predictor:
        """Return a model for requests, made of one for the inputs of the version's graph."""
        if isinstance(self.predictor, TextPredictor | ImagePredictor):
            return self.predictor.around(graph)
        return graph

    def graph_inputs(self, batches: list[dict[str, NDArray[Any]]]) -> list[dict[str, NDArray[Any]]]:
        """Return what the version's graph reads of requests."""
        if not isinstance(self.predictor, TextPredictor | ImagePredictor):
            return batches
        return [inputs for batch in batches for inputs in self.predictor.graph_inputs(batch)]

    def copied_steps(self, directory: Path) -> list[Descriptor]:
        """Copy the files that precede the graph to a directory, and return them."""
        options = self.manifest.options
        named = [(TOKENIZER, "path"), (IMAGE, "graph")]
        files = [self.manifest.file(options[one][key]) for one, key in named if one in options]
        for file in files:
            shutil.copyfile(self.directory / file.hex, directory / file.hex)
        return files

    def example(self) -> Example:
        """Return the example of the bundle."""
        file = self.manifest.file(self.manifest.example.path)
        return Example.from_bytes((self.directory / file.hex).read_bytes())


def make_candidate(
    recipe: Recipe,
    graph: onnx.ModelProto,
    parent: Candidate,
    calibration: list[dict[str, NDArray[Any]]],
    directory: Path,
) -> Candidate:
    """Apply a recipe to a graph, and return the bundle with the parent's contract and example.

    Args:
        recipe: the recipe.
        graph: the graph of the parent, which is left as it is.
        parent: the version that is made smaller.
        calibration: rows to calibrate with, in batches.
        directory: empty directory for the files.

    Raises:
        FormatError: the graph's answers to the example would depend on the processor.
    """
    smaller = prepared(graph)
    recipe.apply(smaller, parent.graph_inputs(calibration))
    drop_unused_opsets(smaller)
    written = type(smaller)()
    written.CopyFrom(smaller)
    files = write_files(written, directory)
    described = []
    for path, file in files.items():
        with file.open("rb") as stream:
            described.append(describe(path, stream))
        file.rename(directory / described[-1].hex)
    described += parent.copied_steps(directory)
    draft = replace(
        parent.manifest,
        files=tuple(described),
        options={**parent.manifest.options, **load_options(smaller)},
    )
    loaded = Candidate.load(draft, directory)
    inputs = parent.example().inputs
    answers = loaded.predict(inputs)
    signature = _limited(parent, loaded, calibration[0])
    difference, changing = rounding_difference(
        smaller, inputs, signature.output_names, answers, parent.around
    )
    if changing:
        raise FormatError(
            f"output {changing!r} of the example depends on how the processor rounds, so the check "
            "of a release could fail"
        )
    file = directory / parent.manifest.example.path
    file.write_bytes(Example(inputs, answers).to_bytes())
    with file.open("rb") as stream:
        example = describe(parent.manifest.example.path, stream)
    file.rename(directory / example.hex)
    tolerance = replace(draft.example, atol=max(draft.example.atol, difference))
    manifest = replace(draft, files=(*described, example), signature=signature, example=tolerance)
    return replace(loaded, manifest=manifest)


def _limited(parent: Candidate, smaller: Candidate, rows: Tensors) -> Signature:
    """Return the parent's signature, without values that only the parent answers as such.

    A quantised operator may turn a missing value into a number.
    """
    signature = parent.manifest.signature
    floats = tuple(spec for spec in signature.outputs if spec.datatype.startswith("FP"))
    if not floats:
        return signature
    both = BothModels(
        original=Original(rows=rows, answer=parent.predict, kind="graph"),
        predictor=smaller.predictor,
        signature=replace(signature, outputs=floats),
        rtol=_ANY,
        atol=_ANY,
    )
    limited, _ = limit_inputs(both, _BATCH)

    def narrowed(spec: TensorSpec) -> TensorSpec:
        other = limited.by_name[spec.name]
        return replace(
            spec,
            nullable=spec.nullable and other.nullable,
            finite=spec.finite or other.finite,
        )

    return replace(signature, inputs=tuple(map(narrowed, signature.inputs)))
