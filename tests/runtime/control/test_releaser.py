from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import pytest

from shearling.errors import RegistryError, ReleaseError, StoreError
from shearling.registry.registry import REGISTRY_VARIABLE
from shearling.release.clock import Clock
from shearling.release.outcome import Outcome
from shearling.release.trigger import Trigger
from shearling.storage.store import Store
from shearling_runtime.control import releaser
from shearling_runtime.control.release_request import Request
from tests.support.bundles import scaling_bundle
from tests.support.fake_lambda import FakeLambda, passing
from tests.support.releases import deploy, memory_registry, pin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shearling.refs import Pin
    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry


@dataclass
class Context:
    seconds: float = 600
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:000000000000:function:acme_releaser"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@dataclass
class Releases:
    """Replaces `release_alias`: records the calls, and returns given outcomes."""

    outcomes: Mapping[str, str | Exception] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    options: list[Mapping[str, Any]] = field(default_factory=list)
    note: str = ""

    def __call__(
        self, _: object, __: Registry, deployment: Deployment, alias: str, **options: Any
    ) -> Outcome:
        name = deployment.function
        self.asked.append((name, alias))
        self.options.append(options)
        outcome = self.outcomes.get(f"{name}:{alias}", "released")
        if isinstance(outcome, Exception):
            raise outcome
        reason = "out of wool" if outcome == "failed" else ""
        return Outcome(
            function=name, alias=alias, outcome=outcome, version=2, reason=reason, note=self.note
        )


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = memory_registry()
    deploy(registry, "acme-fraud")
    deploy(registry, "acme-churn", model="churn", aliases=["prod"])
    deploy(registry, "other-fraud", releaser="other_releaser")
    monkeypatch.setenv("SHEARLING_REGISTRY", registry.store.uri)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "acme_releaser")
    return registry


@pytest.fixture
def releases(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Releases:
    assert registry
    releases = Releases()
    monkeypatch.setattr(releaser, "release_alias", releases)
    monkeypatch.setattr(releaser, "_client", lambda region: region)
    return releases


def s3_event(key: str) -> dict[str, Any]:
    """Return a recorded event of EventBridge with another key."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "000000000000",
        "time": "2026-01-01T00:00:00Z",
        "region": "eu-west-1",
        "resources": ["arn:aws:s3:::bucket"],
        "detail": {
            "version": "0",
            "bucket": {"name": "bucket"},
            "object": {"key": key, "size": 155, "etag": "e", "sequencer": "0"},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }


@pytest.mark.parametrize(
    "prefix", ["", "shearling/", "a/models/b/", "with%20space/", "with+plus/", "encoded%2F"]
)
def test_a_new_alias_entry_of_our_registry_asks_for_the_alias(prefix: str) -> None:
    event = s3_event(f"{prefix}models/fraud/aliases/prod/0000000007.json")
    ours = unquote_plus(prefix)
    request = Request.read(event, ours)
    assert (request.model, request.alias) == ("fraud", "prod")
    for others in ("other/", f"{ours}deeper/", "fraud/"):
        assert Request.read(event, others).is_ignored


def test_a_new_alias_entry_releases_the_alias_on_all_functions_of_the_releaser(
    releases: Releases,
) -> None:
    releaser.handler(s3_event("models/fraud/aliases/prod/0000000007.json"), Context())
    assert releases.asked == [("acme-fraud", "prod")]


@pytest.mark.parametrize(
    "key",
    [
        "models/ghost/aliases/prod/0000000007.json",
        "models/fraud/aliases/beta/0000000007.json",
        "models/fraud/versions/0000000007.json",
        "models/fraud/aliases/prod/7.json",
        "models/fraud/aliases/prod/0000000007.json.bak",
        "models/fraud/aliases/prod/0000000007.json\n",
        "models/fraud/aliases/prod/versions//x",
        "models/fraud/aliases/prod//0000000007.json",
        "models/fraud/aliases/prod/../prod/0000000007.json",
        "models/fraud/aliases/prod/\u0660000000007.json",
        "models/fraud/versions/models/fraud/aliases/prod/0000000007.json",
        "models/fraud/aliases/versions/0000000007.json",
        "models//aliases/prod/0000000007.json",
        "",
    ],
)
def test_an_event_of_another_object_is_ignored(releases: Releases, key: str) -> None:
    assert releaser.handler(s3_event(key), Context()) == {"results": []}
    assert releases.asked == []


def test_an_event_about_what_is_no_entry_reads_nothing(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    for verb in ("read", "names", "folders", "keys", "size"):
        monkeypatch.setattr(Store, verb, _fail)
    key = "models/fraud/aliases/prod/versions//x"
    assert releaser.handler(s3_event(key), Context()) == {"results": []}
    assert releases.asked == []


def _fail(*_: object, **__: object) -> None:
    pytest.fail("the registry is asked")


def test_the_schedule_releases_all_aliases_of_all_functions(releases: Releases) -> None:
    releaser.handler({"sweep": True}, Context())
    assert sorted(releases.asked) == [
        ("acme-churn", "prod"),
        ("acme-fraud", "prod"),
        ("acme-fraud", "staging"),
    ]
    assert all(options["trigger"] is Trigger.SCHEDULE for options in releases.options)


def test_no_alias_is_always_the_last_one_of_the_schedule(releases: Releases) -> None:
    last = set()
    for _ in range(100):
        releaser.handler({"sweep": True}, Context())
        last.add(releases.asked[-1])
    assert len(last) == 3


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"function": "acme-fraud", "alias": "prod", "tf": {"action": "create"}}, ["prod"]),
        ({"function": "acme-fraud"}, ["prod", "staging"]),
        ({"model": "fraud", "alias": "staging"}, ["staging"]),
        ({"model": "fraud", "alias": None}, ["prod", "staging"]),
    ],
)
def test_a_request_names_a_function_or_a_model_and_optionally_an_alias(
    releases: Releases, event: dict[str, Any], expected: list[str]
) -> None:
    releaser.handler(event, Context())
    assert releases.asked == [("acme-fraud", alias) for alias in expected]
    assert not any(options["trigger"] is Trigger.SCHEDULE for options in releases.options)
    # Terraform sends a function alone.
    is_apply = set(event) == {"function"}
    assert all((options["trigger"] is Trigger.APPLY) == is_apply for options in releases.options)


@pytest.mark.parametrize(
    "event",
    [
        {"function": "other-fraud"},
        {"function": "acme-fraud", "alias": "beta"},
        {"model": "ghost"},
    ],
)
def test_a_request_without_a_match_is_an_error(releases: Releases, event: dict[str, Any]) -> None:
    with pytest.raises(ReleaseError, match="no deployed function and alias match"):
        releaser.handler(event, Context())
    assert releases.asked == []


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"sweep": False},
        {"alias": "prod"},
        {"detail": {}},
        {"detail": []},
        {"detail": {"object": "x"}},
        {"detail": {"object": {"key": 7}}},
        {"function": 7},
        {"model": ["fraud"]},
        {"function": "acme-fraud", "alias": {}, "model": [1]},
        {"requestPayload": {"shearling": "stage"}, "responsePayload": None},
    ],
    ids=str,
)
def test_an_unknown_event_is_an_error(releases: Releases, event: dict[str, Any]) -> None:
    with pytest.raises(ReleaseError, match="not a request to release"):
        releaser.handler(event, Context())
    assert releases.asked == []


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:lambda:us-east-1:000000000000:function:acme_releaser",
        "arn:aws:lambda:eu-west-1:111111111111:function:acme_releaser",
    ],
)
def test_functions_of_a_releaser_of_the_same_name_elsewhere_are_ignored(
    releases: Releases, arn: str
) -> None:
    assert releaser.handler({"sweep": True}, Context(invoked_function_arn=arn)) == {"results": []}
    assert releases.asked == []


def test_the_results_have_the_outcome_of_each_alias(releases: Releases) -> None:
    answer = releaser.handler({"function": "acme-fraud", "alias": "prod"}, Context())
    assert json.loads(json.dumps(answer)) == {
        "results": [
            {
                "function": "acme-fraud",
                "alias": "prod",
                "outcome": "released",
                "version": 2,
                "lambda_version": "",
                "reason": "",
                "note": "",
            }
        ]
    }
    assert releases.options[0]["patience_seconds"] == pytest.approx(590, abs=5)


@pytest.mark.parametrize("failure", ["failed", ReleaseError("out of wool"), OSError("out of wool")])
def test_a_failure_does_not_stop_other_aliases_and_is_raised_at_the_end(
    releases: Releases, failure: str | Exception
) -> None:
    releases.outcomes = {"acme-fraud:prod": failure}
    with pytest.raises(ReleaseError, match=r"acme-fraud:prod: .*out of wool.*shearling rollback"):
        releaser.handler({"function": "acme-fraud"}, Context())
    assert releases.asked == [("acme-fraud", "prod"), ("acme-fraud", "staging")]


def test_a_failed_apply_has_the_next_step(releases: Releases) -> None:
    releases.outcomes = {"acme-fraud:prod": "failed"}
    with pytest.raises(
        ReleaseError, match=r"previous versions\. To recover, fix the change and apply again"
    ):
        releaser.handler({"function": "acme-fraud"}, Context())
    with pytest.raises(ReleaseError, match=r"previous versions\. To recover, roll back"):
        releaser.handler({"function": "acme-fraud", "alias": "prod"}, Context())


@pytest.mark.parametrize("action", ["create", "update"])
def test_the_guard_refuses_nothing_but_a_destroy(releases: Releases, action: str) -> None:
    guard = {"shearling": "guard", "force_destroy": False, "tf": {"action": action}}
    assert releaser.handler(guard, Context()) == {}
    assert releases.asked == []


def test_the_guard_refuses_a_destroy_while_the_registry_has_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REGISTRY_VARIABLE, str(tmp_path / "registry"))
    guard = {"shearling": "guard", "force_destroy": False, "tf": {"action": "delete"}}
    assert releaser.handler(guard, Context()) == {}
    scaling_bundle(tmp_path).publish(str(tmp_path / "registry"))
    with pytest.raises(RegistryError, match=r"the registry has models \(fraud\), and its bucket"):
        releaser.handler(guard, Context())
    assert releaser.handler(guard | {"force_destroy": True}, Context()) == {}


def test_a_result_of_the_stager_raises_no_error_for_other_aliases(
    releases: Releases,
) -> None:
    request = {"shearling": "stage", "pin": pin(2), "function": "acme-fraud", "alias": "prod"}
    event = {"requestPayload": request, "responsePayload": {"outcome": "staged"}}
    releases.outcomes = {"acme-fraud:staging": "failed"}
    results = releaser.handler(event, Context())["results"]
    assert [it["outcome"] for it in results] == ["released", "failed"]
    releases.outcomes = {"acme-fraud:prod": "failed"}
    with pytest.raises(ReleaseError, match="acme-fraud:prod: out of wool"):
        releaser.handler(event, Context())


@pytest.mark.parametrize("is_scheduled", [True, False])
def test_a_result_of_the_stager_for_a_function_that_is_gone_is_no_error(
    releases: Releases, *, is_scheduled: bool
) -> None:
    request = {"shearling": "stage", "pin": pin(2), "function": "acme-gone", "alias": "prod"}
    event = {
        "requestPayload": request | {"sweep": is_scheduled},
        "responsePayload": {"outcome": "staged"},
    }
    assert releaser.handler(event, Context()) == {"results": []}
    assert releases.asked == []


def test_the_schedule_reports_failures_and_raises_no_error(releases: Releases) -> None:
    releases.outcomes = {"acme-fraud:prod": "failed"}
    results = releaser.handler({"sweep": True}, Context())["results"]
    told = {(it["function"], it["alias"]): it["outcome"] for it in results}
    assert told["acme-fraud", "prod"] == "failed"
    assert told["acme-fraud", "staging"] == "released"


def test_a_release_with_a_note_succeeds_and_still_raises_the_alarm(
    releases: Releases, capfd: pytest.CaptureFixture[str]
) -> None:
    releases.note = "version 3 failed"
    results = releaser.handler({"function": "acme-fraud"}, Context())["results"]
    assert [it["note"] for it in results] == ["version 3 failed"] * 2
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(it["ReleaseFailed"], it["reason"]) for it in lines] == [(1, "version 3 failed")] * 2


def test_nothing_is_started_without_time_left(releases: Releases) -> None:
    with pytest.raises(ReleaseError, match="no time left"):
        releaser.handler({"function": "acme-fraud"}, Context(seconds=9))
    assert releases.asked == []


def test_each_alias_is_one_log_line_with_metrics(
    releases: Releases, capfd: pytest.CaptureFixture[str]
) -> None:
    releases.outcomes = {"acme-fraud:staging": "failed"}
    with pytest.raises(ReleaseError):
        releaser.handler({"function": "acme-fraud"}, Context())
    prod, staging = map(json.loads, capfd.readouterr().out.splitlines())
    assert (prod["function_name"], prod["alias"], prod["outcome"]) == (
        "acme-fraud",
        "prod",
        "released",
    )
    assert (prod["Released"], prod["ReleaseFailed"]) == (1, 0)
    assert prod["ReleaseSeconds"] >= 0
    assert (staging["ReleaseFailed"], staging["reason"]) == (1, "out of wool")
    assert "Released" not in staging
    for line in (prod, staging):
        [metrics] = line["_aws"]["CloudWatchMetrics"]
        assert metrics["Namespace"] == "Shearling"
        assert metrics["Dimensions"] == [["function_name", "alias"]]
        assert all(metric["Name"] in line for metric in metrics["Metrics"])


def test_the_traceback_of_an_unexpected_error_is_logged(
    releases: Releases, capfd: pytest.CaptureFixture[str]
) -> None:
    releases.outcomes = {"acme-fraud:prod": KeyError("surprise")}
    with pytest.raises(ReleaseError):
        releaser.handler({"function": "acme-fraud", "alias": "prod"}, Context())
    assert "Traceback" in capfd.readouterr().out


def test_a_denial_of_a_new_role_by_the_registry_is_retried(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    denials = [StoreError("cannot list deployments: access denied", denied=True)] * 3
    names = Store.names

    def denied(store: Store, prefix: str) -> list[str]:
        if denials:
            raise denials.pop()
        return names(store, prefix)

    monkeypatch.setattr(Store, "names", denied)
    monkeypatch.setattr(Clock, "pause", lambda *_: None)
    releaser.handler({"function": "acme-fraud"}, Context())
    assert (denials, len(releases.asked)) == ([], 2)


def test_an_event_moves_the_alias_of_a_function(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeLambda(check=passing)
    fake.publish_version()
    fake.create_alias("prod", "1")
    monkeypatch.setattr(releaser, "_client", lambda _: fake.client)
    registry.set_alias("fraud", "prod", 2)
    key = "models/fraud/aliases/prod/0000000001.json"
    [result] = releaser.handler(s3_event(key), Context())["results"]
    assert (result["outcome"], result["version"]) == ("released", 2)
    assert fake.shown("prod") == pin(2)


def test_a_request_of_the_planner_publishes_a_version_and_releases_nothing(
    registry: Registry, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def publish(_: object, __: Registry, deployment: Deployment, pin: Pin, **more: Any) -> str:
        assert more["patience_seconds"] < 600
        asked.append((deployment.function, str(pin)))
        return "7"

    monkeypatch.setattr(releaser, "publish_pin", publish)
    event = {"shearling": "publish", "function": "acme-fraud", "pin": pin(1)}
    assert registry
    assert releaser.handler(event, Context()) == {"lambda_version": "7"}
    assert asked == [("acme-fraud", pin(1))]
    assert not releases.asked


@pytest.mark.usefixtures("releases")
@pytest.mark.parametrize("function", ["other-fraud", "fraud", None])
def test_a_version_of_another_stacks_function_is_not_published(function: str | None) -> None:
    event = {"shearling": "publish", "function": function, "pin": pin(1)}
    with pytest.raises(ReleaseError, match="no deployed function is called"):
        releaser.handler(event, Context())
