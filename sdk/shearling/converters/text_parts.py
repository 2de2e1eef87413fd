"""The parts of a text model that is to be converted, and the limit of its texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.errors import FormatError
from shearling.tensors.spec import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.formats.tokenizer import TokenizerSettings

    Answer = Callable[[list[str]], Mapping[str, NDArray[Any]]]

#: The signature's input.
TEXT = TensorSpec(name="text", datatype="BYTES", shape=(-1,))

#: Path of the tokenizer in a folder and in a bundle.
TOKENIZER_FILE = "tokenizer.json"

#: Types of models that count places from the id of padding + 1.
_PLACES_AFTER_PAD = frozenset(
    {"camembert", "data2vec-text", "longformer", "mpnet", "roberta", "xlm-roberta"}
    | {"roberta-prelayernorm", "xlm-roberta-xl", "xmod"}
)

#: Longer limits mean none.
_LONGEST = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class TextModel:
    """A graph of tokens, and what turns texts into them.

    Attributes:
        graph: path of the graph.
        tokenizer: the tokenizer as JSON, in Hugging Face's format.
        settings: what happens to texts.
        labels: for a classifier, the class of each column of its scores.
        answer: returns the original model's answers to texts, by output name; None if the graph is
            the original.
    """

    graph: Path
    tokenizer: str
    settings: TokenizerSettings
    labels: Sequence[str] | None = None
    answer: Answer | None = None


def max_tokens(limit: Any, config: dict[str, Any], where: str) -> int:
    """Return the most tokens of a text.

    Args:
        limit: what the tokenizer's configuration says; huge or None if nothing.
        config: the model's configuration.
        where: what the model is, for the message.

    Raises:
        FormatError: nothing limits the texts.
    """
    places = config.get("max_position_embeddings")
    if isinstance(places, int) and config.get("model_type") in _PLACES_AFTER_PAD:
        places -= int(config.get("pad_token_id") or 0) + 1
    limits = [int(each) for each in (limit, places) if each and 0 < each < _LONGEST]
    if not limits:
        raise FormatError(
            f"{where} has no limit of tokens, so the memory for a text would have none: set the "
            "tokenizer's model_max_length, as in 512"
        )
    return min(limits)
