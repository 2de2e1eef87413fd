"""Lambda's API: a client that waits as long as a function may run, and how failures read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

#: A function's longest run, its start, and the way there and back.
_READ_SECONDS = 900 + 60


def lambda_client(
    region: str | None = None, *, attempts: int = 1, connections: int = 10
) -> LambdaClient:
    """Return a client that waits longer for an invocation than any function may run.

    Args:
        region: None takes the one of the environment or the profile.
        attempts: how often a request is sent, the first included. An invocation that is sent twice
            runs twice.
        connections: how many requests may be under way at once.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=5,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
        tcp_keepalive=True,
    )
    return boto3.client("lambda", region_name=region, config=config)


def failure_message(answer: object) -> str:
    """Return what an answer says that Lambda gives when the function itself failed."""
    return str(answer.get("errorMessage") if isinstance(answer, dict) else answer)
