"""Read the fields of a score request strictly; an error names the field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from shearling.errors import InvalidRequestError
from shearling.protocol.keys import nearest
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: Half of a surrogate pair, which JSON can spell and no object's key can have.
_HALF_PAIR = re.compile("[\ud800-\udfff]")


class Fields:
    """The fields of one object of a document.

    Args:
        value: the decoded value.
        path: path of the object in the document; empty for the document itself.
        known: names of the fields that it may have.

    Raises:
        InvalidRequestError: the value is not an object, or has an unknown field.
    """

    def __init__(self, value: object, path: str, known: Collection[str]) -> None:
        self._path = path
        if not isinstance(value, dict):
            raise InvalidRequestError(f"{path or 'request'}: {shown(value)} is not an object")
        self._values: Mapping[str, Any] = value
        for name in value:
            if name not in known:
                near = nearest(str(name), known)
                hint = f"; did you mean {near!r}?" if near else f"; known: {', '.join(known)}"
                raise InvalidRequestError(f"{self._place(shown(name))}: unknown field{hint}")

    def object(self, name: str) -> object:
        """Return the value of a field; an empty object without one."""
        value = self._values.get(name)
        return {} if value is None else value

    def text(self, name: str, *, required: bool = False) -> str:
        """Return a text; empty without one."""
        value = self._values.get(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or _HALF_PAIR.search(value):
            raise self._refused(name, "a text")
        if required and not value:
            raise InvalidRequestError(f"{self._place(name)}: empty, but required")
        return value

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """Return one of several texts; the default without one."""
        value = self._values.get(name)
        if value in (None, ""):
            return default
        if not isinstance(value, str) or value not in allowed:
            raise self._refused(name, f"one of {', '.join(allowed)}")
        return value

    def flag(self, name: str) -> bool:
        """Return a truth; false without one."""
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise self._refused(name, "true or false")
        return value

    def count(self, name: str) -> int | None:
        """Return a number from 0; None without one."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._refused(name, "a number from 0")
        return value

    def number(self, name: str, least: int, most: int) -> int | None:
        """Return a whole number within limits; None without one."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self._refused(name, f"a whole number from {least:,} to {most:,}")
        return value

    def share(self, name: str) -> float:
        """Return a share in percent; 0 without one."""
        value = self._values.get(name)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:  # noqa: PLR2004
            raise self._refused(name, "a percentage from 0 to 100")
        return value

    def seconds(self, name: str) -> float | None:
        """Return a number of at least 0; None without one."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise self._refused(name, "a number of at least 0")
        return value

    def objects(self, name: str, known: Collection[str]) -> list[Fields]:
        """Return the objects of a list; none without one."""
        value = self._values.get(name)
        if not isinstance(value, list | None):
            raise self._refused(name, "a list")
        place = self._place(name)
        return [Fields(each, f"{place}[{i}]", known) for i, each in enumerate(value or [])]

    def _refused(self, name: str, expected: str) -> InvalidRequestError:
        return InvalidRequestError(
            f"{self._place(name)}: {shown(self._values.get(name))} is not {expected}"
        )

    def _place(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name
