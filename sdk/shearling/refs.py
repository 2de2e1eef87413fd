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
#: Folder names beside the aliases in the registry. An alias with such a name could match the
#: IAM policy of another folder.
_RESERVED = frozenset({_NEWEST, "versions", "digests"})
_VERSION = re.compile(r"[1-9][0-9]{0,9}")

#: How many names an error message lists.
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Pin:
    """The exact name of one bundle: `str(pin)` is `fraud:7@sha256:<hex>`."""

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
        """Parse `fraud:7@sha256:<hex>`.

        Raises:
            InvalidRefError: the text is not a pinned ref.
        """
        ref = Ref.parse(text)
        if not isinstance(ref.selector, int) or ref.digest is None:
            raise InvalidRefError(
                f"{text!r:.80} is not pinned: write <model>:<version>@sha256:<hex>"
            )
        return cls(ref.model, ref.selector, ref.digest)


@dataclass(frozen=True, slots=True)
class Ref:
    """A model name, optionally with a version, an alias, or a version and its digest.

    Attributes:
        selector: a version number, an alias, or None for the newest version.
    """

    model: str
    selector: int | str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Parse `fraud` or `fraud:latest`, `fraud:7`, `fraud:prod` or `fraud:7@sha256:<hex>`."""
        if not isinstance(text, str):
            raise InvalidRefError(f"ref {text!r:.80}: expected a string such as 'fraud:7'")
        name, at, digest = text.partition("@")
        model, colon, selector = name.partition(":")
        check_model(model)
        if at and not (_DIGEST.fullmatch(digest) and _VERSION.fullmatch(selector)):
            raise InvalidRefError(
                f"ref {text!r:.80}: write a pin as <model>:<version>@sha256:<64 hex digits>"
            )
        if not colon or selector == _NEWEST:
            return cls(model)
        if _VERSION.fullmatch(selector):
            return cls(model, int(selector), digest or None)
        if selector.lstrip("+-.")[:1].isdigit():
            raise InvalidRefError(
                f"ref {text!r:.80}: a version is a number from 1, as in {model}:1"
            )
        return cls(model, check_alias(selector))


def is_model(name: str) -> bool:
    """Return whether a text is a valid name of a model."""
    return _MODEL.fullmatch(name) is not None


def is_alias(name: str) -> bool:
    """Return whether a text is a valid name of an alias."""
    return _ALIAS.fullmatch(name) is not None and name not in _RESERVED


def check_model(name: str) -> str:
    """Return the name if it is valid for a model.

    Raises:
        InvalidRefError: the name is invalid; the message has the rule.
    """
    if not is_model(name):
        raise InvalidRefError(
            f"model {name!r:.80}: a name has 1 to 48 characters of a-z, 0-9 and '-', "
            "and starts with a letter or digit"
        )
    return name


def check_alias(name: str) -> str:
    """Return the name if it is valid for an alias.

    Raises:
        InvalidRefError: the name is invalid; the message has the rule.
    """
    if not is_alias(name):
        raise InvalidRefError(
            f"alias {name!r:.80}: a name has 1 to 48 characters of a-z, 0-9 and '-' and starts "
            f"with a letter; reserved names are {', '.join(sorted(_RESERVED))}"
        )
    return name


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the first known names as text for a message, sorted by similarity to a wrong name."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=_SHOWN)
    ordered = near + [candidate for candidate in known if candidate not in near]
    more = len(known) - _SHOWN
    return ", ".join(ordered[:_SHOWN]) + (f" and {more} more" if more > 0 else "") or "none"
