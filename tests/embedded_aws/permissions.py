"""What policies see of a request on AWS and not in the emulator: exact ARNs, condition keys, HTTPS.

It replaces functions of ministack, as the launcher does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ministack.core import iam_actions, iam_evaluator
from ministack.services import s3

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Response = tuple[int, Any, Any]

#: Headers of a write that S3 offers as condition keys of the same name, below `s3:`.
_CONDITION_HEADERS = (
    "if-none-match",
    "x-amz-storage-class",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-aws-kms-key-id",
)

_CREATION = "s3:ObjectCreationOperation"


def resource_arn(
    service: str, method: str, path: str, *rest: Any, stock: Callable[..., Any]
) -> Any:
    """AWS compares the key of an object as it is, and the version or alias of a function too."""
    bucket, _, key = path.removeprefix("/").partition("/")
    if service == "s3" and bucket and key.strip("/"):
        # The emulator leaves out the empty parts of `a//b` and `a/`.
        return f"arn:aws:s3:::{bucket}/{key}"
    arn = stock(service, method, path, *rest)
    _headers, _body, query, *_ = rest
    if service == "lambda" and (qualifier := query.get("Qualifier")):
        return f"{arn}:{qualifier[0] if isinstance(qualifier, list) else qualifier}"
    return arn


def condition_keys(
    action: str,
    query: Mapping[str, Any] | None,
    path: str = "",
    headers: Mapping[str, str] | None = None,
    *,
    stock: Callable[..., Any],
) -> dict[str, Any]:
    """Add the condition keys of a put, a copy, and the requests of a multipart upload."""
    keys: dict[str, Any] = stock(action, query, path, headers)
    if action == "s3:PutObject":
        # The requests that begin a multipart upload and send its parts create no object.
        is_creation = not {"uploads", "partNumber"} & set(query or {})
        keys[_CREATION] = str(is_creation).lower()
        found = {name: (headers or {}).get(name) for name in _CONDITION_HEADERS}
        keys |= {f"s3:{name}": value for name, value in found.items() if value}
    return keys


def enforce(
    access_key: str,
    action: str,
    *rest: Any,
    service_context: Mapping[str, Any] | None = None,
    stock: Callable[..., Any],
    **options: Any,
) -> Any:
    """The form of a browser creates an object too, and cannot demand a new key."""
    keys = dict(service_context or {})
    if action == "s3:PutObject":
        keys.setdefault(_CREATION, "true")
    return stock(access_key, action, *rest, service_context=keys, **options)


def copy_object(
    bucket: str, key: str, headers: Mapping[str, str], *, stock: Callable[..., Any]
) -> Response:
    """S3 evaluates the preconditions of a copy for its destination."""
    objects = (s3._buckets.get(bucket) or {}).get("objects", {})
    refusal: Response | None = s3._check_put_preconditions(headers, objects.get(key))
    return refusal or stock(bucket, key, headers)


def preconditions(
    headers: Mapping[str, str], existing: Any, *, stock: Callable[..., Any]
) -> Response | None:
    """S3 knows `If-None-Match: *` only, and refuses a write with an ETag in that header."""
    if headers.get("if-none-match", "*").strip() != "*":
        message = "A header you provided implies functionality that is not implemented"
        refusal: Response = s3._error("NotImplemented", message, 501)
        return refusal
    result: Response | None = stock(headers, existing)
    return result


def over_https(app: Callable[..., Any]) -> Callable[..., Any]:
    """Let loopback stand for HTTPS, unless a request says that it came by plain HTTP."""
    header = b"x-forwarded-proto"

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and header not in dict(scope["headers"]):
            scope = {**scope, "headers": [*scope["headers"], (header, b"https")]}
        await app(scope, receive, send)

    return application


REPLACEMENTS: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (iam_actions, "extract_resource_arn", resource_arn),
    (iam_actions, "s3_service_context", condition_keys),
    (iam_evaluator, "enforce", enforce),
    (s3, "_copy_object", copy_object),
    (s3, "_check_put_preconditions", preconditions),
)
