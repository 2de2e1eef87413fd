"""Read a folder of Hugging Face's libraries that has an ONNX graph, without those libraries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.converters.onnx_parts import nodes_of
from shearling.converters.text_heads import Dense, GraphEnd, end_classifier, labels_of, scores_of
from shearling.converters.text_parts import TEXT, TOKENIZER_FILE, TextModel, max_tokens
from shearling.errors import FormatError
from shearling.formats.tokenizer import TokenizerSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import onnx

#: Paths of the graph, the first that exists.
_GRAPHS = ("onnx/model.onnx", "model.onnx")

#: Name of the graph with its end, beside its weights.
_ENDED = "ended.onnx"

#: Outputs of a graph, by what they are.
_TOKENS = ("last_hidden_state", "token_embeddings")
_SENTENCE, _LOGITS = "sentence_embedding", "logits"

#: Parts of the names of operators of a quantised graph.
_QUANTISED = ("Quant", "QLinear", "Integer", "NBits")

#: A folder's modules after the encoder, by the end of their type.
_POOLING, _DENSE, _NORMALIZE = "Pooling", "Dense", "Normalize"

#: Ways to pool tokens, by their name in files of older versions.
_OLD_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}

_LOAD_IT = "load it with SentenceTransformer, and push that"


def open_folder(path: Path, directory: Path) -> TextModel:
    """Return the model of a folder.

    Args:
        path: folder with a graph and `tokenizer.json`; or without a graph, where the libraries that
            the folder was written by are installed.
        directory: existing directory to write the graph to.

    Raises:
        FormatError: a file is missing, or says what cannot be converted.
    """
    graph = next((path / name for name in _GRAPHS if (path / name).is_file()), None)
    if graph is None:
        if others := sorted(path.glob("onnx/*.onnx")):
            raise _quantised(f"{path} has only {', '.join(other.name for other in others):.200}")
        from shearling.converters import text_exports

        return text_exports.export(text_exports.load_folder(path), directory)
    return _Folder(path).model(graph, directory)


def _quantised(found: str) -> FormatError:
    return FormatError(
        f"{found}, which is quantised or changed in a way that the folder does not tell, so its "
        "answers cannot be proven: put the float graph at onnx/model.onnx, and push with "
        'quantize="int8"'
    )


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder with a graph."""

    path: Path

    def model(self, graph_file: Path, directory: Path) -> TextModel:
        """Return the model, with its graph ended by what the folder says."""
        import onnx

        graph = onnx.load(str(graph_file), load_external_data=False)
        if any(word in node.op_type for node in nodes_of(graph) for word in _QUANTISED):
            raise _quantised(f"{graph_file} has operators of 8 bits")
        config = self.json("config.json")
        outputs = [output.name for output in graph.graph.output]
        labels = None
        if _LOGITS in outputs:
            labels = labels_of(config)
            scores = scores_of(config.get("problem_type"), len(labels))
            end_classifier(GraphEnd(graph, _LOGITS), labels, scores)
        else:
            self._end_encoder(graph, outputs)
        onnx.load_external_data_for_model(graph, str(graph_file.parent))
        ended = directory / _ENDED
        onnx.save(graph, str(ended), save_as_external_data=True, location=f"{_ENDED}.data")
        tokenizer = self._tokenizer()
        return TextModel(
            graph=ended,
            tokenizer=tokenizer.to_str(),
            settings=TokenizerSettings(
                input=TEXT.name,
                path=TOKENIZER_FILE,
                max_tokens=self._max_tokens(config),
                cut=self._tokenizer_config.get("truncation_side", "right"),
                pad=self._pad(tokenizer, config),
                prompt=self._prompt(),
            ),
            labels=labels,
        )

    def json(self, name: str) -> dict[str, Any]:
        """Return a JSON file of the folder; empty if there is none."""
        found = self._read(name)
        return found if isinstance(found, dict) else {}

    @property
    def _tokenizer_config(self) -> dict[str, Any]:
        return self.json("tokenizer_config.json")

    def _read(self, name: str) -> Any:
        file = self.path / name
        if not file.is_file():
            return None
        try:
            return json.loads(file.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{file} is not JSON: {error!s:.200}") from error

    def _end_encoder(self, graph: onnx.ModelProto, outputs: Sequence[str]) -> None:
        modules = self._read("modules.json")
        tokens = next((name for name in outputs if name in _TOKENS), None)
        if modules is None or (tokens is None and _SENTENCE not in outputs):
            raise FormatError(
                f"{self.path} is neither a classifier (a graph with the output 'logits') nor a "
                "SentenceTransformer (modules.json, and a graph with 'last_hidden_state'), but has "
                f"{', '.join(outputs):.200}: load the folder with SentenceTransformer(...) or "
                'pipeline("text-classification", ...), and push that'
            )
        end = GraphEnd(graph, tokens or _SENTENCE)
        if tokens:  # otherwise the graph has the other modules
            for module in modules[1:]:
                self._add_module(end, module)
        if dimensions := self.json("config_sentence_transformers.json").get("truncate_dim"):
            end.first_columns(int(dimensions))
        end.end_as_embedding()

    def _add_module(self, end: GraphEnd, module: Any) -> None:
        kind = str(module["type"]).rpartition(".")[2]
        config = self.json(f"{module['path']}/config.json")
        if kind == _POOLING:
            end.pool(self._modes(config))
        elif kind == _NORMALIZE:
            end.normalise()
        elif kind == _DENSE and not config.get("use_residual"):
            end.dense(self._dense(module["path"], config))
        else:
            raise FormatError(
                f"{self.path} has a module {kind:.80}, which is converted by PyTorch only: "
                f"{_LOAD_IT}"
            )

    def _modes(self, config: dict[str, Any]) -> list[str]:
        if config.get("include_prompt") is False and self._prompt():
            raise FormatError(
                f"{self.path} leaves its prompt out of the pooling, which is not supported: set "
                "default_prompt_name to null in config_sentence_transformers.json"
            )
        modes = config.get("pooling_mode")
        if modes is None:
            modes = [mode for name, mode in _OLD_MODES.items() if config.get(name)] or ["mean"]
        return [modes] if isinstance(modes, str) else list(modes)

    def _dense(self, path: str, config: dict[str, Any]) -> Dense:
        from safetensors.numpy import load_file

        file = self.path / path / "model.safetensors"
        if not file.is_file():
            raise FormatError(f"{file} is missing, which has the dense layer: {_LOAD_IT}")
        weights = load_file(str(file))
        activation = str(config.get("activation_function", "Tanh"))
        return Dense(
            weight=weights["linear.weight"],
            bias=weights.get("linear.bias"),
            activation=activation,
        )

    def _tokenizer(self) -> Any:
        try:
            from tokenizers import Tokenizer
            from tokenizers.normalizers import Lowercase, Sequence
        except ModuleNotFoundError as error:
            raise FormatError(
                "text models need the library tokenizers: install shearling[text]"
            ) from error
        file = self.path / TOKENIZER_FILE
        if not file.is_file():
            raise FormatError(
                f"{self.path} has no {TOKENIZER_FILE}. Write it where transformers is installed: "
                "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
            )
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises plain exceptions
            raise FormatError(f"{file} is no tokenizer: {error!s:.200}") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        if self.json("sentence_bert_config.json").get("do_lower_case"):
            steps = [Lowercase(), *([tokenizer.normalizer] if tokenizer.normalizer else [])]
            tokenizer.normalizer = Sequence(steps)
        return tokenizer

    def _max_tokens(self, config: dict[str, Any]) -> int:
        limit = self.json("sentence_bert_config.json").get("max_seq_length")
        limit = limit or self._tokenizer_config.get("model_max_length")
        return max_tokens(limit, config, str(self.path))

    def _pad(self, tokenizer: Any, config: dict[str, Any]) -> int:
        token = self._tokenizer_config.get("pad_token")
        token = token.get("content") if isinstance(token, dict) else token
        number = tokenizer.token_to_id(token) if isinstance(token, str) else None
        return int(config.get("pad_token_id") or 0) if number is None else int(number)

    def _prompt(self) -> str:
        config = self.json("config_sentence_transformers.json")
        prompts = config.get("prompts") or {}
        return str(prompts.get(config.get("default_prompt_name"), "") or "")
