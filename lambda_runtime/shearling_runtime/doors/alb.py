"""An Application Load Balancer, whose target is the function's alias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling_runtime.doors import payload_1
from shearling_runtime.http import json_bytes
from shearling_runtime.limits import check_answer

if TYPE_CHECKING:
    from shearling_runtime.routes import Caller, Reply
    from shearling_runtime.server import Server

#: Of an answer, as JSON: above it a load balancer says 502.
_ANSWER_LIMIT = 1024 * 1024


def takes(event: Any) -> bool:
    """Say whether an event is of a load balancer."""
    return payload_1.takes(event) and "elb" in event["requestContext"]


def ask(event: Any, caller: Caller, server: Server) -> Reply:
    """Have the server answer an event."""
    return payload_1.ask(event, caller, server)


def write(event: Any, reply: Reply) -> dict[str, Any]:
    """Return status, headers and body; headers as lists if the target group says so."""
    answer = payload_1.write(event, reply)
    if len(answer["body"]) > _ANSWER_LIMIT // 4:
        check_answer(len(json_bytes(answer)), _ANSWER_LIMIT, "a load balancer")
    if "multiValueHeaders" in event:
        headers = answer.pop("headers")
        answer["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    return answer
