"""A stack on an embedded AWS that enforces permissions, and what its users do."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
from obstore.store import S3Store

import shearling as sdk
from shearling.registry.registry import Registry
from tests.embedded_aws import FOREIGN, REGION
from tests.support.bundles import ROWS
from tests.support.emulated_stack import emulated_stack, write_root
from tests.support.packages import built_package, function_python
from tests.support.terraform_cli import accept_python_3_11
from tests.support.users import client_of, environment_of, user_with

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from botocore.credentials import Credentials

    from tests.embedded_aws import EmbeddedAws

PREFIX = "ml"

_MAIN = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "%(region)s"
}

resource "aws_vpc" "models" {
  cidr_block = "10.20.0.0/16"
}

resource "aws_subnet" "models" {
  vpc_id     = aws_vpc.models.id
  cidr_block = "10.20.0.0/24"
}

module "inference" {
  source = "./terraform"

  name        = "rights"
  packages    = { runtime = "%(runtime)s", control = "%(control)s" }
  python      = "%(python)s"
  registry    = { prefix = "%(prefix)s" }
  push_models = ["churn"]
  vpc         = { vpc_id = aws_vpc.models.id, subnets = { a = aws_subnet.models.id } }

  models = {
    fraud  = { aliases = { prod = {}, staging = {} } }
    golden = { aliases = { prod = {}, staging = {} }, file_system = {} }
  }
}

output "stack" {
  value = {
    registry_uri     = module.inference.registry_uri
    function_names   = module.inference.function_names
    releaser_name    = module.inference.releaser_name
    push_policy      = module.inference.push_policy
    promote_policies = module.inference.promote_policies
    invoke_policies  = module.inference.invoke_policies
  }
}
"""


class RightsStack:
    """The models `fraud`, and `golden` on a file system; `prod` of fraud answers twice the rows.

    Attributes:
        pusher: a user who has the stack's policy to push, and no other permissions.
        promoter: a user who has the policy to promote `fraud:prod` only.
        owner: a user whom only the bucket policy restricts.
    """

    def __init__(self, aws: EmbeddedAws, directory: Path) -> None:
        self.aws = aws
        values = {
            "region": REGION,
            "prefix": PREFIX,
            "python": function_python(),
            "runtime": built_package("runtime"),
            "control": built_package("control"),
        }
        write_root(directory, _MAIN % values)
        accept_python_3_11(directory / "terraform")
        terraform = emulated_stack(aws, directory)
        terraform.apply()
        outputs: dict[str, Any] = terraform.outputs()["stack"]
        self.outputs = outputs
        self.uri: str = outputs["registry_uri"]
        self.bucket = self.uri.removeprefix("s3://").partition("/")[0]
        self.pusher = user_with(aws, outputs["push_policy"])
        self.promoter = user_with(aws, outputs["promote_policies"]["fraud:prod"])
        self.invoker = user_with(aws, outputs["invoke_policies"]["fraud:prod"])
        anything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [anything]}
        self.owner = user_with(aws, json.dumps(policy))

    def act_as(self, user: Credentials, monkeypatch: pytest.MonkeyPatch) -> Registry:
        """Let this process use the registry with the credentials of a user."""
        for variable in FOREIGN:
            monkeypatch.delenv(variable, raising=False)
        # Else it keeps the credentials that it found first.
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        variables = self.aws.environment() | environment_of(user)
        for name, value in {**variables, "SHEARLING_REGISTRY": self.uri}.items():
            monkeypatch.setenv(name, value)
        return Registry(self.uri)

    def key(self, name: str) -> str:
        """Return the key in the bucket of a name in the registry."""
        return f"{PREFIX}/{name}"

    def object_store(self, user: Credentials) -> S3Store:
        """Return the registry as obstore shows it to a user, without the layers of the SDK."""
        return S3Store(
            self.bucket,
            prefix=PREFIX,
            endpoint=self.aws.url,
            region=REGION,
            access_key_id=user.access_key,
            secret_access_key=user.secret_key,
            client_options={"allow_http": True},
        )

    def arn(self, user: Credentials) -> str:
        """Return the ARN of a user."""
        return str(client_of(self.aws, user, "sts").get_caller_identity()["Arn"])

    @cached_property
    def root(self) -> Any:
        """An S3 client that no policy restricts, to look into the bucket and to prepare it."""
        return self.aws.client("s3")

    def objects(self) -> dict[str, str]:
        """Return the version of every object in the registry by key."""
        # The emulator cannot list the versions of a key with a control character.
        pages = self.root.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        keys = [item["Key"] for page in pages for item in page["Contents"]]
        heads = {key: self.root.head_object(Bucket=self.bucket, Key=key) for key in keys}
        return {key: head["VersionId"] for key, head in heads.items()}

    def mount(self) -> Path:
        """Return the directory that the emulator mounts as the access point."""
        client = self.aws.client("efs")
        (system,) = client.describe_file_systems()["FileSystems"]
        client.close()
        return self.aws.file_system_directory(system["FileSystemId"], "/models")

    def answer(self, target: str, user: Credentials, **inputs: Any) -> dict[str, Any]:
        """Return what an alias answers to a user."""
        client = client_of(self.aws, user, "lambda")
        model, _, alias = target.partition(":")
        function = f"{self.outputs['function_names'][model]}:{alias}"
        answer: dict[str, Any] = dict(sdk.connect(function, client=client).infer(inputs))
        client.close()
        return answer

    def assert_prod_answers(self, factor: float = 2.0) -> None:
        """Assert that `fraud:prod` answers its invoker, and answers right."""
        answer = self.answer("fraud:prod", self.invoker, X=ROWS)
        np.testing.assert_array_equal(answer["Y"], ROWS * np.float32(factor))
