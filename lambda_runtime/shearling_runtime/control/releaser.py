"""The releaser function: releases the aliases that an event names, and reports the outcomes."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit

from shearling.errors import RegistryError, ReleaseError, ShearlingError
from shearling.lambda_api import lambda_client
from shearling.refs import is_alias, is_model, nearest
from shearling.registry.records import FAILED, RELEASED
from shearling.registry.registry import REGISTRY_VARIABLE, Registry
from shearling.release.lambda_function import RetryLaterError
from shearling.release.outcome import REMEDY, Outcome
from shearling.release.reconcile import release_alias
from shearling.release.staging import Staging
from shearling.release.trigger import Trigger
from shearling_runtime.control.retrying_store import RetryingStore
from shearling_runtime.telemetry import Metrics, log_error

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

    from shearling.registry.records import Deployment
    from shearling.storage.store import Store

#: Time before the function's timeout that is reserved for recording the outcomes.
_MARGIN_SECONDS = 10.0

_UNITS = {"ReleaseFailed": "Count", "Released": "Count", "ReleaseSeconds": "Seconds"}

#: An alias entry's key below the registry's prefix.
_ENTRY_KEY = re.compile(r"models/(?P<model>[^/]+)/aliases/(?P<alias>[^/]+)/[0-9]{10}\.json")


@dataclass(frozen=True, slots=True)
class Request:
    """The aliases to release; an empty field matches all.

    Attributes:
        function: name of the function.
        model: name of the model.
        alias: name of the alias.
        is_scheduled: whether the schedule sent the event.
        key: key of the object that an S3 event is about; None for another event.
        staging: the event after a stager's attempt; None for another event.
    """

    function: str = ""
    model: str = ""
    alias: str = ""
    is_scheduled: bool = False
    key: str | None = None
    staging: Staging | None = None

    @classmethod
    def read(cls, event: Mapping[str, Any], prefix: str = "") -> Request:
        """Read an event of S3, the schedule, the stager, Terraform or a user.

        Args:
            event: the event.
            prefix: prefix of the registry's keys in the bucket, with the slash at its end.

        Raises:
            ReleaseError: the event is none of these.
        """
        if event.get("sweep") is True:
            return cls(is_scheduled=True)
        if staging := Staging.read(event):
            return cls(function=staging.function, staging=staging)
        if (key := _object_key(event)) is not None:
            model, alias = _named_by(key, prefix)
            return cls(key=key, model=model, alias=alias)
        function, model, alias = names = [
            event.get(name) or "" for name in ("function", "model", "alias")
        ]
        if all(isinstance(name, str) for name in names) and (function or model):
            return cls(function=function, model=model, alias=alias)
        raise ReleaseError(
            "not a request to release: expected an S3 event of EventBridge, {'sweep': true}, or "
            "{'function' or 'model': ..., 'alias': ...}"
        )

    def trigger_of(self, alias: str) -> Trigger:
        """Return the trigger of an alias's release."""
        if self.staging is not None:
            # Other aliases of the function may wait for the same bundle.
            return self.staging.trigger if self.staging.alias == alias else Trigger.SCHEDULE
        if self.is_scheduled:
            return Trigger.SCHEDULE
        return Trigger.APPLY if self.is_apply else Trigger.REQUEST

    @property
    def _is_in_background(self) -> bool:
        """Whether no caller waits for the outcome; then it is no error that no alias matches."""
        staged_by_schedule = self.staging is not None and self.staging.trigger is Trigger.SCHEDULE
        return self.is_scheduled or staged_by_schedule

    @property
    def is_apply(self) -> bool:
        """Whether Terraform sent the event after a change: it names a function and nothing else."""
        has_more = self.model or self.alias or self.is_scheduled or self.staging
        return bool(self.function) and not has_more

    @property
    def is_ignored(self) -> bool:
        """Whether the event is about an object that is not an alias entry of this registry."""
        return self.key is not None and not self.model

    def aliases(self, deployments: list[Deployment]) -> list[tuple[Deployment, str]]:
        """Return the deployments and aliases to release.

        Args:
            deployments: deployments of this releaser.

        Raises:
            ReleaseError: a caller requested a function, model or alias that is not deployed.
        """
        matches = [
            (deployment, alias)
            for deployment in deployments
            for alias in deployment.aliases
            if self.function in ("", deployment.function)
            and self.model in ("", deployment.model)
            and self.alias in ("", alias)
        ]
        if not matches and not self._is_in_background and self.key is None:
            raise ReleaseError(
                f"no deployed function and alias match {self.function or self.model:.100}:"
                f"{self.alias or '*':.100}. To add them, change Terraform's `models` and run "
                "terraform apply"
            )
        if self._is_in_background:
            # So that an alias that uses up the time does not always delay the same others.
            random.shuffle(matches)
        return matches


def _object_key(event: Mapping[str, Any]) -> str | None:
    """Return the key of the object in an S3 event; None for another event."""
    found: Any = event
    for name in ("detail", "object", "key"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else None


def _named_by(key: str, prefix: str) -> tuple[str, str]:
    """Return the model and alias in the key of an alias entry; empty for another key."""
    # Some senders encode the key.
    for text in (key, unquote_plus(key)):
        found = _ENTRY_KEY.fullmatch(text.removeprefix(prefix)) if text.startswith(prefix) else None
        if found and is_model(found["model"]) and is_alias(found["alias"]):
            return found["model"], found["alias"]
    return "", ""


def _prefix(uri: str) -> str:
    """Return the prefix of a registry's keys in its bucket, with the slash at its end."""
    parts = urlsplit(uri)
    prefix = parts.path.strip("/") if parts.scheme == "s3" else ""
    return f"{prefix}/" if prefix else ""


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Release the aliases that an event names.

    Raises:
        RegistryError: Terraform is about to destroy a registry with models.
        ReleaseError: a requested release failed, after all aliases were tried. Lambda then retries
            the event and sends it to the dead-letter queue, or `terraform apply` fails. A failure
            in a scheduled reconciliation raises no error: the next one retries it, and the metric
            ReleaseFailed is 1 until it succeeds.
    """
    if event.get("shearling") == "guard":
        return _guard(event)
    end = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS
    uri = os.environ.get(REGISTRY_VARIABLE, "")
    request = Request.read(event, _prefix(uri))
    if request.is_ignored:
        return {"results": []}
    # The first apply, and one that adds a model, invoke this before new permissions are effective.
    registry = Registry(store=RetryingStore(_store(uri), end))
    deployments = [
        deployment
        for deployment in registry.release_log.deployments()
        if _is_ours(deployment, context)
    ]
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
        if outcome.outcome == FAILED and request.trigger_of(outcome.alias) is not Trigger.SCHEDULE
    ]
    if failures:
        remedy = f"fix the change and apply again, or {REMEDY}" if request.is_apply else REMEDY
        raise ReleaseError(
            f"{'; '.join(failures)}. Aliases still serve their previous versions. To recover, "
            f"{remedy}"
        )
    return {"results": [_result(outcome) for outcome in outcomes]}


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


def _release(
    registry: Registry,
    deployment: Deployment,
    alias: str,
    end: float,
    *,
    trigger: Trigger,
    staging: Staging | None,
) -> Outcome:
    start = time.monotonic()
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
            trigger=trigger,
            staging=staging,
            patience_seconds=end - start,
        )
    except Exception as error:  # noqa: BLE001 - an error of one alias must not stop the others
        reason = str(error) if isinstance(error, ShearlingError) else repr(error)
        log_error("release_error", error, function_name=deployment.function, alias=alias)
        outcome = Outcome(function=deployment.function, alias=alias, outcome=FAILED, reason=reason)
    _log_outcome(outcome, time.monotonic() - start)
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
