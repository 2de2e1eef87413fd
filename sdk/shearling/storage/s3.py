"""Find region, endpoint and credentials for S3: in the environment, from Lambda, or with boto3."""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import TYPE_CHECKING

from shearling.errors import StoreError
from shearling.storage.bucket_region import region_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from obstore.store import S3Config, S3Credential

#: Region where neither the environment nor the profile has one.
DEFAULT_REGION = "us-east-1"


def s3_configuration(bucket: str) -> tuple[S3Config, Callable[[], S3Credential] | None]:
    """Return the configuration and credential provider for obstore, with boto3's search order.

    The region is the bucket's own, whatever the default region of this machine is.

    Access keys in the environment, which every Lambda function has, are used without importing
    boto3: the import and the first client take ten times as long as the rest of a cold start.

    Raises:
        StoreError: there are no credentials, or boto3 cannot load them.
    """
    environment = os.environ
    if "AWS_CONTAINER_AUTHORIZATION_TOKEN" in environment:  # SnapStart
        return _configuration(bucket), _container_credentials
    if keys := access_keys():
        return {**_configuration(bucket), **keys}, None
    from importlib.util import find_spec

    if find_spec("boto3") is None:
        # Not in container images: obstore itself finds the credentials of ECS, EKS, EC2 and
        # SageMaker, which are what a container has.
        return _configuration(bucket), None
    return _boto3_configuration(bucket)


def aws_domain(region: str) -> str:
    """Return the domain of AWS's services in a region."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def access_keys() -> S3Config:
    """Return the access keys in the environment; empty if boto3 finds them elsewhere."""
    environment = os.environ
    if "AWS_ACCESS_KEY_ID" not in environment or "AWS_PROFILE" in environment:
        return {}
    keys: S3Config = {
        "access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "secret_access_key": environment.get("AWS_SECRET_ACCESS_KEY", ""),
    }
    if token := environment.get("AWS_SESSION_TOKEN"):
        keys["session_token"] = token
    return keys


def s3_endpoint() -> str | None:
    """Return the endpoint of S3 in the environment, in place of AWS's own."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _configuration(bucket: str, region: str | None = None, endpoint: str | None = None) -> S3Config:
    environment = os.environ
    region = region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    region = region or DEFAULT_REGION
    endpoint = endpoint or s3_endpoint()
    # Who has an endpoint of one's own has named the right region for it.
    config: S3Config = {"region": region if endpoint else region_of(bucket, region)}
    if endpoint:
        # Path style, since few custom endpoints have a host name for each bucket.
        config["endpoint"] = endpoint
        config["virtual_hosted_style_request"] = False
    return config


def _boto3_configuration(bucket: str) -> tuple[S3Config, Callable[[], S3Credential]]:
    import boto3
    from botocore.exceptions import BotoCoreError
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        session = boto3.Session()
        if session.get_credentials() is None:
            raise StoreError(
                "no AWS credentials found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or run `aws configure` or `aws sso login`"
            )
        client = session.client("s3", region_name=session.region_name or DEFAULT_REGION)
    except BotoCoreError as error:
        raise StoreError(f"AWS credentials could not be loaded: {error}") from error
    custom = (
        None if client.meta.endpoint_url.endswith(".amazonaws.com") else client.meta.endpoint_url
    )
    return _configuration(bucket, client.meta.region_name, custom), Boto3CredentialProvider(session)


def _container_credentials() -> S3Credential:
    # After a restore from a SnapStart snapshot, Lambda serves credentials at this URL instead of
    # in variables. The import is slow, so only functions with SnapStart pay for it.
    import urllib.request

    request = urllib.request.Request(  # noqa: S310 - Lambda sets the URL
        os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
        headers={"Authorization": os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]},
    )
    with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
        document = json.load(response)
    return {
        "access_key_id": document["AccessKeyId"],
        "secret_access_key": document["SecretAccessKey"],
        "token": document["Token"],
        "expires_at": datetime.fromisoformat(document["Expiration"]),
    }
