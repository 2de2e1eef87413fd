"""Users of an embedded AWS that enforces permissions."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from botocore.credentials import Credentials

if TYPE_CHECKING:
    from tests.embedded_aws import EmbeddedAws


def user_with(aws: EmbeddedAws, *policies: str, path: str = "/") -> Credentials:
    """Create a user who has these policies and no other permissions; return the credentials."""
    iam, name = aws.client("iam"), f"user-{uuid.uuid4().hex}"
    iam.create_user(UserName=name, Path=path)
    for number, policy in enumerate(policies):
        iam.put_user_policy(UserName=name, PolicyName=f"p{number}", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    iam.close()
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def client_of(aws: EmbeddedAws, user: Credentials, service: str) -> Any:
    """Return a boto3 client with the credentials of a user."""
    return aws.client(service, access_key=user.access_key, secret_key=user.secret_key)


def environment_of(user: Credentials) -> dict[str, str]:
    """Return the variables that let a process act as a user, besides those of the embedded AWS."""
    return {"AWS_ACCESS_KEY_ID": user.access_key, "AWS_SECRET_ACCESS_KEY": user.secret_key}
