"""Upload a package to S3, for Terraform modules that are applied where no package was built."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.errors import PackageError
from shearling.storage.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

#: The characters of a key that mean nothing else in a URI, in S3 or in Terraform's language.
_S3_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([A-Za-z0-9._/-]*))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageLocation:
    """Where a package is in S3; its text is what Terraform's `packages` take.

    Attributes:
        bucket: name of the bucket.
        key: key of the zip, which has the digest of its content in it.
        source_code_hash: SHA-256 of the zip in base64, as Lambda has it.
    """

    bucket: str
    key: str
    source_code_hash: str

    def __str__(self) -> str:
        return (
            f'{{ bucket = "{self.bucket}", key = "{self.key}", '
            f'source_code_hash = "{self.source_code_hash}" }}'
        )


class PackageUpload:
    """A folder in S3 to upload packages to.

    Args:
        uri: as in `s3://bucket/folder`; Lambda takes packages of a bucket in its own region.

    Raises:
        PackageError: the URI has another form.
        StoreError: there are no AWS credentials.
    """

    def __init__(self, uri: str) -> None:
        match = _S3_URI.fullmatch(uri)
        if match is None:
            raise PackageError(
                f"cannot upload to {uri[:100]!r}: expected s3://bucket or s3://bucket/folder, with "
                "letters, digits, dots, hyphens and underscores"
            )
        self._bucket = match[1]
        self._folder = "/".join(part for part in (match[2] or "").split("/") if part)
        self._store = open_store(f"s3://{self._bucket}")

    def put(self, path: Path) -> PackageLocation:
        """Upload a zip under a name with its digest, so that no package replaces another.

        Raises:
            StoreError: S3 refused the upload.
        """
        content = path.read_bytes()
        digest = hashlib.sha256(content)
        name = f"{path.stem}-{digest.hexdigest()}.zip"
        key = f"{self._folder}/{name}" if self._folder else name
        self._store.write(key, content)
        return PackageLocation(
            bucket=self._bucket,
            key=key,
            source_code_hash=base64.b64encode(digest.digest()).decode(),
        )
