"""A run's own files below its output: its plan, and what it writes at its end."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson

from shearling.batches.file_names import PLAN, RUN
from shearling.batches.places import output_place
from shearling.batches.plan_document import Plan
from shearling.errors import InvalidRequestError, StoreError
from shearling.scoring.reading import read_parts
from shearling.scoring.request import ScoreRequest
from shearling.storage.conditional import ConditionFailedError, replace_object

if TYPE_CHECKING:
    from collections.abc import Generator

    from shearling.batches.places import Place, Places
    from shearling.batches.run_document import RunDocument
    from shearling.storage.conditional import ListedObjects

#: How often a document is read that is replaced meanwhile.
_READS = 4

#: Maximum bytes of a document that is read.
_DOCUMENT_LIMIT = 2**20


class RunFiles:
    """The files of a run below its output.

    Args:
        output: the output, as a URI or path.
        places: opens the output's bucket.
        kms_key_arn: KMS key that encrypts what is written.
    """

    def __init__(self, output: str, places: Places, kms_key_arn: str = "") -> None:
        self.place: Place = output_place(output)
        self.objects: ListedObjects = places.objects(self.place.bucket, kms_key_arn)

    @classmethod
    def of(cls, run: RunDocument, places: Places) -> RunFiles:
        """Return the files of a run."""
        return cls(run.output, places, run.kms_key_arn)

    def key(self, name: str) -> str:
        """Return the key of a file."""
        return self.place.key + name

    def plan(self) -> Plan | None:
        """Return the plan; None without one.

        Raises:
            StoreError: the file cannot be read, or is no plan.
        """
        document = self.document(RUN)
        if document is None:
            return None
        try:
            return Plan.from_document(document)
        except InvalidRequestError as error:
            raise StoreError(f"{self.shown(RUN)} is not the plan of a run: {error}") from error

    def requests(self) -> Generator[ScoreRequest]:
        """Yield the requests of all parts, in order.

        Raises:
            StoreError: the plan cannot be read, or a line is no request.
        """
        state = self.objects.state(self.key(PLAN))
        if state is None:
            raise StoreError(
                f"{self.shown(PLAN)} does not exist: it was deleted since the run began"
            )
        left = b""
        with closing(read_parts(self.objects, self.key(PLAN), state)) as chunks:
            for chunk in chunks:
                *lines, left = (left + chunk).split(b"\n")
                yield from map(self._request, lines)
        if left:  # else its part would be left out without a word
            yield self._request(left)

    def _request(self, line: bytes) -> ScoreRequest:
        try:
            return ScoreRequest.from_document(orjson.loads(line))
        except (ValueError, InvalidRequestError) as error:
            raise StoreError(
                f"{self.shown(PLAN)} was changed since the run began: {error}. Begin a new run"
            ) from error

    def document(self, name: str) -> dict[str, Any] | None:
        """Return the JSON object in a file; None without one.

        Raises:
            StoreError: the file cannot be read, or is no JSON object.
        """
        data = self._read(name)
        if data is None:
            return None
        try:
            document = orjson.loads(data)
        except ValueError as error:
            raise StoreError(f"{self.shown(name)} is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise StoreError(f"{self.shown(name)} is not a JSON object")
        return document

    def _read(self, name: str) -> bytes | None:
        key = self.key(name)
        changed: StoreError | None = None
        for _ in range(_READS):
            state = self.objects.state(key)
            if state is None:
                return None
            if not 0 < state.size <= _DOCUMENT_LIMIT:
                raise StoreError(f"{self.shown(name)} has {state.size:,} bytes: it is no document")
            try:
                return self.objects.read(key, 0, state.size, etag=state.etag)
            except ConditionFailedError as error:  # a run that begins again replaces its files
                changed = error
        raise StoreError(f"{self.shown(name)} was replaced {_READS} times while it was read") from (
            changed
        )

    def write(self, name: str, document: dict[str, Any]) -> None:
        """Write a JSON object into a file, whatever is in it."""
        replace_object(self.objects, self.key(name), json_bytes(document))

    def shown(self, name: str) -> str:
        """Return a file as messages call it."""
        return f"{self.place}{name}"


def json_bytes(document: dict[str, Any]) -> bytes:
    """Return a document as the bytes of a file that people read."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
