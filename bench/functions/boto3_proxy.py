"""A function in front of a SageMaker endpoint as people write it: boto3, the body as it is."""

import os
from typing import Any

import boto3

client = boto3.client("sagemaker-runtime")


def handler(event: Any, context: object) -> dict[str, Any]:
    """Pass a JSON request on, and its answer back."""
    del context
    answer = client.invoke_endpoint(
        EndpointName=os.environ["ENDPOINT_NAME"],
        ContentType="application/json",
        Body=event["body"],
    )
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": answer["Body"].read().decode(),
    }
