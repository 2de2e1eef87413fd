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

from shearling.clock import Clock, Stopwatch
from shearling.errors import ReleaseError, ShearlingError, StoreError
from shearling.function import ConflictError, DeniedError, Function, UndecidedError
from shearling.gate import ObjectionError
from shearling.keep import kept
from shearling.outcome import FAILED, RELEASED, REMEDY, STAGING, UNCHANGED, Outcome
from shearling.publication import Publisher
from shearling.retire import retire_versions
from shearling.staging import BeingStagedError
from shearling.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_lambda import LambdaClient

    from shearling.configuration import Configuration
    from shearling.registry import Deployment, Registry
    from shearling.staging import Staging
    from shearling.target import Sight

#: How often in a row others may interfere before the next trigger has to go on. Many aliases of
#: one function may be released at once, and each needs `$LATEST` for itself for some seconds.
_CONFLICT_LIMIT = 50


def release_alias(
    client: LambdaClient,
    registry: Registry,
    deployment: Deployment,
    alias: str,
    *,
    sweep: bool = False,
    keep: bool = False,
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
        sweep: nobody asked. A check that failed for the same entry, code and configuration is then
            not run again: somebody has to ask, name another version or change the function.
        keep: the function changed, and nobody asked for the entry. If its release failed before,
            what the alias shows goes on being served, by the new code and configuration.
        staging: what became of bringing a bundle to the function's file system, just now.
        patience_seconds: when to stop waiting for Lambda.
        clock: time.
    """
    clock = clock or Clock()
    deadline = clock.now() + patience_seconds
    function, stager = (
        Function(client, name, clock, deadline) for name in (deployment.function, deployment.stager)
    )
    target = Target(function, registry, deployment, alias)
    stopwatch = Stopwatch(clock)
    publisher = Publisher(target, stager, clock, stopwatch, staging)
    return _Reconciliation(target, publisher, clock, stopwatch, sweep, keep).run()


@dataclass(frozen=True, slots=True)
class _Reconciliation:
    target: Target
    publisher: Publisher
    clock: Clock
    stopwatch: Stopwatch
    sweep: bool
    keep: bool

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
                sight = self.target.look()
                served = kept(self.target, sight) if self.keep else None
                outcome = self._attempt_both(served) if served else self.attempt(sight)
            except ConflictError as error:
                conflicts += 1
                if conflicts == _CONFLICT_LIMIT:
                    raise UndecidedError(f"others keep changing the function: {error}") from error
                self.clock.pause(conflicts)
                continue
            if self.target.entry() == sight.entry:
                return outcome
            conflicts = 0

    def _attempt_both(self, served: Sight) -> Outcome:
        """Keep what is served, and then try the newest entry as a sweep would."""
        problem, outcome = "", None
        try:
            outcome = self._serve(served)
        except (UndecidedError, StoreError):
            raise
        except ShearlingError as error:
            problem = _reason(error)
        sight = self.target.look()
        newest = replace(self, sweep=True).attempt(sight)
        if newest.outcome != FAILED or not sight.entry:
            return newest
        model = f"version {served.entry.version}" if served.entry else "no model"
        if outcome is None:
            return replace(newest, reason=f"{newest.reason}; and {model}, kept so far: {problem}")
        note = (
            f"{sight.entry.model}:{self.target.alias} names version {sight.entry.version}, which "
            f"failed: {newest.reason}. It goes on serving {model}: {REMEDY}"
        )
        return replace(outcome, note=note, timings=self.stopwatch.timings())

    def attempt(self, sight: Sight) -> Outcome:
        latest: Configuration | None = None
        try:
            latest = self.target.function.latest()
            if self.sweep and (failure := sight.known_failure(latest)):
                return self._outcome(sight, FAILED, sight.alias.version, failure.reason)
            return self._serve(sight)
        except (UndecidedError, StoreError):
            raise
        except BeingStagedError as error:
            return self._wait_for_stager(sight, error)
        except ObjectionError as error:
            return self._fail(sight, latest, error)
        except ShearlingError as error:
            # Without the configuration in the record, every sweep tries this again.
            return self._fail(sight, None, error)

    def _serve(self, sight: Sight) -> Outcome:
        wish = self.target.wish(sight.entry)
        version, weights = self._proven(sight, wish.pin), {}
        if wish.canary:
            weights[self._proven(sight, wish.canary).number] = wish.share
        if moves := not self._is_shown(sight, version.number, weights):
            self._move(sight, version.number, weights)
        recorded = self._record(sight, RELEASED, version.number, version)
        return self._outcome(sight, RELEASED if moves or recorded else UNCHANGED, version.number)

    def _proven(self, sight: Sight, pin: str) -> Configuration:
        """Return a version with a pin that has passed its check, or that may do without."""
        version = self._published(pin)
        if version.number not in sight.alias.versions or not self.target.is_proven(sight.alias):
            self.publisher.check(version, pin)
        return version

    def _published(self, pin: str) -> Configuration:
        return self.publisher.published(pin, sweep=self.sweep)

    def _is_shown(self, sight: Sight, version: str, weights: Mapping[str, float]) -> bool:
        """Say whether an alias shows what it shall, but for weights that AWS gives it meanwhile.

        After a move of an alias with provisioned concurrency, AWS itself sends less and less to the
        version before. Our record says that the move is over and left no canary.
        """
        if sight.alias.version != version:
            return False
        if weights or sight.alias.weights == weights:
            return sight.alias.weights == weights
        released = sight.recorded(RELEASED)
        is_over = released is not None and released.lambda_version == version
        return is_over and self.target.is_named(sight.alias)

    def _move(self, sight: Sight, version: str, weights: dict[str, float]) -> None:
        with self.stopwatch.step("move"):
            try:
                self.target.function.move(self.target.alias, sight.alias, version, weights)
            except (UndecidedError, DeniedError):
                raise
            except ReleaseError as error:
                if not weights and "provisioned concurrency" in str(error).lower():
                    # The weights are those that AWS itself gives, while its last move is under way.
                    raise ConflictError(str(error)) from error
                # Such as a canary together with provisioned concurrency: not mended by time.
                raise ObjectionError(str(error)) from error

    def _retreat(self, sight: Sight) -> str:
        """Show no model rather than one that this alias's log never named.

        So it is when Terraform has just created the alias at a version made for another one.
        Returns what the alias serves now.
        """
        if self.target.is_named(sight.alias):
            return sight.alias.version
        empty = self._published("").number
        self.target.function.move(self.target.alias, sight.alias, empty, {})
        return empty

    def _wait_for_stager(self, sight: Sight, error: BeingStagedError) -> Outcome:
        shown = self._retreat(sight)
        # A sweep tries again what failed, as often as it must: nobody needs to read of each try.
        if not (self.sweep and sight.recorded(FAILED)):
            self._record(sight, STAGING, shown, None, error.reason)
        return self._outcome(sight, STAGING, shown, error.reason)

    def _fail(self, sight: Sight, latest: Configuration | None, error: ShearlingError) -> Outcome:
        shown, reason = self._retreat(sight), _reason(error)
        self._record(sight, FAILED, shown, latest, reason)
        return self._outcome(sight, FAILED, shown, reason)

    def _record(
        self,
        sight: Sight,
        outcome: str,
        lambda_version: str,
        configuration: Configuration | None,
        reason: str = "",
    ) -> bool:
        """Append to the log of releases, unless its last record says the same.

        Raises:
            ConflictError: somebody else did, since we looked: our news may be old.
        """
        if sight.entry is None:
            return False
        fields: dict[str, Any] = {
            "entry": sight.entry.number,
            "version": sight.entry.version,
            "outcome": outcome,
            "lambda_version": lambda_version,
            "code_sha256": configuration.code_sha256 if configuration else "",
            "configuration": configuration.sha256 if configuration else "",
            "reason": reason,
        }
        # Lambda's messages may differ each time, and nobody waits for a sweep.
        compared = [name for name in fields if name != "reason" or not self.sweep]
        if sight.last and all(getattr(sight.last, name) == fields[name] for name in compared):
            return False
        target, fields["timings"] = self.target, self.stopwatch.timings()
        if not target.registry.record_release(
            target.deployment, target.alias, sight.number, fields
        ):
            raise ConflictError(f"another release of {target.alias!r} was recorded meanwhile")
        return True

    def _outcome(
        self, sight: Sight | None, outcome: str, lambda_version: str = "", reason: str = ""
    ) -> Outcome:
        return Outcome(
            function=self.target.deployment.function,
            alias=self.target.alias,
            outcome=outcome,
            version=sight.entry.version if sight and sight.entry else None,
            lambda_version=lambda_version,
            reason=reason,
            timings=self.stopwatch.timings(),
        )


def _reason(error: ShearlingError) -> str:
    return error.reason if isinstance(error, ReleaseError) else str(error)
