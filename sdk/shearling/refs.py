"""Names of bundles: models, versions, aliases, and refs such as `fraud:7@sha256:...`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.errors import InvalidRefError

if TYPE_CHECKING:
    from collections.abc import Sequence

_MODEL = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,47}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NEWEST = "latest"
#: What stands beside aliases in the registry, and in no policy may be taken for one.
_RESERVED = frozenset({_NEWEST, "versions", "digests"})
_VERSION = re.compile(r"[1-9][0-9]{0,9}")

#: Names that an error shows.
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Pin:
    """One bundle, named beyond doubt: `str(pin)` is `fraud:7@sha256:<hex>`."""

    model: str
    version: int
    digest: str

    def __str__(self) -> str:
        return f"{self.model}:{self.version}@{self.digest}"

    @property
    def hex(self) -> str:
        """The digest without its algorithm: the name of the manifest's blob."""
        return self.digest.removeprefix("sha256:")

    @classmethod
    def parse(cls, text: str) -> Pin:
        """Read `fraud:7@sha256:<hex>`; anything less is an InvalidRefError."""
        ref = Ref.parse(text)
        if not isinstance(ref.selector, int) or ref.digest is None:
            raise InvalidRefError(f"{text!r} is not pinned: write <model>:<version>@sha256:<hex>")
        return cls(ref.model, ref.selector, ref.digest)


@dataclass(frozen=True, slots=True)
class Ref:
    """What a person writes: a model and perhaps a version, an alias, or a pin.

    Attributes:
        selector: a version's number, an alias, or None for the newest version.
    """

    model: str
    selector: int | str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Read `fraud` or `fraud:latest`, `fraud:7`, `fraud:prod` or `fraud:7@sha256:<hex>`."""
        name, at, digest = text.partition("@")
        model, colon, selector = name.partition(":")
        check_model(model)
        if at and not (_DIGEST.fullmatch(digest) and _VERSION.fullmatch(selector)):
            raise InvalidRefError(
                f"ref {text!r}: a pin is <model>:<version>@sha256:<64 hex digits>"
            )
        if not colon or selector == _NEWEST:
            return cls(model)
        if _VERSION.fullmatch(selector):
            return cls(model, int(selector), digest or None)
        if selector[:1].isdigit():
            raise InvalidRefError(f"ref {text!r}: versions are numbers from 1 on, as in {model}:1")
        return cls(model, check_alias(selector))


def check_model(name: str) -> str:
    """Return the name of a model, or raise InvalidRefError with what is allowed."""
    if not _MODEL.fullmatch(name):
        raise InvalidRefError(
            f"model {name!r}: a name has 1 to 48 of a-z, 0-9 and '-', "
            "and starts with a letter or digit"
        )
    return name


def check_alias(name: str) -> str:
    """Return the name of an alias, or raise InvalidRefError with what is allowed."""
    if not _ALIAS.fullmatch(name) or name in _RESERVED:
        raise InvalidRefError(
            f"alias {name!r}: a name has 1 to 48 of a-z, 0-9 and '-', starts with a letter, "
            f"and is none of {', '.join(sorted(_RESERVED))}"
        )
    return name


def nearest(name: str, known: Sequence[str]) -> str:
    """Return known names for a message, those like a wrong one first, and not a whole page."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=_SHOWN)
    ordered = near + [each for each in known if each not in near]
    more = len(known) - _SHOWN
    return ", ".join(ordered[:_SHOWN]) + (f" and {more} more" if more > 0 else "") or "none"
