"""Say which key of a request is misspelt, and how a request looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.errors import InvalidRequestError
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from shearling.tensors.spec import Signature

#: The keys of a request, of one of its tensors, and of a requested output. Others are ignored, as
#: the protocol wants it.
REQUEST_KEYS = frozenset({"id", "parameters", "inputs", "outputs", "instances"})
TENSOR_KEYS = frozenset({"name", "shape", "datatype", "parameters", "data"})
OUTPUT_KEYS = frozenset({"name", "parameters"})

#: Unknown keys that are compared, characters of each, and known names: comparing texts is slow.
_MOST_COMPARED, _LONGEST = 10, 80
_MOST_KNOWN = 1_000

#: Inputs that a row in a message names at most.
_MOST_SHOWN = 5


def check_keys(document: Mapping[str, Any], known: Collection[str], place: str = "") -> None:
    """Refuse an unknown key that resembles a known key which is missing.

    Args:
        document: the request, or one of its objects.
        known: keys that it may have.
        place: field of the object, as in `inputs[0]`; empty for the request.

    Raises:
        InvalidRequestError: a key is misspelt; the message has the known key.
    """
    unknown = [key for key in document if key not in known]
    missing = [key for key in known if key not in document]
    for key in unknown[:_MOST_COMPARED]:
        if near := nearest(key, missing):
            raise InvalidRequestError(
                f"{place or 'request'}: unknown key {shown(key)}; did you mean {near!r:.80}?"
            )


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that resembles a word; None if none does."""
    from difflib import get_close_matches
    from itertools import islice

    folded = {name.casefold()[:_LONGEST]: name for name in islice(known, _MOST_KNOWN)}
    found = get_close_matches(word.casefold()[:_LONGEST], folded, n=1)
    return folded[found[0]] if found else None


def no_request(document: object, signature: Signature, columns: Collection[str]) -> str:
    """Return the message for JSON that has neither `inputs` nor `instances`.

    Args:
        document: decoded JSON of the body.
        signature: signature of the model.
        columns: column names of the model's only input, if it has any.
    """
    names = list(columns or signature.by_name)
    row = ", ".join(f'"{name:.40}": ...' for name in names[:_MOST_SHOWN])
    row += ", ..." * (len(names) > _MOST_SHOWN)
    short = f'{{"instances": [{{{row}}}]}}'
    if isinstance(document, dict):
        is_row = not {*document}.isdisjoint(names)
        problem = "the request is a row" if is_row else "the request has no `instances` or `inputs`"
    else:
        problem = f"the request is not an object but {_KINDS.get(type(document), 'a value')}"
    return f'{problem}: send rows as {short}, or tensors as {{"inputs": [...]}}'


_KINDS: dict[type, str] = {list: "a list", str: "a string", type(None): "null"}
