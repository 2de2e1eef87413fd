"""Read and write the images of one repository, by the distribution API."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin

from shearling.bundle.digests import digest_of
from shearling.errors import IntegrityError, PackageError
from shearling.package.image.documents import DOCUMENT_BYTES, INDEXES, MANIFEST, MANIFESTS
from shearling.package.image.transport import Transport, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from urllib3 import BaseHTTPResponse

    from shearling.package.image.documents import Descriptor
    from shearling.package.image.reference import ImageReference

#: How often a transfer is tried that comes no further.
_ATTEMPTS = 5

_PART_BYTES = 1024 * 1024
_UPLOADS = "blobs/uploads/"

_OK, _CREATED, _ACCEPTED, _NO_CONTENT, _PARTIAL = 200, 201, 202, 204, 206


class Repository:
    """One repository of a registry.

    Args:
        reference: names the repository.
        transport: sends its requests.
    """

    def __init__(self, reference: ImageReference, transport: Transport | None = None) -> None:
        self.reference = reference
        self._transport = transport or Transport(reference)

    def manifest(self, selector: str) -> bytes:
        """Return a manifest or an index by tag or digest.

        Raises:
            PackageError: there is none, or the registry refuses it.
            IntegrityError: it is not what the digest names.
        """
        response = self._transport.send(
            "GET",
            f"manifests/{selector}",
            headers={"accept": ", ".join((*MANIFESTS, *INDEXES))},
            expected=(_OK,),
            stream=True,
        )
        data = response.read(DOCUMENT_BYTES + 1)
        response.release_conn()
        what = f"the manifest of {self.reference}"
        if len(data) > DOCUMENT_BYTES:
            raise PackageError(f"{what} has more than {DOCUMENT_BYTES:,} bytes")
        digest = digest_of(data)
        if selector.startswith("sha256:") and digest != selector:
            raise IntegrityError(what, expected=selector, actual=digest)
        return data

    def download(self, blob: Descriptor, path: Path) -> None:
        """Write a blob to a file; a broken transfer continues where it ended.

        Whoever reads the file verifies it.

        Raises:
            PackageError: the registry does not have it, or cannot be reached.
        """
        with path.open("wb") as stream:

            def attempt() -> None:
                if stream.tell() == blob.size:
                    return
                for part in self._rest(blob, stream.tell()):
                    stream.write(part)
                    if stream.tell() > blob.size:  # it would never end
                        return

            self._repeat(attempt, stream.tell)

    def upload(
        self,
        blob: Descriptor,
        path: Path,
        *,
        mount_from: str = "",
    ) -> bool:
        """Upload a blob unless the repository has it; return whether its bytes were sent.

        Args:
            blob: type, digest and size.
            path: file with its bytes.
            mount_from: another repository of this registry that has the blob, so that no bytes
                need to be sent.

        Raises:
            PackageError: the registry refuses it, or cannot be reached.
        """
        head = self._transport.send(
            "HEAD", f"blobs/{blob.digest}", expected=(_OK, 404), mount_from=mount_from
        )
        if head.status == _OK:
            return False
        location = self._start(blob, mount_from)
        if location is None:
            return False
        upload = _Upload(self._transport, location, path, blob.size)
        self._repeat(upload.send_rest, lambda: upload.received)
        query = urlencode({"digest": blob.digest})
        mark = "&" if "?" in upload.location else "?"
        self._transport.send(
            "PUT",
            f"{upload.location}{mark}{query}",
            headers={"content-length": "0"},
            expected=(_CREATED, _NO_CONTENT),
        )
        return True

    def put_manifest(self, data: bytes, selector: str) -> None:
        """Upload a manifest under a tag or its digest, after the blobs that it names.

        Raises:
            PackageError: the registry refuses it.
        """
        self._transport.send(
            "PUT",
            f"manifests/{selector}",
            headers={"content-type": MANIFEST},
            body=data,
            expected=(_CREATED,),
        )

    def _start(self, blob: Descriptor, mount_from: str) -> str | None:
        """Return the URL of a new upload; None if the blob was mounted instead."""
        mount = {"mount": blob.digest, "from": mount_from} if mount_from else {}
        response = self._transport.send(
            "POST",
            f"{_UPLOADS}?{urlencode(mount)}" if mount else _UPLOADS,
            headers={"content-length": "0"},
            expected=(_CREATED, _ACCEPTED),
            mount_from=mount_from,
        )
        if response.status == _CREATED:
            return None
        return _location(response, f"{self.reference.api}/")

    def _repeat(self, attempt: Callable[[], None], position: Callable[[], int]) -> None:
        """Repeat a transfer that breaks off, unless it comes no further several times.

        Args:
            attempt: sends or receives the rest.
            position: returns how far the transfer has come.
        """
        failures, furthest = 0, -1
        while True:
            try:
                return attempt()
            except UnreachableError:
                failures = 1 if position() > furthest else failures + 1
                furthest = position()
                if failures == _ATTEMPTS:
                    raise
                time.sleep(self._transport.pause_seconds * 2**failures)

    def _rest(self, blob: Descriptor, start: int) -> Iterator[bytes]:
        """Yield the bytes of a blob from an offset on."""
        from urllib3.exceptions import HTTPError

        response = self._transport.send(
            "GET",
            f"blobs/{blob.digest}",
            headers={"range": f"bytes={start}-"} if start else {},
            expected=(_PARTIAL,) if start else (_OK,),
            stream=True,
        )
        try:
            yield from response.stream(_PART_BYTES, decode_content=False)
        except HTTPError as error:
            raise UnreachableError(
                f"{self.reference}: a layer broke off: {error!s:.200}"
            ) from error
        finally:
            response.close()


class _Upload:
    """An upload that is under way: its URL, which changes with each request, and its file.

    Attributes:
        location: URL of the upload.
        received: bytes that the registry had when it was asked last.
    """

    def __init__(
        self,
        transport: Transport,
        location: str,
        path: Path,
        size: int,
    ) -> None:
        self._transport = transport
        self._path = path
        self._size = size
        self._is_resumed = False
        self.location = location
        self.received = 0

    def send_rest(self) -> None:
        """Send all that the registry does not have yet, in one request as Docker does.

        Raises:
            UnreachableError: the connection broke; the next call resumes the upload.
        """
        if self._is_resumed:
            self._ask_position()
        self._is_resumed, start = True, self.received
        headers = {
            "content-type": "application/octet-stream",
            "content-length": str(self._size - start),
        }
        if start:  # ECR and others want no range of the first request
            headers["content-range"] = f"{start}-{self._size - 1}"
        response = self._transport.send(
            "PATCH",
            self.location,
            headers=headers,
            body=lambda: self._parts(start),
            expected=(202,),
        )
        self.location = _location(response, self.location)

    def _ask_position(self) -> None:
        """Ask the registry how many bytes it has, and where to continue."""
        try:
            response = self._transport.send("GET", self.location, expected=(_NO_CONTENT,))
        except UnreachableError:
            raise
        except PackageError:
            # Some, such as Docker's own, drop an upload whose request broke off.
            response = self._transport.send(
                "POST", _UPLOADS, headers={"content-length": "0"}, expected=(_ACCEPTED,)
            )
        self.location = _location(response, self.location)
        # `0-0` means no bytes, or one: that byte is then sent again at its own place.
        last = response.headers.get("range", "").rpartition("-")[2]
        is_begun = last.isdigit() and last != "0"
        self.received = min(int(last) + 1, self._size) if is_begun else 0

    def _parts(self, start: int) -> Iterator[bytes]:
        with self._path.open("rb") as stream:
            stream.seek(start, os.SEEK_SET)
            while part := stream.read(_PART_BYTES):
                yield part


def _location(response: BaseHTTPResponse, base: str) -> str:
    """Return the URL in the header Location, which may be relative."""
    location = response.headers.get("location")
    if not location:
        raise PackageError(f"{base:.200}: the registry named no URL to upload to")
    return urljoin(base, location)
