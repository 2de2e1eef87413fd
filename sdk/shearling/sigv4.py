"""AWS Signature Version 4, without botocore, which takes too long to import in a function."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_ALGORITHM = "AWS4-HMAC-SHA256"

#: Characters that a query must encode, and a path must not.
_QUERY_SAFE, _PATH_SAFE = "-_.~", "/-_.~"


@dataclass(frozen=True, slots=True)
class Keys:
    """Access keys of AWS; the token is empty for keys that do not expire."""

    access_key_id: str
    secret_access_key: str
    token: str = ""


def encoded_path(path: str) -> str:
    """Return a path as it is sent and signed."""
    return quote(path, safe=_PATH_SAFE)


def encoded_query(query: Mapping[str, str]) -> str:
    """Return a query as it is sent and signed: in order, and fully encoded."""
    return "&".join(
        f"{quote(name, safe=_QUERY_SAFE)}={quote(value, safe=_QUERY_SAFE)}"
        for name, value in sorted(query.items())
    )


def signed_headers(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    keys: Keys,
    region: str,
    service: str,
    now: datetime,
) -> dict[str, str]:
    """Return the headers of a request, with those that sign it.

    Args:
        method: HTTP method.
        path: encoded path.
        query: encoded query.
        headers: headers to sign, in lower case; `host` must be among them.
        body: body of the request.
        keys: keys to sign with.
        region: AWS region of the service.
        service: name of the service in signatures, such as `s3` or `sagemaker`.
        now: time of the request, in UTC.
    """
    time = now.strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    signed = {**headers, "x-amz-date": time, "x-amz-content-sha256": digest}
    if keys.token:
        signed["x-amz-security-token"] = keys.token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in sorted(signed))
    # All services but S3 encode the path, which is encoded already, once more.
    signed_path = path if service == "s3" else encoded_path(path)
    canonical = f"{method}\n{signed_path}\n{query}\n{lines}\n{names}\n{digest}"
    scope = f"{time[:8]}/{region}/{service}/aws4_request"
    text = "\n".join([_ALGORITHM, time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{keys.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    credential = f"{keys.access_key_id}/{scope}"
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return signed
