"""Releases on functions with a mounted file system, and bundles that do not fit a function."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shearling.aliases.waiting import wait_for_release
from shearling.bundle.canonical_json import canonical_json
from shearling.cli import main
from shearling.errors import ReleaseError
from shearling.release.staging import Staging, prune
from shearling.release.trigger import Trigger
from shearling_runtime.control.release_request import Request
from tests.support.fake_lambda import refusal
from tests.support.releases import MOUNT, Stage, deploy, mounted_stage, pin, publish_sized

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shearling.release.clock import Clock

MIB = 2**20


@pytest.fixture
def stage() -> Stage:
    """A function with an empty file system."""
    return mounted_stage()


def over(started: dict[str, Any], answer: object) -> Staging:
    """Read Lambda's event about a finished invocation of the stager."""
    event = {
        "version": "1.0",
        "requestContext": {"condition": "Success"},
        "requestPayload": started,
        "responsePayload": answer,
    }
    staging = Request.read(event).staging
    assert staging
    return staging


def ended(stage: Stage, started: dict[str, Any], answer: dict[str, Any]) -> Staging:
    """Let a stager end, so that both Lambda and the stager itself tell of it."""
    stage.fake.stager = lambda _: {"staged": False, "last": answer}
    return over(started, answer)


# Staging


def test_a_bundle_that_is_not_on_the_file_system_is_staged_and_nothing_is_published(
    stage: Stage,
) -> None:
    stage.name(2)
    outcome = stage.release()
    assert outcome.outcome == "staging"
    [request] = stage.fake.started
    assert request == {
        "shearling": "stage",
        "pin": pin(2),
        "function": "acme-fraud",
        "alias": "prod",
        "sweep": False,
    }
    assert "PublishVersion" not in stage.fake.calls
    assert [record.outcome for record in stage.records()] == ["staging"]
    assert stage.fake.moves == []


def test_when_the_stager_is_done_the_release_continues(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    stage.fake.stager = lambda _: {"staged": True}
    staging = over(stage.fake.started[0], {"outcome": "staged"})
    assert stage.release(staging=staging).outcome == "released"
    assert stage.fake.shown("prod") == pin(2)


def test_when_the_stagers_result_is_lost_the_next_scheduled_run_continues(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    stage.fake.stager = lambda _: {"staged": True}
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "released"


def test_when_the_stager_was_stopped_the_next_scheduled_run_starts_it_again(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    staging = ended(stage, stage.fake.started[0], {"outcome": "unfinished", "reason": "no time"})
    assert stage.release(staging=staging).outcome == "staging"
    assert len(stage.fake.started) == 1
    stage.release(trigger=Trigger.SCHEDULE)
    assert len(stage.fake.started) == 2


def test_a_stager_that_fails_fails_the_release_and_the_old_version_stays_served(
    stage: Stage,
) -> None:
    stage.fake.stager = lambda _: {"staged": True}
    stage.name(1)
    stage.release()
    stage.fake.stager = lambda _: {"staged": False}
    stage.name(2)
    stage.release()
    staging = ended(
        stage, stage.fake.started[0], {"outcome": "failed", "reason": "the file system is full"}
    )
    outcome = stage.release(staging=staging)
    assert (outcome.outcome, outcome.reason) == ("failed", "the file system is full")
    assert stage.fake.shown("prod") == pin(1)
    assert stage.records()[-1].reason == "the file system is full"


def test_a_failure_that_may_pass_is_retried_by_every_scheduled_run_and_recorded_once(
    stage: Stage,
) -> None:
    stage.name(2)
    stage.release()
    failed = {"outcome": "failed", "reason": "the file system is full"}
    stage.release(staging=ended(stage, stage.fake.started[0], failed))
    for free in range(3):
        stage.release(trigger=Trigger.SCHEDULE)
        request = stage.fake.started[-1]
        assert request["sweep"] is True
        failed["reason"] = f"the file system is full: {free} MB free"
        stage.release(trigger=Trigger.SCHEDULE, staging=ended(stage, request, failed))
    assert [record.outcome for record in stage.records()] == ["staging", "failed"]
    assert len(stage.fake.started) == 4


def later(stage: Stage, **duration: int) -> Clock:
    """Return a clock that is this much ahead of the release records."""
    date = datetime.now(UTC) + timedelta(**duration)
    return dataclasses.replace(stage.fake.time.clock, date=lambda: date)


def test_endless_staging_fails_until_the_bundle_is_staged(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    cut_off = {"outcome": "unfinished", "reason": "the stager ran out of time"}
    stage.release(staging=ended(stage, stage.fake.started[-1], cut_off))
    young = stage.release(trigger=Trigger.SCHEDULE, clock=later(stage, minutes=59))
    assert young.outcome == "staging"
    for hours in (2, 3):
        old = stage.release(trigger=Trigger.SCHEDULE, clock=later(stage, hours=hours))
        assert old.outcome == "failed"
        assert "was not copied to the function's file system within 60 minutes" in old.reason
        assert "/aws/lambda/acme_stager" in old.reason
    assert [it.outcome for it in stage.records()] == ["staging", "staging", "failed"]
    assert len(stage.fake.started) == 4
    stage.fake.stager = lambda _: {"staged": True}
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "released"


def test_the_hour_begins_with_the_first_of_several_attempts(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    cut_off = {"outcome": "unfinished", "reason": "the stager ran out of time"}
    stage.release(staging=ended(stage, stage.fake.started[-1], cut_off))
    key = f"releases/{stage.deployment.key}/prod/0000000001.json"
    first = json.loads(stage.registry.store.read(key) or b"")
    first["created"] = (datetime.now(UTC) - timedelta(hours=2)).isoformat(timespec="milliseconds")
    stage.registry.store.write(key, canonical_json(first))
    assert stage.release(trigger=Trigger.SCHEDULE, clock=later(stage)).outcome == "failed"


def test_a_person_who_tries_again_waits_for_a_new_hour(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    stage.release(trigger=Trigger.SCHEDULE, clock=later(stage, hours=2))
    assert stage.records()[-1].outcome == "failed"
    assert stage.release(clock=later(stage, hours=3)).outcome == "staging"
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "staging"


def test_a_failure_stays_while_the_schedule_stages_the_bundle_again(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    failed = {"outcome": "failed", "reason": "the file system is full"}
    stage.release(staging=ended(stage, stage.fake.started[0], failed))
    outcome = stage.release(trigger=Trigger.SCHEDULE)
    assert (outcome.outcome, outcome.reason) == ("failed", "the file system is full")
    assert len(stage.fake.started) == 2


def test_a_final_failure_is_retried_only_on_request(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    changed = {"outcome": "failed", "reason": "a blob changed", "is_final": True}
    stage.release(staging=ended(stage, stage.fake.started[0], changed))
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "failed"
    assert len(stage.fake.started) == 1
    assert stage.release().outcome == "staging"
    assert len(stage.fake.started) == 2


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({"errorMessage": "2026 1-2 Task timed out after 900.00 seconds"}, "staging"),
        ({"errorMessage": "RequestId: 1 Error: Runtime exited: signal: killed"}, "failed"),
        (None, "failed"),
    ],
)
def test_a_stager_that_ends_without_an_answer_is_heard_of_too(
    stage: Stage, answer: object, outcome: str
) -> None:
    stage.name(2)
    stage.release()
    [request] = stage.fake.started
    cut_off = {"outcome": "unfinished", "reason": "cut off", "is_running": False}
    stage.fake.stager = lambda _: {"staged": False, "last": cut_off}
    staging = over(request, answer)
    assert (staging.pin, staging.function) == (pin(2), "acme-fraud")
    assert stage.release(staging=staging).outcome == outcome


@pytest.mark.parametrize(
    "forged",
    [
        {"outcome": "failed", "reason": "words of mine", "is_final": True},
        {"outcome": "unfinished", "reason": "words of mine"},
        {"outcome": "staged"},
        {"outcome": ["staged"]},
        {"errorMessage": "words of mine"},
        [[[]]],
        None,
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "last", [None, {"outcome": "unfinished", "reason": "cut off", "is_running": True}]
)
def test_a_forged_answer_of_the_stager_decides_nothing(
    stage: Stage, forged: object, last: dict[str, Any] | None
) -> None:
    stage.name(2)
    stage.release()
    stage.fake.stager = lambda _: {"staged": False, "last": last}
    outcome = stage.release(staging=over(stage.fake.started[0], forged))
    assert outcome.outcome == "staging"
    assert not any("words of mine" in record.reason for record in stage.records())
    stage.fake.stager = lambda _: {"staged": True}
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "released"


@pytest.mark.parametrize("field", ["pin", "function", "alias"])
@pytest.mark.parametrize("value", [None, 7, ["prod"], {}], ids=str)
def test_word_of_a_stager_that_names_nothing_is_no_request(field: str, value: object) -> None:
    request = {"shearling": "stage", "pin": pin(2), "function": "acme-fraud", "alias": "prod"}
    event = {"requestPayload": {**request, field: value}, "responsePayload": {"outcome": "staged"}}
    with pytest.raises(ReleaseError, match="not a request to release"):
        Request.read(event)


def test_a_result_for_another_bundle_changes_nothing(stage: Stage) -> None:
    stage.name(2)
    request = {"shearling": "stage", "pin": pin(1), "function": "acme-fraud", "alias": "prod"}
    failed = over(request, {"outcome": "failed", "reason": "of another"})
    assert stage.release(staging=failed).outcome == "staging"


def test_a_lost_mount_fails_the_release_with_lambda_s_message(stage: Stage) -> None:
    stage.name(2)
    lost = refusal("EFSMountFailureException", "could not mount")
    stage.fake.refusals["Invoke"] = [lost] * 1000
    outcome = stage.release()
    assert outcome.outcome == "failed"
    assert "could not mount" in outcome.reason
    assert stage.fake.moves == []


def test_an_alias_that_terraform_set_to_another_model_serves_none_while_its_own_is_staged(
    stage: Stage,
) -> None:
    stage.fake.stager = lambda _: {"staged": True}
    stage.name(1)
    stage.release()
    stage.fake.aliases["staging"]["FunctionVersion"] = stage.fake.aliases["prod"]["FunctionVersion"]
    stage.fake.stager = lambda _: {"staged": False}
    stage.name(2, "staging")
    assert stage.release("staging").outcome == "staging"
    assert stage.fake.shown("staging") == ""


def test_waiting_continues_while_the_bundle_is_staged(stage: Stage) -> None:
    entry = stage.registry.set_alias("fraud", "prod", 2)
    stage.release()
    looks: Iterator[None] = iter([None])

    def sleep(_: float) -> None:
        next(looks)
        stage.fake.stager = lambda _: {"staged": True}
        stage.release()

    wait_for_release(stage.registry, entry, sleep=sleep)


def test_without_a_stager_nothing_is_staged(stage: Stage) -> None:
    stage.deployment = deploy(stage.registry)
    stage.name(2)
    assert stage.release().outcome == "released"
    assert stage.fake.started == []


def test_a_stager_s_result_releases_its_alias_on_request_and_the_others_on_schedule() -> None:
    request = {"shearling": "stage", "pin": pin(2), "function": "acme-fraud", "alias": "prod"}
    read = Request.read({"requestPayload": request, "responsePayload": {"outcome": "staged"}})
    assert (read.function, read.alias) == ("acme-fraud", "")
    assert read.trigger_of("prod") is Trigger.REQUEST
    assert read.trigger_of("staging") is Trigger.SCHEDULE


# Prune


def test_prune_keeps_the_blobs_of_every_version_and_of_latest(stage: Stage, tmp_path: Path) -> None:
    pins = [publish_sized(stage, tmp_path, size) for size in (1000, 2000, 3000)]
    stage.fake.stager = lambda _: {"staged": True}
    for one in pins[:2]:
        stage.name(one.version)
        stage.release()
    asked: list[dict[str, Any]] = []

    def stager(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return {"blobs": [{"digest": "sha256:0", "size": 1, "state": "waiting", "since": "now"}]}

    stage.fake.stager = stager
    [row] = prune(lambda _: stage.fake.client, stage.registry, dry_run=True)
    assert row["file_system"] == MOUNT["Arn"]
    [request] = asked
    assert request["dry_run"] is True
    keep = set(request["keep"])
    hexes = [one.digest.removeprefix("sha256:") for one in pins]
    assert {hexes[0], hexes[1]} <= keep
    assert hexes[2] not in keep
    for one in pins[:2]:
        assert {file.hex for file in stage.registry.manifest(one).files} <= keep


def test_prune_removes_nothing_if_a_version_cannot_be_read(stage: Stage) -> None:
    stage.fake.latest["Environment"] = {"Error": {"ErrorCode": "AccessDenied", "Message": "no key"}}
    with pytest.raises(ReleaseError, match="cannot be read"):
        prune(lambda _: stage.fake.client, stage.registry)
    assert "Invoke" not in stage.fake.calls


def test_prune_fails_if_the_stager_does_not_exist(stage: Stage) -> None:
    stage.fake.refusals["Invoke"] = [refusal("ResourceNotFoundException", "gone", 404)]
    with pytest.raises(
        ReleaseError, match=r"stager .*acme_stager does not exist: run terraform apply"
    ):
        prune(lambda _: stage.fake.client, stage.registry)


def test_a_release_without_its_stager_is_undecided(stage: Stage) -> None:
    stage.name(2)
    stage.fake.refusals["Invoke"] = [refusal("ResourceNotFoundException", "gone", 404)]
    assert "stager acme_stager does not exist: run terraform apply" in stage.release().reason
    assert stage.records() == []


def test_prune_reports_why_the_stager_failed(stage: Stage) -> None:
    stage.fake.stager = lambda _: {"reason": "a bundle is being staged: try again later"}
    with pytest.raises(ReleaseError, match="try again later"):
        prune(lambda _: stage.fake.client, stage.registry)


def test_prune_removes_nothing_if_a_function_does_not_exist(stage: Stage) -> None:
    gone = refusal("ResourceNotFoundException", "no such function", 404)
    stage.fake.refusals["GetFunctionConfiguration"] = [gone]
    with pytest.raises(ReleaseError, match="the bundles that it needs are unknown"):
        prune(lambda _: stage.fake.client, stage.registry)
    assert "Invoke" not in stage.fake.calls


def test_the_command_shows_removed_and_waiting_blobs(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    since = "2026-01-01T12:00:00+00:00"
    blobs = [
        {"digest": f"sha256:{digit * 64}", "size": size, "state": state, "since": since}
        for digit, size, state in (("a", 2_000_000, "removed"), ("b", 3_000, "waiting"))
    ]
    asked: list[dict[str, Any]] = []

    def stager(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return {"blobs": blobs}

    stage.fake.stager = stager
    arguments = ["prune", "--registry", stage.registry.store.uri]
    assert main(arguments, lambda_client=lambda _: stage.fake.client) == 0
    shown = capfd.readouterr()
    assert re.search(r"sha256:a{64} +2\.0 MB +removed +2026-01-01 12:00", shown.out)
    assert "waiting: 1 blobs, 3.0 kB" in shown.err
    main([*arguments, "--dry-run", "--json"], lambda_client=lambda _: stage.fake.client)
    assert json.loads(capfd.readouterr().out)[0]["file_system"] == MOUNT["Arn"]
    assert [request["dry_run"] for request in asked] == [False, True]


def test_the_command_reports_if_all_blobs_are_needed(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    stage.fake.stager = lambda _: {"blobs": []}
    arguments = ["prune", "--registry", stage.registry.store.uri]
    assert main(arguments, lambda_client=lambda _: stage.fake.client) == 0
    assert "function versions need every blob" in capfd.readouterr().err


def test_the_command_reports_if_no_function_mounts_a_file_system(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["prune", "--dry-run", "--registry", str(tmp_path)]) == 0
    assert "no function of this registry mounts a file system" in capfd.readouterr().err
