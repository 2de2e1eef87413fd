"""Which Lambda version a batch run uses, and how many parts it has answered at once."""

from __future__ import annotations

from typing import Any

import pytest

from shearling.errors import ReleaseError
from shearling.refs import Pin
from shearling.release.api_calls import RetryLaterError
from shearling.release.lambda_function import LambdaFunction
from shearling.release.run_version import concurrency_for_runs, pinned_version, served_version
from tests.support.fake_lambda import refusal
from tests.support.releases import Stage, pin


class Releaser(LambdaFunction):
    """Answers requests instead of a releaser."""

    def __init__(self, stage: Stage, answer: Any, failure: str = "") -> None:
        super().__init__(stage.fake.client, "acme_releaser", stage.fake.time.clock, 60)
        self.answer = (answer, failure)
        self.asked: list[Any] = []

    def ask(self, request: Any) -> tuple[Any, str]:
        self.asked.append(request)
        return self.answer


def function(stage: Stage) -> LambdaFunction:
    return LambdaFunction(stage.fake.client, "acme-fraud", stage.fake.time.clock, 60)


def staged(*versions: int, **more: Any) -> Stage:
    stage = Stage()
    for version in versions:
        stage.name(version)
        assert stage.release().outcome == "released"
    if more:
        stage.name(versions[-1], **more)
        assert stage.release().outcome == "released"
    return stage


def test_a_run_uses_the_version_that_the_alias_serves_and_not_its_canary() -> None:
    stage = staged(1, 2, canary={"version": 3, "percent": 50})
    assert stage.fake.weights("prod")
    assert served_version(function(stage), "prod").pin == pin(2)


def test_an_alias_without_a_model_is_refused() -> None:
    with pytest.raises(ReleaseError, match="no model is released on acme-fraud:prod"):
        served_version(function(Stage()), "prod")


def test_an_unknown_alias_is_refused() -> None:
    with pytest.raises(ReleaseError, match="has no alias 'next'"):
        served_version(function(Stage()), "next")


def test_a_run_again_prefers_the_version_that_it_had() -> None:
    stage = staged(1, 2)
    stage.change_latest(CodeSha256="code-2")
    stage.name(1)
    assert stage.release().outcome == "released"
    numbers = [it for it in stage.fake.published if stage.fake.pin(it) == pin(1)]
    assert len(numbers) == 2
    releaser = Releaser(stage, None)
    for number, expected in ((numbers[0], numbers[0]), ("99", numbers[1])):
        found = pinned_version(function(stage), releaser, Pin.parse(pin(1)), number)
        assert found.number == expected
    assert not releaser.asked


def test_the_releaser_publishes_a_version_that_is_gone() -> None:
    stage = staged(1)
    releaser = Releaser(stage, {"lambda_version": "1"})
    assert pinned_version(function(stage), releaser, Pin.parse(pin(2)), "7").number == "1"
    assert releaser.asked == [{"shearling": "publish", "function": "acme-fraud", "pin": pin(2)}]


@pytest.mark.parametrize(
    ("kind", "error"),
    [("BeingStagedError", RetryLaterError), ("CheckFailedError", ReleaseError)],
)
def test_a_version_that_is_not_published_is_an_error_that_says_why(
    kind: str, error: type[Exception]
) -> None:
    stage = staged(1)
    releaser = Releaser(stage, {"errorType": kind, "errorMessage": "out of wool"}, "Unhandled")
    with pytest.raises(ReleaseError, match="out of wool") as raised:
        pinned_version(function(stage), releaser, Pin.parse(pin(2)))
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("reserved", "account", "asked", "expected"),
    [(None, 1000, 200, 200), (None, 10, 200, 9), (20, 1000, 200, 18), (1, 1000, 5, 1)],
)
def test_a_run_leaves_a_tenth_of_the_concurrency_to_others(
    reserved: int | None, account: int, asked: int, expected: int
) -> None:
    stage = Stage()
    stage.fake.reserved_concurrency, stage.fake.unreserved_concurrency = reserved, account
    assert concurrency_for_runs(function(stage), asked) == expected


def test_a_role_that_may_not_read_the_concurrency_gets_what_it_asks() -> None:
    stage = Stage()
    stage.fake.refusals["GetFunctionConcurrency"] = [refusal("AccessDeniedException")] * 100
    assert concurrency_for_runs(function(stage), 200) == 200
