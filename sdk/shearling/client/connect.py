"""Connect to a deployed model: a function's alias through the Lambda API, or a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from shearling.client.lambda_model import _TARGETS, LambdaModel
from shearling.errors import (
    InvalidRefError,
)

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
    """Return a deployed model, to call by `infer`, or by `infer_many` with many rows.

    Args:
        target: `<function>:<alias>`, as in `acme-fraud:prod`, or the alias's ARN; or the URL of an
            API, as Terraform's output `api_url` has it.
        client: a Lambda client, instead of boto3's own for the ARN's or the default region.
        model: of a URL, the model's name.
        **options: of a URL. `alias`, or a version: None asks the default. `auth`: "iam" signs with
            the usual credentials, None does not; by default what the host is AWS's for is signed,
            if there is neither token nor key. `region`: signed for, where the host does not name
            it. `token`: sent as a bearer token. `api_key`: sent as `x-api-key`.
            `timeout_seconds`: for a request with all its tries.

    Raises:
        InvalidRefError: the target has no alias, or is no URL of an API with a model.
    """
    if not isinstance(target, str):
        raise InvalidRefError(f"target {target!r}: {_TARGETS}")
    if not target.startswith(("http://", "https://")):
        if model is not None or options:
            raise InvalidRefError(f"target {target!r}: model and alias are for a URL")
        return LambdaModel(target, client=client)
    if not isinstance(model, str) or not model:
        raise InvalidRefError(f"target {target!r}: a URL needs model=, the model's name")
    from shearling.client.http_model import HttpModel

    return HttpModel(target, model=model, **options)
