"""retry-release and prune."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cli import error, output, run
from tests.support.lambda_server import FunctionError, LocalLambda
from tests.support.releases import deploy

if TYPE_CHECKING:
    from shearling.registry.registry import Registry


def result(**changes: Any) -> dict[str, Any]:
    return {
        "function": "acme-fraud",
        "alias": "prod",
        "outcome": "released",
        "version": 1,
        "lambda_version": "4",
        "reason": "",
    } | changes


def test_a_release_invokes_the_releaser_of_each_region_and_shows_the_results(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(models)
    deploy(models, "acme-fraud-2")
    deploy(models, "acme-fraud-3", region="us-east-1", aliases=["prod"])
    local_lambda = LocalLambda({"acme_releaser": lambda _: {"results": [result()]}})
    assert run("retry-release", "fraud", "prod", local_lambda=local_lambda) == 0
    assert local_lambda.calls == [("acme_releaser", {"model": "fraud", "alias": "prod"})] * 2
    assert local_lambda.regions == ["eu-west-1", "us-east-1"]
    lines = output(capsys).splitlines()
    assert lines[1] == "acme-fraud  prod   released        1  4               -"


@pytest.mark.parametrize(("arguments", "alias"), [("fraud:staging", "staging"), ("fraud", None)])
def test_the_alias_may_be_part_of_the_ref_or_left_out(
    models: Registry, capsys: pytest.CaptureFixture[str], arguments: str, alias: str | None
) -> None:
    deploy(models)
    local_lambda = LocalLambda({"acme_releaser": lambda _: {"results": [result()]}})
    assert run("retry-release", arguments, "--json", local_lambda=local_lambda) == 0
    assert local_lambda.calls == [("acme_releaser", {"model": "fraud", "alias": alias})]
    assert json.loads(output(capsys)) == [result()]


def test_a_failed_release_is_one_line_and_other_regions_are_still_released(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(models)
    deploy(models, "acme-fraud-2", releaser="other_releaser")
    local_lambda = LocalLambda(
        {
            "acme_releaser": lambda _: FunctionError("acme-fraud:prod: it answers otherwise"),
            "other_releaser": lambda _: {"results": [result(function="acme-fraud-2")]},
        }
    )
    assert run("retry-release", "fraud", local_lambda=local_lambda) == 1
    captured = capsys.readouterr()
    assert "acme-fraud-2" in captured.out
    assert captured.err.splitlines()[-1] == (
        "shearling: acme_releaser: acme-fraud:prod: it answers otherwise"
    )


def test_a_releaser_that_is_gone_is_one_line(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(models)
    assert run("retry-release", "fraud", local_lambda=LocalLambda({})) == 1
    assert error(capsys).splitlines()[-1].startswith("shearling: An error occurred (ResourceNotF")


@pytest.mark.parametrize("answer", [{"results": 1}, {}, [], b"no JSON"])
def test_a_function_that_is_not_a_releaser_is_reported(
    models: Registry, capsys: pytest.CaptureFixture[str], answer: object
) -> None:
    deploy(models)
    assert (
        run("retry-release", "fraud", local_lambda=LocalLambda({"acme_releaser": lambda _: answer}))
        == 1
    )
    assert "the response of acme_releaser is not a releaser's" in error(capsys)


def test_a_renamed_command_is_refused_with_its_new_name(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert models.models() == ["fraud"]
    with pytest.raises(SystemExit, match="2"):
        run("release", "fraud", "prod")
    assert "`shearling release` is now `shearling retry-release`" in error(capsys)
