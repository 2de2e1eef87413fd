"""The places of a run's inputs and outputs: buckets, and the files of this machine."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.errors import InvalidRequestError
from shearling.storage.directory_objects import DirectoryObjects
from shearling.storage.s3_bucket import S3Bucket

if TYPE_CHECKING:
    from shearling.storage.conditional import ListedObjects

#: What stands for the name of a bucket in the requests of a run over files of this machine; keys
#: are paths below it.
FILES = "/"

_S3 = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]*)(?:/(?P<key>.*))?", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Place:
    """A key, a prefix or a pattern in a bucket, or a path of this machine in the bucket `/`."""

    bucket: str
    key: str

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return self.bucket == FILES

    def __str__(self) -> str:
        return f"/{self.key}" if self.is_local else f"s3://{self.bucket}/{self.key}"


def parse_place(text: str, field: str) -> Place:
    """Return the place that a URI or path names.

    Args:
        text: `s3://bucket/key`, or a path.
        field: name of the field for the message of an error.

    Raises:
        InvalidRequestError: the text is another URI, names no bucket, or is not UTF-8.
    """
    check_utf8(text, field)
    if match := _S3.fullmatch(text):
        return Place(match["bucket"], match["key"] or "")
    if _SCHEME.match(text) or "\0" in text:
        raise InvalidRequestError(
            f"{field}: {text!r:.200} is neither s3://bucket/prefix nor a path of this machine"
        )
    path = os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 - Path drops a last slash
    is_folder = text.endswith(("/", "/.")) or path == "/"
    return Place(FILES, path.lstrip("/") + "/" * (is_folder and path != "/"))


def check_utf8(name: str, field: str) -> None:
    """Refuse a name that JSON cannot carry: file systems allow any bytes.

    Raises:
        InvalidRequestError: the name is not UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"{field}: {name!r:.300} is not UTF-8: rename it") from error


def output_place(output: str) -> Place:
    """Return the prefix of a run's outputs, which is a folder's.

    Raises:
        InvalidRequestError: as for `parse_place`.
    """
    place = parse_place(output, "output")
    is_folder = not place.key or place.key.endswith("/")
    return place if is_folder else Place(place.bucket, f"{place.key}/")


class Places:
    """Opens buckets; the bucket `/` is this machine's files."""

    def __init__(self) -> None:
        self._opened: dict[tuple[str, str], ListedObjects] = {}

    def objects(self, bucket: str, kms_key_arn: str = "") -> ListedObjects:
        """Return the objects of a bucket.

        Args:
            bucket: name of the bucket.
            kms_key_arn: KMS key that encrypts what is written; empty: the bucket's default.
        """
        opened = self._opened.get((bucket, kms_key_arn))
        if opened is None:
            opened = DirectoryObjects("/") if bucket == FILES else S3Bucket(bucket, kms_key_arn)
            self._opened[bucket, kms_key_arn] = opened
        return opened
