"""Open the jobs of a function's alias, as its settings say."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from shearling.errors import InvalidRequestError, UnknownModelError
from shearling.storage.store import Store, open_store
from shearling_runtime.jobs.job_store import JobStore
from shearling_runtime.jobs.links import LocalLinks, SignedLinks

if TYPE_CHECKING:
    from shearling_runtime.settings import Settings

#: Folder of the jobs of a local server that serves no alias.
_NO_ALIAS = "none"

#: How many bytes of memory a body of one byte takes until it is answered, at most.
_MEMORY_FACTOR = 8

_open_once = lru_cache(maxsize=4)(open_store)


def open_jobs(settings: Settings, alias: str | None, base: str = "") -> JobStore:
    """Return the jobs of an alias.

    Args:
        settings: configuration of the function.
        alias: alias by which the function was invoked; None: no alias.
        base: URL of the model, for the links of a local server.

    Raises:
        UnknownModelError: the model has no jobs.
        InvalidRequestError: the function was invoked without an alias.
    """
    if not settings.jobs:
        raise UnknownModelError(
            f"{settings.function} has no asynchronous jobs. Set `jobs = {{}}` for the model in "
            "Terraform: only Lambda and `shearling serve` run jobs"
        )
    is_bucket = settings.jobs.startswith("s3://")
    if is_bucket and alias is None:
        raise InvalidRequestError(
            f"{settings.function} was invoked without an alias, but jobs belong to one. Invoke an "
            f"alias, such as {settings.function}:prod"
        )
    store: Store = _open_once(settings.jobs)
    links = SignedLinks(store) if is_bucket else LocalLinks(base)
    return JobStore(store, alias or _NO_ALIAS, links, keep_days=settings.jobs_keep_days)


def body_limit(settings: Settings) -> int:
    """Return how many bytes a body that is read as a whole may have, by the function's memory."""
    return settings.memory_mb * 2**20 // _MEMORY_FACTOR
