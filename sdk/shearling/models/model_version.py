"""A version in the registry, as a push returns it: one line in print, a table in a notebook."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.progress import human_bytes

if TYPE_CHECKING:
    from shearling.refs import Pin


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A version in the registry, as a push returns it.

    Attributes:
        pin: its model, number and digest.
        is_new: False if the registry had the very same bundle already.
        uploaded_bytes: how much was sent.
        size_bytes: of all its files.
        format: how it is kept.
        alias: the alias that names it now, if one was asked for.
        registry: the registry's URI.
    """

    pin: Pin
    is_new: bool
    uploaded_bytes: int
    size_bytes: int
    format: str
    alias: str | None
    registry: str

    @property
    def model(self) -> str:
        """The model's name."""
        return self.pin.model

    @property
    def version(self) -> int:
        """The version's number."""
        return self.pin.version

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return self.pin.digest

    def __str__(self) -> str:
        what = f"{human_bytes(self.uploaded_bytes) if self.uploaded_bytes else 'nothing'} uploaded"
        if not self.is_new:
            what = f"the registry has it already, {what}"
        alias = f", alias {self.alias}" if self.alias else ""
        return f"{self.model}:{self.version} ({self.format}, {self._size()}; {what}{alias})"

    def _size(self) -> str:
        return human_bytes(self.size_bytes)

    def _repr_html_(self) -> str:
        rows = {
            "model": self.model,
            "version": self.version,
            "alias": self.alias or "-",
            "format": self.format,
            "size": self._size(),
            "uploaded": human_bytes(self.uploaded_bytes) if self.uploaded_bytes else "nothing",
            "digest": self.digest,
            "registry": self.registry,
        }
        cells = "".join(
            f"<tr><th style='text-align:left'>{key}</th><td>{html.escape(str(value))}</td></tr>"
            for key, value in rows.items()
        )
        return f"<table>{cells}</table>"
