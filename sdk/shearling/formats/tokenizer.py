"""Turn texts into the tokens that a graph reads, and answer them in batches of bounded size."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shearling.bundle.options import TOKENIZER
from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import onnxruntime
    import tokenizers
    from numpy.typing import NDArray

    from shearling.bundle.manifest import Manifest
    from shearling.formats.base import Predictor, Tensors

    Texts = Sequence[str]

#: Names of the graph's inputs: what the tokens are, which of them count, and which of two texts
#: they are of.
IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"

#: Tokens of a batch, the filling included. More are no faster on a processor, and need more memory:
#: a small encoder takes about 70 kB for each.
_BATCH_TOKENS = 1024

#: Texts, and characters, whose tokens are held at a time.
_HELD_TEXTS, _HELD_CHARACTERS = 256, 2**17

#: Characters for each token of the limit that are read of a text at first, and at least. If they
#: have too few tokens, so many times more are read.
_CHARACTERS_PER_TOKEN, _FEWEST_CHARACTERS, _GROWTH = 16, 1024, 4

#: Characters for each token of the limit that are read of a text at most, and where that is less.
#: The library takes 80 bytes for each, also for a word or white space of megabytes.
_MOST_PER_TOKEN, _MOST_CHARACTERS = 64, 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSettings:
    """What happens to texts before the graph reads their tokens.

    Attributes:
        input: name of the signature's input of texts.
        path: path in the bundle of the tokenizer, in Hugging Face's format.
        max_tokens: the most tokens of a text, with those that the tokenizer adds; others are cut
            off.
        cut: which end of a text is cut off.
        pad: id of the token that fills up the shorter texts of a batch.
        prompt: what is put before each text.
    """

    input: str
    path: str
    max_tokens: int
    cut: Literal["right", "left"] = "right"
    pad: int = 0
    prompt: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the settings as an object for a bundle's options."""
        return asdict(self)


class TextTokenizer:
    """Turns texts into batches of tokens.

    Args:
        tokenizer: the tokenizer; its own settings of truncation and padding are replaced.
        settings: what happens to texts.
        names: names of the graph's inputs.
    """

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, settings: TokenizerSettings, names: Sequence[str]
    ) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(settings.max_tokens, direction=settings.cut)
        self.settings = settings
        self._tokenizer = tokenizer
        self._names = names
        at_first = max(_FEWEST_CHARACTERS, _CHARACTERS_PER_TOKEN * settings.max_tokens)
        self._window = at_first if settings.cut == "right" else sys.maxsize
        self._most = max(_MOST_CHARACTERS, _MOST_PER_TOKEN * settings.max_tokens)

    def batches(self, texts: Texts) -> Iterator[tuple[NDArray[Any], dict[str, NDArray[Any]], int]]:
        """Yield the places of texts of similar length, their tokens, and how many were cut."""
        prepared = [self._prepared(text) for text in texts]
        for places in self._groups(prepared):
            encodings = self._encodings([prepared[place] for place in places])
            for batch in _batches([len(encoding.ids) for encoding in encodings]):
                chosen = [encodings[i] for i in batch]
                own = [places[i] for i in batch]
                cut = sum(
                    bool(encoding.overflowing) or len(texts[place]) > self._most
                    for place, encoding in zip(own, chosen, strict=True)
                )
                yield np.array(own, np.intp), self._tensors(chosen), cut

    def _prepared(self, text: str) -> str:
        kept = text[: self._most] if self.settings.cut == "right" else text[-self._most :]
        return self.settings.prompt + kept

    def _groups(self, texts: Texts) -> Iterator[list[int]]:
        """Yield the places of texts of similar length, as many as are held at a time."""
        group: list[int] = []
        characters = 0
        for place in sorted(range(len(texts)), key=lambda place: len(texts[place])):
            group.append(place)
            characters += min(len(texts[place]), self._window)
            if len(group) == _HELD_TEXTS or characters >= _HELD_CHARACTERS:
                yield group
                group, characters = [], 0
        if group:
            yield group

    def _encodings(self, texts: Texts) -> list[tokenizers.Encoding]:
        """Return the tokens of texts.

        Of a long text only as much is read as has more tokens than are kept, with a margin for the
        last word, which is cut.
        """
        encode = self._tokenizer.encode_batch_fast
        encodings = encode([text[: self._window] for text in texts])
        for place, text in enumerate(texts):
            window = self._window
            while window < len(text) and len(encodings[place].overflowing) <= 1:
                window *= _GROWTH
                (encodings[place],) = encode([text[:window]])
        return encodings

    def _tensors(self, encodings: Sequence[tokenizers.Encoding]) -> dict[str, NDArray[Any]]:
        # A text without tokens has one that does not count, since graphs need a token.
        longest = max(1, *(len(encoding.ids) for encoding in encodings))
        shape = (len(encodings), longest)
        tensors = {
            IDS: np.full(shape, self.settings.pad, np.int64),
            MASK: np.zeros(shape, np.int64),
            TYPES: np.zeros(shape, np.int64),
        }
        for row, encoding in enumerate(encodings):
            count = len(encoding.ids)
            tensors[IDS][row, :count] = encoding.ids
            tensors[MASK][row, :count] = 1
            tensors[TYPES][row, :count] = encoding.type_ids
        return {name: tensors[name] for name in self._names}


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of texts of similar length that are a batch, given their tokens."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[place] > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


class TextPredictor:
    """A predictor for texts: a tokenizer, and a model of tokens.

    Args:
        graph: the model.
        tokenizer: what makes its inputs of texts.
    """

    def __init__(self, graph: Predictor, tokenizer: TextTokenizer) -> None:
        self._graph = graph
        self._tokenizer = tokenizer

    def predict(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs for inputs that match the signature."""
        return self.predict_counted(inputs, outputs)[0]

    def predict_counted(
        self, inputs: Tensors, outputs: Sequence[str]
    ) -> tuple[dict[str, NDArray[Any]], int]:
        """Return the named outputs, and how many texts were longer than the limit."""
        texts = inputs[self._tokenizer.settings.input].tolist()
        places, answers, truncated = [], [], 0
        for own, tokens, cut in self._tokenizer.batches(texts):
            places.append(own)
            answers.append(self._graph.predict(tokens, outputs))
            truncated += cut
        # For no texts this fails, and the example shows the form of the answer.
        order = np.argsort(np.concatenate(places))
        joined = {name: np.concatenate([each[name] for each in answers])[order] for name in outputs}
        return joined, truncated

    def graph_inputs(self, inputs: Tensors) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield what the graph reads of texts, in batches."""
        for _, tokens, _ in self._tokenizer.batches(
            inputs[self._tokenizer.settings.input].tolist()
        ):
            yield tokens

    def around(self, graph: Predictor) -> TextPredictor:
        """Return a predictor with the same tokenizer for another graph."""
        return TextPredictor(graph, self._tokenizer)

    def refusal(self, error: Exception) -> str:
        """Return why a run failed if the values of the inputs are the cause."""
        return self._graph.refusal(error)


def read_tokenizer(path: Path, settings: TokenizerSettings) -> tokenizers.Tokenizer:
    """Read a tokenizer in Hugging Face's format.

    Raises:
        FormatError: the library is not installed, or cannot read the file.
    """
    try:
        from tokenizers import Tokenizer, __version__
    except ModuleNotFoundError as error:
        raise FormatError(
            "the model reads texts with the library tokenizers, which is not installed: build the "
            "function's package with `shearling package runtime --with text`; elsewhere, install "
            "shearling[text]"
        ) from error
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain exceptions
        raise FormatError(
            f"tokenizers {__version__} cannot read {settings.path}: {error!s:.200}. Install the "
            "version that the model was pushed with, or rebuild the function's package with it"
        ) from error


def with_tokenizer(
    open_session: Callable[[], onnxruntime.InferenceSession],
    predictor_of: Callable[[onnxruntime.InferenceSession], Predictor],
    manifest: Manifest,
    directory: Path,
) -> TextPredictor:
    """Return a predictor for texts.

    Args:
        open_session: opens the graph.
        predictor_of: returns the predictor for the graph's session.
        manifest: manifest of a bundle with a tokenizer.
        directory: flat directory with the verified blobs of the bundle.

    Raises:
        FormatError: the graph cannot be loaded; or the library is not installed, or cannot read the
            tokenizer.
    """
    settings = TokenizerSettings(**manifest.options[TOKENIZER])
    path = directory / manifest.file(settings.path).hex
    with ThreadPoolExecutor(1) as pool:  # both release Python's lock
        reading = pool.submit(read_tokenizer, path, settings)
        session = open_session()
        tokenizer = reading.result()
    names = [node.name for node in session.get_inputs()]
    return TextPredictor(predictor_of(session), TextTokenizer(tokenizer, settings, names))
