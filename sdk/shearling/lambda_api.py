"""A Lambda client with a read timeout above any function's, and the text of a function's error."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

#: Lambda's maximum timeout, plus time for a cold start and the network.
_READ_SECONDS = 900 + 60


def lambda_client(
    region: str | None = None, *, attempts: int = 1, connections: int = 10
) -> LambdaClient:
    """Return a Lambda client whose read timeout exceeds the maximum timeout of a function.

    Args:
        region: AWS region; None takes it from the environment or the profile.
        attempts: number of times to send a request at most, including the first. A repeated
            invocation runs the function twice.
        connections: number of concurrent requests at most.
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
    """Return the error message in the payload that Lambda returns for a failed function.

    Args:
        answer: the decoded payload of the invocation.
    """
    return str(answer.get("errorMessage") if isinstance(answer, dict) else answer)
