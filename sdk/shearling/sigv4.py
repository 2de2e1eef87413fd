"""AWS Signature Version 4, without botocore, which takes too long to import in a function."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """Access keys of a user, or of a role's session, which has a token too."""

    access_key: str
    secret_key: str
    token: str | None = None


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    service: str,
    region: str,
    credentials: Credentials,
    now: datetime | None = None,
) -> dict[str, str]:
    """Return the headers of a request with those that sign it.

    Args:
        method: HTTP method.
        url: URL without a query.
        headers: headers by name; all of them are signed.
        body: bytes of the body.
        service: the service's name in signatures, such as `sagemaker`.
        region: AWS region of the service.
        credentials: access keys to sign with.
        now: time of the signature; by default the current one.
    """
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    place = urlsplit(url)
    sent = {**headers, "X-Amz-Date": moment}
    if credentials.token:
        sent["X-Amz-Security-Token"] = credentials.token
    canonical = {name.lower(): " ".join(value.split()) for name, value in sent.items()}
    canonical["host"] = place.netloc
    names = ";".join(sorted(canonical))
    request = "\n".join(
        [
            method,
            quote(place.path or "/", safe="/~"),
            "",  # the query
            *(f"{name}:{canonical[name]}" for name in sorted(canonical)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}").hex()
    sent["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, "
        f"Signature={signature}"
    )
    return sent


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
