"""What obstore lacks of S3: multipart uploads that only create, checksums and object versions."""

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

#: Parts of an upload under way at once: each must be through before a request times out, on the
#: slowest uplink that a notebook has.
PARALLEL_PARTS = 4

#: Answers to a completion that do not say whether there is an object now: another upload is under
#: way (409) or was first (412).
_UNDECIDED = frozenset({409, 412})

_DENIED = 403


class S3Objects:
    """Objects below a prefix of a bucket. boto3 is imported when it is first needed."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self._prefix = prefix

    def key(self, name: str) -> str:
        """Return the whole key of what has a name below the prefix."""
        return f"{self._prefix}/{name}" if self._prefix else name

    def create(self, name: str, parts: Iterable[bytes]) -> bool:
        """Upload parts as an object that must not exist; False if that is not decided.

        Whatever `parts` raises is raised, and nothing is stored then.
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
            with suppress(Exception):  # what is wrong is known already
                self._client.abort_multipart_upload(**upload)
            # NoSuchUpload: an earlier try of the completion has landed.
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
        """Return the SHA-256 checksum that S3 keeps of an object, and its version; empty if none.

        Of an object in parts it is the checksum of the parts' checksums: `<base64>-<parts>`.
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
                if len(waiting) == PARALLEL_PARTS:  # no more of the file in memory
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

        config, _ = s3_configuration()
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
    """Say what boto3's error means, as `Store` does of obstore's."""
    text = " ".join(str(error).split())
    message = f"cannot {verb} {key} in {uri}: {text:.500}"
    return StoreError(message, denied=_answer(error)[0] == _DENIED)


def _answer(error: BaseException) -> tuple[int, str]:
    """Return the status and S3's own word for an error; 0 and empty if it is none of S3's."""
    answer = getattr(error, "response", None)
    if not isinstance(answer, dict):
        return 0, ""
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status, answer.get("Error", {}).get("Code", "")
