"""What became of a run: the document in its `_manifest.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from shearling.batches.places import FILES, Place
from shearling.scoring.fields import Fields

#: succeeded: no more parts failed than are tolerated. failed: more did.
Status = Literal["succeeded", "failed"]

_FIELDS = (
    "shearling",
    "run",
    "status",
    "model",
    "function",
    "output",
    "parts",
    "failed",
    "rows",
    "rejected",
    "bytes",
    "seconds",
    "scoring_seconds",
    "gb_seconds",
    "failures",
    "created",
)

_FAILURE = ("source", "start", "stop", "row", "column", "value", "message")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFailure:
    """A part without a result.

    Attributes:
        source: the object, as a URI or path.
        start: where the part begins in it, in bytes or row groups; None: the part is all of it.
        stop: where the part ends.
        message: the reason.
        row: number of the invalid row: in the part of a CSV or of JSON lines, else in the object;
            None: no row.
        column: its column; None if unknown.
        value: the invalid value; None if unknown.
    """

    source: str
    start: int | None = None
    stop: int | None = None
    message: str
    row: int | None = None
    column: str | None = None
    value: str | None = None

    @classmethod
    def of(cls, source: dict[str, Any], error: dict[str, Any]) -> PartFailure:
        """Return the failure that an error's file says.

        Args:
            source: the part's source: bucket, key and part.
            error: message, row, column and value.
        """
        part = source.get("part")
        part = part if isinstance(part, dict) else {}
        found = {name: error[name] for name in ("row", "column", "value") if name in error}
        return cls(
            source=str(Place(source.get("bucket", FILES), source.get("key", ""))),
            start=part.get("start"),
            stop=part.get("stop"),
            message=str(error.get("message", "")),
            **found,
        )

    def document(self) -> dict[str, Any]:
        """Return the JSON document."""
        fields = {name: getattr(self, name) for name in _FAILURE}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What became of a run.

    Attributes:
        run: ID of the run.
        status: see `Status`.
        model: pin of the model that answered.
        output: prefix of the results, as a URI or path.
        function: ARN of the function with the version that answered; empty on this machine.
        parts: number of parts.
        failed: number of parts without a result.
        rows: number of rows of the others, with the rejected ones.
        rejected: number of rows that the model refused.
        bytes: bytes of their sources.
        seconds: seconds from the plan to the end.
        scoring_seconds: seconds that the parts took, added up.
        gb_seconds: their seconds times the memory of the function; None on this machine.
        failures: the first parts without a result.
        created: time of the end, in ISO 8601.
    """

    run: str
    status: Status
    model: str
    output: str
    function: str = ""
    parts: int
    failed: int
    rows: int
    rejected: int
    bytes: int
    seconds: float
    scoring_seconds: float
    gb_seconds: float | None = None
    failures: tuple[PartFailure, ...] = ()
    created: str

    @classmethod
    def from_document(cls, document: object) -> RunResult:
        """Read the JSON document.

        Raises:
            InvalidRequestError: a field is missing, unknown or invalid; the message names it.
        """
        fields = Fields(document, "", _FIELDS)
        fields.choice("shearling", ("batch",), "batch")
        status = fields.choice("status", ("succeeded", "failed"), "failed")
        return cls(
            run=fields.text("run", required=True),
            status=cast("Status", status),
            model=fields.text("model", required=True),
            output=fields.text("output", required=True),
            function=fields.text("function"),
            **{
                name: fields.count(name) or 0
                for name in ("parts", "failed", "rows", "rejected", "bytes")
            },
            seconds=fields.seconds("seconds") or 0,
            scoring_seconds=fields.seconds("scoring_seconds") or 0,
            gb_seconds=fields.seconds("gb_seconds"),
            failures=tuple(map(_failure, fields.objects("failures", _FAILURE))),
            created=fields.text("created"),
        )

    def document(self) -> dict[str, Any]:
        """Return the JSON document."""
        document = {name: getattr(self, name) for name in _FIELDS[1:]}
        document |= {"failures": [failure.document() for failure in self.failures]}
        fields = {name: value for name, value in document.items() if value not in (None, "")}
        return {"shearling": "batch", **fields}


def _failure(fields: Fields) -> PartFailure:
    return PartFailure(
        source=fields.text("source"),
        start=fields.count("start"),
        stop=fields.count("stop"),
        message=fields.text("message"),
        row=fields.count("row"),
        column=fields.text("column") or None,
        value=fields.text("value") or None,
    )
