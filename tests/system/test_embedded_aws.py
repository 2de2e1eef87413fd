"""Tests of the embedded AWS, on which other tests rely."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.embedded_aws import REGION, EmbeddedAws, EmbeddedAwsError, install, sandbox
from tests.support import terraform_cli
from tests.support.runtime_emulator import FunctionError, RuntimeEmulator
from tests.support.terraform_cli import TerraformError, TerraformStack, write_emulator_override

if TYPE_CHECKING:
    from collections.abc import Iterator

NEWEST = install.function_versions()[-1]
ROLE = "arn:aws:iam::000000000000:role/test"

FUNCTION = """
import importlib.util, os, sys, time

def writable(path):
    try:
        with open(path, "w"):
            return True
    except OSError:
        return False

def handler(event, context):
    if "fail" in event:
        raise ValueError(event["fail"])
    if "list" in event:
        return sorted(os.listdir(event["list"]))
    if "writable" in event:
        return [path for path in event["writable"] if writable(path)]
    if "put" in event:
        with open(event["put"], "w") as file:
            file.write("from the function")
    return {
        "arn": context.invoked_function_arn,
        "version": os.environ["AWS_LAMBDA_FUNCTION_VERSION"],
        "python": "%d.%d" % sys.version_info[:2],
        "environment": dict(os.environ),
        "found": [name for name in ("ministack", "boto3", "numpy", "shearling", "beside")
                  if importlib.util.find_spec(name)],
    }
"""

needs_namespaces = pytest.mark.skipif(
    not sandbox.namespaces_work(), reason="this system does not let us make mount namespaces"
)


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as running:
        yield running


@pytest.fixture(scope="module")
def client(aws: EmbeddedAws) -> Iterator[Any]:
    client = aws.client("lambda")
    yield client
    client.close()


def package(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in {"main": FUNCTION, "beside": "", **files}.items():
            archive.writestr(f"{name}.py", text)
    return buffer.getvalue()


def create(client: Any, name: str, **options: Any) -> None:
    defaults = {
        "Runtime": f"python{NEWEST}",
        "Handler": "main.handler",
        "Role": ROLE,
        "Code": {"ZipFile": package()},
        "Timeout": 20,
    }
    client.create_function(FunctionName=name, **{**defaults, **options})
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})


def change(client: Any, name: str, **variables: str) -> dict[str, Any]:
    client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    waiter = client.get_waiter("function_updated_v2")
    waiter.wait(FunctionName=name, WaiterConfig={"Delay": 1})
    latest: dict[str, Any] = client.get_function_configuration(FunctionName=name)
    return latest


def invoke(client: Any, name: str, event: object = None) -> Any:
    answer = client.invoke(FunctionName=name, Payload=json.dumps(event or {}))
    return json.loads(answer["Payload"].read())


def test_function_sees_its_own_package_and_no_other_files(client: Any) -> None:
    create(client, "alone", Environment={"Variables": {"MINE": "1"}})
    answer = invoke(client, "alone")
    assert answer["python"] == NEWEST
    assert answer["found"] == ["beside"]
    environment = answer["environment"]
    assert environment["MINE"] == "1"
    assert environment["AWS_EXECUTION_ENV"] == f"AWS_Lambda_python{NEWEST}"
    assert environment["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    assert environment["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/alone"
    assert environment["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert not {"GATEWAY_PORT", "PYTHONPATH", "TMPDIR", "PYENV_ROOT"} & set(environment)


@needs_namespaces
def test_function_writes_to_tmp_only_and_its_package_is_just_its_files(client: Any) -> None:
    create(client, "confined")
    places = ["/tmp/a", "/var/task/a", "/etc/a", "/home/a", "/a", "/dev/shm/a", "/usr/a"]
    assert invoke(client, "confined", {"writable": places}) == ["/tmp/a"]
    assert invoke(client, "confined", {"list": "/tmp"}) == ["a"]
    assert invoke(client, "confined", {"list": "/var/task"}) == ["beside.py", "main.py"]


def test_function_runs_on_the_projects_python_too(client: Any) -> None:
    own = ".".join(map(str, sys.version_info[:2]))
    create(client, "own-python", Runtime=f"python{own}")
    assert invoke(client, "own-python")["python"] == own


def test_a_missing_runtime_fails_with_a_clear_message(client: Any) -> None:
    create(client, "lacking", Runtime="python3.9")
    error = invoke(client, "lacking")
    assert error["errorType"] == "Runtime.InvalidRuntime"
    assert f"python{NEWEST}" in error["errorMessage"]


def test_errors_keep_the_types_that_the_runtime_client_gives_them(client: Any) -> None:
    create(client, "failing")
    error = invoke(client, "failing", {"fail": "because"})
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "because")
    create(client, "broken", Code={"ZipFile": package(main="import numpy\n")})
    error = invoke(client, "broken")
    assert error["errorType"] == "Runtime.ImportModuleError"
    assert "numpy" in error["errorMessage"]


def test_alias_is_in_the_arn_and_its_weights_are_applied(client: Any) -> None:
    create(client, "weighted", Publish=True)
    change(client, "weighted", SHEARLING_MODEL="two")
    assert client.publish_version(FunctionName="weighted")["Version"] == "2"
    weights = {"AdditionalVersionWeights": {"2": 0.5}}
    client.create_alias(
        FunctionName="weighted", Name="prod", FunctionVersion="1", RoutingConfig=weights
    )
    versions = set()
    for _ in range(40):
        raw = client.invoke(FunctionName="weighted:prod")
        answer = json.loads(raw["Payload"].read())
        assert answer["arn"].endswith(":function:weighted:prod")
        assert raw["ExecutedVersion"] == answer["version"]
        versions.add(answer["version"])
    assert versions == {"1", "2"}


def test_publish_is_refused_when_the_function_is_not_what_the_caller_saw(client: Any) -> None:
    create(client, "guarded")
    seen = client.get_function_configuration(FunctionName="guarded")
    now = change(client, "guarded", SHEARLING_MODEL="other")
    with pytest.raises(client.exceptions.PreconditionFailedException):
        client.publish_version(FunctionName="guarded", RevisionId=seen["RevisionId"])
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="CodeSHA256"):
        client.publish_version(FunctionName="guarded", CodeSha256="AAAA")
    with pytest.raises(client.exceptions.PreconditionFailedException):
        client.update_function_configuration(
            FunctionName="guarded", RevisionId=seen["RevisionId"], Timeout=5
        )
    published = client.publish_version(
        FunctionName="guarded", RevisionId=now["RevisionId"], CodeSha256=now["CodeSha256"]
    )
    assert published["Version"] == "1"


def test_publish_is_refused_while_an_update_is_in_progress(client: Any) -> None:
    create(client, "updating")
    client.update_function_configuration(FunctionName="updating", Timeout=7)
    with pytest.raises(client.exceptions.ResourceConflictException, match="in progress"):
        client.publish_version(FunctionName="updating")


def test_alias_of_a_version_that_does_not_exist_is_refused(client: Any) -> None:
    create(client, "aliased")
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="aliased:9"):
        client.create_alias(FunctionName="aliased", Name="prod", FunctionVersion="9")


def test_event_rule_reaches_the_alias_with_a_qualified_arn(aws: EmbeddedAws, client: Any) -> None:
    create(client, "evented", Publish=True, Code={"ZipFile": package(main=TELLTALE)})
    arn = client.create_alias(FunctionName="evented", Name="prod", FunctionVersion="1")["AliasArn"]
    s3, events = aws.client("s3"), aws.client("events")
    location = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket="told", CreateBucketConfiguration=location)
    events.put_rule(Name="told", EventPattern=json.dumps({"source": ["test"]}))
    events.put_targets(Rule="told", Targets=[{"Id": "function", "Arn": arn}])
    events.put_events(Entries=[{"Source": "test", "DetailType": "told", "Detail": "{}"}])
    told = eventually(lambda: s3.get_object(Bucket="told", Key="arn")["Body"].read().decode())
    assert told == arn
    for each in (s3, events):
        each.close()


def test_http_api_reaches_the_alias_with_a_qualified_arn(aws: EmbeddedAws, client: Any) -> None:
    create(client, "served", Publish=True)
    arn = client.create_alias(FunctionName="served", Name="prod", FunctionVersion="1")["AliasArn"]
    gateway = aws.client("apigatewayv2")
    api = gateway.create_api(Name="served", ProtocolType="HTTP")["ApiId"]
    integration = gateway.create_integration(
        ApiId=api,
        IntegrationType="AWS_PROXY",
        IntegrationUri=f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{arn}"
        "/invocations",
        PayloadFormatVersion="2.0",
    )["IntegrationId"]
    gateway.create_route(ApiId=api, RouteKey="GET /hello", Target=f"integrations/{integration}")
    gateway.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    gateway.close()
    with urllib.request.urlopen(aws.http_api_url(api) + "/hello") as answer:
        assert json.load(answer)["arn"] == arn


# Puts through the plain HTTP of the emulator's S3: a function environment has no boto3.
TELLTALE = """
import os, urllib.request

def handler(event, context):
    url = os.environ["AWS_ENDPOINT_URL"] + "/told/arn"
    body = context.invoked_function_arn.encode()
    urllib.request.urlopen(urllib.request.Request(url, data=body, method="PUT")).read()
"""


def eventually(attempt: Any, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@needs_namespaces
def test_access_point_is_mounted(aws: EmbeddedAws, client: Any) -> None:
    efs = aws.client("efs")
    system = efs.create_file_system(CreationToken="models")["FileSystemId"]
    point = efs.create_access_point(
        ClientToken="models", FileSystemId=system, RootDirectory={"Path": "/models"}
    )
    mount = {"Arn": point["AccessPointArn"], "LocalMountPath": "/mnt/models"}
    create(client, "mounted", FileSystemConfigs=[mount])
    directory = aws.file_system_directory(system, "/models")
    (directory / "theirs").write_text("x")
    assert invoke(client, "mounted", {"list": "/mnt/models"}) == ["theirs"]
    invoke(client, "mounted", {"put": "/mnt/models/ours"})
    assert (directory / "ours").read_text() == "from the function"
    efs.close()


def test_a_function_without_permissions_is_denied_with_auth() -> None:
    with EmbeddedAws(auth=True) as aws:
        iam = aws.client("iam")
        iam.create_user(UserName="nobody")
        key = iam.create_access_key(UserName="nobody")["AccessKey"]
        nobody = aws.client("s3", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
        with pytest.raises(nobody.exceptions.ClientError, match="AccessDenied"):
            nobody.list_buckets()
        for each in (iam, nobody):
            each.close()


def alive(group: int) -> list[str]:
    """Return the running processes of a group, without zombies."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, _, pgrp = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state != "Z":
            found.append(entry.name)
    return found


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks processes up in /proc")
def test_stop_leaves_no_process_and_no_file() -> None:
    with EmbeddedAws() as aws:
        client = aws.client("lambda")
        create(client, "left")
        invoke(client, "left")
        client.close()
        group, directory = aws.pid, aws.directory
        assert len(alive(group)) >= 2
    assert eventually_none(group) == []
    assert not directory.exists()


def eventually_none(group: int) -> list[str]:
    deadline = time.monotonic() + 5
    while alive(group) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive(group)


def test_a_detached_embedded_aws_is_found_again_and_stopped(tmp_path: Path) -> None:
    first = EmbeddedAws(directory=tmp_path, detached=True).start()
    found = EmbeddedAws.attach(tmp_path)
    assert found.url == first.url
    group = found.pid
    found.stop()
    first.stop()
    assert eventually_none(group) == []
    with pytest.raises(EmbeddedAwsError, match="no embedded AWS"):
        EmbeddedAws.attach(tmp_path)


def test_an_unfinished_environment_is_built_again_and_a_finished_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "REPOSITORY", tmp_path)
    monkeypatch.setattr(install, "TOOLS", tmp_path / ".tools")
    place = tmp_path / ".tools" / "thing"
    built = []

    def build(directory: Path) -> None:
        assert not directory.exists()
        directory.mkdir()
        built.append(directory)
        if len(built) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        install.installed(place, "one", build)
    for fingerprint in ("one", "one", "two"):
        install.installed(place, fingerprint, build)
    assert built == [place] * 3


ECHO = """
import os

def handler(event, context):
    print("said", event)
    if event == "fail":
        raise KeyError("no")
    if event == "home":
        os.makedirs(os.environ["HOME"] + "/.cache")
    return {"event": event, "memory": context.memory_limit_in_mb, "x": os.environ.get("X")}
"""


def test_runtime_emulator_answers_and_distinguishes_errors(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(ECHO)
    with RuntimeEmulator(tmp_path, "main.handler", {"X": "y"}, memory_mb=640) as emulator:
        assert emulator.invoke([1]) == {"event": [1], "memory": "640", "x": "y"}
        with pytest.raises(FunctionError, match="no") as error:
            emulator.invoke("fail")
        assert error.value.error_type == "KeyError"
        with pytest.raises(FunctionError) as error:
            emulator.invoke("home")
        assert error.value.error_type in {"OSError", "NotADirectoryError"}
        assert "said [1]" in emulator.logs()


def test_runtime_emulator_reports_a_failed_start_and_a_timeout(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import numpy\n")
    with RuntimeEmulator(tmp_path, "main.handler") as emulator:
        with pytest.raises(FunctionError, match="numpy") as error:
            emulator.invoke({})
        assert error.value.error_type == "Runtime.ImportModuleError"
    (tmp_path / "main.py").write_text("import time\ndef handler(e, c): time.sleep(30)\n")
    with RuntimeEmulator(tmp_path, "main.handler", timeout_seconds=1) as emulator:
        with pytest.raises(FunctionError, match="timed out") as error:
            emulator.invoke({})
        assert error.value.error_type == "Sandbox.Timedout"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks processes up in /proc")
def test_killed_owner_takes_the_embedded_aws_with_it() -> None:
    program = """
        import time
        from tests.embedded_aws import EmbeddedAws
        aws = EmbeddedAws().start()
        print(aws.pid, aws.directory, flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, cwd=install.REPOSITORY, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        group, directory = owner.stdout.readline().decode().split()
        assert alive(int(group))
        owner.kill()
    assert eventually_none(int(group)) == []
    assert not Path(directory).exists()


ROOT_MODULE = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "eu-central-1"
}

variable "description" {
  type = string
}

resource "aws_sns_topic" "alarms" {
  name = "alarms"
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "errors"
  alarm_description   = var.description
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = "some <function>" }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0.5
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
}

output "alarm" {
  value = aws_cloudwatch_metric_alarm.errors.arn
}
"""


@pytest.mark.slow
def test_terraform_plans_clean_after_apply_with_an_alarm(aws: EmbeddedAws, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(ROOT_MODULE)
    write_emulator_override(tmp_path, aws.url)
    stack = TerraformStack(
        tmp_path, environment=aws.process_environment(), variables={"description": "one & two"}
    )
    stack.init()
    assert stack.changes()["aws_cloudwatch_metric_alarm.errors"] == ["create"]
    stack.apply()
    assert stack.changes() == {}
    assert stack.outputs()["alarm"].endswith(":alarm:errors")
    stack.set_variables(description="another")
    assert stack.changes() == {"aws_cloudwatch_metric_alarm.errors": ["update"]}
    stack.destroy()
    with pytest.raises(TerraformError, match="no-such-command"):
        stack.run("no-such-command")


def test_a_terraform_that_hangs_is_stopped_and_its_output_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = tmp_path / "terraform"
    hangs.write_text("#!/bin/sh\necho waiting for an answer\nexec sleep 60\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(terraform_cli, "LIMIT_SECONDS", 1)
    stack = TerraformStack(tmp_path, environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    with pytest.raises(TerraformError, match=r"did not end within 1 s .*\n+waiting for an answer"):
        stack.run("apply")


def test_terraforms_provider_gets_a_response_after_it_sent_its_request(aws: EmbeddedAws) -> None:
    agent = "APN/1.0 HashiCorp/1.0 Terraform/1.11 aws-sdk-go-v2/1.36"
    request = urllib.request.Request(f"{aws.url}/_ministack/health", headers={"user-agent": agent})
    began = time.monotonic()
    urllib.request.urlopen(request, timeout=10).read()
    assert time.monotonic() - began >= 0.025
