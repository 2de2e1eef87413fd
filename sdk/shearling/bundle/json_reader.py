"""Read fields of a JSON document strictly; an error has the path of the invalid field."""

from __future__ import annotations

import json
import re
import reprlib
from typing import TYPE_CHECKING, TypeVar

from shearling.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator


_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
INTEGER_LIMIT = 2**53

#: How deeply values may be nested: all that writes them again as JSON can.
DEPTH_LIMIT = 200
_T = TypeVar("_T")

#: Python's own would fail on what is nested too deeply.
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80


def read_json(data: bytes, what: str) -> Field:
    """Read JSON in UTF-8, with keys in any order and with any spaces.

    What it holds is to be checked by `check_value`, too.

    Raises:
        BundleError: it is not JSON; the message begins with `what`.
    """
    try:
        # Not as json does by itself, which also takes UTF-16.
        document = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{what} is not JSON: {error!s:.200}") from error
    return Field(document, "")


def check_value(value: object, path: str = "", depth: int = 0, *, floats: bool = False) -> None:
    """Refuse what another writer or reader of JSON takes for something else, or not at all.

    Raises:
        BundleError: a number is no integer below 2^53 and, with `floats`, no finite float; text is
            not Unicode, a key is not text, or values are nested too deeply.
    """
    if depth > DEPTH_LIMIT:
        raise BundleError(f"nested more than {DEPTH_LIMIT} deep", field=f"{path:.80}")
    match value:
        case str():
            _check_text(value, path)
        case None | bool():
            pass
        case int() | float() if _is_exact(value, floats=floats):
            pass
        case int() | float():
            raise BundleError(f"number {_shown(value)} must be written as a string", field=path)
        case dict():
            for key, item in value.items():
                _check_key(key, path)
                check_value(item, f"{path}.{key}".lstrip("."), depth + 1, floats=floats)
        case list() | tuple():
            for i, item in enumerate(value):
                check_value(item, f"{path}[{i}]", depth + 1, floats=floats)


def _is_exact(number: float, *, floats: bool) -> bool:
    """Return whether readers of JSON take a number for what it is."""
    if isinstance(number, int):
        return abs(number) < INTEGER_LIMIT
    return floats and abs(number) < float("inf")


def _check_key(key: object, path: str) -> None:
    if isinstance(key, str):
        _check_text(key, f"{path}.{key!a:.80}".lstrip("."))


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # Shown as ASCII: the message must be one that can be written.
        where = path.encode("ascii", "backslashreplace").decode()
        raise BundleError(
            f"{text[error.start]!a} is a lone surrogate, which UTF-8 cannot encode", field=where
        ) from error


def _shown(number: float) -> str:
    # A long integer is not even written in decimal.
    return f"{number!r:.80}" if isinstance(number, float) else f"of {number.bit_length()} bits"


class Field:
    """A value of a JSON document, and its path for error messages.

    Args:
        value: the decoded value.
        path: path in the document, as in `files[0].digest`; empty for the document itself.
    """

    __slots__ = ("path", "value")

    def __init__(self, value: object, path: str) -> None:
        self.value = value
        self.path = path

    def __getitem__(self, key: str) -> Field:
        """Return a required field of an object.

        Raises:
            BundleError: the value is not an object or lacks the field.
        """
        path = f"{self.path}.{key}".lstrip(".")
        document = self.expect(dict, "an object")
        if key not in document:
            raise BundleError("a required field is missing", field=path)
        return Field(document[key], path)

    def get(self, key: str, default: object) -> Field:
        """Return a field of an object, or one with the default value if it is missing."""
        document = self.expect(dict, "an object")
        return Field(document.get(key, default), f"{self.path}.{key}".lstrip("."))

    def items(self) -> Iterator[Field]:
        """Yield the items of a list."""
        for i, item in enumerate(self.expect(list, "a list")):
            yield Field(item, f"{self.path}[{i}]")

    def expect(self, kind: type[_T], what: str) -> _T:
        """Return the value if it has the given type.

        Args:
            kind: the expected type.
            what: the type in words for the message, as in "a list".

        Raises:
            BundleError: the value has another type.
        """
        if not isinstance(self.value, kind) or (kind is int and isinstance(self.value, bool)):
            raise BundleError(f"{_REPR.repr(self.value):.80} is not {what}", field=self.path)
        return self.value

    def text(self) -> str:
        """Return a string."""
        return self.expect(str, "a string")

    def count(self) -> int:
        """Return a size: an integer from 0 to 2^53 - 1."""
        number = self.expect(int, "an integer")
        if not 0 <= number < INTEGER_LIMIT:
            raise BundleError(f"{number} is not an integer from 0 to 2^53 - 1", field=self.path)
        return number

    def digest(self) -> str:
        """Return a digest: `sha256:<64 hex digits>`."""
        if not _DIGEST.fullmatch(self.text()):
            raise BundleError(
                f"{self.value!r:.80} is not a digest (sha256:<64 hex digits>)", field=self.path
            )
        return self.text()

    def relative_path(self) -> str:
        """Return a relative path without `.`, `..`, NUL, backslash or drive."""
        text = self.text()
        parts = text.split("/")
        if (
            any(part in ("", ".", "..") for part in parts)
            or any(character in text for character in "\0\\")
            or ":" in parts[0]
        ):
            raise BundleError(
                f"{text!r:.80} is not a relative path without '.', '..', backslash or drive",
                field=self.path,
            )
        return text

    def tolerance(self) -> float:
        """Return a tolerance: a finite number of at least 0, stored as a string."""
        try:
            number = float(self.text())
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf"):
            raise BundleError(
                f"{self.value!r:.80} is not a tolerance (a number of at least 0, as a string)",
                field=self.path,
            )
        return number
