"""An inference request before it is checked against the signature."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class InferenceInput:
    """An inference request as received.

    Attributes:
        document: JSON document; None for raw bytes, a picture or CSV.
        wants_csv: whether to respond with CSV.
        tail: bytes after the JSON.
        is_raw: whether `tail` is the model's only input, without JSON.
        is_picture: whether `tail` is the file of a picture.
        csv: text of a CSV body; None for another type.
        has_names: whether the first line of the CSV is a header; None if not specified.
    """

    document: object
    wants_csv: bool = False
    tail: bytes | memoryview = b""
    is_raw: bool = False
    is_picture: bool = False
    csv: str | None = None
    has_names: bool | None = None
