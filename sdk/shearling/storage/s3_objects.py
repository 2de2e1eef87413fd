"""S3 requests that obstore does not have: create-only multipart uploads, checksums, versions."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shearling.errors import StoreError
from shearling.storage.s3 import s3_configuration

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

#: Number of parts that are uploaded in parallel. On a slow uplink each must finish before its
#: request times out.
PARALLEL_PARTS = 4

#: Statuses of a completion after which the key must be read: another upload is in progress (409) or
#: was completed first (412).
_UNDECIDED = frozenset({409, 412})

_DENIED = 403


class S3Objects:
    """Objects below a prefix of a bucket. boto3 is imported when it is first needed."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self._prefix = prefix

    def key(self, name: str) -> str:
        """Return the full key of a name below the prefix."""
        return f"{self._prefix}/{name}" if self._prefix else name

    def create(self, name: str, parts: Iterable[bytes]) -> bool:
        """Upload parts as an object that must not exist yet.

        An exception of `parts` is raised, and nothing is stored.

        Returns:
            False if S3 refused, which does not prove that another writer created the object.
        """
        place: dict[str, Any] = {"Bucket": self.bucket, "Key": self.key(name)}
        answer = self._client.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")
        upload = place | {"UploadId": answer["UploadId"]}
        try:
            sent = self._send(upload, parts)
            self._client.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": sent}, IfNoneMatch="*"
            )
        except BaseException as error:
            with suppress(Exception):  # the first error is the one to raise
                self._client.abort_multipart_upload(**upload)
            # NoSuchUpload: an earlier attempt of the completion succeeded.
            status, code = _answer(error)
            if status in _UNDECIDED or code == "NoSuchUpload":
                return False
            raise
        return True

    def list_folder(self, prefix: str) -> tuple[list[str], list[str]]:
        """Return the names of the objects and of the folders directly below a prefix.

        Keys can be any that S3 stores, such as `a//b`, which obstore refuses to list.
        """
        folder = f"{self.key(prefix)}/"
        names: list[str] = []
        folders: list[str] = []
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=folder, Delimiter="/"):
            names += [item["Key"].removeprefix(folder) for item in page.get("Contents", [])]
            prefixes = [item["Prefix"] for item in page.get("CommonPrefixes", [])]
            folders += [each.removeprefix(folder).removesuffix("/") for each in prefixes]
        return names, folders

    def head(self, name: str) -> tuple[str, str]:
        """Return the SHA-256 checksum and the version of an object; empty if it has none.

        The checksum of a multipart object is that of its parts' checksums: `<base64>-<parts>`.
        """
        answer = self._client.head_object(
            Bucket=self.bucket, Key=self.key(name), ChecksumMode="ENABLED"
        )
        return answer.get("ChecksumSHA256", ""), answer.get("VersionId", "")

    def _send(self, upload: dict[str, Any], parts: Iterable[bytes]) -> list[CompletedPartTypeDef]:
        sent: list[Future[CompletedPartTypeDef]] = []
        with ThreadPoolExecutor(PARALLEL_PARTS, "upload") as pool:
            waiting: set[Future[CompletedPartTypeDef]] = set()
            for number, part in enumerate(parts, 1):
                if len(waiting) == PARALLEL_PARTS:  # limits the memory
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for each in done:
                        each.result()
                sent.append(pool.submit(self._send_part, upload, number, part))
                waiting.add(sent[-1])
            return [each.result() for each in sent]

    def _send_part(self, upload: dict[str, Any], number: int, part: bytes) -> CompletedPartTypeDef:
        checksum = base64.b64encode(hashlib.sha256(part).digest()).decode()
        answer = self._client.upload_part(
            **upload, PartNumber=number, Body=part, ChecksumSHA256=checksum
        )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

    @cached_property
    def _client(self) -> S3Client:
        import boto3
        from botocore.config import Config

        config, _ = s3_configuration(self.bucket)
        is_custom = "endpoint" in config
        return boto3.client(
            "s3",
            region_name=config.get("region"),
            endpoint_url=config.get("endpoint"),
            config=Config(
                connect_timeout=3,
                read_timeout=300,
                max_pool_connections=2 * PARALLEL_PARTS,
                retries={"mode": "standard", "total_max_attempts": 5},
                s3={"addressing_style": "path" if is_custom else "auto"},
            ),
        )


def store_error(verb: str, key: str, uri: str, error: Exception) -> StoreError:
    """Convert an error of boto3 to a StoreError."""
    text = " ".join(str(error).split())
    message = f"cannot {verb} {key} in {uri}: {text:.500}"
    return StoreError(message, denied=_answer(error)[0] == _DENIED)


def _answer(error: BaseException) -> tuple[int, str]:
    """Return the HTTP status and the error code of S3; 0 and empty for other errors."""
    answer = getattr(error, "response", None)
    if not isinstance(answer, dict):
        return 0, ""
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status, answer.get("Error", {}).get("Code", "")
