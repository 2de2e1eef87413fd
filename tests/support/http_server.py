"""An HTTP API on loopback that turns requests into events for a function in this process."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from shearling.loopback import serving
from shearling_runtime.http.decompression import REQUEST_LIMIT
from shearling_runtime.local import answering, body_of, event_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling_runtime.local import Headers
    from tests.support.lambda_server import Handler


@contextmanager
def http_api(function: Handler, *, payload: str = "2.0", stage: str = "$default") -> Iterator[str]:
    """Serve a function behind an HTTP API, and yield the API's URL.

    Args:
        function: takes an event and returns the response.
        payload: `2.0` (an HTTP API, a function URL), `1.0` (a REST API) or `alb` (a load balancer).
        stage: name of the stage; a name other than `$default` is part of the URL.
    """
    to_event = PAYLOADS[payload]
    answer = answering(function, partial(to_event, stage=stage))
    with serving(answer, body_limit=REQUEST_LIMIT, names=NAMES) as port:
        yield f"http://127.0.0.1:{port}{'' if stage == '$default' else f'/{stage}'}"


_TARGET_GROUP = (
    "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/fraud/6d0ecf831eec9f09"
)


def event_1_0(
    method: str, target: str, headers: Headers, body: bytes, stage: str = "$default"
) -> dict[str, Any]:
    """Return the event of a REST API; its path has no stage."""
    url = urlsplit(target)
    several: dict[str, list[str]] = {}
    for name, value in headers:
        several.setdefault(name, []).append(value)
    path = url.path if stage == "$default" else url.path.removeprefix(f"/{stage}")
    query = parse_qs(url.query)
    event = {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {name: values[-1] for name, values in several.items()},
        "multiValueHeaders": several,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": {"proxy": path.removeprefix("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc123def4",
            "httpMethod": method,
            "path": url.path,
            "protocol": "HTTP/1.1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "resourcePath": "/{proxy+}",
            "stage": stage,
        },
    }
    kind = next((value for name, value in headers if name.lower() == "content-type"), "")
    absent = {"body": None, "isBase64Encoded": False}
    return event | body_of(body, kind, absent=absent)


def event_alb(
    method: str,
    target: str,
    headers: Headers,
    body: bytes,
    stage: str = "$default",  # noqa: ARG001 - a load balancer has none
) -> dict[str, Any]:
    """Return the event of a load balancer whose target group has no multi-value headers."""
    url = urlsplit(target)
    lower = {name.lower(): value for name, value in headers}
    event = {
        "requestContext": {"elb": {"targetGroupArn": _TARGET_GROUP}},
        "httpMethod": method,
        "path": url.path,
        "queryStringParameters": {n: values[-1] for n, values in parse_qs(url.query).items()},
        "headers": lower,
    }
    absent = {"body": "", "isBase64Encoded": False}
    return event | body_of(body, lower.get("content-type", ""), absent=absent)


#: Host names that the API accepts besides loopback, for tests that use it as a proxy.
NAMES = ("models.invalid",)

#: Function that makes the event, by payload version.
PAYLOADS = {"1.0": event_1_0, "2.0": event_of, "alb": event_alb}
