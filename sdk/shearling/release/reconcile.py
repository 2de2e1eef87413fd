"""Make a Lambda alias serve what the registry's alias names: one idempotent reconciliation.

Any number of releasers may run at the same time. A releaser first reads the last release record,
then the Lambda alias with its revision, then the newest entry of the registry's alias. Two
conditional writes make concurrent releasers safe:

- Moving the alias requires the revision that was read before the entry. A releaser with a stale
  entry fails this update, so an alias serves entries only in the order in which they were written.
- Recording an outcome requires the record number that was next when the releaser began. A stale
  releaser fails to write its record, so it cannot record a failure after another one's success.

A releaser whose conditional write fails reads everything again and decides again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shearling.errors import ReleaseError, ShearlingError, StoreError
from shearling.registry.records import FAILED, RELEASED, STAGING
from shearling.release.alias_state import Target, last_good_snapshot
from shearling.release.api_calls import ConflictError, DeniedError, RetryLaterError
from shearling.release.clock import Clock, Stopwatch
from shearling.release.endpoints.clients import endpoints_behind
from shearling.release.health_check import CheckFailedError
from shearling.release.lambda_function import LambdaFunction
from shearling.release.outcome import REMEDY, UNCHANGED, Outcome
from shearling.release.publisher import Publisher
from shearling.release.staging import BeingStagedError
from shearling.release.trigger import Trigger
from shearling.release.verdicts import (
    is_forced,
    is_proven,
    was_released,
    wrong_versions,
)
from shearling.release.version_retention import retire_versions
from shearling.release.withdrawal import Withdrawal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_lambda import LambdaClient

    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry
    from shearling.release.alias_state import AliasSnapshot
    from shearling.release.clock import Pace
    from shearling.release.endpoints.clients import EndpointClients
    from shearling.release.function_configuration import FunctionConfiguration
    from shearling.release.recorded_outcomes import RecordedOutcomes
    from shearling.release.staging import Staging

_LOG = logging.getLogger(__name__)

#: Conflicts in a row after which the release is left to the next trigger. The limit is high because
#: many aliases of one function may be released at once, and each needs `$LATEST` for some seconds.
_CONFLICT_LIMIT = 50


def release_alias(
    client: LambdaClient,
    registry: Registry,
    deployment: Deployment,
    alias: str,
    *,
    trigger: Trigger = Trigger.REQUEST,
    staging: Staging | None = None,
    endpoint_clients: EndpointClients | None = None,
    patience_seconds: float = 600,
    clock: Clock | None = None,
    records: RecordedOutcomes | None = None,
    pace: Pace | None = None,
) -> Outcome:
    """Make an alias of a deployed function serve the version that the registry names.

    The version must pass its check first. A failed release is returned as an outcome and does not
    raise an error. A failure is recorded once, unless another attempt may succeed without a change
    (no time left, Lambda throttles, the registry cannot be reached). Then nothing is recorded, and
    the next trigger continues.

    Args:
        client: a client from `lambda_client`, with a read timeout above the function's timeout and
            without retries.
        registry: the registry with the alias and the release records.
        deployment: the function.
        alias: name of the alias, which is the same in the registry and on the function.
        trigger: why the release is attempted.
        staging: the event after the stager's attempt, if it started this release.
        endpoint_clients: clients to make endpoints with; needed if the deployment has endpoints.
        patience_seconds: seconds after which to stop waiting for Lambda.
        clock: time source; the system's clock by default.
        records: if given, the alias is compared with Lambda only if these do not have its outcome.
        pace: limits the calls to Lambda a second.
    """
    clock = clock or Clock()
    if records and (recorded := records.of(deployment, alias)):
        return recorded
    deadline = clock.now() + patience_seconds
    function, stager = (
        LambdaFunction(client, name, clock, deadline, pace)
        for name in (deployment.function, deployment.stager)
    )
    target = Target(function, registry, deployment, alias)
    stopwatch = Stopwatch(clock)
    endpoints = endpoints_behind(deployment, endpoint_clients, registry, clock, deadline)
    publisher = Publisher(target, stager, clock, stopwatch, staging, endpoints=endpoints)
    return _Reconciliation(target, publisher, clock, stopwatch, trigger).run()


@dataclass(frozen=True, slots=True)
class _Reconciliation:
    target: Target
    publisher: Publisher
    clock: Clock
    stopwatch: Stopwatch
    trigger: Trigger

    @property
    def _withdrawal(self) -> Withdrawal:
        return Withdrawal(self.target, self.publisher, self.trigger)

    def run(self) -> Outcome:
        try:
            with self.stopwatch.step("total"):
                outcome = self._until_current()
        except ShearlingError as error:
            return self._outcome(None, FAILED, reason=_reason(error))
        retire_versions(self.target, self.clock)
        return outcome

    def _until_current(self) -> Outcome:
        conflicts = number = 0
        while True:
            try:
                snapshot = self.target.read_snapshot()
                self.target.require_known_log(snapshot)
                if snapshot.number != number:
                    self.publisher.doubt_verdicts()
                number = snapshot.number
                is_apply = self.trigger is Trigger.APPLY
                good = last_good_snapshot(self.target, snapshot) if is_apply else None
                outcome = self._preserve_current(good) if good else self.attempt(snapshot)
            except ConflictError as error:
                conflicts += 1
                if conflicts == _CONFLICT_LIMIT:
                    raise RetryLaterError(
                        f"other processes keep changing the function: {error}"
                    ) from error
                self.clock.pause(conflicts)
                continue
            if self.target.entry() == snapshot.entry:
                return outcome
            conflicts = 0

    def _preserve_current(self, good: AliasSnapshot) -> Outcome:
        """Release the served version under the new code, then try the newest entry once."""
        problem, outcome = "", None
        try:
            outcome = self._serve(good)
        except (RetryLaterError, StoreError):
            raise
        except BeingStagedError as error:
            problem = f"waits: {error.reason}. Apply again when that is done"
        except ShearlingError as error:
            problem = f"also failed: {_reason(error)}"
        snapshot = self.target.read_snapshot()
        newest = replace(self, trigger=Trigger.SCHEDULE).attempt(snapshot)
        if newest.outcome != FAILED or not snapshot.entry:
            return newest
        model = f"version {good.entry.version}" if good.entry else "no model"
        if outcome is None:
            also = f"releasing {model}, which the alias still serves, {problem}"
            return replace(newest, reason=f"{newest.reason}; {also}")
        note = (
            f"{snapshot.entry.model}:{self.target.alias} names version {snapshot.entry.version}, "
            f"which failed: {newest.reason}. The alias still serves {model}: {REMEDY}"
        )
        return replace(outcome, note=note, timings=self.stopwatch.timings())

    def attempt(self, snapshot: AliasSnapshot) -> Outcome:
        latest: FunctionConfiguration | None = None
        try:
            latest = self.target.function.latest()
            is_wrong = not self.publisher.failed.isdisjoint(snapshot.alias.versions)
            configuration = self.target.configuration_of(latest)
            failure = (
                snapshot.known_failure(latest.code_sha256, configuration)
                if self.trigger.is_repeated
                else None
            )
            if failure and not is_wrong:
                return self._outcome(snapshot, FAILED, snapshot.alias.version, failure.reason)
            return self._serve(snapshot)
        except (RetryLaterError, StoreError):
            raise
        except BeingStagedError as error:
            return self._wait_for_staging(snapshot, error)
        except CheckFailedError as error:
            return self._fail(snapshot, latest, error)
        except ShearlingError as error:
            # Recorded without the configuration, so that every scheduled run tries again.
            return self._fail(snapshot, None, error)

    def _serve(self, snapshot: AliasSnapshot) -> Outcome:
        desired = self.target.desired_state(snapshot.entry)
        version, weights = self._checked_version(snapshot, desired.pin), {}
        if desired.canary:
            weights[self._checked_version(snapshot, desired.canary).number] = desired.share
        if moves := not self._is_current(snapshot, version.number, weights):
            self._move(snapshot, version.number, weights)
        elif snapshot.alias.weights == weights:
            self._mark(snapshot)
        # A move is always recorded, which fails if another releaser recorded an outcome meanwhile.
        recorded = self._record(snapshot, RELEASED, version.number, version, always=moves)
        return self._outcome(snapshot, RELEASED if moves or recorded else UNCHANGED, version.number)

    def _checked_version(self, snapshot: AliasSnapshot, pin: str) -> FunctionConfiguration:
        """Return a Lambda version with a pin, checked unless it passed for this alias before."""
        version = self.publisher.ensure_version(pin, self.trigger, recorded=snapshot.outcome)
        if is_forced(self.target, snapshot):
            self.publisher.accept(version)
        if pin and not self._has_passed(snapshot, version):
            self.publisher.check(version, pin)
        return version

    def _has_passed(self, snapshot: AliasSnapshot, version: FunctionConfiguration) -> bool:
        if version.number in self.publisher.failed:
            return False
        if version.number in snapshot.alias.versions:
            return is_proven(self.target, snapshot, version)
        if version.number in self.publisher.published:
            return False  # a new version was never released, so the log need not be read
        return was_released(self.target, snapshot, version)

    def _is_current(
        self, snapshot: AliasSnapshot, version: str, weights: Mapping[str, float]
    ) -> bool:
        """Return whether an alias has a version and weights, ignoring AWS's temporary weights.

        After the move of an alias with provisioned concurrency, AWS shifts traffic gradually and
        sets weights on the previous version. They are ignored if a record says that this version
        was released and the desired state has no canary.
        """
        if snapshot.alias.version != version:
            return False
        if weights or snapshot.alias.weights == weights:
            return snapshot.alias.weights == weights
        released = snapshot.recorded(RELEASED)
        is_over = released is not None and released.lambda_version == version
        return is_over and self.target.is_named(snapshot.alias)

    def _move(self, snapshot: AliasSnapshot, version: str, weights: dict[str, float]) -> None:
        with self.stopwatch.step("move"):
            try:
                self.target.move(snapshot, version, weights)
            except (RetryLaterError, DeniedError):
                raise
            except ReleaseError as error:
                if not weights and "provisioned concurrency" in str(error).lower():
                    # AWS is still shifting traffic after the previous move.
                    raise ConflictError(str(error)) from error
                # For example a canary with provisioned concurrency: waiting does not help.
                raise CheckFailedError(str(error)) from error

    def _mark(self, snapshot: AliasSnapshot) -> None:
        """Mark an alias that serves what its log names, if an earlier releaser did not."""
        if snapshot.alias.description == self.target.mark(snapshot):
            return
        try:
            self.target.move(snapshot, snapshot.alias.version, dict(snapshot.alias.weights))
        except ReleaseError as error:
            _LOG.warning("could not describe alias %s: %s", self.target.alias, error)

    def _wait_for_staging(self, snapshot: AliasSnapshot, error: BeingStagedError) -> Outcome:
        if self.trigger.is_repeated and (failure := snapshot.recorded(FAILED)):
            # The schedule repeats a failed release, which has failed until one succeeds.
            return self._outcome(snapshot, FAILED, self._withdrawal.run(snapshot), failure.reason)
        since = self.target.staging_since(snapshot)
        if since and self.clock.date() - since > error.limit:
            return self._fail(snapshot, None, error.overdue())
        served = self._withdrawal.run(snapshot)
        self._record(snapshot, STAGING, served, None, error.reason)
        return self._outcome(snapshot, STAGING, served, error.reason)

    def _fail(
        self, snapshot: AliasSnapshot, latest: FunctionConfiguration | None, error: ShearlingError
    ) -> Outcome:
        served, reason = self._withdrawal.run(snapshot), _reason(error)
        self._record(snapshot, FAILED, served, latest, reason)
        return self._outcome(snapshot, FAILED, served, reason)

    def _record(
        self,
        snapshot: AliasSnapshot,
        outcome: str,
        lambda_version: str,
        configuration: FunctionConfiguration | None,
        reason: str = "",
        *,
        always: bool = False,
    ) -> bool:
        """Append a record to the release log, unless its last record is the same.

        With `always`, it is also appended then.

        Returns:
            Whether a record was appended.

        Raises:
            ConflictError: another releaser appended a record after the snapshot was read.
        """
        if snapshot.entry is None:
            return False
        fields: dict[str, Any] = {
            "entry": snapshot.entry.number,
            "version": snapshot.entry.version,
            "outcome": outcome,
            "lambda_version": lambda_version,
            "code_sha256": configuration.code_sha256 if configuration else "",
            "configuration": self.target.configuration_of(configuration) if configuration else "",
            "reason": reason,
            "wrong": wrong_versions(snapshot, self.publisher.failed, self.publisher.passed),
        }
        # Lambda's messages may differ each time, and a scheduled run needs no record of that.
        compared = [name for name in fields if name != "reason" or not self.trigger.is_repeated]
        if outcome == RELEASED:
            compared.remove("wrong")  # alone, it is not worth a record
        last = snapshot.last
        is_same = last and all(getattr(last, name) == fields[name] for name in compared)
        if is_same and not always:
            return False
        target, fields["timings"] = self.target, self.stopwatch.timings()
        fields["success"] = target.registry.release_log.success_up_to(
            target.deployment, target.alias, snapshot.last
        )
        if not target.registry.release_log.record(
            target.deployment, target.alias, snapshot.number, fields
        ):
            raise ConflictError(f"another release of {target.alias!r} was recorded first")
        return True

    def _outcome(
        self,
        snapshot: AliasSnapshot | None,
        outcome: str,
        lambda_version: str = "",
        reason: str = "",
    ) -> Outcome:
        return Outcome(
            function=self.target.deployment.function,
            alias=self.target.alias,
            outcome=outcome,
            version=snapshot.entry.version if snapshot and snapshot.entry else None,
            lambda_version=lambda_version,
            reason=reason,
            timings=self.stopwatch.timings(),
            is_recorded=outcome == FAILED and snapshot is not None and snapshot.entry is not None,
        )


def _reason(error: ShearlingError) -> str:
    return error.reason if isinstance(error, ReleaseError) else str(error)
