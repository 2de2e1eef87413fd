"""What the plan of a run says of the whole run; its parts are lines of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shearling.batches.run_document import RunDocument
from shearling.errors import InvalidRefError, InvalidRequestError
from shearling.refs import Pin
from shearling.scoring.fields import Fields

#: Value of `shearling` in a plan's document.
PLAN = "plan"

_FIELDS = (
    "shearling",
    "run",
    "pin",
    "function",
    "memory_mb",
    "parts",
    "sources",
    "bytes",
    "ignored",
    "created",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of a run.

    Attributes:
        run: what the run is asked for.
        pin: pin of the model that answers every part.
        function: ARN of the function, with the version that answers every part; empty on this
            machine.
        memory_mb: memory of the function; None on this machine.
        parts: number of parts; 0 while they are found.
        sources: number of objects that are scored.
        bytes: bytes that they have.
        ignored: number of objects that an input names and that are no data: see `sources`.
        created: when the plan was made, or begun again, in ISO 8601; empty while it is made.
    """

    run: RunDocument
    pin: str
    function: str = ""
    memory_mb: int | None = None
    parts: int = 0
    sources: int = 0
    bytes: int = 0
    ignored: int = 0
    created: str = ""

    @classmethod
    def from_document(cls, document: object) -> Plan:
        """Read a plan's JSON document.

        Raises:
            InvalidRequestError: a field is missing, unknown or invalid; the message names it.
        """
        fields = Fields(document, "", _FIELDS)
        fields.choice("shearling", (PLAN,), PLAN)
        pin = fields.text("pin", required=True)
        try:
            Pin.parse(pin)
        except InvalidRefError as error:
            raise InvalidRequestError(f"pin: {error}") from error
        return cls(
            run=RunDocument.from_document(fields.object("run")),
            pin=pin,
            function=fields.text("function"),
            memory_mb=fields.count("memory_mb"),
            parts=fields.count("parts") or 0,
            sources=fields.count("sources") or 0,
            bytes=fields.count("bytes") or 0,
            ignored=fields.count("ignored") or 0,
            created=fields.text("created"),
        )

    def document(self) -> dict[str, Any]:
        """Return the plan's JSON document."""
        document = {name: getattr(self, name) for name in _FIELDS[1:]}
        document |= {"shearling": PLAN, "run": self.run.document()}
        return {name: value for name, value in document.items() if value not in (None, "")}
