"""What policies see of a request on the embedded AWS, as on AWS."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from botocore.exceptions import ClientError

from tests.embedded_aws import ACCOUNT, REGION, EmbeddedAws
from tests.support.users import client_of, user_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.credentials import Credentials

MIB = 2**20
SOURCE = "source"
KMS = {
    "ServerSideEncryption": "aws:kms",
    "SSEKMSKeyId": f"arn:aws:kms:{REGION}:111122223333:key/theirs",
}
CUSTOMER_KEY = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}

ANYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
}


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws(auth=True) as running:
        yield running


@pytest.fixture
def bucket(aws: EmbeddedAws) -> str:
    name = f"policies-{uuid.uuid4().hex}"
    location = {"LocationConstraint": REGION}
    aws.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=location)
    return name


@pytest.fixture
def s3(aws: EmbeddedAws) -> Any:
    """A client of somebody whom only the bucket policy restricts."""
    return client_of(aws, user_with(aws, json.dumps(ANYTHING)), "s3")


def deny(aws: EmbeddedAws, bucket: str, **conditions: dict[str, Any]) -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": conditions,
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    aws.client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def deny_overwriting(aws: EmbeddedAws, bucket: str) -> None:
    deny(
        aws,
        bucket,
        Null={"s3:if-none-match": "true"},
        Bool={"s3:ObjectCreationOperation": "true"},
    )


def put(s3: Any, bucket: str, key: str, **options: Any) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=b"new", **options)


def copy(s3: Any, bucket: str, key: str, **options: Any) -> None:
    s3.copy_object(Bucket=bucket, Key=key, CopySource=f"{bucket}/{SOURCE}", **options)


def upload(s3: Any, bucket: str, key: str, **options: Any) -> None:
    place = {"Bucket": bucket, "Key": key}
    place["UploadId"] = s3.create_multipart_upload(**place)["UploadId"]
    part = s3.upload_part(**place, PartNumber=1, Body=b"n" * 5 * MIB)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(**place, MultipartUpload=parts, **options)


def refusal(request: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """Return the code with which a request is refused."""
    with pytest.raises(ClientError) as error:
        request(*arguments, **options)
    return str(error.value.response["Error"]["Code"])


@pytest.mark.parametrize("write", [put, copy, upload])
def test_a_write_needs_the_header_that_the_policy_demands_and_then_only_creates(
    aws: EmbeddedAws, s3: Any, bucket: str, write: Callable[..., None]
) -> None:
    put(s3, bucket, SOURCE)
    deny_overwriting(aws, bucket)
    assert refusal(write, s3, bucket, "object") == "AccessDenied"
    write(s3, bucket, "object", IfNoneMatch="*")
    before = s3.head_object(Bucket=bucket, Key="object")["ETag"]
    assert refusal(write, s3, bucket, "object") == "AccessDenied"
    assert refusal(write, s3, bucket, "object", IfNoneMatch="*") == "PreconditionFailed"
    assert refusal(write, s3, bucket, "object", IfNoneMatch='"other"') == "NotImplemented"
    assert s3.head_object(Bucket=bucket, Key="object")["ETag"] == before


def test_the_form_of_a_browser_cannot_overwrite(aws: EmbeddedAws, s3: Any, bucket: str) -> None:
    form = s3.generate_presigned_post(bucket, "object")
    assert post(form) == 204
    deny_overwriting(aws, bucket)
    assert post(form) == 403


def post(form: dict[str, Any]) -> int:
    return urllib3.request("POST", form["url"], fields={**form["fields"], "file": "new"}).status


@pytest.mark.parametrize(
    ("key", "option"),
    [
        ("x-amz-storage-class", {"StorageClass": "DEEP_ARCHIVE"}),
        ("x-amz-server-side-encryption-aws-kms-key-id", KMS),
        ("x-amz-server-side-encryption-customer-algorithm", CUSTOMER_KEY),
    ],
)
def test_a_policy_sees_how_an_object_is_to_be_kept(
    aws: EmbeddedAws, s3: Any, bucket: str, key: str, option: dict[str, str]
) -> None:
    deny(aws, bucket, Null={f"s3:{key}": "false"})
    put(s3, bucket, "object")
    assert refusal(put, s3, bucket, "object", **option) == "AccessDenied"
    place = {"Bucket": bucket, "Key": "object"}
    assert refusal(s3.create_multipart_upload, **place, **option) == "AccessDenied"


@pytest.mark.parametrize(
    ("key", "other"), [("a//b", "a/b"), ("//a", "a"), ("a/", "a"), ("a/../b", "b"), ("a/\x01", "a")]
)
def test_a_policy_is_compared_with_the_key_as_it_is(
    aws: EmbeddedAws, bucket: str, key: str, other: str
) -> None:
    put(client_of(aws, user_who_puts(aws, bucket, key), "s3"), bucket, key)
    someone = client_of(aws, user_who_puts(aws, bucket, other), "s3")
    assert refusal(put, someone, bucket, key) == "AccessDenied"


def user_who_puts(aws: EmbeddedAws, bucket: str, pattern: str) -> Credentials:
    resource = f"arn:aws:s3:::{bucket}/{pattern}"
    allow = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": resource}
    return user_with(aws, json.dumps({"Version": "2012-10-17", "Statement": [allow]}))


def test_a_request_counts_as_https_unless_it_says_otherwise(
    aws: EmbeddedAws, s3: Any, bucket: str
) -> None:
    deny(aws, bucket, Bool={"aws:SecureTransport": "false"})
    put(s3, bucket, "object")
    s3.meta.events.register(
        "before-send.s3.PutObject",
        lambda request, **_: request.headers.update({"x-forwarded-proto": "http"}),
    )
    assert refusal(put, s3, bucket, "object") == "AccessDenied"


def test_a_policy_sees_which_version_of_a_function_is_meant(aws: EmbeddedAws) -> None:
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:fraud"
    allow = {"Effect": "Allow", "Action": "lambda:*", "Resource": f"{function}:7"}
    user = user_with(aws, json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    client = client_of(aws, user, "lambda")
    for qualifier, code in (("7", "ResourceNotFoundException"), ("8", "AccessDeniedException")):
        found = refusal(client.invoke, FunctionName="fraud", Qualifier=qualifier)
        assert found == code
    assert refusal(client.invoke, FunctionName="fraud") == "AccessDeniedException"
