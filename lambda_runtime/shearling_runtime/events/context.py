"""Lambda's context of an invocation."""

from __future__ import annotations

from typing import Protocol


class Context(Protocol):
    """The parts of Lambda's context object that the runtime uses."""

    aws_request_id: str
    function_name: str
    invoked_function_arn: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function's timeout."""
        ...
