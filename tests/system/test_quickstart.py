"""The quickstart, applied once and used as its users do, from the first push to the destroy.

The tests run in order; each expects the state that the one before leaves.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import tritonclient.http as triton

import shearling as sdk
from examples.quickstart.demo import inspection_commands, own_model_commands
from examples.quickstart.train_and_push import data, train
from shearling.cli import main as shearling
from shearling.protocol.requests import request_document
from shearling.protocol.responses import read_answer
from tests.embedded_aws import REGION, EmbeddedAws
from tests.support.deployed_model import DeployedModel
from tests.support.packages import built_package, function_python
from tests.support.terraform_cli import (
    REPOSITORY,
    TerraformError,
    TerraformStack,
    working_copy,
    write_emulator_override,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aws_environment", "registry_variable")]

ROWS = data()[1]


class Quickstart:
    """The stack of examples/quickstart on the embedded AWS."""

    def __init__(self, aws: EmbeddedAws, directory: Path) -> None:
        self.aws = aws
        self.directory = working_copy(REPOSITORY / "examples" / "quickstart", directory)
        write_emulator_override(self.directory, aws.url)
        self.variables: dict[str, Any] = {
            "name": "quick",
            "python": function_python(),
            "packages": {kind: str(built_package(kind)) for kind in ("runtime", "control")},
        }
        self.terraform = TerraformStack(
            self.directory, environment=aws.process_environment(), variables=self.variables
        )
        self.terraform.init()
        self.terraform.apply()
        self.outputs = self.terraform.outputs()
        self.function = self.outputs["function_name"]
        self.deployed = DeployedModel(aws, self.function, self.outputs["api_id"], "cancer")

    def served(self, *aliases: str) -> dict[str, str]:
        """The version that answers at each alias, at both APIs; an error's status if none does."""
        answers = {}
        for alias in aliases:
            both = [
                self.deployed.by_alias(alias, ROWS[:1]),
                self.deployed.over_http(alias, ROWS[:1]),
            ]
            versions = {answer.version or str(answer.status) for answer in both}
            assert len(versions) == 1, versions
            answers[alias] = versions.pop()
        return answers

    def lambda_version(self, alias: str) -> dict[str, Any]:
        """Return the configuration of the version that an alias names."""
        client = self.aws.client("lambda")
        configuration: dict[str, Any] = client.get_function_configuration(
            FunctionName=self.function, Qualifier=alias
        )
        return configuration


@pytest.fixture(scope="module")
def stack(
    embedded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Quickstart]:
    directory = tmp_path_factory.mktemp("quickstart")
    quickstart = Quickstart(embedded_aws, directory)
    yield quickstart
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def registry_variable(stack: Quickstart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLING_REGISTRY", stack.outputs["registry_uri"])


def test_before_a_push_every_alias_returns_the_next_step(stack: Quickstart) -> None:
    assert stack.served("prod", "staging") == {"prod": "503", "staging": "503"}
    assert (
        "Push one and set the alias" in stack.deployed.by_alias("prod", ROWS[:1]).document["error"]
    )


def test_waiting_for_an_alias_that_nothing_serves_fails_at_once() -> None:
    with pytest.raises(sdk.ReleaseError, match="serve"):
        sdk.push_model(train("logistic"), "other", example=ROWS, alias="prod", wait=True)


def test_a_pushed_model_answers_as_the_local_one_at_both_apis(stack: Quickstart) -> None:
    model = train("logistic")
    version = sdk.push_model(model, "cancer", example=ROWS, alias="prod", wait=True)
    assert version.version == 1
    local = model.predict_proba(ROWS)
    for answer in (
        stack.deployed.by_alias("prod", ROWS),
        stack.deployed.over_http("prod", ROWS),
        stack.deployed.over_http(None, ROWS),
    ):
        assert (answer.status, answer.version) == (200, "1")
        np.testing.assert_allclose(answer.outputs["probabilities"], local, atol=1e-5)
        np.testing.assert_array_equal(answer.outputs["label"], model.predict(ROWS))


def test_a_client_connects_by_alias_and_gets_arrays(stack: Quickstart) -> None:
    model = sdk.connect(f"{stack.function}:prod")
    np.testing.assert_array_equal(model.infer(ROWS)["label"], train("logistic").predict(ROWS))


def test_more_rows_than_a_call_has_are_answered_in_order_at_both_apis(stack: Quickstart) -> None:
    rows = np.random.default_rng(0).permutation(np.tile(ROWS, (20, 1)))
    by_alias = sdk.connect(f"{stack.function}:prod")
    over_http = sdk.connect(stack.deployed.api, model="cancer", alias="prod", auth="iam")
    for model in (by_alias, over_http):
        outputs = model.infer_many(rows, rows_per_call=len(rows) // 7, max_concurrency=3)
        np.testing.assert_array_equal(outputs["label"], train("logistic").predict(rows))


def test_shearling_open_serves_the_page_with_the_users_credentials(stack: Quickstart) -> None:
    body = json.dumps(request_document({"X": ROWS[:3]})).encode()
    api = [stack.deployed.api, "--model", "cancer", "--alias", "prod", "--region", REGION]
    for target in ([f"{stack.function}:prod"], api):
        with opened(stack, *target) as page:
            with urllib.request.urlopen(page, timeout=60) as answer:
                assert b"<h1" in answer.read()
            infer = page.replace("/docs", "/infer")
            with urllib.request.urlopen(infer, body, timeout=60) as answer:
                outputs = read_answer(json.load(answer))
        np.testing.assert_array_equal(outputs["label"], train("logistic").predict(ROWS[:3]))


@contextmanager
def opened(stack: Quickstart, *target: str) -> Iterator[str]:
    """Run `shearling open`, and yield the URL of the page."""
    command = [str(Path(sys.executable).with_name("shearling")), "open", *target, "--no-browser"]
    with subprocess.Popen(
        command, env=stack.aws.process_environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.mark.parametrize("number", range(5))
def test_the_commands_that_the_demo_prints_work_as_printed(
    stack: Quickstart, tmp_path: Path, number: int
) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps(request_document({"X": ROWS[:1]})))
    command = inspection_commands(stack.aws, stack.outputs, request)[number]
    if shutil.which(command.split()[0]) is None:
        pytest.skip(f"{command.split()[0]} is not installed here")
    environment = stack.aws.process_environment(SHEARLING_REGISTRY=stack.outputs["registry_uri"])
    completed = subprocess.run(
        command, shell=True, env=environment, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stderr
    assert "cancer" in completed.stdout or "probabilities" in completed.stdout


@pytest.mark.usefixtures("stack")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
def test_the_url_that_status_shows_answers() -> None:
    (url,) = [row.url for row in sdk.status("cancer") if row.alias == "prod"]
    signature = ["--aws-sigv4", f"aws:amz:{REGION}:execute-api", "--user", "test:test"]
    command = ["curl", "-sSf", *signature, str(url)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert json.loads(answer)["name"] == "cancer"


def test_staging_serves_version_2_while_prod_stays(stack: Quickstart) -> None:
    sdk.push_model(train("forest"), "cancer", example=ROWS, alias="staging", wait=True)
    assert stack.served("prod", "staging") == {"prod": "1", "staging": "2"}


def test_the_api_accepts_only_the_version_number_that_is_served(stack: Quickstart) -> None:
    assert stack.deployed.request("GET", "/v2/models/cancer/versions/1").status == 200
    assert stack.deployed.request("GET", "/v2/models/cancer/versions/2").status == 404
    assert stack.deployed.request("GET", "/v2/models/cancer/ready").document["ready"] is True


def test_promoting_moves_prod_and_a_rollback_moves_it_back(stack: Quickstart) -> None:
    sdk.set_alias("cancer", "prod", 2, wait=True)
    assert stack.served("prod", "staging") == {"prod": "2", "staging": "2"}
    sdk.rollback("cancer", "prod", wait=True)
    assert stack.served("prod", "staging") == {"prod": "1", "staging": "2"}


def test_the_same_model_again_uploads_nothing() -> None:
    again = sdk.push_model(train("forest"), "cancer", example=ROWS)
    assert (again.version, again.uploaded_bytes) == (2, 0)


def test_a_model_that_fails_its_check_leaves_the_alias_where_it_is(stack: Quickstart) -> None:
    with pytest.raises(sdk.ReleaseError, match="allow_pickle"):
        sdk.push_model(
            len,
            "cancer",
            example=ROWS[:1],
            format="cloudpickle",
            alias="prod",
            allow_breaking=True,
            wait=True,
        )
    assert stack.served("prod") == {"prod": "1"}
    (row,) = [row for row in sdk.status("cancer").to_dict()["aliases"] if row["alias"] == "prod"]
    assert row["version"] == 3
    assert "failed" in json.dumps(row)
    sdk.set_alias("cancer", "prod", 1, wait=True)


def test_clients_live_through_a_promotion_a_canary_and_a_rollback(stack: Quickstart) -> None:
    clients = [
        sdk.connect(f"{stack.function}:staging"),
        sdk.connect(stack.deployed.api, model="cancer", alias="staging", auth="iam"),
    ]
    rows = np.round(ROWS)
    # Version 2 takes floats, and this one whole numbers.
    graph = whole_number_graph(rows.shape[1])
    whole = sdk.push_model(graph, "cancer", example=rows.astype(np.int64)).version

    def answering(times: int = 1) -> set[str]:
        """The versions that answer both clients, and callers typed by version 2's contract."""
        answers = [client.infer_many(rows[:4]) for client in clients for _ in range(times)]
        typed = [
            ask("staging", rows[:4])
            for ask in (stack.deployed.by_alias, stack.deployed.over_http)
            for _ in range(times)
        ]
        assert {answer.status for answer in typed} == {200}, typed
        return {str(it) for answer in answers for it in answer.versions} | {
            answer.version for answer in typed
        }

    assert answering() == {"2"}
    with pytest.raises(sdk.BreakingChangeError, match="input 'X': FP32 -> INT64"):
        sdk.set_alias("cancer", "staging", whole, wait=True)
    assert answering() == {"2"}
    canary = {"version": whole, "percent": 50}
    sdk.set_alias("cancer", "staging", 2, canary=canary, allow_breaking=True, wait=True)
    assert answering(times=8) == {"2", str(whole)}
    with pytest.warns(UserWarning, match="several versions"):
        mixed = clients[0].infer_many(rows[:60], rows_per_call=2)
    assert set(mixed.versions) == {2, whole}
    only = clients[0].infer_many(rows[:60], rows_per_call=10, version=whole)
    assert set(only.versions) == {whole}
    np.testing.assert_array_equal(only["label"], np.ones(60))
    sdk.set_alias("cancer", "staging", whole, allow_breaking=True, wait=True)
    assert answering() == {str(whole)}
    sdk.rollback("cancer", "staging", wait=True)
    assert answering() == {"2"}
    with pytest.raises(sdk.ReleaseError, match="all were rolled back from"):
        sdk.rollback("cancer", "staging", wait=True)


def whole_number_graph(width: int) -> onnx.ModelProto:
    """A model with the outputs of the trained ones, which takes integers and answers always 1."""
    helper, floats, integers = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    weights, bias = np.zeros((width, 2), np.float32), np.array([0, 1], np.float32)
    nodes = [
        helper.make_node("Cast", ["X"], ["floats"], to=floats),
        helper.make_node("Gemm", ["floats", "weights", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"]),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "whole-numbers",
        [helper.make_tensor_value_info("X", integers, ["rows", width])],
        [
            helper.make_tensor_value_info("label", integers, ["rows"]),
            helper.make_tensor_value_info("probabilities", floats, ["rows", 2]),
        ],
        [
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(bias, "bias"),
        ],
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def test_retry_release_invokes_the_releaser(
    stack: Quickstart, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shearling(["retry-release", "cancer", "prod"]) == 0
    assert stack.function in capsys.readouterr().out


def test_a_scheduled_reconciliation_without_changes_writes_nothing(stack: Quickstart) -> None:
    registry = sdk.Registry()
    (deployment,) = registry.release_log.deployments("cancer")
    before = registry.release_log.entries(deployment, "prod")
    answer = stack.aws.client("lambda").invoke(
        FunctionName=stack.outputs["releaser_name"], Payload=json.dumps({"sweep": True})
    )
    assert "FunctionError" not in answer
    assert registry.release_log.entries(deployment, "prod") == before


def test_terraform_has_nothing_to_change_after_these_steps(stack: Quickstart) -> None:
    assert stack.terraform.changes() == {}


def test_new_code_serves_the_same_models(stack: Quickstart, tmp_path: Path) -> None:
    old = stack.lambda_version("prod")
    package = tmp_path / "runtime.zip"
    shutil.copy(stack.variables["packages"]["runtime"], package)
    with zipfile.ZipFile(package, "a") as archive:
        archive.writestr("release-notes.txt", "another build")
    packages = {**stack.variables["packages"], "runtime": str(package)}
    stack.variables["packages"] = packages
    stack.terraform.set_variables(**stack.variables)
    stack.terraform.apply()
    new = stack.lambda_version("prod")
    assert new["CodeSha256"] != old["CodeSha256"]
    assert (
        new["Environment"]["Variables"]["SHEARLING_MODEL"]
        == old["Environment"]["Variables"]["SHEARLING_MODEL"]
    )
    assert stack.served("prod", "staging") == {"prod": "1", "staging": "2"}


def test_tritons_client_gets_the_local_models_answers(stack: Quickstart) -> None:
    # Triton's client cannot sign, so this API has no authorization for this test.
    stack.variables["authorization"] = "NONE"
    stack.terraform.set_variables(**stack.variables)
    stack.terraform.apply()
    model = train("logistic")
    with triton.InferenceServerClient(stack.deployed.api.removeprefix("http://")) as client:
        assert client.is_server_ready()
        assert client.is_model_ready("cancer", "prod")
        assert client.get_model_metadata("cancer")["versions"] == ["1"]
        index = {(one["name"], one["version"]) for one in client.get_model_repository_index()}
        assert {name for name, _ in index} == {"cancer"}
        for is_binary in (False, True):
            tensor = triton.InferInput("X", list(ROWS.shape), "FP32")
            tensor.set_data_from_numpy(ROWS, binary_data=is_binary)
            wanted = triton.InferRequestedOutput("probabilities", binary_data=is_binary)
            answer = client.infer("cancer", [tensor], outputs=[wanted])
            np.testing.assert_allclose(
                answer.as_numpy("probabilities"), model.predict_proba(ROWS), atol=1e-5
            )


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
def test_curl_gets_the_local_models_answers_in_json_and_as_csv(
    stack: Quickstart, tmp_path: Path
) -> None:
    expected = train("logistic").predict(ROWS)
    url = f"{stack.deployed.api}/v2/models/cancer/infer"
    request, rows = tmp_path / "request.json", tmp_path / "rows.csv"
    request.write_text(json.dumps(request_document({"X": ROWS})))
    np.savetxt(rows, ROWS, delimiter=",", fmt="%.9g")
    outputs = read_answer(json.loads(curl(url, request, "application/json")))
    np.testing.assert_array_equal(outputs["label"], expected)
    table = list(csv.DictReader(curl(url, rows, "text/csv").splitlines()))
    assert [int(row["label"]) for row in table] == expected.tolist()


def curl(url: str, body: Path, kind: str) -> str:
    """POST a file with curl."""
    command = ["curl", "-sSf", "-H", f"content-type: {kind}", "--data-binary", f"@{body}", url]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_new_alias_serves_no_model_until_one_is_released(stack: Quickstart) -> None:
    main = stack.directory / "main.tf"
    text = main.read_text()
    assert "staging = {} }" in text
    main.write_text(text.replace("staging = {} }", "staging = {}, shadow = {} }"))
    stack.terraform.apply()
    assert stack.served("prod", "staging", "shadow") == {
        "prod": "1",
        "staging": "2",
        "shadow": "503",
    }
    sdk.set_alias("cancer", "shadow", 2, wait=True)
    assert stack.served("shadow") == {"shadow": "2"}
    assert stack.terraform.changes() == {}


def test_the_commands_of_the_demo_deploy_a_model_of_ones_own(stack: Quickstart) -> None:
    environment = stack.aws.process_environment(SHEARLING_REGISTRY=stack.outputs["registry_uri"])
    for command in own_model_commands(stack.terraform, stack.outputs):
        completed = subprocess.run(
            command,
            shell=True,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert completed.returncode == 0, (command, completed.stderr)
    assert "iris" in completed.stdout
    assert stack.terraform.changes() == {}


def test_a_destroy_with_models_in_the_registry_is_refused_before_any_change(
    stack: Quickstart,
) -> None:
    kept = stack.directory / "kept_override.tf"
    kept.write_text('module "inference" {\n  registry = { force_destroy = false }\n}\n')
    stack.terraform.apply()
    with pytest.raises(TerraformError, match=r"the registry has models \(cancer, iris\)"):
        stack.terraform.destroy()
    # Except for the guard, which ran first, nothing has changed.
    guard = "module.inference.aws_lambda_invocation.destroy_guard[0]"
    assert {name for name in stack.terraform.changes() if name.startswith("module.")} <= {guard}
    kept.unlink()
    stack.terraform.apply()


def test_destroy_leaves_nothing_behind(stack: Quickstart) -> None:
    stack.terraform.destroy()
    functions = stack.aws.client("lambda").list_functions()["Functions"]
    assert [each["FunctionName"] for each in functions if "quick" in each["FunctionName"]] == []
    buckets = [each["Name"] for each in stack.aws.client("s3").list_buckets()["Buckets"]]
    assert not any(name.startswith("quick-") for name in buckets)
