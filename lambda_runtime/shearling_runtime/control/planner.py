"""The planner function: begins and ends the batch runs of a state machine."""

from __future__ import annotations

import os
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from shearling.batches.finisher import finish
from shearling.batches.places import Places, output_place
from shearling.batches.planner import plan, read_plan
from shearling.batches.run_document import RunDocument
from shearling.errors import InvalidRequestError, ReleaseError
from shearling.lambda_api import lambda_client
from shearling.refs import Pin, nearest
from shearling.registry.registry import REGISTRY_VARIABLE, Registry
from shearling.registry.run_log import RunLog
from shearling.release.clock import Clock
from shearling.release.lambda_function import LambdaFunction
from shearling.release.run_version import concurrency_for_runs, pinned_version, served_version
from shearling_runtime.telemetry import cut, log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_lambda import LambdaClient

    from shearling.batches.plan_document import Plan
    from shearling.batches.run_result import RunResult
    from shearling.registry.records import Deployment
    from shearling.release.function_configuration import FunctionConfiguration

RELEASER_VARIABLE = "SHEARLING_RELEASER"
CONCURRENCY_VARIABLE = "SHEARLING_BATCH_CONCURRENCY"

#: Maximum characters of a reason: Step Functions takes 32,768 for a cause.
_REASON = 2000

_CLOCK = Clock()


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Plan a run, or say what became of it.

    Raises:
        ShearlingError: the run cannot begin, or its end cannot be written; the execution fails
            with the class and the message of the error.
    """
    steps = {"plan": _plan, "finish": _finish}
    step = steps.get(str(event.get("shearling")))
    if step is None:
        raise InvalidRequestError('shearling: expected "plan" or "finish"')
    answer = step(event, context)
    log("batch", step=event["shearling"], request_id=context.aws_request_id, **answer)
    return answer


def _plan(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    run = RunDocument.from_document(event.get("run"))
    registry, places = _registry(os.environ.get(REGISTRY_VARIABLE, "")), Places()
    deployment = _deployment(registry, run, context)
    end = _CLOCK.now() + context.get_remaining_time_in_millis() / 1000
    client = _client(deployment.region)
    function, releaser = (
        LambdaFunction(client, name, _CLOCK, end)
        for name in (deployment.function, deployment.releaser)
    )
    version = _version(run, read_plan(run, places), registry, function, releaser)
    record = RunLog(registry.store, deployment).start(
        str(event.get("execution")),
        datetime.fromisoformat(str(event.get("began"))),
        Pin.parse(version.pin),
        version.number,
    )
    function.version(version.number)  # deleted before the record that keeps it: begin again
    planned = plan(
        run,
        places,
        pin=version.pin,
        function=_arn(context, deployment.function, version.number),
        memory_mb=version.memory_mb,
    )
    place = output_place(run.output)
    most = int(os.environ.get(CONCURRENCY_VARIABLE) or run.max_concurrency)
    return {
        "bucket": place.bucket,
        "folder": f"{place.key}_run/",
        "function_arn": planned.function,
        "max_concurrency": concurrency_for_runs(function, min(run.max_concurrency, most)),
        "tolerated_failure_percentage": run.tolerated_failure_percentage,
        "parts": planned.parts,
        "record": record,
    }


def _finish(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    run = RunDocument.from_document(event.get("run"))
    state = event.get("state") or {}
    result = finish(run, Places())
    registry = _registry(os.environ.get(REGISTRY_VARIABLE, ""))
    RunLog(registry.store, _deployment(registry, run, context)).end(
        state["plan"]["record"], result.status
    )
    return {"status": result.status, "reason": _reason(result, state.get("failure"))}


def _reason(result: RunResult, stopped: Mapping[str, Any] | None) -> str:
    """Return why a run failed, in a sentence; empty if it succeeded."""
    if result.status == "succeeded":
        return ""
    reason = f"{result.failed:,} of {result.parts:,} parts have no result"
    if result.failures:
        first = result.failures[0]
        reason += f". The first is of {first.source}: {first.message}"
    if stopped:
        reason += f". The map ended with {stopped.get('Error')}: {stopped.get('Cause')}"
    return cut(reason, _REASON)


def _version(
    run: RunDocument,
    found: Plan | None,
    registry: Registry,
    function: LambdaFunction,
    releaser: LambdaFunction,
) -> FunctionConfiguration:
    """Return the version of the function that answers all parts.

    Args:
        run: what the run is asked for.
        found: the plan of an earlier attempt, whose parts another model must not continue.
        registry: the registry with the model.
        function: the function.
        releaser: its releaser.
    """
    if found is not None:
        number = found.function.rpartition(":")[2]
        return pinned_version(function, releaser, Pin.parse(found.pin), number)
    if run.version is None:
        return served_version(function, run.alias)
    return pinned_version(function, releaser, registry.resolve(f"{run.model}:{run.version}"))


def _deployment(registry: Registry, run: RunDocument, context: Any) -> Deployment:
    """Return the function of this stack that scores a run.

    Raises:
        ReleaseError: the stack has no such function.
    """
    _, _, _, region, account, *_ = context.invoked_function_arn.split(":")
    ours = (os.environ.get(RELEASER_VARIABLE, ""), region, account)
    found = [
        deployment
        for deployment in registry.release_log.deployments()
        if deployment.batch and (deployment.releaser, deployment.region, deployment.account) == ours
    ]
    for deployment in found:
        if deployment.model == run.model:
            return deployment
    known = nearest(run.model, sorted(deployment.model for deployment in found))
    raise ReleaseError(
        f"model: runs of this stack use the models {known}, not {run.model}. Add it to "
        "Terraform's batch.models"
    )


def _arn(context: Any, function: str, version: str) -> str:
    """Return the ARN of a version of a function, which is beside this one."""
    place, _, _ = context.invoked_function_arn.partition(":function:")
    return f"{place}:function:{function}:{version}"


@cache
def _registry(uri: str) -> Registry:
    return Registry(uri)


@cache
def _client(region: str) -> LambdaClient:
    return lambda_client(region)
