"""How an HTTP request is authorized: an AWS signature, a bearer token, an API key, or nothing."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from shearling.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boto3 import Session

_DEFAULT_REGION = "us-east-1"


#: "auto": signed where the host is AWS's own, and there is neither token nor key.
Auth = Literal["iam", "auto"] | None


class Authorization:
    """How the requests of one caller are authorized.

    Args:
        signs: whether requests are signed with the usual AWS credentials.
        region: signed for; None takes the one in the host's name, or else the configuration's.
        token: sent as a bearer token, in place of a signature.
        api_key: sent as `x-api-key`, for a usage plan of a REST API; beside the others, too.
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
            host: name of the host.
            auth: "iam" signs, None does not; "auto" signs where the host is AWS's own and there is
                neither token nor key.
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
        """The region that requests are signed for; None if they are not signed."""
        return self._region if self._signs else None

    def headers(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> dict[str, str]:
        """Return the headers of a request with those that authorize it.

        Raises:
            InvalidRequestError: the request is to be signed, and there are no credentials.
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
