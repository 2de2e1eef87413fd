"""Normalise texts as scikit-learn's vectorizers do, before a graph reads them.

ONNX Runtime changes case by the C library's tables, which differ between machines and from
Python's: `"ΣΊΣΥΦΟΣ".lower()` ends in a final sigma, and `"İ".lower()` is two characters. It removes
no accents. So these steps run in Python.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPACES = re.compile(r"\s\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextNormalization:
    """What happens to each text of an input before the graph reads it.

    Attributes:
        lowercase: whether to lower its case.
        accents: "unicode" removes accents; "ascii" also removes what has no ASCII equivalent.
        spaces: "collapse" makes one space of several white-space characters; "words" puts one space
            before and one after each word.
    """

    lowercase: bool = False
    accents: Literal["ascii", "unicode"] | None = None
    spaces: Literal["collapse", "words"] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the settings as an object for a bundle's options."""
        return asdict(self)

    def apply(self, texts: NDArray[Any]) -> NDArray[Any]:
        """Return the texts normalised, in an array of the same shape."""
        normalised = np.empty(texts.shape, object)
        normalised.ravel()[:] = [self._normalised(text) for text in texts.ravel().tolist()]
        return normalised

    def _normalised(self, text: str) -> str:
        if self.lowercase:
            text = text.lower()
        if self.accents and not text.isascii():
            decomposed = unicodedata.normalize("NFKD", text)
            if self.accents == "ascii":
                text = decomposed.encode("ascii", "ignore").decode()
            else:
                text = "".join(filter(_is_base, decomposed))
        if self.spaces == "words":
            return "".join(f" {word} " for word in text.split())
        return _SPACES.sub(" ", text) if self.spaces else text


def _is_base(character: str) -> bool:
    return not unicodedata.combining(character)
