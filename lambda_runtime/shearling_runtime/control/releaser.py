"""The releaser function: releases the aliases that an event names, and reports the outcomes."""

from __future__ import annotations

import os
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from shearling.errors import RegistryError, ReleaseError, ShearlingError
from shearling.lambda_api import lambda_client
from shearling.refs import Pin, nearest
from shearling.registry.records import FAILED, RELEASED
from shearling.registry.registry import REGISTRY_VARIABLE, Registry
from shearling.release.api_calls import RetryLaterError
from shearling.release.clock import Clock, Pace
from shearling.release.endpoints.clients import EndpointClients, endpoint_clients
from shearling.release.endpoints.sweep import EndpointSweep
from shearling.release.outcome import REMEDY, Outcome
from shearling.release.reconcile import release_alias
from shearling.release.recorded_outcomes import KnownReleases, RecordedOutcomes
from shearling.release.republish import PUBLISH, publish_pin
from shearling.release.trigger import Trigger
from shearling_runtime.control.deployment_record import record_deployment
from shearling_runtime.control.release_request import Request, prefix_of
from shearling_runtime.control.retrying_store import RetryingStore
from shearling_runtime.control.schedule import Schedule
from shearling_runtime.telemetry import Metrics, log_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_lambda import LambdaClient

    from shearling.registry.records import Deployment
    from shearling.storage.store import Store

#: Terraform's event when no function has endpoints any more: deletes those that are left.
_GUARD_ENDPOINTS = "guard_endpoints"

#: Time before the function's timeout that is reserved for recording the outcomes.
_MARGIN_SECONDS = 10.0

#: Time that a scheduled release gets at least; with less time left, none is begun.
_SHORTEST_RELEASE_SECONDS = 60.0

#: Calls to Lambda of a scheduled reconciliation. Lambda allows an account 15 a second for all calls
#: of its control plane, of which others need some.
_CALLS_PER_SECOND = 5.0

_CLOCK = Clock()

#: What earlier invocations of this sandbox read.
_KNOWN_RELEASES: KnownReleases = {}
_FOREIGN_MODELS: set[str] = set()

_UNITS = {"ReleaseFailed": "Count", "Released": "Count", "ReleaseSeconds": "Seconds"}


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Release the aliases that an event names.

    Raises:
        RegistryError: Terraform is about to destroy a registry with models.
        ReleaseError: Terraform is about to destroy the releaser, and an endpoint is left. Or a
            requested release failed, after all aliases were tried. Then `terraform
            apply` or the caller's command fails, or Lambda retries the event and sends it to the
            dead-letter queue. A recorded failure of an event is an answer and raises no error:
            another attempt would have the same result. Neither does a failure in a scheduled
            reconciliation: the next one retries it, and the metric ReleaseFailed is 1 until it
            succeeds.
    """
    task = event.get("shearling")
    if task == "guard":
        return _guard(event)
    end = _CLOCK.now() + context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS
    uri = os.environ.get(REGISTRY_VARIABLE, "")
    # The first apply, and one that adds a model, invoke this before new permissions are effective.
    if task == "deployment":
        record_deployment(RetryingStore(_store(uri), end), event)
        return {}
    is_task = task in (PUBLISH, _GUARD_ENDPOINTS)
    request = Request() if is_task else Request.read(event, prefix_of(uri))
    if request.is_ignored:
        return {"results": []}
    registry = Registry(store=RetryingStore(_store(uri), end))
    deployments = [
        deployment
        for deployment in registry.release_log.deployments()
        if _is_ours(deployment, context)
    ]
    if task == PUBLISH:
        return _publish(registry, deployments, event, end)
    sweep = partial(_sweep, registry, deployments, context, end)
    if task == _GUARD_ENDPOINTS:
        if event["tf"]["action"] == "delete":
            sweep().remove_all()
        return {}
    if request.is_scheduled:
        results = _reconcile(registry, request.aliases(deployments), end)
        if any(deployment.sagemaker for deployment in deployments):
            sweep().run()
    else:
        results = _release_requested(registry, request, deployments, end)
    return {"results": results}


def _release_requested(
    registry: Registry, request: Request, deployments: list[Deployment], end: float
) -> list[dict[str, Any]]:
    """Release the aliases that an event or a caller names."""
    outcomes = [
        _release(
            registry,
            deployment,
            alias,
            end,
            trigger=request.trigger_of(alias),
            staging=request.staging,
        )
        for deployment, alias in request.aliases(deployments)
    ]
    failures = [
        f"{outcome.function}:{outcome.alias}: {outcome.reason}"
        for outcome in outcomes
        if outcome.outcome == FAILED
        and request.trigger_of(outcome.alias) is not Trigger.SCHEDULE
        and (request.is_awaited or not outcome.is_recorded)
    ]
    if failures:
        remedy = f"fix the change and apply again, or {REMEDY}" if request.is_apply else REMEDY
        raise ReleaseError(
            f"{'; '.join(failures)}. Aliases still serve their previous versions. To recover, "
            f"{remedy}"
        )
    return [_result(outcome) for outcome in outcomes]


def _guard(event: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse that Terraform destroys the registry's bucket while it has models.

    Args:
        event: event of Terraform's destroy guard.

    Raises:
        RegistryError: the registry has models, and `force_destroy` is not set.
    """
    if event["tf"]["action"] != "delete" or event["force_destroy"]:
        return {}
    if models := Registry(os.environ.get(REGISTRY_VARIABLE, "")).models():
        raise RegistryError(
            f"the registry has models ({nearest('', models)}), and its bucket is about to be "
            "destroyed. Nothing has been destroyed yet. To destroy the models too, first apply "
            "registry = { force_destroy = true }"
        )
    return {}


def _publish(
    registry: Registry, deployments: list[Deployment], event: Mapping[str, Any], end: float
) -> dict[str, Any]:
    """Publish a Lambda version for a pin, which no alias serves: a batch run needs it.

    Raises:
        InvalidRefError: the event has no pin.
        ReleaseError: the function is not deployed, or cannot serve the model.
    """
    function, pin = event.get("function"), Pin.parse(event.get("pin", ""))
    for deployment in deployments:
        if deployment.function == function:
            number = publish_pin(
                _client(deployment.region),
                registry,
                deployment,
                pin,
                patience_seconds=end - _CLOCK.now(),
                clock=_CLOCK,
                **_endpoint_options(deployment),
            )
            return {"lambda_version": number}
    raise ReleaseError(f"no deployed function is called {function!s:.100}")


def _reconcile(
    registry: Registry, targets: list[tuple[Deployment, str]], end: float
) -> list[dict[str, Any]]:
    """Release the aliases that are not up to date, and report that the schedule works."""
    schedule, pace = Schedule.read(os.environ), Pace(_CLOCK, _CALLS_PER_SECOND)
    records, now = RecordedOutcomes(registry, _KNOWN_RELEASES), _CLOCK.date()
    outcomes: list[Outcome] = []
    for deployment, alias in targets:
        if _CLOCK.now() >= end - _SHORTEST_RELEASE_SECONDS:
            break  # the next reconciliation has another order
        is_due = schedule.is_due(deployment, alias, now)
        outcomes.append(
            _release(
                registry,
                deployment,
                alias,
                end,
                trigger=Trigger.SCHEDULE,
                records=None if is_due else records,
                pace=pace,
            )
        )
    Metrics({"Reconciled": "Count"}).emit(
        {
            "event": "reconciled",
            "function_name": os.environ["AWS_LAMBDA_FUNCTION_NAME"],
            "alias": "none",
            "Reconciled": 1.0,
            "aliases": len(outcomes),
            "aliases_compared": sum(outcome.is_compared for outcome in outcomes),
            "aliases_left": len(targets) - len(outcomes),
        }
    )
    return [_result(outcome) for outcome in outcomes]


def _release(
    registry: Registry, deployment: Deployment, alias: str, end: float, **options: Any
) -> Outcome:
    """Release an alias; `options` are those of `release_alias`."""
    start = _CLOCK.now()
    try:
        if start >= end:
            raise RetryLaterError(  # noqa: TRY301
                "no time left before the function's timeout; release this alias again"
            )
        outcome = release_alias(
            _client(deployment.region),
            registry,
            deployment,
            alias,
            patience_seconds=end - start,
            clock=_CLOCK,
            **_endpoint_options(deployment),
            **options,
        )
    except Exception as error:  # noqa: BLE001 - an error of one alias must not stop the others
        reason = str(error) if isinstance(error, ShearlingError) else repr(error)
        log_error("release_error", error, function_name=deployment.function, alias=alias)
        outcome = Outcome(function=deployment.function, alias=alias, outcome=FAILED, reason=reason)
    if outcome.is_compared:
        _log_outcome(outcome, _CLOCK.now() - start)
    return outcome


def _log_outcome(outcome: Outcome, seconds: float) -> None:
    # 0 is written too, so that an alarm returns to OK. An outcome with a note counts as failed.
    is_failed = outcome.outcome == FAILED or bool(outcome.note)
    values = {"ReleaseFailed": float(is_failed)}
    if outcome.outcome == RELEASED:
        values |= {"Released": 1.0, "ReleaseSeconds": round(seconds, 3)}
    Metrics({name: _UNITS[name] for name in values}).emit(
        {
            "event": "release",
            "function_name": outcome.function,
            "alias": outcome.alias,
            "outcome": outcome.outcome,
            "version": outcome.version,
            "lambda_version": outcome.lambda_version,
            "reason": outcome.reason or outcome.note,
            "timings": dict(outcome.timings),
            **values,
        }
    )


def _result(outcome: Outcome) -> dict[str, Any]:
    return {
        "function": outcome.function,
        "alias": outcome.alias,
        "outcome": outcome.outcome,
        "version": outcome.version,
        "lambda_version": outcome.lambda_version,
        "reason": outcome.reason,
        "note": outcome.note,
    }


def _sweep(
    registry: Registry, deployments: list[Deployment], context: Any, end: float
) -> EndpointSweep:
    region = context.invoked_function_arn.split(":")[3]
    return EndpointSweep(
        lambda_client=_client(region),
        clients=_endpoint_clients(region),
        registry=registry,
        deployments=deployments,
        releaser=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        clock=_CLOCK,
        deadline=end,
        pace=Pace(_CLOCK, _CALLS_PER_SECOND),
        foreign=_FOREIGN_MODELS,
    )


def _endpoint_options(deployment: Deployment) -> dict[str, Any]:
    """Return the clients that only a function with endpoints needs, as an argument."""
    if deployment.sagemaker is None:
        return {}
    return {"endpoint_clients": _endpoint_clients(deployment.region)}


def _is_ours(deployment: Deployment, context: Any) -> bool:
    """Return whether a deployment is of this releaser; stacks may share a registry."""
    _, _, _, region, account, *_ = context.invoked_function_arn.split(":")
    own = (os.environ["AWS_LAMBDA_FUNCTION_NAME"], region, account)
    return own == (deployment.releaser, deployment.region, deployment.account)


@cache
def _store(uri: str) -> Store:
    return Registry(uri).store


@cache
def _client(region: str) -> LambdaClient:
    return lambda_client(region)


@cache
def _endpoint_clients(region: str) -> EndpointClients:
    return endpoint_clients(region)
