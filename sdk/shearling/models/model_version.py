"""The result of a push, which prints as one line and shows as a table in a notebook."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.progress import human_bytes

if TYPE_CHECKING:
    from shearling.bundle.evaluation import Evaluation
    from shearling.bundle.manifest import Manifest
    from shearling.models.optimisation_report import OptimisationReport
    from shearling.refs import Pin
    from shearling.registry.records import Published
    from shearling.registry.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A version in the registry, as `push_model` returns it.

    Attributes:
        pin: the model's name, the version's number and its digest.
        is_new: False if the registry already had the same bundle.
        uploaded_bytes: bytes that this push uploaded.
        size_bytes: total size of the version's files in bytes.
        format: how the model is stored: "onnx" or "cloudpickle".
        alias: the alias that this push set to the version; None if none was given.
        registry: URI of the registry.
        quantization: what `quantize` tried; None if nothing was to be quantised.
        evaluation: the metrics on the rows of `evaluate`; None without it.
    """

    pin: Pin
    is_new: bool
    uploaded_bytes: int
    size_bytes: int
    format: str
    alias: str | None
    registry: str
    quantization: OptimisationReport | None = None
    evaluation: Evaluation | None = None

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
        size = human_bytes(self.uploaded_bytes) if self.uploaded_bytes else "nothing"
        upload = f"{size} uploaded" if self.is_new else f"already in the registry, {size} uploaded"
        alias = f", alias {self.alias}" if self.alias else ""
        return f"{self.model}:{self.version} ({self.format}, {self._size()}; {upload}{alias})"

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
        if self.evaluation is not None:
            rows["evaluation"] = str(self.evaluation)
        cells = "".join(
            f"<tr><th style='text-align:left'>{key}</th><td>{html.escape(str(value))}</td></tr>"
            for key, value in rows.items()
        )
        return f"<table>{cells}</table>"


def version_of(
    published: Published,
    manifest: Manifest,
    registry: Registry,
    evaluation: Evaluation | None = None,
) -> ModelVersion:
    """Return what was published, without an alias."""
    return ModelVersion(
        pin=published.version.pin,
        is_new=published.is_new,
        uploaded_bytes=published.sent_bytes,
        size_bytes=manifest.size,
        format=manifest.format,
        alias=None,
        registry=registry.store.uri,
        evaluation=evaluation,
    )
