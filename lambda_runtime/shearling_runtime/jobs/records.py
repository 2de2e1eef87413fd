"""The records of a job: what was asked for, the latest attempt, and the outcome."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, cast

from shearling.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.bundle.json_reader import Field

Status = Literal["queued", "succeeded", "failed"]

_FINAL = ("succeeded", "failed")

#: HTTP status of a failure that is not the caller's.
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a caller has asked for.

    Attributes:
        id: ID of the job.
        created: seconds since 1970.
        expires: seconds since 1970 after which the job is unknown.
        headers: headers of the request that say what the body is and what to answer with.
        fingerprint: digest of the headers and the body; empty if the caller uploads the body.
    """

    id: str
    created: int
    expires: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""

    def document(self) -> dict[str, Any]:
        """Return the record's JSON document."""
        return asdict(self)

    @classmethod
    def parse(cls, root: Field) -> Job:
        """Read the record.

        Raises:
            BundleError: a field is missing or invalid.
        """
        headers = root["headers"].expect(dict, "an object")
        return cls(
            id=root["id"].text(),
            created=root["created"].count(),
            expires=root["expires"].count(),
            headers={name: root["headers"][name].text() for name in headers},
            fingerprint=root["fingerprint"].text(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The latest attempt to run a job.

    Attributes:
        number: how often the job's message has been received, from 1.
        ends: seconds since 1970 at which the function is stopped, or has stopped.
        version: version of the model that the function serves.
        error: why the attempt failed; empty while it runs, or if the function was killed.
        error_status: HTTP status that a direct answer would have had.
    """

    number: int
    ends: int
    version: str = ""
    error: str = ""
    error_status: int = _SERVER_ERROR

    def document(self) -> dict[str, Any]:
        """Return the record's JSON document."""
        return asdict(self)

    @classmethod
    def parse(cls, root: Field) -> Attempt:
        """Read the record.

        Raises:
            BundleError: a field is missing or invalid.
        """
        return cls(
            number=root["number"].count(),
            ends=root["ends"].count(),
            version=root["version"].text(),
            error=root["error"].text(),
            # Not in the records of earlier versions.
            error_status=root.get("error_status", _SERVER_ERROR).count(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The object with the outputs.

    Attributes:
        key: its key.
        content_type: its content type.
        size: its size in bytes.
        json_length: number of bytes of the JSON before binary tensors; None without them.
    """

    key: str
    content_type: str
    size: int
    json_length: int | None = None

    @classmethod
    def parse(cls, root: Field) -> Result:
        """Read the part of an outcome.

        Raises:
            BundleError: a field is missing or invalid.
        """
        length = root["json_length"]
        return cls(
            key=root["key"].relative_path(),
            content_type=root["content_type"].text(),
            size=root["size"].count(),
            json_length=None if length.value is None else length.count(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a job.

    Attributes:
        status: whether there is a result.
        finished: seconds since 1970.
        version: version of the model that answered; empty if none ran.
        result: the outputs of a job that succeeded.
        error: why a job failed.
        error_status: HTTP status that a direct answer would have had.
    """

    status: Literal["succeeded", "failed"]
    finished: int
    version: str = ""
    result: Result | None = None
    error: str = ""
    error_status: int = _SERVER_ERROR

    def document(self) -> dict[str, Any]:
        """Return the record's JSON document."""
        return asdict(self)

    @classmethod
    def parse(cls, root: Field) -> Outcome:
        """Read the record.

        Raises:
            BundleError: a field is missing or invalid.
        """
        status = root["status"].text()
        if status not in _FINAL:
            raise BundleError(f"{status!r:.80} is not one of {', '.join(_FINAL)}", field="status")
        result = root["result"]
        return cls(
            status=cast("Literal['succeeded', 'failed']", status),
            finished=root["finished"].count(),
            version=root["version"].text(),
            result=None if result.value is None else Result.parse(result),
            error=root["error"].text(),
            error_status=root["error_status"].count(),
        )


def timestamp(seconds: int) -> str:
    """Return a time in the form of RFC 3339, as in `2026-03-01T12:00:00Z`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
