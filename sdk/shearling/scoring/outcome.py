"""What became of a score request, and the documents that say so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from shearling.scoring.file_names import REJECTED

if TYPE_CHECKING:
    from shearling.errors import InferenceError
    from shearling.scoring.request import ScoreRequest

#: Maximum bytes of a manifest that is read.
MANIFEST_LIMIT = 64 * 1024

#: scored: the output and its manifest are written. unchanged: an earlier request has written them.
#: failed: the object cannot be scored, and the error's file says why. gone: there is no object.
Status = Literal["scored", "unchanged", "failed", "gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an object cannot be scored.

    Attributes:
        message: the reason, in a sentence.
        row: number of the row in the source, from 1; a CSV's line of names counts. None: no row.
        column: name or position of the column; None: no single column.
        value: the invalid value as text, cut; None: no single value.
    """

    message: str
    row: int | None = None
    column: str | None = None
    value: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the fields that are known."""
        fields = {
            "row": self.row,
            "column": self.column,
            "value": self.value,
            "message": self.message,
        }
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a score request.

    Attributes:
        status: see `Status`.
        request: the request.
        model: pin of the model that answered.
        source_etag: ETag of the source that was read; empty if none was.
        source_version: version of that object; empty in a bucket without versions.
        source_size: bytes of the source, or of its part; None if it was not read.
        rows: number of rows of the source, with the rejected ones.
        rejected: number of rows that the model refused.
        truncated: number of texts that were longer than the model reads; None for a model that
            reads no texts.
        seconds: seconds that it took.
        output_etag: ETag of the output; empty without one.
        output_size: size of the output in bytes.
        failure: why the object cannot be scored; None if it was.
        error: the error behind the failure, whose `status` is that of an answer over HTTP.
    """

    status: Status
    request: ScoreRequest
    model: str
    source_etag: str = ""
    source_version: str = ""
    source_size: int | None = None
    rows: int = 0
    rejected: int = 0
    truncated: int | None = None
    seconds: float = 0.0
    output_etag: str = ""
    output_size: int = 0
    failure: Failure | None = None
    error: InferenceError | None = None

    @property
    def has_result(self) -> bool:
        """Whether there is an output with its manifest."""
        return self.status in ("scored", "unchanged")

    def document(self) -> dict[str, Any]:
        """Return the JSON document: of the manifest, of the error's file, or the answer."""
        request = self.request
        output: dict[str, Any] = {"bucket": request.output.bucket, "key": request.output_key}
        document: dict[str, Any] = {
            "shearling": self.status,
            "event": request.event,
            "model": self.model,
            "source": self._source(),
            "output": output,
            "seconds": round(self.seconds, 3),
        }
        if self.has_result:
            document |= {"rows": self.rows, "rejected": self.rejected}
        if self.has_result and self.truncated is not None:
            document["truncated"] = self.truncated
        if self.output_etag:
            output |= {
                "etag": self.output_etag,
                "size": self.output_size,
                "format": request.output_format,
            }
        if self.rejected and self.has_result:
            document["rejected_key"] = request.output_key + REJECTED
        if self.failure is not None:
            document["error"] = self.failure.document()
        return document

    def _source(self) -> dict[str, Any]:
        source = self.request.source
        fields = {
            "bucket": source.bucket,
            "key": source.key,
            "etag": self.source_etag,
            "version_id": self.source_version,
            "size": self.source_size,
            "part": source.part.document() if source.part else None,
        }
        return {name: value for name, value in fields.items() if value not in (None, "")}

    def unchanged(self, manifest: dict[str, Any]) -> Outcome:
        """Return the outcome of a request whose output an earlier one has written."""
        return replace(
            self,
            status="unchanged",
            model=str(manifest.get("model", "")),
            rows=_count(manifest.get("rows")),
            rejected=_count(manifest.get("rejected")),
            truncated=_count(manifest["truncated"]) if "truncated" in manifest else None,
        )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
