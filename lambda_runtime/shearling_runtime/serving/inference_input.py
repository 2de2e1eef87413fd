"""A request for inference as it came, before it is checked against the signature."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class InferenceInput:
    """A request as it came.

    Attributes:
        document: its JSON.
        wants_csv: whether the answer is to be a table.
        tail: the bytes after the JSON.
        is_raw: whether there is no JSON, and the bytes are the model's only input.
        csv: a table instead of JSON, if that came.
        has_names: whether the table's first line is names; None if nobody said.
    """

    document: object
    wants_csv: bool = False
    tail: bytes | memoryview = b""
    is_raw: bool = False
    csv: str | None = None
    has_names: bool | None = None
