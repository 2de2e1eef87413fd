"""The client of the endpoint that serves a function's model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shearling.endpoints.invoke import Endpoint
    from shearling_runtime.settings import Settings


def endpoint_of(settings: Settings) -> Endpoint:
    """Return the client of the endpoint that the settings name."""
    if settings.endpoint_is_staged and settings.endpoint_calls:
        from shearling.endpoints.asynchronous import AsynchronousEndpoint
        from shearling.storage.store import open_store

        return AsynchronousEndpoint(settings.endpoint, open_store(settings.endpoint_calls))
    from shearling.endpoints.invoke import Endpoint

    return Endpoint(settings.endpoint, is_ours=settings.endpoint_is_staged)
