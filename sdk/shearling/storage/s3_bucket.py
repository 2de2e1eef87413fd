"""A bucket whose objects have any key, and are read and written under conditions.

obstore has neither conditional multipart uploads nor keys such as `a//b`, and boto3 takes longer to
import than most objects to score.
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from shearling.errors import StoreError
from shearling.storage.conditional import ConditionFailedError, ObjectState
from shearling.storage.s3_requests import S3Requests, described, field_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import BaseHTTPResponse

#: Metadata by which a write is known again whose answer was lost.
_WRITE_ID = "x-amz-meta-shearling-write"

#: An object in a listing.
_ENTRY = re.compile(rb"<Contents>(.*?)</Contents>", re.DOTALL)

_REFUSED = frozenset({HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED})


class S3Bucket:
    """A bucket; see `ConditionalObjects`.

    Args:
        name: name of the bucket.
        kms_key_arn: key that encrypts what is written; empty: the bucket's default encryption.
    """

    def __init__(self, name: str, kms_key_arn: str = "") -> None:
        self._name = name
        self._requests = S3Requests(name)
        self._encryption = _encryption(kms_key_arn)

    def state(self, key: str) -> ObjectState | None:
        """See `ConditionalObjects`."""
        found = self._head(key)
        return found and found[0]

    def read(self, key: str, start: int, stop: int, *, etag: str) -> bytes:
        """See `ConditionalObjects`."""
        headers = {"range": f"bytes={start}-{stop - 1}", "if-match": f'"{etag}"'}
        answer = self._requests.send("GET", key, headers=headers)
        if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED):
            raise self._changed(key)
        self._requests.check(answer, key, "read")
        return answer.data

    def put(self, key: str, data: bytes, *, replaces: str | None) -> str:
        """See `ConditionalObjects`."""
        write = uuid.uuid4().hex
        headers = {_WRITE_ID: write, **self._encryption, **_condition(replaces), **_checksum(data)}
        answer = self._requests.send("PUT", key, headers=headers, body=data)
        return self.written(answer, key, write)

    def upload(self, key: str) -> S3Upload:
        """See `ConditionalObjects`."""
        write = uuid.uuid4().hex
        headers = {_WRITE_ID: write, **self._encryption}
        answer = self._requests.send("POST", key, query={"uploads": ""}, headers=headers)
        self._requests.check(answer, key, "write")
        return S3Upload(self, self._requests, key, field_of("UploadId", answer.data), write)

    def delete(self, key: str, *, etag: str) -> None:
        """See `ConditionalObjects`."""
        answer = self._requests.send("DELETE", key, headers={"if-match": f'"{etag}"'})
        if answer.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED):
            self._requests.check(answer, key, "delete")

    def list(self, prefix: str) -> Iterator[tuple[str, ObjectState]]:
        """See `ListedObjects`."""
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        while True:
            answer = self._requests.send("GET", "", query=query)
            self._requests.check(answer, prefix, "list")
            for entry in _ENTRY.findall(answer.data):
                yield unquote_plus(field_of("Key", entry)), _listed_state(entry)
            token = field_of("NextContinuationToken", answer.data)
            if not token:
                return
            query["continuation-token"] = token

    def written(self, answer: BaseHTTPResponse, key: str, write: str) -> str:
        """Return the ETag of a write.

        A write is repeated if its answer is lost, and is refused if the first attempt succeeded:
        the second finds the object that the first has made, or no upload.

        Raises:
            ConditionFailedError: there is another object.
            StoreError: S3 refuses.
        """
        code = field_of("Code", answer.data)
        if answer.status == HTTPStatus.OK and not code:
            return (answer.headers.get("etag") or field_of("ETag", answer.data)).strip('"')
        if answer.status in _REFUSED or code in ("NoSuchUpload", "PreconditionFailed"):
            found = self._head(key)
            if found and found[1] == write:
                return found[0].etag
            raise self._changed(key)
        if answer.status == HTTPStatus.NOT_FOUND and code == "NoSuchKey":
            raise self._changed(key)  # the object to replace is gone
        self._requests.check(answer, key, "write")
        cause = described(answer.data)
        raise StoreError(f"cannot write s3://{self._name}/{key}: {cause:.300}")

    def _head(self, key: str) -> tuple[ObjectState, str] | None:
        """Return the state of an object, and the write that made it; None without an object."""
        answer = self._requests.send("HEAD", key)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        self._requests.check(answer, key, "read")
        headers = answer.headers
        state = ObjectState(
            etag=headers["etag"].strip('"'),
            size=int(headers["content-length"]),
            modified=parsedate_to_datetime(headers["last-modified"]),
            version_id=headers.get("x-amz-version-id", ""),
        )
        return state, headers.get(_WRITE_ID, "")

    def _changed(self, key: str) -> ConditionFailedError:
        return ConditionFailedError(f"s3://{self._name}/{key} has changed")


class S3Upload:
    """A multipart upload; see `Upload`."""

    def __init__(
        self, bucket: S3Bucket, requests: S3Requests, key: str, upload: str, write: str
    ) -> None:
        self._bucket = bucket
        self._requests = requests
        self._key = key
        self._query = {"uploadId": upload}
        self._write = write
        self._parts: dict[int, str] = {}

    def send(self, number: int, part: bytes) -> None:
        """See `Upload`."""
        query = {"partNumber": str(number), **self._query}
        answer = self._requests.send("PUT", self._key, query=query, body=part)
        self._requests.check(answer, self._key, "write")
        self._parts[number] = answer.headers["etag"]

    def complete(self, replaces: str | None) -> str:
        """See `Upload`."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            for number, etag in sorted(self._parts.items())
        )
        document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        try:
            answer = self._requests.send(
                "POST", self._key, query=self._query, headers=_condition(replaces), body=document
            )
            return self._bucket.written(answer, self._key, self._write)
        except StoreError:
            self.abort()
            raise

    def abort(self) -> None:
        """See `Upload`."""
        with suppress(StoreError):
            self._requests.send("DELETE", self._key, query=self._query)


def _listed_state(entry: bytes) -> ObjectState:
    return ObjectState(
        etag=field_of("ETag", entry).strip('"'),
        size=int(field_of("Size", entry)),
        modified=datetime.fromisoformat(field_of("LastModified", entry)),
    )


def _condition(replaces: str | None) -> dict[str, str]:
    return {"if-none-match": "*"} if replaces is None else {"if-match": f'"{replaces}"'}


def _checksum(data: bytes) -> dict[str, str]:
    """Return the header by which S3 refuses, and keeps, bytes that changed on the way."""
    return {"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(data).digest()).decode()}


def _encryption(kms_key_arn: str) -> dict[str, str]:
    if not kms_key_arn:
        return {}
    return {
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": kms_key_arn,
    }
