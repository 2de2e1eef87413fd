"""What a push was asked for: how to store the model, its tolerances and its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shearling.bundle.canonical_json import canonical_json, plain_metadata
from shearling.bundle.json_reader import check_value
from shearling.bundle.metrics import metrics_of
from shearling.errors import BundleError, FormatError, InvalidRefError, InvalidRequestError
from shearling.models.evaluation import check_labelled
from shearling.models.measuring import LARGEST, check_largest
from shearling.progress import human_bytes
from shearling.tensors.comparison import ATOL, RTOL
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shearling.converters.image_settings import Image

#: Bytes of metadata as JSON: with them, the model's metadata still fit into any answer.
_METADATA_LIMIT = 256_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """How to store a model, how closely it must agree with the original, and what to measure."""

    format: str | None = None
    requirements: Sequence[str] | None = None
    load: Literal["latency", "throughput"] | None = None
    rtol: float = RTOL
    atol: float = ATOL
    measure: bool | None = None
    largest: int = LARGEST
    evaluate: Any = None
    image: Image | None = None
    classes: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None
    dynamic: Mapping[str, Mapping[int, str]] | None = None

    def check(self) -> None:
        """Refuse options that are not allowed, or that do not go together."""
        if self.format not in (None, "onnx", "cloudpickle"):
            raise FormatError(f"format {self.format!r}: expected 'onnx' or 'cloudpickle'")
        if self.load not in (None, "latency", "throughput"):
            raise FormatError(f"load {self.load!r}: expected 'latency' or 'throughput'")
        if self.format == "cloudpickle" and self.load:
            raise FormatError("load applies to ONNX only: leave it out with format='cloudpickle'")
        if self.format != "cloudpickle" and self.requirements is not None:
            raise FormatError(
                "requirements apply to format='cloudpickle' only: ONNX models need none"
            )
        if self.image is not None:
            self._check_image()
        check_largest(self.largest)
        if self.evaluate is not None:
            check_labelled(self.evaluate)

    def _check_image(self) -> None:
        from shearling.converters.image_settings import Image

        if not isinstance(self.image, Image):
            raise InvalidRequestError(
                f"image {shown(self.image)}: expected what a network takes, as in "
                "sdk.Image(size=224, crop='center'); pictures go into example"
            )
        if self.format == "cloudpickle":
            raise FormatError(
                "image applies to ONNX only: leave it out with format='cloudpickle', whose object "
                "gets what the example has"
            )


def text_of(field: str, value: object) -> str:
    """Return a value that is a string.

    Raises:
        InvalidRefError: it is none.
    """
    if not isinstance(value, str):
        raise InvalidRefError(
            f"{field} {value!r:.80} is not a string: expected a string such as 'fraud'"
        )
    return value


def is_number(value: object) -> bool:
    """Return whether a value is a number of Python or NumPy, and no boolean."""
    is_real = isinstance(value, int | float | np.integer | np.floating)
    return is_real and not isinstance(value, bool)


def tolerance_of(field: str, value: Any) -> float:
    """Return a tolerance as a float.

    Raises:
        InvalidRequestError: it is no finite number of at least 0.
    """
    if is_number(value) and 0 <= (number := float(value)) < float("inf"):
        return number
    raise InvalidRequestError(f"{field} {value!r:.80} is not a finite number of at least 0")


def checked_metadata(metadata: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metadata for the manifest, and its numbers for the version's record.

    Raises:
        BundleError: the metadata is not a dict of JSON values, or is too large.
    """
    if metadata is None:
        return {}, {}
    if not isinstance(metadata, Mapping):
        raise BundleError(
            f"{shown(metadata)} is not a dict such as {{'auc': 0.93}}", field="metadata"
        )
    plain = plain_metadata(metadata)
    check_value({"metadata": plain})
    _check_size(plain)
    return plain, metrics_of(metadata)


def _check_size(metadata: Mapping[str, object]) -> None:
    """Refuse metadata that are too large for an answer; the message names the largest field."""
    size = len(canonical_json(metadata))
    if size > _METADATA_LIMIT:
        largest = max(metadata, key=lambda name: len(canonical_json(metadata[name])))
        raise BundleError(
            f"the metadata have {human_bytes(size)} as JSON, of which this is the largest field; "
            f"{human_bytes(_METADATA_LIMIT)} are allowed, because each answer with the model's "
            "metadata has them: store large values elsewhere, and their place here",
            field=f"metadata.{largest:.60}",
        )
