"""Find the region of a registry's bucket, which need not be that of the function or the laptop."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Terraform sets this variable of functions that are in another region than the bucket.
REGION_VARIABLE = "SHEARLING_REGISTRY_REGION"


def region_of(bucket: str, default: str) -> str:
    """Return the region of a bucket.

    Args:
        bucket: name of the bucket.
        default: region of the environment or the profile. A function uses it without asking, since
            an answer would delay its start.
    """
    if region := os.environ.get(REGION_VARIABLE):
        return region
    return default if "AWS_LAMBDA_FUNCTION_NAME" in os.environ else asked_region(bucket, default)


@cache
def asked_region(bucket: str, default: str, endpoint: str | None = None) -> str:
    """Ask S3 for the region of a bucket, without credentials; `default` if it does not say.

    Args:
        bucket: name of the bucket.
        default: the region that is asked.
        endpoint: where to ask instead of AWS's own endpoint.
    """
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(
        signature_version=UNSIGNED,
        connect_timeout=3,
        read_timeout=3,
        retries={"total_max_attempts": 1},
    )
    client = boto3.client("s3", region_name=default, endpoint_url=endpoint, config=config)
    answer: Mapping[str, Any]
    try:
        answer = client.head_bucket(Bucket=bucket)
    except ClientError as error:  # a refusal has the header, too
        answer = error.response
    except BotoCoreError:
        return default
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get("x-amz-bucket-region") or default)
