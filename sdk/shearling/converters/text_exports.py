"""Export text models with PyTorch: SentenceTransformer, and pipelines of transformers."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters.text_heads import (
    EMBEDDING,
    GraphEnd,
    classifier_answers,
    end_classifier,
    scores_of,
)
from shearling.converters.text_parts import TEXT, TOKENIZER_FILE, TextModel, max_tokens
from shearling.converters.torch_export import export as export_module
from shearling.converters.torch_module import Call, evaluation_copy
from shearling.errors import FormatError
from shearling.formats.tokenizer import IDS, MASK, TYPES, TokenizerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

#: Name of the exported graph, and of the file with its end.
_EXPORTED, _ENDED = "exported.onnx", "ended.onnx"

#: The graph's output before its end.
_VALUES = "values"

#: Rows and tokens to export with, and which sizes vary.
_ROWS, _TOKENS = 2, 7
_AXES = {0: "rows", 1: "tokens"}

#: Classes of sentence-transformers that answer something else than a vector for a text.
_OTHERS = {
    "CrossEncoder": "scores pairs of texts",
    "SparseEncoder": "returns sparse vectors",
    "MultiVectorEncoder": "returns a vector for each token",
}

_TASK = "text-classification"


def load_folder(path: Path) -> Any:
    """Return the object that a folder was saved from.

    Raises:
        FormatError: a library is not installed, or the folder has no model of a known kind.
    """
    try:
        if (path / "modules.json").is_file():
            from sentence_transformers import SentenceTransformer

            return SentenceTransformer(str(path), device="cpu")
        from transformers import AutoConfig, pipeline

        names = AutoConfig.from_pretrained(str(path)).architectures or ["?"]
        if names[0].endswith("ForSequenceClassification"):
            return pipeline(_TASK, model=str(path), tokenizer=str(path), device="cpu")
    except ModuleNotFoundError as error:
        raise FormatError(
            f"{path} has no onnx/model.onnx, and {error.name} is not installed, which its weights "
            "need: install sentence-transformers, or export the folder to ONNX"
        ) from error
    except Exception as error:  # the libraries raise errors of any class
        raise FormatError(f"{path} has no model that can be loaded: {error!s:.300}") from error
    raise FormatError(
        f"{path} has a bare {names[0]:.80}, which returns a vector for each token. For one for "
        "each text, push SentenceTransformer(folder), which adds its pooling"
    )


def export(model: Any, directory: Path) -> TextModel:
    """Export a text model.

    Args:
        model: a SentenceTransformer, or a pipeline for text classification.
        directory: existing directory to write the graph to.

    Raises:
        FormatError: it is another object, or cannot be exported.
    """
    kinds = [kind.__name__ for kind in type(model).__mro__]
    for name, does in _OTHERS.items():
        if name in kinds:
            raise FormatError(
                f"{name} {does}, which is not supported: push a SentenceTransformer, or a "
                f"pipeline({_TASK!r}, ...)"
            )
    if "SentenceTransformer" in kinds:
        return _encoder(model, directory)
    if "TextClassificationPipeline" in kinds:
        return _classifier(model, directory)
    if "Pipeline" in kinds:
        raise FormatError(
            f"a pipeline for {getattr(model, 'task', 'another task')!r:.80} is not supported: "
            f"push a pipeline for {_TASK!r}, or a SentenceTransformer. Models of tokens, of pairs "
            "of texts and of generated text are left out"
        )
    raise FormatError(
        f"{kinds[0]:.80} alone reads tokens, not texts: push pipeline({_TASK!r}, model=..., "
        "tokenizer=...), or a SentenceTransformer"
    )


def _encoder(model: Any, directory: Path) -> TextModel:
    prompt = str((model.prompts or {}).get(model.default_prompt_name) or "")
    if prompt and any(getattr(module, "include_prompt", True) is False for module in model):
        raise FormatError(
            "the model leaves its prompt out of the pooling, which is not supported: set "
            "model.default_prompt_name = None"
        )
    own = _on_cpu(model)
    first, tokenizer = own[0], own.tokenizer
    if not hasattr(first, "auto_model") or not hasattr(tokenizer, "model_input_names"):
        raise FormatError(
            f"the first module, {type(first).__name__:.80}, is no transformer with a tokenizer, so "
            "it is not supported"
        )
    transformer = first.auto_model
    settings = _settings(tokenizer, own.max_seq_length, transformer, prompt)

    def run(tokens: dict[str, Any]) -> Any:
        features = dict(tokens)
        for module in own:
            features = module(features)
        return features["sentence_embedding"]

    call = Call(title=type(model).__name__, module=own, run=run, float_type=None)
    graph = _graph(call, _input_names(tokenizer, transformer), directory)
    end = GraphEnd(graph, _VALUES)
    if own.truncate_dim:
        end.first_columns(int(own.truncate_dim))
    end.end_as_embedding()

    def answer(texts: list[str]) -> Mapping[str, NDArray[Any]]:
        return {EMBEDDING: own.encode(texts, convert_to_numpy=True, show_progress_bar=False)}

    return TextModel(
        graph=_saved(graph, directory),
        tokenizer=_tokenizer_json(tokenizer),
        settings=settings,
        answer=answer,
    )


def _classifier(pipe: Any, directory: Path) -> TextModel:
    tokenizer, config = pipe.tokenizer, pipe.model.config
    own = copy.copy(pipe)
    own.model = _on_cpu(pipe.model)
    own.device = own.model.device
    settings = _settings(tokenizer, tokenizer.model_max_length, own.model, "")
    call = Call(
        title=type(own.model).__name__,
        module=own.model,
        run=lambda tokens: own.model(**tokens).logits,
        float_type=None,
    )
    graph = _graph(call, _input_names(tokenizer, own.model), directory)
    labels = [str(config.id2label[place]) for place in range(config.num_labels)]
    chosen = getattr(pipe, "_postprocess_params", {}).get("function_to_apply")
    scores = getattr(chosen, "value", chosen) or scores_of(config.problem_type, len(labels))
    end_classifier(GraphEnd(graph, _VALUES), labels, scores)
    if len(set(labels)) < len(labels):
        raise FormatError(f"two classes have the same name, as the config says: {labels!s:.200}")

    def answer(texts: list[str]) -> Mapping[str, NDArray[Any]]:
        found = own(texts, top_k=None, truncation=True, max_length=settings.max_tokens)
        by_label = [{one["label"]: one["score"] for one in row} for row in found]
        columns = [[row[label] for label in labels] for row in by_label]
        return classifier_answers(np.array(columns, np.float32), labels, scores)

    return TextModel(
        graph=_saved(graph, directory),
        tokenizer=_tokenizer_json(tokenizer),
        settings=settings,
        labels=labels,
        answer=answer,
    )


def _on_cpu(model: Any) -> Any:
    """Return a copy of a module on the CPU, in evaluation mode, with 32-bit floats."""
    import torch

    if next(model.parameters(), None) is None:
        raise FormatError("the model has no weights of PyTorch: load it with backend='torch'")
    own = evaluation_copy(model)
    if all(each.dtype == torch.float32 for each in own.parameters()):
        return own
    return copy.deepcopy(own).float()  # the first copy has the weights of the caller's model


def _settings(tokenizer: Any, limit: Any, transformer: Any, prompt: str) -> TokenizerSettings:
    config = transformer.config.to_dict()
    return TokenizerSettings(
        input=TEXT.name,
        path=TOKENIZER_FILE,
        max_tokens=max_tokens(limit, config, type(transformer).__name__),
        cut=tokenizer.truncation_side,
        pad=tokenizer.pad_token_id or 0,
        prompt=prompt,
    )


def _tokenizer_json(tokenizer: Any) -> str:
    """Return a tokenizer in Hugging Face's format, without settings of its last call.

    Raises:
        FormatError: it is written in Python, and has no equal in that format.
    """
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        from transformers.convert_slow_tokenizer import convert_slow_tokenizer

        try:
            backend = convert_slow_tokenizer(tokenizer)
        except Exception as error:  # the library raises errors of any class
            raise FormatError(
                f"{type(tokenizer).__name__:.80} is a tokenizer in Python, which cannot be "
                f"converted to {TOKENIZER_FILE}: {error!s:.200}. Use a model with a fast tokenizer"
            ) from error
    own = Tokenizer.from_str(backend.to_str())
    own.no_padding()
    own.no_truncation()
    text: str = own.to_str()
    return text


def _input_names(tokenizer: Any, transformer: Any) -> list[str]:
    """Return the names of the inputs that both the tokenizer and the model have."""
    taken = inspect.signature(transformer.forward).parameters
    names = [name for name in (IDS, MASK, TYPES) if name in tokenizer.model_input_names]
    return [name for name in names if name in taken or name in (IDS, MASK)]


def _graph(call: Call, names: Sequence[str], directory: Path) -> onnx.ModelProto:
    """Return the graph of a module of tokens, whose large weights are in the directory.

    Raises:
        FormatError: PyTorch cannot export it.
    """
    import onnx

    # Ones, since any vocabulary has a token 1 and the export follows no values.
    tokens = {name: np.ones((_ROWS, _TOKENS), np.int64) for name in names}
    path = directory / _EXPORTED
    export_module(call, tokens, [_VALUES], dict.fromkeys(names, _AXES), path)
    return onnx.load(str(path), load_external_data=False)


def _saved(graph: onnx.ModelProto, directory: Path) -> Path:
    """Write a graph beside its weights."""
    path = directory / _ENDED
    path.write_bytes(graph.SerializeToString())
    return path
