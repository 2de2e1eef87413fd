"""Sign URLs by which others read or write one object without credentials of their own."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import obstore
from obstore.store import S3Store

from shearling.errors import StoreError

if TYPE_CHECKING:
    from shearling.storage.store import Store


def signed_url(store: Store, method: Literal["GET", "PUT"], key: str, seconds: int) -> str:
    """Return a URL for one object.

    It ends with the session of the credentials that sign it, which may be sooner.

    Args:
        store: store of the object, a bucket.
        method: what the URL is for.
        key: key of the object.
        seconds: seconds for which the URL is valid.

    Raises:
        StoreError: the store is no bucket.
    """
    backend = store.backend
    if not isinstance(backend, S3Store):
        raise StoreError(f"{store.uri} is no bucket, so it has no URLs to sign")
    return obstore.sign(backend, method, key, timedelta(seconds=seconds))
