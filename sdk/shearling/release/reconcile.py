"""Make a Lambda alias serve what the registry's alias names: one idempotent reconciliation.

What holds at every step, whoever else is at work: an alias is moved only with the revision that was
read *before* the log. So of two releasers the one whose look at the log is older loses, and the
entries that an alias shows are never shown in another order than they were written. What came of
an entry is recorded only under the number that was next *before* both were read. So who has been
overtaken looks again, and records no failure after somebody else's success.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shearling.errors import ReleaseError, ShearlingError, StoreError
from shearling.registry.records import FAILED, RELEASED, STAGING
from shearling.release.alias_state import Target, last_good_snapshot
from shearling.release.clock import Clock, Stopwatch
from shearling.release.health_check import CheckFailedError
from shearling.release.lambda_function import (
    ConflictError,
    DeniedError,
    LambdaFunction,
    RetryLaterError,
)
from shearling.release.outcome import REMEDY, UNCHANGED, Outcome
from shearling.release.publisher import Publisher
from shearling.release.staging import BeingStagedError
from shearling.release.trigger import Trigger
from shearling.release.version_retention import retire_versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_lambda import LambdaClient

    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry
    from shearling.release.alias_state import AliasSnapshot
    from shearling.release.function_configuration import FunctionConfiguration
    from shearling.release.staging import Staging

#: How often in a row others may interfere before the next trigger has to go on. Many aliases of
#: one function may be released at once, and each needs `$LATEST` for itself for some seconds.
_CONFLICT_LIMIT = 50


def release_alias(
    client: LambdaClient,
    registry: Registry,
    deployment: Deployment,
    alias: str,
    *,
    trigger: Trigger = Trigger.REQUEST,
    staging: Staging | None = None,
    patience_seconds: float = 600,
    clock: Clock | None = None,
) -> Outcome:
    """Make an alias of a deployed function serve what the registry names, if that passes its check.

    A failure is an outcome too. Failures that another try by itself cannot mend are recorded, once;
    what was not decided (no time left, throttled, the registry cannot be reached) is not, and the
    next trigger goes on.

    Args:
        client: see `lambda_client`: a read timeout above the function's, and no retries.
        registry: where the alias is named and the outcome is recorded.
        deployment: the function.
        alias: the alias, of the registry and of the function.
        trigger: why the release is attempted.
        staging: what became of bringing a bundle to the function's file system, just now.
        patience_seconds: when to stop waiting for Lambda.
        clock: time.
    """
    clock = clock or Clock()
    deadline = clock.now() + patience_seconds
    function, stager = (
        LambdaFunction(client, name, clock, deadline)
        for name in (deployment.function, deployment.stager)
    )
    target = Target(function, registry, deployment, alias)
    stopwatch = Stopwatch(clock)
    publisher = Publisher(target, stager, clock, stopwatch, staging)
    return _Reconciliation(target, publisher, clock, stopwatch, trigger).run()


@dataclass(frozen=True, slots=True)
class _Reconciliation:
    target: Target
    publisher: Publisher
    clock: Clock
    stopwatch: Stopwatch
    trigger: Trigger

    @property
    def _is_scheduled(self) -> bool:
        return self.trigger is Trigger.SCHEDULE

    def run(self) -> Outcome:
        try:
            with self.stopwatch.step("total"):
                outcome = self._until_current()
        except ShearlingError as error:
            return self._outcome(None, FAILED, reason=_reason(error))
        retire_versions(self.target, self.clock)
        return outcome

    def _until_current(self) -> Outcome:
        conflicts = 0
        while True:
            try:
                snapshot = self.target.read_snapshot()
                is_apply = self.trigger is Trigger.APPLY
                good = last_good_snapshot(self.target, snapshot) if is_apply else None
                outcome = self._preserve_current(good) if good else self.attempt(snapshot)
            except ConflictError as error:
                conflicts += 1
                if conflicts == _CONFLICT_LIMIT:
                    raise RetryLaterError(f"others keep changing the function: {error}") from error
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
        except ShearlingError as error:
            problem = _reason(error)
        snapshot = self.target.read_snapshot()
        newest = replace(self, trigger=Trigger.SCHEDULE).attempt(snapshot)
        if newest.outcome != FAILED or not snapshot.entry:
            return newest
        model = f"version {good.entry.version}" if good.entry else "no model"
        if outcome is None:
            return replace(newest, reason=f"{newest.reason}; and {model}, kept so far: {problem}")
        note = (
            f"{snapshot.entry.model}:{self.target.alias} names version {snapshot.entry.version}, "
            f"which failed: {newest.reason}. The alias still serves {model}: {REMEDY}"
        )
        return replace(outcome, note=note, timings=self.stopwatch.timings())

    def attempt(self, snapshot: AliasSnapshot) -> Outcome:
        latest: FunctionConfiguration | None = None
        try:
            latest = self.target.function.latest()
            if self._is_scheduled and (failure := snapshot.known_failure(latest)):
                return self._outcome(snapshot, FAILED, snapshot.alias.version, failure.reason)
            return self._serve(snapshot)
        except (RetryLaterError, StoreError):
            raise
        except BeingStagedError as error:
            return self._wait_for_stager(snapshot, error)
        except CheckFailedError as error:
            return self._fail(snapshot, latest, error)
        except ShearlingError as error:
            # Without the configuration in the record, every sweep tries this again.
            return self._fail(snapshot, None, error)

    def _serve(self, snapshot: AliasSnapshot) -> Outcome:
        desired = self.target.desired_state(snapshot.entry)
        version, weights = self._proven(snapshot, desired.pin), {}
        if desired.canary:
            weights[self._proven(snapshot, desired.canary).number] = desired.share
        if moves := not self._is_shown(snapshot, version.number, weights):
            self._move(snapshot, version.number, weights)
        recorded = self._record(snapshot, RELEASED, version.number, version)
        return self._outcome(snapshot, RELEASED if moves or recorded else UNCHANGED, version.number)

    def _proven(self, snapshot: AliasSnapshot, pin: str) -> FunctionConfiguration:
        """Return a version with a pin that has passed its check, or that may do without."""
        version = self.publisher.ensure_version(pin, self.trigger)
        if version.number not in snapshot.alias.versions or not self.target.is_proven(
            snapshot.alias
        ):
            self.publisher.check(version, pin)
        return version

    def _is_shown(
        self, snapshot: AliasSnapshot, version: str, weights: Mapping[str, float]
    ) -> bool:
        """Say whether an alias shows what it shall, but for weights that AWS gives it meanwhile.

        After a move of an alias with provisioned concurrency, AWS itself sends less and less to the
        version before. Our record says that the move is over and left no canary.
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
                self.target.function.move(self.target.alias, snapshot.alias, version, weights)
            except (RetryLaterError, DeniedError):
                raise
            except ReleaseError as error:
                if not weights and "provisioned concurrency" in str(error).lower():
                    # The weights are those that AWS itself gives, while its last move is under way.
                    raise ConflictError(str(error)) from error
                # Such as a canary together with provisioned concurrency: not mended by time.
                raise CheckFailedError(str(error)) from error

    def _retreat(self, snapshot: AliasSnapshot) -> str:
        """Show no model rather than one that this alias's log never named.

        So it is when Terraform has just created the alias at a version made for another one.
        Returns what the alias serves now.
        """
        if self.target.is_named(snapshot.alias):
            return snapshot.alias.version
        empty = self.publisher.ensure_version("", self.trigger).number
        self.target.function.move(self.target.alias, snapshot.alias, empty, {})
        return empty

    def _wait_for_stager(self, snapshot: AliasSnapshot, error: BeingStagedError) -> Outcome:
        shown = self._retreat(snapshot)
        # A sweep tries again what failed, as often as it must: nobody needs to read of each try.
        if not (self._is_scheduled and snapshot.recorded(FAILED)):
            self._record(snapshot, STAGING, shown, None, error.reason)
        return self._outcome(snapshot, STAGING, shown, error.reason)

    def _fail(
        self, snapshot: AliasSnapshot, latest: FunctionConfiguration | None, error: ShearlingError
    ) -> Outcome:
        shown, reason = self._retreat(snapshot), _reason(error)
        self._record(snapshot, FAILED, shown, latest, reason)
        return self._outcome(snapshot, FAILED, shown, reason)

    def _record(
        self,
        snapshot: AliasSnapshot,
        outcome: str,
        lambda_version: str,
        configuration: FunctionConfiguration | None,
        reason: str = "",
    ) -> bool:
        """Append to the log of releases, unless its last record says the same.

        Raises:
            ConflictError: somebody else did, since we looked: our news may be old.
        """
        if snapshot.entry is None:
            return False
        fields: dict[str, Any] = {
            "entry": snapshot.entry.number,
            "version": snapshot.entry.version,
            "outcome": outcome,
            "lambda_version": lambda_version,
            "code_sha256": configuration.code_sha256 if configuration else "",
            "configuration": configuration.sha256 if configuration else "",
            "reason": reason,
        }
        # Lambda's messages may differ each time, and nobody waits for a sweep.
        compared = [name for name in fields if name != "reason" or not self._is_scheduled]
        if snapshot.last and all(getattr(snapshot.last, name) == fields[name] for name in compared):
            return False
        target, fields["timings"] = self.target, self.stopwatch.timings()
        if not target.registry.release_log.record(
            target.deployment, target.alias, snapshot.number, fields
        ):
            raise ConflictError(f"another release of {target.alias!r} was recorded meanwhile")
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
        )


def _reason(error: ShearlingError) -> str:
    return error.reason if isinstance(error, ReleaseError) else str(error)
