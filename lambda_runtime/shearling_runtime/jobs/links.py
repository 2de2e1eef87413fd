"""URLs of a job's body and result: signed ones of a bucket, or those of the local server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling_runtime.jobs.job_store import UPLOAD_SECONDS

if TYPE_CHECKING:
    from shearling.storage.store import Store

#: Seconds that a result's URL is valid; each request for the job signs a new one.
_DOWNLOAD_SECONDS = 3600


class SignedLinks:
    """URLs that the function's own credentials sign."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def upload(self, key: str, job_id: str) -> str:  # noqa: ARG002 - the key has it
        """Return the URL that the body of a job is sent to, by PUT."""
        from shearling.storage.signed_urls import signed_url

        return signed_url(self._store, "PUT", key, UPLOAD_SECONDS)

    def download(self, key: str, job_id: str) -> str:  # noqa: ARG002 - the key has it
        """Return the URL of a result."""
        from shearling.storage.signed_urls import signed_url

        return signed_url(self._store, "GET", key, _DOWNLOAD_SECONDS)


class LocalLinks:
    """URLs of `shearling serve`, which keeps the jobs of one model in a directory.

    Args:
        base: URL of the server with the model's path.
    """

    def __init__(self, base: str) -> None:
        self._base = base

    def upload(self, key: str, job_id: str) -> str:  # noqa: ARG002 - the ID names it
        """Return the URL that the body of a job is sent to, by PUT."""
        return f"{self._base}/jobs/{job_id}/request"

    def download(self, key: str, job_id: str) -> str:  # noqa: ARG002 - the ID names it
        """Return the URL of a result."""
        return f"{self._base}/jobs/{job_id}/result"
