"""Convert scikit-learn's text vectorizers, so that each text has the tokens of the original.

skl2onnx's own converter splits words at every character that is not ASCII, ignores stop words and
white space, and weighs sublinear counts otherwise. The graph made here takes Python's own classes
of characters, and leaves case, accents and spaces to `shearling.formats.text`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shearling.converters.graph_builder import GraphBuilder
from shearling.converters.known_categories import remove_marks
from shearling.converters.skl2onnx_registry import Converter
from shearling.errors import FormatError
from shearling.formats.text import TextNormalization

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    Tokens = tuple[str, ...]

#: Not a token of any text: words have no NUL, and the tokens of an analyzer of characters have one
#: character.
_PADDING = "\0\0"

#: The operator that stands for the normalization until `take_normalizations` removes it.
_DOMAIN, _NORMALIZE = "shearling", "NormalizeText"

#: Operators that only move or join values.
_MOVES = frozenset(
    ("ArrayFeatureExtractor", "Concat", "Flatten", "Gather", "Identity", "Reshape", "Split")
)

#: A token pattern that is a run of one class of characters, as in (?u)\b\w\w+\b.
_RUN = re.compile(
    r"(?:\(\?u\))?(?P<start>\\b)?"
    r"(?P<class>\\[wdS]|\[\^?(?:[^\]\\]|\\.)+\])(?P<copies>(?P=class)*)"
    r"(?P<times>\+|\{[0-9]+(?:,[0-9]*)?\})?(?P<end>\\b)?"
)

#: RE2 repeats an expression at most this often.
_MOST = 1000


def converters() -> dict[type, Converter]:
    """Return the converters of the vectorizers for skl2onnx."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer

    return {
        CountVectorizer: Converter(convert=_convert_counts),
        TfidfVectorizer: Converter(convert=_convert_tfidf),
        TfidfTransformer: Converter(convert=_convert_weights),
    }


def check_vectorizer(vectorizer: Any) -> None:
    """Refuse a vectorizer whose tokens a graph cannot make.

    Raises:
        FormatError: a setting is a function, or a token pattern that is not a run of characters.
    """
    name = type(vectorizer).__name__
    for setting in ("analyzer", "preprocessor", "strip_accents", "tokenizer"):
        if callable(getattr(vectorizer, setting)):
            raise FormatError(
                f"{name} with {setting}={_shown(getattr(vectorizer, setting))} cannot be converted "
                "to ONNX: a function runs in Python only. Use the built-in settings, or pass "
                "format='cloudpickle' (a pickle runs code when it is loaded, so the function must "
                "allow pickles)"
            )
    if vectorizer.analyzer == "word":
        _token_expression(vectorizer)


def _shown(value: Any) -> str:
    return getattr(value, "__name__", None) or f"{value!r:.60}"


def _token_expression(vectorizer: Any) -> str:
    r"""Return the token pattern for RE2, with the class of characters written out.

    RE2's \b knows ASCII words only, so it is left out: between \w and \w it never holds, and a run
    without a longest length ends where the word ends.
    """
    pattern = vectorizer.token_pattern
    run = _RUN.fullmatch(pattern)
    if run:
        characters = _ranges(run["class"])
        least, most = _times(run)
        is_joined = vectorizer.ngram_range[1] > 1
        is_bounded = run["start"] or run["end"]
        is_whole_word = not most and characters == _ranges(r"\w")
        # An n-gram of words and a token with a space in it look alike.
        is_ambiguous = is_joined and re.match(run["class"], " ")
        is_exact = (is_whole_word or not is_bounded) and not is_ambiguous
        if characters and is_exact and 0 < least <= _MOST and int(most or 0) <= _MOST:
            return f"{_class_of(characters)}{{{least},{most}}}"
    raise FormatError(
        f"{type(vectorizer).__name__} with token_pattern={pattern!r:.80} cannot be converted to "
        r"ONNX: use a run of one class of characters, such as r'(?u)\b\w\w+\b', r'\w+' or "
        r"r'[a-z]{3,}', without \b if it has a longest length as in r'\w{2,3}', and for n-grams "
        "without spaces"
    )


def _times(run: re.Match[str]) -> tuple[int, str]:
    """Return how often the class is repeated: at least, and at most ("": any number)."""
    copies = len(run["copies"]) // len(run["class"])
    times = run["times"]
    if times is None:
        return copies + 1, str(copies + 1)
    if times == "+":
        return copies + 1, ""
    least, comma, most = times[1:-1].partition(",")
    if not comma:
        most = least
    return copies + int(least), str(copies + int(most)) if most else ""


@cache
def _ranges(character_class: str) -> tuple[tuple[int, int], ...]:
    """Return the code points that a class of Python's `re` contains, as ranges."""
    ranges = []
    # Surrogates are not characters of a text.
    for first, last in ((0, 0xD7FF), (0xE000, 0x10FFFF)):
        everything = "".join(map(chr, range(first, last + 1)))
        runs = re.finditer(f"{character_class}+", everything)
        ranges += [(first + run.start(), first + run.end() - 1) for run in runs]
    return tuple(ranges)


def _class_of(ranges: tuple[tuple[int, int], ...]) -> str:
    parts = (rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in ranges)
    return f"[{''.join(parts)}]"


def _normalization(vectorizer: Any) -> TextNormalization:
    spaces: dict[str, Literal["collapse", "words"]] = {"char": "collapse", "char_wb": "words"}
    return TextNormalization(
        lowercase=bool(vectorizer.lowercase),
        accents=vectorizer.strip_accents or None,
        spaces=spaces.get(vectorizer.analyzer),
    )


def _convert_tfidf(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    graph.set_output(_weighed(graph, _counts(graph)))


def _convert_counts(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    graph.set_output(_counts(graph))


def _convert_weights(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    graph.set_output(_weighed(graph, graph.floats()))


def _counts(graph: GraphBuilder) -> str:
    """Add nodes that count the n-grams of the texts."""
    vectorizer = graph.estimator
    check_vectorizer(vectorizer)
    texts = graph.add("Reshape", graph.inputs[0], graph.constant([-1]))
    normalization = _normalization(vectorizer)
    if normalization != TextNormalization():
        settings = {key: value for key, value in normalization.to_json().items() if value}
        texts = graph.add(_NORMALIZE, texts, domain=_DOMAIN, **settings)
    if vectorizer.analyzer == "word":
        splitting: dict[str, Any] = {"tokenexp": _token_expression(vectorizer)}
    else:
        splitting = {"separators": [""]}
    tokens = graph.add(
        "Tokenizer",
        texts,
        domain="com.microsoft",
        mark=0,
        mincharnum=1,
        pad_value=_PADDING,
        **splitting,
    )
    tokens = graph.add("Flatten", tokens)  # no texts give no dimension of tokens
    stop_words = _stop_words(vectorizer)
    if stop_words and vectorizer.ngram_range[1] > 1:
        tokens = _without_stop_words(graph, tokens, stop_words)
    counts = graph.add(
        "TfIdfVectorizer", tokens, mode="TF", max_skip_count=0, **_pool(_terms(vectorizer))
    )
    return graph.add("Sign", counts) if vectorizer.binary else counts


def _stop_words(vectorizer: Any) -> frozenset[str]:
    is_used = vectorizer.analyzer == "word"
    return frozenset(vectorizer.get_stop_words() or ()) if is_used else frozenset()


def _without_stop_words(graph: GraphBuilder, tokens: str, stop_words: frozenset[str]) -> str:
    """Add nodes that move the stop words of each text to its end, as padding."""
    is_stop = graph.add(
        "LabelEncoder",
        tokens,
        domain="ai.onnx.ml",
        keys_strings=sorted(stop_words),
        values_int64s=[1] * len(stop_words),
        default_int64=0,
    )
    width = graph.add("Slice", graph.add("Shape", tokens), graph.constant([1]), graph.constant([2]))
    ones = graph.add("Add", graph.add("Mul", is_stop, graph.constant([0])), graph.constant([1]))
    places = graph.add("CumSum", ones, graph.constant(1))
    # A stop word comes after all other tokens.
    sorting_keys = graph.add("Add", places, graph.add("Mul", is_stop, width))
    _, order = graph.add_several("TopK", sorting_keys, width, count=2, axis=1, largest=0)
    kept = graph.add("GatherElements", tokens, order, axis=1)
    is_stopped = graph.add("GatherElements", is_stop, order, axis=1)
    condition = graph.add("Equal", is_stopped, graph.constant([1]))
    return graph.add("Where", condition, graph.constant([_PADDING]), kept)


def _terms(vectorizer: Any) -> dict[int, Tokens]:
    """Return for each column the tokens of its n-gram."""
    terms = {}
    stop_words = _stop_words(vectorizer)
    expression = None
    if vectorizer.analyzer == "word":
        expression = re.compile(vectorizer.token_pattern)
    least, most = vectorizer.ngram_range
    for term, column in vectorizer.vocabulary_.items():
        tokens = tuple(term)
        if expression:
            tokens = tuple(term.split(" ")) if most > 1 else (term,)
        is_found = least <= len(tokens) <= most
        if expression:
            is_found &= all(
                expression.fullmatch(token) and token not in stop_words for token in tokens
            )
        elif vectorizer.analyzer == "char_wb":
            # A word shorter than every n-gram counts as a whole.
            is_whole = re.fullmatch(r" \S+ ", term) is not None
            is_found = (is_found or (len(tokens) < least and is_whole)) and "  " not in term
        terms[int(column)] = tokens if is_found else (f"{_PADDING}{column}",)
    return terms


def _pool(terms: dict[int, Tokens]) -> dict[str, Any]:
    """Return the attributes of TfIdfVectorizer for the n-grams of the columns."""
    ordered = sorted(terms.items(), key=lambda item: len(item[1]))
    lengths = [len(tokens) for _, tokens in ordered]
    starts, total = [], 0
    for length in range(1, lengths[-1] + 1):
        starts.append(total)
        total += length * lengths.count(length)
    return {
        "min_gram_length": lengths[0],
        "max_gram_length": lengths[-1],
        "pool_strings": [token for _, tokens in ordered for token in tokens],
        "ngram_indexes": [column for column, _ in ordered],
        "ngram_counts": starts,
    }


def _weighed(graph: GraphBuilder, counts: str) -> str:
    """Add nodes that weigh counts as TfidfTransformer does."""
    transformer = graph.estimator
    weighed = counts
    if transformer.sublinear_tf:
        one = graph.float_constant([1])
        # log(0) is not taken: a count of 0 stays 0.
        logarithm = graph.add("Add", graph.add("Log", graph.add("Max", weighed, one)), one)
        weighed = graph.add("Mul", logarithm, graph.add("Sign", weighed))
    if transformer.use_idf:
        weighed = graph.add("Mul", weighed, graph.float_constant(np.ravel(transformer.idf_)))
    if transformer.norm:
        norm = transformer.norm.upper()
        weighed = graph.add("Normalizer", weighed, domain="ai.onnx.ml", norm=norm)
    return weighed


def take_normalizations(model: onnx.ModelProto) -> dict[str, TextNormalization]:
    """Remove the normalizations from a graph, and return them by the input that they belong to.

    Args:
        model: the graph, edited in place.

    Raises:
        FormatError: another step reads the same input without this normalization.
    """
    graph = model.graph
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = {}
    for graph_input in graph.input:
        settings = [_settings(node) for node in _first_steps(graph_input.name, readers)]
        if any(settings):
            if any(other != settings[0] for other in settings):
                raise FormatError(
                    f"column {graph_input.name!r:.80} is read by steps that treat its case, "
                    "accents or white space differently, which cannot be converted to ONNX: give "
                    "each of them a column of its own (a copy under another name)"
                )
            found[graph_input.name] = TextNormalization(**settings[0])
    remove_marks(model, _NORMALIZE)
    return found


def _first_steps(name: str, readers: dict[str, list[onnx.NodeProto]]) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that read a value, behind nodes that only move or join values."""
    for node in readers.get(name, []):
        if node.op_type in _MOVES:
            for output in node.output:
                yield from _first_steps(output, readers)
        else:
            yield node


def _settings(node: onnx.NodeProto) -> dict[str, Any]:
    from onnx import helper

    if node.op_type != _NORMALIZE:
        return {}
    values = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return {
        key: value.decode() if isinstance(value, bytes) else bool(value)
        for key, value in values.items()
    }
