"""API keys, usage plans and custom domains: the modules of both APIs, applied and used.

The tests run in order. The emulator does not do TLS, its firewall filters nothing, and a stage has
the API's newest routes instead of those of its deployment.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tritonclient.http as triton

import shearling as sdk
from shearling.cli import main as shearling
from tests.embedded_aws import ACCOUNT, REGION, EmbeddedAws
from tests.support.bundles import ROWS, scaling_bundle
from tests.support.jobs import record_of
from tests.support.packages import built_package, function_python
from tests.support.terraform_cli import REPOSITORY, TerraformStack, write_emulator_override

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

MANY = np.random.default_rng(0).random((1000, 2), np.float32)
#: More bytes than a request carries.
LARGE = np.random.default_rng(0).random((600_000, 2), np.float32)

MAIN = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "%(region)s"
}

variable "aliases" { type = set(string) }
variable "usage_plans" { type = any }

locals {
  path        = "arn:aws:apigateway:%(region)s:lambda:path/2015-03-31/functions"
  function    = "arn:aws:lambda:%(region)s:%(account)s:function:keys-fraud"
  certificate = "arn:aws:acm:%(region)s:%(account)s:certificate/12345678"

  models = {
    fraud = {
      function_name     = "keys-fraud"
      alias_invoke_arns = {
        for alias in var.aliases :
        alias => "${local.path}/${local.function}:${alias}/invocations"
      }
      default_alias     = "prod"
    }
  }
}

module "rest_api" {
  source = "./terraform/modules/rest-api"

  name          = "keys"
  models        = local.models
  authorization = "NONE"
  usage_plans   = var.usage_plans
  domain        = { name = "rest.example.com", certificate_arn = local.certificate }
  waf           = { web_acl_arn = aws_wafv2_web_acl.models.arn }
}

module "api" {
  source = "./terraform/modules/api"

  name          = "keys"
  models        = local.models
  authorization = "NONE"
  domain        = { name = "http.example.com", certificate_arn = local.certificate }
}

resource "aws_wafv2_web_acl" "models" {
  name  = "models"
  scope = "REGIONAL"

  default_action {
    allow {}
  }

  visibility_config {
    cloudwatch_metrics_enabled = false
    metric_name                = "models"
    sampled_requests_enabled   = false
  }
}

output "rest_api_id" { value = module.rest_api.api_id }
output "urls" { value = [module.rest_api.url, module.api.url] }
output "targets" { value = [module.rest_api.domain_target, module.api.domain_target] }
output "web_acl_arn" { value = aws_wafv2_web_acl.models.arn }
output "api_keys" {
  value     = module.rest_api.api_keys
  sensitive = true
}
"""

PLANS: dict[str, Any] = {
    "gold": {"requests_per_second": 1000, "burst": 1000, "api_keys": ["checkout"]},
    "slow": {"requests_per_second": 0.01, "burst": 1, "api_keys": ["crawler"]},
    "trial": {
        "requests_per_second": 1000,
        "burst": 1000,
        "quota": {"requests": 2, "period": "DAY"},
        "api_keys": ["visitor"],
    },
}


class Stack:
    """A model behind a REST API that requires keys and an HTTP API without authorization."""

    def __init__(self, aws: EmbeddedAws, directory: Path) -> None:
        self.aws = aws
        shutil.copytree(REPOSITORY / "terraform", directory / "terraform")
        (directory / "main.tf").write_text(MAIN % {"region": REGION, "account": ACCOUNT})
        write_emulator_override(directory, aws.url)
        self.terraform = TerraformStack(
            directory,
            environment=aws.process_environment(),
            variables={"aliases": ["prod", "staging"], "usage_plans": PLANS},
        )
        self.terraform.init()
        self.terraform.apply()
        self.outputs = self.terraform.outputs()
        self.url = aws.rest_api_url(self.outputs["rest_api_id"], "live")

    def key(self, name: str) -> str:
        value: str = self.outputs["api_keys"][name]
        return value

    def status(self, path: str = "/v2/models/fraud", **headers: str) -> int:
        """Return the status of a GET to the REST API."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return _status(urllib.request.Request(f"{self.url}{path}", headers=sent))


def _status(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture(scope="module")
def stack(
    embedded_aws: EmbeddedAws, bucket: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("rest-api")
    _serve(embedded_aws, bucket, directory)
    yield Stack(embedded_aws, directory)
    embedded_aws.client("lambda").delete_function(FunctionName="keys-fraud")
    shutil.rmtree(directory, ignore_errors=True)


def _serve(aws: EmbeddedAws, bucket: str, directory: Path) -> None:
    """Release a model on two aliases of a function, as the releaser does."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws.environment().items():
            patch.setenv(name, value)
        version = scaling_bundle(directory).publish(f"s3://{bucket}")
    client = aws.client("lambda")
    client.create_function(
        FunctionName="keys-fraud",
        Runtime=f"python{function_python()}",
        Role=f"arn:aws:iam::{ACCOUNT}:role/any",
        Handler="shearling_runtime.handler.handler",
        Code={"ZipFile": built_package("runtime").read_bytes()},
        Environment={
            "Variables": {
                "SHEARLING_REGISTRY": f"s3://{bucket}",
                "SHEARLING_MODEL": str(version.pin),
                "SHEARLING_JOBS": f"s3://{bucket}",
            }
        },
        MemorySize=1024,
        Timeout=30,
        Publish=True,
    )
    for alias in ("prod", "staging"):
        client.create_alias(FunctionName="keys-fraud", Name=alias, FunctionVersion="1")


def test_a_second_plan_has_nothing_to_change(stack: Stack) -> None:
    assert stack.terraform.changes() == {}


def test_a_call_without_a_key_of_the_api_is_refused(stack: Stack) -> None:
    for path in ("", "/ready", "/docs", "/versions/staging"):
        assert stack.status(f"/v2/models/fraud{path}") == 403, path
        assert stack.status(f"/v2/models/fraud{path}", x_api_key="x" * 40) == 403, path
        assert stack.status(f"/v2/models/fraud{path}", x_api_key=stack.key("checkout")) == 200, path


@pytest.mark.parametrize("alias", [None, "prod", "staging"])
def test_a_call_with_a_key_gets_the_models_answers(stack: Stack, alias: str | None) -> None:
    model = sdk.connect(stack.url, model="fraud", alias=alias, api_key=stack.key("checkout"))
    assert model.ready()
    np.testing.assert_array_equal(model.infer(ROWS)["Y"], 2 * ROWS)


def test_an_unknown_path_is_answered_by_the_api_itself(stack: Stack) -> None:
    key = stack.key("checkout")
    for path in ("/", "/v2/models", "/v2/models/other", "/v2/models/fraud/versions/7"):
        refused = 404 if path.endswith("/7") else 403
        assert stack.status(path, x_api_key=key) == refused, path


@pytest.mark.parametrize("packing", [None, "gzip"])
@pytest.mark.parametrize("is_binary", [True, False])
def test_tritons_client_sends_and_receives_tensors_as_bytes_and_as_json(
    stack: Stack, *, is_binary: bool, packing: str | None
) -> None:
    # Without a content type, the emulator passes a body on as text; AWS passes it on as bytes.
    kinds = {"content-type": "application/octet-stream", "accept": "*/*"}
    tensor = triton.InferInput("X", list(MANY.shape), "FP32")
    tensor.set_data_from_numpy(MANY, binary_data=is_binary)
    with triton.InferenceServerClient(stack.url.removeprefix("http://")) as client:
        answer = client.infer(
            "fraud",
            [tensor],
            outputs=[triton.InferRequestedOutput("Y", binary_data=is_binary)],
            headers={"x-api-key": stack.key("checkout"), **kinds},
            request_compression_algorithm=packing,
        )
    np.testing.assert_array_equal(answer.as_numpy("Y"), 2 * MANY)
    assert ("data" in answer.get_output("Y")) is not is_binary


def test_the_sdk_sends_many_rows_as_bytes(stack: Stack) -> None:
    model = sdk.connect(stack.url, model="fraud", api_key=stack.key("checkout"))
    np.testing.assert_array_equal(model.infer(MANY)["Y"], 2 * MANY)


def test_the_command_sends_the_key_of_the_environment(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHEARLING_API_KEY", stack.key("checkout"))
    assert shearling(["invoke", stack.url, "--model", "fraud", "--raw"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "fraud"


def test_a_job_is_submitted_answered_and_cancelled_through_the_api(stack: Stack) -> None:
    model = sdk.connect(stack.url, model="fraud", api_key=stack.key("checkout"))
    jobs = {rows.nbytes: model.infer_async(rows) for rows in (ROWS, LARGE)}  # sent, uploaded
    cancelled = model.infer_async(ROWS)
    assert cancelled.cancel()
    # The stack has no queue: its message is the invocation.
    event = {"Records": [record_of(job.id) for job in jobs.values()]}
    answer = stack.aws.client("lambda").invoke(
        FunctionName="keys-fraud", Qualifier="prod", Payload=json.dumps(event)
    )
    assert json.load(answer["Payload"]) == {"batchItemFailures": []}
    for rows in (ROWS, LARGE):
        outputs = jobs[rows.nbytes].result(timeout=60)
        np.testing.assert_array_equal(outputs["Y"], 2 * rows)
    with pytest.raises(sdk.InferenceError, match="was cancelled"):
        cancelled.result(timeout=60)


def test_a_job_is_unknown_to_another_alias_of_the_api(stack: Stack) -> None:
    key = stack.key("checkout")
    job = sdk.connect(stack.url, model="fraud", alias="prod", api_key=key).infer_async(ROWS)
    staging = sdk.connect(stack.url, model="fraud", alias="staging", api_key=key)
    with pytest.raises(sdk.UnknownModelError):
        staging.job(job.id).state()


def test_calls_above_the_rate_limit_are_throttled(stack: Stack) -> None:
    assert stack.status(x_api_key=stack.key("crawler")) == 200
    assert stack.status(x_api_key=stack.key("crawler")) == 429
    model = sdk.connect(stack.url, model="fraud", api_key=stack.key("crawler"), timeout_seconds=0.5)
    with pytest.raises(sdk.InferenceError, match="is throttled"):
        model.metadata()


def test_calls_above_the_quota_are_refused_without_a_retry(stack: Stack) -> None:
    model = sdk.connect(stack.url, model="fraud", api_key=stack.key("visitor"))
    for _ in range(2):
        model.metadata()
    with pytest.raises(sdk.InferenceError, match=r"answered 429: Limit Exceeded$"):
        model.metadata()


def test_both_apis_answer_at_their_domains_but_without_tls(stack: Stack) -> None:
    assert stack.outputs["urls"] == ["https://rest.example.com", "https://http.example.com"]
    for target in stack.outputs["targets"]:
        assert ".execute-api." in target["name"]
        assert target["hosted_zone_id"]
    for domain, key in (("rest.example.com", stack.key("checkout")), ("http.example.com", "")):
        headers = {"host": domain, **({"x-api-key": key} if key else {})}
        url = f"{stack.aws.url}/v2/models/fraud/versions/prod"
        assert _status(urllib.request.Request(url, headers=headers)) == 200, domain
    unkeyed = urllib.request.Request(stack.aws.url + "/v2/models/fraud")
    unkeyed.add_header("host", "rest.example.com")
    assert _status(unkeyed) == 403


def test_the_web_acl_is_that_of_the_stage_but_filters_nothing(stack: Stack) -> None:
    stage = f"arn:aws:apigateway:{REGION}::/restapis/{stack.outputs['rest_api_id']}/stages/live"
    found = stack.aws.client("wafv2").get_web_acl_for_resource(ResourceArn=stage)["WebACL"]
    assert found["ARN"] == stack.outputs["web_acl_arn"]


def test_other_routes_are_deployed_and_a_key_keeps_its_value_on_another_plan(
    stack: Stack,
) -> None:
    gateway = stack.aws.client("apigateway")
    stage = {"restApiId": stack.outputs["rest_api_id"], "stageName": "live"}
    before = gateway.get_stage(**stage)["deploymentId"]
    plans = {
        **PLANS,
        "gold": {**PLANS["gold"], "api_keys": ["checkout", "visitor"]},
        "trial": {**PLANS["trial"], "api_keys": []},
    }
    stack.terraform.set_variables(aliases=["prod"], usage_plans=plans)
    stack.terraform.apply()
    assert gateway.get_stage(**stage)["deploymentId"] != before
    assert [
        one["id"] for one in gateway.get_deployments(restApiId=stage["restApiId"])["items"]
    ] == [gateway.get_stage(**stage)["deploymentId"]]
    visitor = stack.key("visitor")
    assert stack.terraform.outputs()["api_keys"]["visitor"] == visitor
    assert stack.status(x_api_key=visitor) == 200
    assert stack.status("/v2/models/fraud/versions/staging", x_api_key=visitor) == 404
    assert stack.terraform.changes() == {}


def test_destroy_leaves_nothing_behind(stack: Stack) -> None:
    stack.terraform.destroy()
    gateway = stack.aws.client("apigateway")
    names = [
        each["name"]
        for listing in (gateway.get_rest_apis, gateway.get_usage_plans, gateway.get_api_keys)
        for each in listing()["items"]
    ]
    assert not any(name.startswith("keys") for name in names)
    assert gateway.get_domain_names()["items"] == []
