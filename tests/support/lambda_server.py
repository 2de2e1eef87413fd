"""A Lambda client whose `invoke` calls functions of this process."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from shearling_runtime.events.dispatch import respond
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.settings import Settings
from tests.support.fake_lambda import refusal

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_lambda import LambdaClient

Handler = Callable[[Any], Any]


@dataclass
class FunctionError:
    """The answer of a function that raised an error."""

    message: str


@dataclass
class LocalLambda:
    """Calls functions by name or `<function>:<alias>`; refuses unknown ones as AWS does.

    Attributes:
        functions: functions by name, or by `<function>:<alias or number>`.
        aliases: what GetAlias returns; access to any other alias is denied.
    """

    functions: dict[str, Handler]
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    regions: list[str | None] = field(default_factory=list)

    def in_region(self, region: str | None) -> LambdaClient:
        self.regions.append(region)
        return self.client

    @property
    def client(self) -> LambdaClient:
        return cast("LambdaClient", self)

    def get_alias(self, *, FunctionName: str, Name: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        name = f"{FunctionName}:{Name}"
        if name not in self.aliases:
            raise refusal(
                "AccessDeniedException", f"not authorized: lambda:GetAlias on {name}", 403
            )
        return self.aliases[name]

    def invoke(self, *, FunctionName: str, Payload: bytes, Qualifier: str = "") -> dict[str, Any]:  # noqa: N803 - boto3's names
        name = f"{FunctionName}:{Qualifier}" if Qualifier else FunctionName
        if name not in self.functions:
            raise refusal("ResourceNotFoundException", f"Function not found: {name}", 404)
        event = json.loads(Payload)
        self.calls.append((name, event))
        answer = self.functions[name](event)
        if isinstance(answer, FunctionError):
            document = {"errorMessage": answer.message, "errorType": "SomeError"}
            payload = io.BytesIO(json.dumps(document).encode())
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": payload}
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return {"StatusCode": 200, "Payload": io.BytesIO(data)}


@dataclass
class _Context:
    aws_request_id: str = "1-2-3"
    function_name: str = "acme-fraud"
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:000000000000:function:acme-fraud:prod"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def served(registry: str, pin: str, scratch: Path) -> Handler:
    """Return the runtime as a function that serves a pin; an empty pin is no released model."""
    environment = {
        "SHEARLING_REGISTRY": registry,
        "SHEARLING_MODEL": pin,
        "SHEARLING_SCRATCH": str(scratch),
        "AWS_LAMBDA_FUNCTION_NAME": "acme-fraud",
    }
    server = ModelServer(Settings.from_environment(environment))
    one_at_a_time = threading.Lock()  # a sandbox of Lambda gets one event at a time

    def function(event: Any) -> Any:
        with one_at_a_time, contextlib.redirect_stdout(io.StringIO()):  # its log
            return respond(event, _Context(), server)

    return function
