"""The releaser function: which aliases an event is about, and what became of each."""

from __future__ import annotations

import os
import random
import re
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from shearling.errors import RegistryError, ReleaseError, ShearlingError
from shearling.lambda_api import lambda_client
from shearling.refs import nearest
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
    from collections.abc import Mapping

    from mypy_boto3_lambda import LambdaClient

    from shearling.registry.records import Deployment
    from shearling.storage.store import Store

#: What is left unused of the time that Lambda gives, to write down what happened.
_MARGIN_SECONDS = 10.0

_UNITS = {"ReleaseFailed": "Count", "Released": "Count", "ReleaseSeconds": "Seconds"}

#: The end of an alias entry's key. What comes before is the registry's prefix: an event of another
#: registry in the same bucket makes us look once in vain, and that is all.
_ENTRY_KEY = re.compile(
    r"(?:^|/)models/(?P<model>[a-z0-9][a-z0-9-]*)/aliases/(?P<alias>[a-z][a-z0-9-]*)/\d{10}\.json$"
)


@dataclass(frozen=True, slots=True)
class Request:
    """Which aliases to release: empty fields name all.

    Attributes:
        is_scheduled: whether the schedule wants every alias reconciled.
        key: of the object in the bucket that an event is about.
        staging: what became of a bundle that the stager was to bring to a file system.
    """

    function: str = ""
    model: str = ""
    alias: str = ""
    is_scheduled: bool = False
    key: str | None = None
    staging: Staging | None = None

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> Request:
        """Read an event: an object in the bucket, the schedule, the stager, Terraform or a person.

        Raises:
            ReleaseError: it is none of these.
        """
        if event.get("sweep") is True:
            return cls(is_scheduled=True)
        if staging := Staging.read(event):
            return cls(function=staging.function, staging=staging)
        key = event.get("detail", {}).get("object", {}).get("key")
        if key is not None:
            # Encoded or not, depending on who sends it; our own part of a key looks the same.
            found = _ENTRY_KEY.search(unquote_plus(key))
            return (
                cls(model=found["model"], alias=found["alias"], key=key) if found else cls(key=key)
            )
        if event.get("function") or event.get("model"):
            return cls(
                function=event.get("function") or "",
                model=event.get("model") or "",
                alias=event.get("alias") or "",
            )
        raise ReleaseError(
            "not a request to release: expected an S3 event of EventBridge, {'sweep': true}, or "
            "{'function' or 'model': ..., 'alias': ...}"
        )

    def trigger_of(self, alias: str) -> Trigger:
        """Return why this alias is to be released."""
        if self.staging is not None:
            # The other aliases of the function may have waited for the same bundle.
            return self.staging.trigger if self.staging.alias == alias else Trigger.SCHEDULE
        if self.is_scheduled:
            return Trigger.SCHEDULE
        return Trigger.APPLY if self.is_apply else Trigger.REQUEST

    @property
    def _is_patient(self) -> bool:
        """Whether nobody waits for the outcome: it may find nothing, and takes any order."""
        staged_by_schedule = self.staging is not None and self.staging.trigger is Trigger.SCHEDULE
        return self.is_scheduled or staged_by_schedule

    @property
    def is_apply(self) -> bool:
        """Whether the event names a function and no alias, as Terraform's after a change does."""
        is_more = self.model or self.alias or self.is_scheduled or self.staging
        return bool(self.function) and not is_more

    def aliases(self, deployments: list[Deployment]) -> list[tuple[Deployment, str]]:
        """Return what to release of the functions that this releaser looks after.

        Raises:
            ReleaseError: somebody asked for what is not there.
        """
        if self.key is not None and not self.model:
            return []
        found = [
            (deployment, alias)
            for deployment in deployments
            for alias in deployment.aliases
            if self.function in ("", deployment.function)
            and self.model in ("", deployment.model)
            and self.alias in ("", alias)
        ]
        if not found and not self._is_patient and self.key is None:
            raise ReleaseError(
                f"nothing deployed here answers to {self.function or self.model}:"
                f"{self.alias or '*'}; terraform apply registers functions and their aliases"
            )
        if self._is_patient:
            # One that takes all the time must not always keep the same others waiting.
            random.shuffle(found)
        return found


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Release what an event is about.

    Raises:
        RegistryError: the registry is to be destroyed with models in it.
        ReleaseError: an alias that somebody asked for failed; every alias was tried. Lambda then
            asks again, or tells the dead-letter queue, or `terraform apply` fails. What is only
            swept does not raise: the next sweep tries again, and the metric tells until it
            succeeds.
    """
    if event.get("shearling") == "guard":
        return _guard(event)
    end = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS
    request = Request.read(event)
    # A first apply, or one that adds a model, asks before the rights that it gives hold everywhere.
    registry = Registry(store=RetryingStore(_store(os.environ.get(REGISTRY_VARIABLE, "")), end))
    own = [one for one in registry.release_log.deployments() if _is_ours(one, context)]
    outcomes = [
        _release(
            registry,
            deployment,
            alias,
            end,
            trigger=request.trigger_of(alias),
            staging=request.staging,
        )
        for deployment, alias in request.aliases(own)
    ]
    failures = [
        f"{it.function}:{it.alias}: {it.reason}"
        for it in outcomes
        if it.outcome == FAILED and request.trigger_of(it.alias) is not Trigger.SCHEDULE
    ]
    if failures:
        remedy = (
            f"mend what was changed and apply again, or {REMEDY}" if request.is_apply else REMEDY
        )
        raise ReleaseError(f"{'; '.join(failures)}. What was served is served on: {remedy}")
    return {"results": [_result(outcome) for outcome in outcomes]}


def _guard(event: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse, when Terraform begins to destroy, to let the registry's bucket go with models in it.

    Raises:
        RegistryError: it has some, and nobody has said that they may go.
    """
    if event["tf"]["action"] != "delete" or event["force_destroy"]:
        return {}
    if models := Registry(os.environ.get(REGISTRY_VARIABLE, "")).models():
        raise RegistryError(
            f"the registry has models ({nearest('', models)}), and its bucket is to be destroyed: "
            "nothing has been. To let them go with everything else, apply registry = "
            "{ force_destroy = true } first"
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
            raise RetryLaterError("no time left: ask again")  # noqa: TRY301 - the next one has
        outcome = release_alias(
            _client(deployment.region),
            registry,
            deployment,
            alias,
            trigger=trigger,
            staging=staging,
            patience_seconds=end - start,
        )
    except Exception as error:  # noqa: BLE001 - one alias must not keep the others waiting
        reason = str(error) if isinstance(error, ShearlingError) else repr(error)
        log_error("release_error", error, function_name=deployment.function, alias=alias)
        outcome = Outcome(function=deployment.function, alias=alias, outcome=FAILED, reason=reason)
    _tell(outcome, time.monotonic() - start)
    return outcome


def _tell(outcome: Outcome, seconds: float) -> None:
    # A zero too: without one an alarm would not know that all is well again. With a note it is not.
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
    """Say whether we move a function's aliases: a registry may be shared by many stacks."""
    _, _, _, region, account, *_ = context.invoked_function_arn.split(":")
    own = (os.environ["AWS_LAMBDA_FUNCTION_NAME"], region, account)
    return own == (deployment.releaser, deployment.region, deployment.account)


@cache
def _store(uri: str) -> Store:
    return Registry(uri).store


@cache
def _client(region: str) -> LambdaClient:
    return lambda_client(region)
