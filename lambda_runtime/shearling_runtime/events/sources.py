"""The event sources that speak HTTP, and which of them an event came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from shearling_runtime.events import alb, api_gateway_v1, api_gateway_v2

if TYPE_CHECKING:
    from shearling_runtime.http.messages import Request, Response


class HttpSource(Protocol):
    """The functions that the module of an event source has."""

    def matches(self, event: Any) -> bool:
        """Say whether an event came from this source."""
        ...

    def read(self, event: Any) -> Request:
        """Return the request of an event."""
        ...

    def write(self, event: Any, response: Response) -> Any:
        """Return a response in the form that the source expects.

        Raises:
            PayloadTooLargeError: it is larger than the source carries.
        """
        ...


_SOURCES: tuple[HttpSource, ...] = (api_gateway_v2, alb, api_gateway_v1)


def http_source_of(event: Any) -> HttpSource | None:
    """Return the source of an event; None for a direct invocation."""
    for source in _SOURCES:
        if source.matches(event):
            return source
    return None
