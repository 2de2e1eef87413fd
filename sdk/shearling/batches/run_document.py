"""What a run is asked for: the input of an execution of the state machine, or of a local run."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shearling.errors import InvalidRefError, InvalidRequestError
from shearling.refs import check_alias, check_model
from shearling.scoring.fields import Fields
from shearling.scoring.formats import OUTPUTS
from shearling.scoring.request import Options, format_field, read_options
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from shearling.scoring.formats import Format

#: Value of `shearling` in a run document.
BATCH = "batch"

#: Parts at a time: by default, and as many as Step Functions runs at most.
DEFAULT_CONCURRENCY, MAX_CONCURRENCY = 50, 10_000

#: Bytes of a part: by default, and the fewest and the most that may be asked for.
DEFAULT_PART_BYTES = 128 * 2**20
LEAST_PART_BYTES, MOST_PART_BYTES = 2**20, 2**40

_FIELDS = (
    "shearling",
    "run",
    "model",
    "alias",
    "version",
    "inputs",
    "input_format",
    "output",
    "output_format",
    "kms_key_arn",
    "max_concurrency",
    "tolerated_failure_percentage",
    "part_bytes",
    "options",
)

#: A run's ID names executions of a state machine, which have 80 characters at most. In those that
#: begin the run again, `_` and a number follow it.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,74}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDocument:
    """What a run is asked for.

    Attributes:
        run: ID of the run.
        model: name of the model in the registry.
        alias: alias whose version answers; empty if `version` is given.
        version: version of the model that answers; None: the alias's.
        inputs: objects, prefixes or patterns, as `s3://` URIs or as paths of this machine.
        input_format: format of all inputs; None: as the suffix of each says.
        output: prefix of the results, as a URI or path.
        output_format: format of the outputs; None: that of each source.
        kms_key_arn: KMS key that encrypts the outputs; empty: the bucket's default encryption.
        max_concurrency: number of parts that are scored at a time.
        tolerated_failure_percentage: share of the parts that may fail, in percent. When more have
            failed, no others are begun.
        part_bytes: bytes above which a source is cut into parts.
        options: how to score each part.
    """

    run: str
    model: str
    alias: str = ""
    version: int | None = None
    inputs: tuple[str, ...]
    input_format: Format | None = None
    output: str
    output_format: Format | None = None
    kms_key_arn: str = ""
    max_concurrency: int = DEFAULT_CONCURRENCY
    tolerated_failure_percentage: float = 0
    part_bytes: int = DEFAULT_PART_BYTES
    options: Options = field(default_factory=Options)

    @classmethod
    def from_document(cls, document: object) -> RunDocument:
        """Read a run's JSON document.

        Raises:
            InvalidRequestError: a field is missing, unknown or invalid; the message names it.
        """
        fields = Fields(document, "", _FIELDS)
        fields.choice("shearling", (BATCH,), BATCH)
        alias, version = fields.text("alias"), fields.number("version", 1, 10**10 - 1)
        if bool(alias) == bool(version):
            raise InvalidRequestError(
                "alias, version: exactly one is required: the alias, or the version of the model "
                "that answers"
            )
        run = cls(
            run=fields.text("run", required=True),
            model=fields.text("model", required=True),
            alias=alias,
            version=version,
            inputs=_inputs(fields),
            input_format=format_field(fields, "input_format"),
            output=fields.text("output", required=True),
            output_format=format_field(fields, "output_format", OUTPUTS),
            kms_key_arn=fields.text("kms_key_arn"),
            max_concurrency=fields.number("max_concurrency", 1, MAX_CONCURRENCY)
            or DEFAULT_CONCURRENCY,
            tolerated_failure_percentage=fields.share("tolerated_failure_percentage"),
            part_bytes=fields.number("part_bytes", LEAST_PART_BYTES, MOST_PART_BYTES)
            or DEFAULT_PART_BYTES,
            options=read_options(fields.object("options")),
        )
        _check_names(run)
        return run

    def document(self) -> dict[str, Any]:
        """Return the run's JSON document; what limits the run is there even by default."""
        document: dict[str, Any] = {
            "shearling": BATCH,
            "run": self.run,
            "model": self.model,
            "alias": self.alias,
            "version": self.version,
            "inputs": [*self.inputs],
            "input_format": self.input_format,
            "output": self.output,
            "output_format": self.output_format,
            "kms_key_arn": self.kms_key_arn,
            "max_concurrency": self.max_concurrency,
            "tolerated_failure_percentage": self.tolerated_failure_percentage,
            "part_bytes": self.part_bytes,
            "options": self.options.document(),
        }
        return {name: value for name, value in document.items() if value not in (None, "")}


def new_id(model: str) -> str:
    """Return the ID of a new run: the model, the time, and what makes it unique."""
    return f"{model}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _inputs(fields: Fields) -> tuple[str, ...]:
    """Return one input, or a list of some."""
    found = fields.object("inputs")
    inputs = [found] if isinstance(found, str) else found
    if not isinstance(inputs, list) or not inputs:
        raise InvalidRequestError(
            f"inputs: {shown(found)} is not an object, a prefix or a pattern, nor a list of some"
        )
    for i, each in enumerate(inputs):
        if not isinstance(each, str) or not each:
            raise InvalidRequestError(f"inputs[{i}]: {shown(each)} is not a text")
    return tuple(inputs)


def _check_names(run: RunDocument) -> None:
    if not _ID.fullmatch(run.run):
        raise InvalidRequestError(
            f"run: {shown(run.run)} is not the ID of a run: letters, digits and '-', 75 at most"
        )
    try:
        check_model(run.model)
        if run.alias:
            check_alias(run.alias)
    except InvalidRefError as error:
        raise InvalidRequestError(str(error)) from error
