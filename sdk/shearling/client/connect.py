"""Connect to a deployed model by function alias, through the Lambda API, or by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from shearling.client.lambda_model import _TARGETS, LambdaModel
from shearling.errors import InvalidRefError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_lambda import LambdaClient

    from shearling.client.auth import Auth
    from shearling.client.http_model import HttpModel


@overload
def connect(target: str, *, client: LambdaClient | None = None) -> LambdaModel: ...


@overload
def connect(
    target: str,
    *,
    model: str,
    alias: str | int | None = None,
    auth: Auth = "auto",
    region: str | None = None,
    token: str | None = None,
    api_key: str | None = None,
    timeout_seconds: float = 60.0,
    pause: Callable[[float], None] = ...,
) -> HttpModel: ...


def connect(
    target: str,
    *,
    client: LambdaClient | None = None,
    model: str | None = None,
    **options: Any,
) -> LambdaModel | HttpModel:
    """Return a deployed model, to call with `infer`, or with `infer_many` for many rows.

    Args:
        target: `<function>:<alias>`, as in `acme-fraud:prod`, the alias's ARN, or the URL of an
            API, as in Terraform's output `api_url`.
        client: boto3 client for Lambda; by default a new one for the ARN's or the configured
            region. Not for a URL.
        model: name of the model; required for a URL, not allowed otherwise.
        **options: only for a URL. `alias`: alias or version, by default the API's default alias.
            `auth`: "iam" signs requests with the default AWS credentials, None does not; "auto",
            the default, signs for an AWS host name when neither a token nor an API key is given.
            `region`: AWS region to sign for, if the host name has none. `token`: bearer token.
            `api_key`: sent as `x-api-key`. `timeout_seconds`: seconds to wait at most for a
            request, retries included.

    Raises:
        InvalidRefError: the target is neither a function with an alias nor the URL of an API, or
            an option does not belong to this kind of target.
    """
    if not isinstance(target, str):
        raise InvalidRefError(f"target {target!r}: {_TARGETS}")
    if not target.startswith(("http://", "https://")):
        if model is not None or options:
            raise InvalidRefError(
                f"target {target!r} is not a URL; model= and alias= are allowed only for a URL"
            )
        return LambdaModel(target, client=client)
    if not isinstance(model, str) or not model:
        raise InvalidRefError(f"target {target!r} is a URL; pass the model's name as model=")
    from shearling.client.http_model import HttpModel

    return HttpModel(target, model=model, **options)
