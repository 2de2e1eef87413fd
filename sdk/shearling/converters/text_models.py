"""Convert a text model: a tokenizer's file, and a graph that reads its tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.bundle.options import TOKENIZER
from shearling.converters.base import observed_specs
from shearling.converters.text_heads import PROBABILITIES, SCORES
from shearling.converters.text_parts import TEXT, TOKENIZER_FILE
from shearling.errors import FormatError, InvalidRequestError
from shearling.formats.tokenizer import (
    IDS,
    MASK,
    TYPES,
    TextPredictor,
    TextTokenizer,
    read_tokenizer,
)
from shearling.tensors.inputs import is_frame, to_tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.converters.base import ConvertedModel
    from shearling.converters.onnx_files import Load
    from shearling.converters.original import Original
    from shearling.converters.text_parts import Answer, TextModel
    from shearling.formats.base import Predictor, Tensors
    from shearling.formats.tokenizer import TokenizerSettings
    from shearling.tensors.spec import TensorSpec

#: The most tokens of a text that is tried at push.
_TRIED_TOKENS = 2048

#: Inputs of a graph that a tokenizer makes.
_INPUTS = frozenset({IDS, MASK, TYPES})


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Texts become tokens before the graph reads them; see `Steps`."""

    path: Path
    settings: TokenizerSettings

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TEXT,)

    @property
    def files(self) -> dict[str, Path]:
        return {self.settings.path: self.path}

    @property
    def options(self) -> dict[str, Any]:
        return {TOKENIZER: self.settings.to_json()}

    def before(self, graph: Predictor, names: Sequence[str]) -> Predictor:
        """Return a model for texts, which reads one at a time, so that none depends on others."""
        if unknown := [name for name in names if name not in _INPUTS]:
            raise FormatError(
                f"the graph's input {unknown[0]!r:.80} is not made by a tokenizer: it makes "
                f"{', '.join(sorted(_INPUTS))}. Export the encoder of one text"
            )
        if not {IDS, MASK} <= set(names):
            raise FormatError(
                f"the graph has no input {MASK!r}, so its answers depend on how the texts of a "
                "batch are filled up: export it with the mask as an input"
            )
        tokenizer = read_tokenizer(self.path, self.settings)
        return _OneByOne(TextPredictor(graph, TextTokenizer(tokenizer, self.settings, names)))


@dataclass(frozen=True, slots=True)
class _OneByOne:
    """A model that is asked about one text at a time."""

    model: TextPredictor

    def predict(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs."""
        rows = [
            self.model.predict({TEXT.name: inputs[TEXT.name][place : place + 1]}, outputs)
            for place in range(len(inputs[TEXT.name]))
        ]
        return {name: np.concatenate([row[name] for row in rows]) for name in outputs}

    def refusal(self, error: Exception) -> str:
        """Return why a run failed if the values of the inputs are the cause."""
        return self.model.refusal(error)


def is_text_model(model: object, example: object) -> bool:
    """Return whether a model is one of texts: a folder, or an object of Hugging Face's libraries.

    A bare model of transformers is none unless the example has texts, since it reads numbers.
    """
    if isinstance(model, str | Path):
        return Path(model).is_dir()
    makers = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    if "sentence_transformers" in makers:
        return True
    if "transformers" not in makers:
        return False
    is_pipeline = any(kind.__name__ == "Pipeline" for kind in type(model).__mro__)
    values = example.values() if isinstance(example, dict) else [example]
    return is_pipeline or any(np.asarray(value).dtype.kind in "UO" for value in values)


def convert(model: Any, example: Any, directory: Path, load: Load | None = None) -> ConvertedModel:
    """Convert a text model.

    Args:
        model: a SentenceTransformer, a pipeline for text classification, or the path of a folder
            that either was saved to.
        example: texts.
        directory: existing directory to write the files to.
        load: as for `onnx.convert`.

    Raises:
        FormatError: the model cannot be converted.
        InvalidRequestError: the example is no list of texts.
    """
    from shearling.converters import onnx

    texts = _texts(example)
    found = _opened(model, directory)
    path = directory / TOKENIZER_FILE
    path.write_text(found.tokenizer, encoding="utf-8")
    steps = _Tokens(path, found.settings)
    converted = onnx.convert(found.graph, {TEXT.name: texts}, directory, load, steps=steps)
    _check_limit(found.settings, converted)
    if found.answer is not None:
        converted = _compared_with(found.answer, converted)
    outputs = observed_specs(converted.expected, texts.shape)
    if found.labels and len(set(found.labels)) == len(found.labels):
        names = tuple(found.labels)
        outputs = tuple(
            replace(spec, classes=names) if spec.name in (PROBABILITIES, SCORES) else spec
            for spec in outputs
        )
    original = replace(converted.original, margin=_margin(converted.original))
    return replace(
        converted, signature=replace(converted.signature, outputs=outputs), original=original
    )


def _opened(model: Any, directory: Path) -> TextModel:
    """Return the graph and the tokenizer of a model, with its files in a directory."""
    if isinstance(model, str | Path):
        from shearling.converters import text_folders

        return text_folders.open_folder(Path(model), directory)
    from shearling.converters import text_exports

    return text_exports.export(model, directory)


def _check_limit(settings: TokenizerSettings, converted: ConvertedModel) -> None:
    """Refuse a model that fails on a text of as many tokens as it may have.

    Longer texts are not tried here, since attention takes gigabytes for them.
    """
    count = settings.max_tokens
    if count > _TRIED_TOKENS:
        return
    words = " ".join(["a", *converted.inputs[TEXT.name]]).split()[:count]
    text = " ".join(words * -(-count // len(words)))
    try:
        converted.original.answer({TEXT.name: np.array([text], object)})
    except Exception as error:  # ONNX Runtime's errors have no common base class
        raise FormatError(
            f"the model fails on a text of {count} tokens, which its configuration allows: "
            f"{error!s:.200}. Set the tokenizer's model_max_length to the places that it has"
        ) from error


def _texts(example: Any) -> NDArray[Any]:
    """Return the texts of an example, in one dimension."""
    if isinstance(example, str):
        raise InvalidRequestError(
            f"example {example!r:.80} is one text: pass a list of texts, as in [{example!r:.40}]"
        )
    if is_frame(example) and len(example.columns) == 1:
        example = example.to_numpy().reshape(-1)  # of pandas, of Polars, or of the command
    return to_tensors(example, (TEXT,))[TEXT.name]


def _compared_with(answer: Answer, converted: ConvertedModel) -> ConvertedModel:
    """Return the conversion with another original than the graph."""
    from shearling.converters.original import Original

    def answers(rows: Tensors) -> Mapping[str, NDArray[Any]]:
        return answer([str(text) for text in rows[TEXT.name].tolist()])

    rows = converted.original.rows
    return replace(converted, expected=answers(rows), original=Original(rows=rows, answer=answers))


def _margin(original: Original) -> Callable[[Tensors], NDArray[Any]]:
    """Return the function that tells how far the best class of each text is ahead."""

    def margin(rows: Tensors) -> NDArray[Any]:
        answers = original.answer(rows)
        scores = answers[PROBABILITIES if PROBABILITIES in answers else SCORES]
        best = np.sort(scores, axis=1)[:, -2:]
        ahead: NDArray[Any] = (best[:, 1] - best[:, 0]) / np.maximum(1, np.abs(best[:, 1]))
        return ahead

    return margin
