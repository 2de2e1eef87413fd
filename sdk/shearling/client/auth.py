"""Authorize HTTP requests: AWS signature, bearer token, API key, or nothing."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from shearling.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boto3 import Session

_DEFAULT_REGION = "us-east-1"


#: "auto" signs requests to an AWS host name when neither a token nor an API key is given.
Auth = Literal["iam", "auto"] | None


class Authorization:
    """Adds the headers that authorize one caller's requests.

    Args:
        signs: whether to sign requests with the default AWS credentials.
        region: AWS region to sign for. None: the region in the host name, else the configured one.
        token: bearer token, sent instead of a signature.
        api_key: API key for a usage plan of a REST API, sent as `x-api-key` in addition to a
            signature or token.
    """

    def __init__(
        self,
        *,
        signs: bool = False,
        region: str | None = None,
        token: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self._signs = signs
        self._region = region
        self._token = token
        self._api_key = api_key

    @classmethod
    def choose(
        cls,
        host: str,
        auth: Auth = "auto",
        *,
        region: str | None = None,
        token: str | None = None,
        api_key: str | None = None,
    ) -> Authorization:
        """Return the authorization for a host.

        Args:
            host: host name of the API.
            auth: "iam" signs, None does not; "auto" signs for an AWS host name when neither a
                token nor an API key is given.
            region: see the class.
            token: see the class.
            api_key: see the class.
        """
        signs = auth == "iam" or (auth == "auto" and api_key is None and is_aws(host))
        return cls(
            signs=signs and token is None,
            region=region or region_of(host),
            token=token,
            api_key=api_key,
        )

    @property
    def signed_region(self) -> str | None:
        """AWS region that requests are signed for; None if they are not signed."""
        return self._region if self._signs else None

    def headers(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> dict[str, str]:
        """Return the given headers of a request plus those that authorize it.

        Raises:
            InvalidRequestError: the request has to be signed and no AWS credentials are found.
        """
        sent = dict(headers)
        if self._api_key is not None:
            sent["X-Api-Key"] = self._api_key
        if self._token is not None:
            return sent | {"Authorization": f"Bearer {self._token}"}
        if not self._signs:
            return sent
        return signed(method, url, sent, body, region=self._region, session=self._session)

    @cached_property
    def _session(self) -> Session:
        import boto3

        return boto3.Session()


def is_aws(host: str) -> bool:
    """Return whether AWS assigned the host name (to an API or a function URL); no custom domain."""
    return host.endswith((".amazonaws.com", ".on.aws")) and region_of(host) is not None


def region_of(host: str) -> str | None:
    """Return the region in an AWS host name, as in abc.execute-api.eu-west-1.amazonaws.com."""
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
    """Return the headers of a request plus its AWS Signature Version 4, for `AWS_IAM`.

    Args:
        method: HTTP method.
        url: URL with scheme, host and path.
        headers: headers by name; all of them are signed.
        body: bytes of the body, empty for none.
        region: AWS region to sign for. None: the region in the host name, else the configured one.
        session: boto3 session that provides the credentials. Pass the same session each time to
            look them up once.

    Raises:
        InvalidRequestError: no AWS credentials are found.
    """
    import boto3
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    host = urlsplit(url).hostname or ""
    session = session or boto3.Session()
    credentials = session.get_credentials()
    if credentials is None:
        raise InvalidRequestError(
            f"{host}: found no AWS credentials to sign the request with. Run `aws configure`, "
            "or pass a token"
        )
    request = AWSRequest(method, url, data=body, headers=dict(headers))
    service = "lambda" if host.endswith(".on.aws") else "execute-api"
    region = region or region_of(host) or session.region_name or _DEFAULT_REGION
    SigV4Auth(credentials.get_frozen_credentials(), service, region).add_auth(request)
    return dict(request.headers.items())
