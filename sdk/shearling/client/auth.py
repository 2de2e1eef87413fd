"""Who sends an HTTP request: signed with AWS credentials, with a token, a key, or nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shearling.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boto3 import Session

_DEFAULT_REGION = "us-east-1"


def is_aws(host: str) -> bool:
    """Say whether a host is an API's or a function URL's own name: no domain, nor another's."""
    return host.endswith((".amazonaws.com", ".on.aws")) and region_of(host) is not None


def region_of(host: str) -> str | None:
    """Return the region in a host's name, as in abc.execute-api.eu-west-1.amazonaws.com."""
    parts = host.split(".")
    for service in ("execute-api", "lambda-url"):
        if service in parts[:-1]:
            return parts[parts.index(service) + 1]
    return None


def signed(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    region: str | None = None,
    session: Session | None = None,
) -> dict[str, str]:
    """Return the headers of a request with the signature that `AWS_IAM` demands.

    Args:
        method: of the request.
        url: of the request.
        headers: of the request; all of them are signed.
        body: of the request.
        region: by default the one in the host's name, or else of the caller's configuration.
        session: where credentials are found; one that is kept asks for them once.

    Raises:
        InvalidRequestError: there are no credentials.
    """
    import boto3
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    host = urlsplit(url).hostname or ""
    session = session or boto3.Session()
    credentials = session.get_credentials()
    if credentials is None:
        raise InvalidRequestError(
            f"{host}: no AWS credentials to sign with: see `aws configure`, or use a token"
        )
    request = AWSRequest(method, url, data=body, headers=dict(headers))
    service = "lambda" if host.endswith(".on.aws") else "execute-api"
    region = region or region_of(host) or session.region_name or _DEFAULT_REGION
    SigV4Auth(credentials.get_frozen_credentials(), service, region).add_auth(request)
    return dict(request.headers.items())


def with_token(headers: Mapping[str, str], token: str) -> dict[str, str]:
    """Return the headers of a request with a bearer token."""
    return {**headers, "Authorization": f"Bearer {token}"}


def with_api_key(headers: Mapping[str, str], api_key: str) -> dict[str, str]:
    """Return the headers of a request with the key that a usage plan of a REST API demands."""
    return {**headers, "X-Api-Key": api_key}
