"""Endpoints that nothing uses any more are deleted, and no others."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from shearling.errors import ReleaseError
from shearling.refs import Pin
from shearling.registry.run_log import RunLog
from shearling.release.endpoints.removal_mark import new_mark, time_text
from shearling.release.staging import BeingStagedError
from shearling.release.trigger import Trigger
from tests.support.endpoints import EndpointStage
from tests.support.fake_lambda import refusal
from tests.support.releases import failing, once, pin

MODELS = "arn:aws:sagemaker:eu-west-1:000000000000:model"


@pytest.fixture
def stage() -> EndpointStage:
    return EndpointStage()


def test_an_endpoint_is_kept_for_a_while_and_then_deleted(stage: EndpointStage) -> None:
    stage.serve(1)
    before = stage.shown_endpoint()
    stage.serve(2)
    stage.sweep()
    stage.sweep(minutes=29)
    assert stage.sagemaker.status(before) == "InService"
    stage.sweep(minutes=2)
    assert stage.sagemaker.status(before) == "Deleting"
    stage.sweep()
    assert stage.sagemaker.names == {stage.shown_endpoint()}


def test_terraform_says_how_long_an_endpoint_is_kept(stage: EndpointStage) -> None:
    stage.configure(keep_minutes=120)
    stage.serve(1)
    before = stage.shown_endpoint()
    stage.serve(2)
    stage.sweep()
    stage.sweep(minutes=119)
    assert stage.sagemaker.status(before) == "InService"
    stage.sweep(minutes=2)
    assert stage.sagemaker.status(before) == "Deleting"


def test_an_endpoint_behind_any_alias_is_kept(stage: EndpointStage) -> None:
    stage.serve(1, "staging")
    stage.serve(1)
    stage.serve(2)
    stage.remove_unused()
    assert stage.sagemaker.names == {stage.shown_endpoint(), stage.shown_endpoint("staging")}


def test_the_endpoint_of_a_canary_is_kept(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.name(1, canary={"version": 2, "percent": 10})
    stage.finish()
    stage.remove_unused()
    assert stage.sagemaker.names == {stage.endpoint(1), stage.endpoint(2)}


def test_the_endpoint_of_a_release_that_is_under_way_is_kept(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.name(2)
    stage.release()
    stage.remove_unused()
    assert stage.sagemaker.names == {stage.endpoint(1), stage.endpoint(2)}


def test_the_endpoint_of_a_version_that_failed_its_check_is_deleted(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.fake.check = failing(passed=False)
    stage.name(2)
    stage.release()
    stage.sagemaker.finish()
    assert stage.release().outcome == "failed"
    stage.remove_unused()
    assert stage.sagemaker.names == {stage.shown_endpoint()}
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "failed"
    assert stage.sagemaker.names == {stage.shown_endpoint()}


def test_a_failed_endpoint_is_deleted(stage: EndpointStage) -> None:
    stage.sagemaker.failure = lambda _: "It crashed."
    stage.name(2)
    stage.release()
    stage.sagemaker.finish()
    assert stage.release().outcome == "failed"
    stage.remove_unused()
    assert stage.sagemaker.names == set()


def test_what_a_stopped_releaser_made_for_an_old_entry_is_deleted(stage: EndpointStage) -> None:
    stage.name(2)

    def stop(operation: str) -> None:
        if operation == "CreateEndpoint":
            raise KeyboardInterrupt

    stage.sagemaker.before = stop
    with pytest.raises(KeyboardInterrupt):
        stage.release()
    stage.sagemaker.before = len
    stage.serve(1)
    stage.remove_unused()
    assert stage.sagemaker.names == {stage.shown_endpoint()}


def test_the_endpoint_of_a_batch_run_is_kept_until_the_run_ends(stage: EndpointStage) -> None:
    stage.serve(1)
    runs = RunLog(stage.registry.store, stage.deployment)
    number = stage.fake.aliases["prod"]["FunctionVersion"]
    run = runs.start("run-7", stage.fake.time.date(), Pin.parse(pin(1)), number)
    stage.serve(2)
    stage.remove_unused()
    assert stage.sagemaker.names == {stage.endpoint(1), stage.endpoint(2)}
    runs.end(run, "succeeded")
    stage.remove_unused()
    assert stage.sagemaker.names == {stage.endpoint(2)}


def test_a_batch_run_that_is_started_again_gets_its_endpoint_again(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.serve(2)
    stage.remove_unused()
    with pytest.raises(BeingStagedError, match="is Creating"):
        stage.publish(1)
    stage.sagemaker.finish()
    assert stage.endpoint_of(stage.publish(1)) == stage.endpoint(1)


def test_a_rollback_makes_a_deleted_endpoint_again(stage: EndpointStage) -> None:
    stage.serve(1)
    before = stage.shown_endpoint()
    stage.serve(2)
    stage.remove_unused()
    stage.serve(1)
    assert stage.shown_endpoint() == before
    assert stage.sagemaker.status(before) == "InService"
    assert stage.fake.shown("prod") == pin(1)


def test_a_rollback_before_that_needs_no_new_endpoint(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.serve(2)
    stage.sweep()
    stage.name(1)
    assert stage.release().outcome == "released"
    stage.remove_unused()
    assert stage.sagemaker.names == {stage.endpoint(1)}


def test_the_time_begins_anew_when_an_endpoint_was_used_meanwhile(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.serve(2)
    stage.sweep()
    stage.serve(1)
    stage.sweep(minutes=20)
    stage.serve(2)
    stage.sweep()
    stage.sweep(minutes=20)
    assert stage.sagemaker.status(stage.endpoint(1)) == "InService"


def test_the_lambda_versions_of_a_deleted_endpoint_are_deleted(stage: EndpointStage) -> None:
    stage.serve(1)
    number = stage.fake.aliases["prod"]["FunctionVersion"]
    stage.serve(2)
    stage.remove_unused()
    assert number in stage.fake.deleted


def test_endpoints_that_terraform_turned_off_are_deleted(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.turn_off()
    stage.sweep()
    stage.sweep(minutes=31)
    assert stage.sagemaker.status(stage.shown_endpoint()) == "InService"
    assert stage.release().outcome == "released"
    stage.remove_unused()
    assert stage.sagemaker.names == set()


def test_endpoints_of_a_deployment_that_is_gone_are_deleted(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.registry.store.delete(f"deployments/{stage.deployment.key}.json")
    stage.fake.refusals["ListAliases"] = [refusal("ResourceNotFoundException")] * 99
    stage.fake.refusals["ListVersionsByFunction"] = [refusal("ResourceNotFoundException")] * 99
    stage.remove_unused()
    assert stage.sagemaker.names == set()


def test_endpoints_behind_a_function_whose_record_is_lost_are_kept(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.registry.store.write(f"deployments/{stage.deployment.key}.json", b"{")
    stage.remove_unused()
    assert stage.sagemaker.status(stage.shown_endpoint()) == "InService"


def test_a_failure_with_one_endpoint_does_not_stop_the_removal_of_others(
    stage: EndpointStage,
) -> None:
    for version in (1, 2, 3):
        stage.serve(version)
    stage.sagemaker.refusals["AddTags"] = [refusal("ValidationException", "too many tags")]
    stage.sweep()
    stage.sweep(minutes=31)
    names = (stage.endpoint(1), stage.endpoint(2))
    assert [stage.sagemaker.status(name) for name in names] == ["InService", "Deleting"]


def test_nothing_of_others_is_deleted(stage: EndpointStage) -> None:
    stage.serve(1)
    sagemaker = stage.sagemaker.clients.sagemaker
    names = ["acme-fraud-0a1b2c3d", "acme-fraud", "theirs-0a1b2c3d", "theirs-0a1b2c3e"]
    for name in names:
        sagemaker.create_model(
            ModelName=name, Tags=[{"Key": "shearling:releaser", "Value": "other_releaser"}]
        )
    stage.remove_unused()
    assert stage.sagemaker.names == {*names, stage.shown_endpoint()}


def test_scaling_is_removed_with_its_endpoint(stage: EndpointStage) -> None:
    stage.configure(instances={"min": 1, "max": 4, "target": 600})
    stage.serve(1)
    stage.serve(2)
    stage.remove_unused()
    assert [*stage.sagemaker.targets] == [f"endpoint/{stage.endpoint(2)}/variant/AllTraffic"]


def test_what_cannot_be_deleted_now_is_deleted_later(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.serve(2)
    stage.sagemaker.refusals["DeleteEndpoint"] = [refusal("InternalFailure")] * 999
    stage.remove_unused()
    assert stage.sagemaker.status(stage.endpoint(1)) == "InService"
    stage.sagemaker.refusals.clear()
    stage.remove_unused()
    assert stage.sagemaker.names == {stage.endpoint(2)}


# Removals while releases are under way


@pytest.mark.parametrize("operation", ["AddTags", "ListTags", "DescribeEndpoint", "DeleteEndpoint"])
def test_an_alias_that_returns_to_an_endpoint_during_its_removal_serves_afterwards(
    stage: EndpointStage, operation: str
) -> None:
    stage.serve(1)
    stage.serve(2)
    stage.sweep()
    stage.sagemaker.before = once(operation, partial(_return_to, stage))
    stage.sweep(minutes=31)
    stage.finish()
    assert stage.fake.shown("prod") == pin(1)
    assert stage.sagemaker.status(stage.shown_endpoint()) == "InService"


def _return_to(stage: EndpointStage) -> None:
    stage.name(1)
    stage.release()


def test_a_removal_reads_again_what_needs_the_endpoint(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.serve(2)
    stage.sweep()
    stage.sagemaker.before = once("AddTags", partial(stage.name, 1))
    stage.sweep(minutes=31)
    assert "DeleteEndpoint" not in stage.sagemaker.calls


def test_a_release_waits_for_a_removal_that_begins_before_a_lambda_version_names_the_endpoint(
    stage: EndpointStage,
) -> None:
    stage.name(1)
    stage.release()
    stage.sagemaker.finish()
    now = time_text(stage.fake.time.date())
    tags = stage.sagemaker.tags[f"{MODELS}/{stage.endpoint(1)}"]
    stage.fake.before = once("PublishVersion", partial(tags.update, {new_mark(): now}))
    assert stage.release().outcome == "staging"
    assert stage.fake.shown("prod") == ""


def test_a_release_waits_for_a_removal_that_has_begun(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.serve(2)
    stage.sweep()
    outcomes = []

    def release(operation: str) -> None:
        if operation == "DeleteEndpoint":
            stage.sagemaker.before = len
            stage.name(1)
            outcomes.append(stage.release())

    stage.sagemaker.before = release
    stage.sweep(minutes=31)
    name = stage.endpoint(1)
    assert [it.reason for it in outcomes] == [
        f"endpoint {name} is being deleted: it is made again afterwards"
    ]


def test_a_removal_that_was_stopped_does_not_hold_up_a_release_for_long(
    stage: EndpointStage,
) -> None:
    stage.serve(1)
    stage.serve(2)
    stage.sweep()

    def stop(operation: str) -> None:
        if operation in ("DeleteEndpoint", "DeleteTags"):
            raise KeyboardInterrupt

    stage.sagemaker.before = stop
    with pytest.raises(KeyboardInterrupt):
        stage.sweep(minutes=31)
    stage.sagemaker.before = len
    stage.name(1)
    assert stage.release().outcome == "staging"
    stage.fake.time.seconds += 20 * 60
    assert stage.release().outcome == "released"


# Destruction


def _remove_all(stage: EndpointStage, *, seconds: float = 600) -> None:
    stage.sweeper(seconds).remove_all()


def test_destroy_deletes_every_endpoint_and_waits_for_it(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.serve(2)
    stage.destroy()
    _remove_all(stage)
    assert stage.sagemaker.names == set()


def test_destroy_waits_until_terraform_has_destroyed_the_deployment(stage: EndpointStage) -> None:
    """Terraform deletes the record at the same time."""
    stage.serve(1)
    name, lists = stage.endpoint(1), []

    def destroy_later(call: str) -> None:
        lists.append(call == "ListModels")
        if sum(lists) == 3:
            assert stage.sagemaker.status(name) == "InService"
            stage.destroy()

    stage.sagemaker.before = destroy_later
    _remove_all(stage)
    assert stage.sagemaker.names == set()


def test_destroy_leaves_the_endpoints_of_other_releasers(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.destroy()
    replace(stage.sweeper(600), releaser="beta_releaser").remove_all()
    assert stage.sagemaker.names == {stage.endpoint(1)}


def test_destroy_waits_for_an_endpoint_that_is_still_being_made(stage: EndpointStage) -> None:
    stage.sagemaker.settle = 8
    stage.name(1)
    stage.release()
    stage.destroy()
    _remove_all(stage)
    assert stage.sagemaker.names == set()


def test_destroy_says_what_is_left(stage: EndpointStage) -> None:
    stage.sagemaker.settle = 9999
    stage.name(1)
    stage.release()
    name = stage.endpoint(1)
    stage.destroy()
    with pytest.raises(ReleaseError, match=f"not deleted yet: {name}.*Apply again in some minutes"):
        _remove_all(stage, seconds=60)


def test_an_endpoint_of_a_function_that_has_endpoints_stays(stage: EndpointStage) -> None:
    stage.serve(1)
    name = stage.endpoint(1)
    with pytest.raises(ReleaseError, match=f"still needed: {name}"):
        _remove_all(stage)
    assert stage.sagemaker.status(name) == "InService"


def test_turning_endpoints_off_deletes_what_no_alias_serves(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.turn_off()
    stage.release()
    _remove_all(stage)
    assert stage.sagemaker.names == set()


def test_turning_endpoints_off_waits_for_the_release_without_them(stage: EndpointStage) -> None:
    """Terraform releases the aliases at the same time."""
    stage.serve(1)
    stage.turn_off()
    lists = []

    def release_later(call: str) -> None:
        lists.append(call == "ListModels")
        if sum(lists) == 3:
            stage.release()

    stage.sagemaker.before = release_later
    _remove_all(stage)
    assert stage.sagemaker.names == set()
    assert stage.shown_endpoint() == ""


def test_turning_endpoints_off_does_not_delete_what_an_alias_serves(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.turn_off()
    with pytest.raises(ReleaseError, match=r"still needed: .*why an alias still serves from one"):
        _remove_all(stage)
    assert stage.sagemaker.status(stage.shown_endpoint()) == "InService"
    assert stage.fake.time.seconds < 600
