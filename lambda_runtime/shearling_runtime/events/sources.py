"""Event sources, and how to recognise them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from shearling_runtime.events import alb, api_gateway_v1, api_gateway_v2

if TYPE_CHECKING:
    from shearling_runtime.http.messages import Request, Response


class HttpSource(Protocol):
    """Functions that the module of an event source provides."""

    def matches(self, event: Any) -> bool:
        """Return whether an event is from this source."""
        ...

    def read(self, event: Any) -> Request:
        """Return the request of an event."""
        ...

    def seconds_limit(self, event: Any) -> float:
        """Return how many seconds the source waits for a response; infinity if it has no limit."""
        ...

    def write(self, event: Any, response: Response) -> Any:
        """Return a response in the form that the source expects.

        Raises:
            PayloadTooLargeError: the response is above the limit of the source.
        """
        ...


_SOURCES: tuple[HttpSource, ...] = (api_gateway_v2, alb, api_gateway_v1)


def http_source_of(event: Any) -> HttpSource | None:
    """Return the source of an event; None for a direct invocation."""
    for source in _SOURCES:
        if source.matches(event):
            return source
    return None


def is_about_objects(event: Any) -> bool:
    """Return whether an event is about objects in S3: messages of a queue, or a score request."""
    if not isinstance(event, dict):
        return False
    records = event.get("Records")
    if isinstance(records, list) and records and isinstance(records[0], dict):
        return records[0].get("eventSource") == "aws:sqs"
    return event.get("shearling") == "score"
