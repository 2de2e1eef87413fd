"""Authorization of the APIs, on an embedded AWS that enforces permissions.

No model is released, so a 503 of the function itself means that the API accepted the call.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.embedded_aws import REGION, EmbeddedAws
from tests.support.jwt import Issuer, issuer
from tests.support.packages import built_package, function_python
from tests.support.terraform_cli import (
    REPOSITORY,
    TerraformStack,
    accept_python_3_11,
    write_emulator_override,
)
from tests.support.users import user_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

BUCKET = "authorization-models"

MAIN = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "%(region)s"
}

module "inference" {
  source = "./terraform"

  name     = "auth"
  packages = { runtime = "%(runtime)s", control = "%(control)s" }
  python   = "%(python)s"
  registry = { bucket = "%(bucket)s" }
  api      = {}
  rest_api = {}

  models = {
    fraud = { aliases = { prod = {}, staging = {} }, default_alias = "prod" }
    embed = { aliases = { prod = {} } }
  }
}

module "tokens" {
  source = "./terraform/modules/api"

  name          = "tokens"
  authorization = "JWT"
  jwt           = { issuer = "https://issuer.example", audience = ["models"], scopes = ["infer"] }
  catalog = {
    function_name = "auth_index"
    invoke_arn    = "${local.path}/${local.functions}:auth_index/invocations"
  }

  models = {
    fraud = {
      function_name     = module.inference.function_names["fraud"]
      alias_invoke_arns = { prod = "${local.path}/${local.prod}/invocations" }
      default_alias     = "prod"
    }
  }
}

locals {
  path      = "arn:aws:apigateway:%(region)s:lambda:path/2015-03-31/functions"
  functions = "arn:aws:lambda:%(region)s:000000000000:function"
  prod      = module.inference.alias_arns["fraud:prod"]
}

output "api_id" { value = module.inference.api_id }
output "rest_api_id" { value = module.inference.rest_api_id }
output "tokens_api_id" { value = module.tokens.api_id }
output "invoke_policies" { value = module.inference.invoke_policies }
output "index_policy" { value = module.inference.index_policy }
"""


@dataclass(frozen=True)
class Stack:
    """Two models behind APIs that require signatures, and one behind one that requires tokens."""

    aws: EmbeddedAws
    outputs: dict[str, Any]

    def who_has(self, *policies: str) -> Credentials:
        """Return the credentials of a user who has only these permissions."""
        return user_with(self.aws, *policies)

    def with_token(self, token: str | None, path: str = "/v2/models/fraud") -> tuple[int, str]:
        url = f"{self.aws.http_api_url(self.outputs['tokens_api_id'])}{path}"
        return _sent("GET", url, b"", {"authorization": f"Bearer {token}"} if token else {})


def signed(url: str, credentials: Credentials | None, method: str = "GET") -> tuple[int, str]:
    body = b"{}" if method == "POST" else b""
    request = AWSRequest(method, url, data=body)
    request.headers["content-type"] = "application/json"
    if credentials:
        SigV4Auth(credentials, "execute-api", REGION).add_auth(request)
    return _sent(method, url, body, dict(request.headers))


def _sent(method: str, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    request = urllib.request.Request(url, body or None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory: Path = tmp_path_factory.mktemp("authorization")
    shutil.copytree(REPOSITORY / "terraform", directory / "terraform")
    accept_python_3_11(directory / "terraform")
    values = {
        "region": REGION,
        "bucket": BUCKET,
        "python": function_python(),
        "runtime": built_package("runtime"),
        "control": built_package("control"),
    }
    (directory / "main.tf").write_text(MAIN % values)
    with EmbeddedAws(auth=True) as aws:
        s3 = aws.client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        write_emulator_override(directory, aws.url)
        terraform = TerraformStack(directory, environment=aws.process_environment())
        terraform.init()
        terraform.apply()
        yield Stack(aws, terraform.outputs())


@pytest.fixture(params=["http", "rest"])
def api(stack: Stack, request: pytest.FixtureRequest) -> str:
    """URL of each kind of API; both require signatures."""
    if request.param == "http":
        return stack.aws.http_api_url(stack.outputs["api_id"])
    return stack.aws.rest_api_url(stack.outputs["rest_api_id"], "live")


@pytest.fixture(scope="module")
def tokens(stack: Stack) -> Iterator[Issuer]:
    """The issuer of the tokens, on loopback without TLS, which the module would refuse."""
    api = stack.aws.client("apigatewayv2")
    api_id = stack.outputs["tokens_api_id"]
    (authorizer,) = api.get_authorizers(ApiId=api_id)["Items"]
    with issuer() as one:
        api.update_authorizer(
            ApiId=api_id,
            AuthorizerId=authorizer["AuthorizerId"],
            JwtConfiguration={"Issuer": one.url, "Audience": ["models"]},
        )
        yield one


def let_in(answer: tuple[int, str]) -> bool:
    """Return whether the function itself answered, which has no model yet."""
    status, body = answer
    return status == 503 and "no model is released" in body


def test_an_unsigned_call_is_refused(api: str) -> None:
    for path in ("/v2/models/fraud", "/v2/models/fraud/docs", "/v2", "/"):
        assert signed(f"{api}{path}", None)[0] == 403, path


def test_a_signed_call_without_permission_is_refused(stack: Stack, api: str) -> None:
    nobody = stack.who_has()
    assert signed(f"{api}/v2/models/fraud", nobody)[0] == 403
    assert signed(f"{api}/v2/models/fraud/infer", nobody, "POST")[0] == 403
    assert signed(f"{api}/v2/repository/index", nobody, "POST")[0] == 403


def test_a_call_signed_with_another_secret_is_refused(stack: Stack, api: str) -> None:
    key = stack.who_has(stack.outputs["invoke_policies"]["fraud:prod"])
    assert signed(f"{api}/v2/models/fraud", Credentials(key.access_key, "wrong"))[0] == 403


@pytest.mark.parametrize("path", ["", "/docs", "/openapi.json", "/ready", "/versions/prod/docs"])
def test_permission_for_the_default_alias_is_enough_to_call_it(
    stack: Stack, api: str, path: str
) -> None:
    user = stack.who_has(stack.outputs["invoke_policies"]["fraud:prod"])
    assert let_in(signed(f"{api}/v2/models/fraud{path}", user))


def test_permission_for_one_alias_does_not_extend_to_other_models_or_aliases(
    stack: Stack, api: str
) -> None:
    user = stack.who_has(stack.outputs["invoke_policies"]["fraud:prod"])
    assert let_in(signed(f"{api}/v2/models/fraud/infer", user, "POST"))
    for path in ("/v2/models/embed", "/v2/models/fraud/versions/staging", "/v2", "/"):
        assert signed(f"{api}{path}", user)[0] == 403, path
    staging = stack.who_has(stack.outputs["invoke_policies"]["fraud:staging"])
    assert let_in(signed(f"{api}/v2/models/fraud/versions/staging/ready", staging))
    assert signed(f"{api}/v2/models/fraud/ready", staging)[0] == 403


def test_permission_to_list_the_models_does_not_extend_to_calls(stack: Stack, api: str) -> None:
    user = stack.who_has(stack.outputs["index_policy"])
    status, body = signed(f"{api}/v2/repository/index", user, "POST")
    assert status == 200
    assert [entry["name"] for entry in json.loads(body)] == ["embed", "fraud"]
    assert signed(f"{api}/v2/health/ready", user) == (200, '{"ready":true,"live":true}')
    assert signed(f"{api}/", user)[0] == 200
    assert json.loads(signed(f"{api}/v2", user)[1])["name"] == "shearling"
    assert signed(f"{api}/v2/models/fraud", user)[0] == 403
    # Permission for `/` must not extend to other paths that end in it.
    for path in ("fraud/infer/", "embed/infer/", "embed/versions/prod/infer/"):
        assert signed(f"{api}/v2/models/{path}", user, "POST")[0] == 403, path
    assert signed(f"{api}/v2/models/fraud/", user)[0] in (403, 404)


def test_a_valid_token_is_accepted(stack: Stack, tokens: Issuer) -> None:
    assert let_in(stack.with_token(tokens.token("models", scope="infer")))
    assert stack.with_token(tokens.token("models", scope="infer"), "/v2")[0] == 200


def test_a_call_without_a_token_is_refused(stack: Stack, tokens: Issuer) -> None:
    assert tokens.url
    assert stack.with_token(None)[0] == 401
    assert stack.with_token(None, "/v2")[0] == 401
    assert stack.with_token("no.token.atall")[0] == 401


def test_a_forged_token_is_refused(stack: Stack, tokens: Issuer) -> None:
    head, body, signature = tokens.token("models", scope="infer").split(".")
    other = tokens.token("models", scope="infer", sub="admin").split(".")[1]
    assert stack.with_token(f"{head}.{other}.{signature}")[0] == 401
    forger = Issuer()
    forger.url = tokens.url
    assert stack.with_token(forger.token("models", scope="infer"))[0] == 401
    assert stack.with_token(f"{head}.{body}.")[0] == 401


def test_an_expired_token_is_refused(stack: Stack, tokens: Issuer) -> None:
    assert stack.with_token(tokens.token("models", scope="infer", lives_seconds=-60))[0] == 401


def test_a_token_for_another_audience_is_refused(stack: Stack, tokens: Issuer) -> None:
    assert stack.with_token(tokens.token("payments", scope="infer"))[0] == 401


def test_a_token_of_another_issuer_is_refused(stack: Stack, tokens: Issuer) -> None:
    token = tokens.token("models", scope="infer", iss="https://elsewhere.example")
    assert stack.with_token(token)[0] == 401


def test_a_token_without_the_scope_is_refused(stack: Stack, tokens: Issuer) -> None:
    assert stack.with_token(tokens.token("models", scope="read"))[0] == 403
