"""Direct invocation: the event is the request, and the answer is its document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson

from shearling_runtime.http import json_bytes
from shearling_runtime.limits import ANSWER_LIMIT, check_answer
from shearling_runtime.routes import Reply
from shearling_runtime.server import Query

if TYPE_CHECKING:
    from shearling_runtime.routes import Caller
    from shearling_runtime.server import Server

#: Asked of a function by name, by this door only.
_CHECK = {"shearling": "check"}
_METADATA = {"shearling": "metadata"}


def takes(event: Any) -> bool:  # noqa: ARG001 - every event
    """Say yes: this is the last door."""
    return True


def ask(event: Any, caller: Caller, server: Server) -> Reply:
    """Have the server answer an event."""
    if event == _CHECK:
        return Reply(200, server.check())
    if event == _METADATA:
        return Reply(200, server.metadata())
    answer = server.infer(Query(event), seconds_left=caller.seconds_left)
    if answer.tail:
        from shearling.errors import InvalidRequestError

        raise InvalidRequestError(
            "parameters: a direct invocation is answered in JSON; for binary tensors send the "
            "event of an HTTP API"
        )
    return Reply(200, answer.document)


def write(event: Any, reply: Reply) -> Any:  # noqa: ARG001 - the form is always the same
    """Return the document; a caller of this door sees no status, so it stands there."""
    data = json_bytes(reply.document)
    # Lambda's own encoder knows no arrays, and writes NaN, which is no JSON.
    document = orjson.loads(data)
    if len(data) > ANSWER_LIMIT // 4:  # it also puts a space after each comma
        check_answer(len(json.dumps(document, ensure_ascii=False).encode()))
    return document if reply.status < 400 else document | {"status": reply.status}  # noqa: PLR2004
