"""Events of an Application Load Balancer whose target is an alias of the function."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from shearling_runtime.events import api_gateway_v1
from shearling_runtime.http.messages import json_bytes
from shearling_runtime.serving.answer_size import check_answer

if TYPE_CHECKING:
    from shearling_runtime.http.messages import Request, Response

#: Maximum bytes of a response as JSON; a load balancer returns 502 for more.
_ANSWER_LIMIT = 1024 * 1024


def matches(event: Any) -> bool:
    """Return whether an event is from a load balancer."""
    return api_gateway_v1.matches(event) and "elb" in event["requestContext"]


def read(event: Any) -> Request:
    """Return the request of an event."""
    return api_gateway_v1.read(event)


def seconds_limit(event: Any) -> float:  # noqa: ARG001 - the form is the same for all events
    """Return that only the function's timeout counts: the event does not say the idle timeout."""
    return math.inf


def write(event: Any, response: Response) -> dict[str, Any]:
    """Return status, headers and body; headers as lists if the target group enables that."""
    answer = api_gateway_v1.write(event, response)
    if len(answer["body"]) > _ANSWER_LIMIT // 4:
        check_answer(len(json_bytes(answer)), _ANSWER_LIMIT, "a load balancer")
    if "multiValueHeaders" in event:
        headers = answer.pop("headers")
        answer["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    return answer
