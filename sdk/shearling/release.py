"""Make a Lambda alias serve what the registry's alias names: one idempotent reconciliation.

What holds at every step, whoever else is at work: an alias is moved only with the revision that was
read *before* the log. So of two releasers the one whose look at the log is older loses, and the
entries that an alias shows are never shown in another order than they were written.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shearling.errors import ModelNotFoundError, ReleaseError, ShearlingError, StoreError
from shearling.fit import misfit
from shearling.function import (
    FRESH_ROLE_SECONDS,
    AbsentError,
    Clock,
    ConflictError,
    DeniedError,
    Function,
    UndecidedError,
    lambda_client,
)
from shearling.gate import is_denied, objection
from shearling.ref import Pin
from shearling.retire import retire_versions
from shearling.staging import BeingStagedError, FinalStagingError, require_staged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_lambda import LambdaClient

    from shearling.configuration import Configuration
    from shearling.function import LambdaAlias
    from shearling.registry import AliasEntry, Deployment, Registry, Release
    from shearling.staging import Staging

__all__ = ["Clock", "Outcome", "lambda_client", "release_alias"]

RELEASED, UNCHANGED, STAGING, FAILED = "released", "unchanged", "staging", "failed"

#: What to do about a failed release.
REMEDY = "roll back (shearling rollback), or push a version that passes"

#: How often in a row others may interfere before the next trigger has to go on. Many aliases of
#: one function may be released at once, and each needs `$LATEST` for itself for some seconds.
_CONFLICT_LIMIT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one attempt to release an alias.

    Attributes:
        outcome: "released", "unchanged" if all was in order already, "staging" if the bundle must
            be brought to the function's file system first, or "failed".
        version: the model version that the registry names; None if it names none yet.
        lambda_version: what the alias serves now; empty if that is not known.
        reason: why it failed.
        note: what a person has to know though it did not fail.
        timings: seconds of each step.
    """

    function: str
    alias: str
    outcome: str
    version: int | None = None
    lambda_version: str = ""
    reason: str = ""
    note: str = ""
    timings: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise ReleaseError if it failed."""
        if self.outcome == FAILED:
            raise ReleaseError(f"{self.function}:{self.alias}: {self.reason}", reason=self.reason)


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

    A failure is an outcome too; `Outcome.check` raises it. Failures that another try by itself
    cannot mend are recorded, once; what was not decided (no time left, throttled, the registry
    cannot be reached) is not, and the next trigger goes on.

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
    return _Reconciliation(
        function,
        registry,
        deployment,
        alias,
        clock,
        stager=stager,
        sweep=sweep,
        keep=keep,
        staging=staging,
    ).run()


class _ObjectionError(ReleaseError):
    """What the entry names must not be shown by this code and configuration."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """What a decision is based on, read in this order."""

    alias: LambdaAlias
    entry: AliasEntry | None
    last: Release | None

    @property
    def number(self) -> int:
        return self.entry.number if self.entry else 0


class _Reconciliation:
    def __init__(
        self,
        function: Function,
        registry: Registry,
        deployment: Deployment,
        alias: str,
        clock: Clock,
        *,
        stager: Function,
        sweep: bool,
        keep: bool,
        staging: Staging | None,
    ) -> None:
        self._function = function
        self._stager = stager
        self._registry = registry
        self._deployment = deployment
        self._alias = alias
        self._clock = clock
        self._sweep = sweep
        self._keep = keep
        self._staging = staging
        self._timings: dict[str, float] = {}
        #: The Lambda versions that have passed their check just now.
        self._passed: set[str] = set()

    def run(self) -> Outcome:
        try:
            with self._timed("total"):
                outcome = self._until_current()
        except ShearlingError as error:
            return self._outcome(None, FAILED, reason=_reason(error))
        retire_versions(self._function, self._registry, self._deployment, self._clock)
        return outcome

    def _until_current(self) -> Outcome:
        conflicts = 0
        while True:
            try:
                sight = self._look()
                kept = self._kept(sight) if self._keep else None
                outcome = self._attempt_both(kept) if kept else self._attempt(sight)
            except ConflictError as error:
                conflicts += 1
                if conflicts == _CONFLICT_LIMIT:
                    raise UndecidedError(f"others keep changing the function: {error}") from error
                self._clock.pause(conflicts)
                continue
            entry = self._registry.alias_entry(self._deployment.model, self._alias)
            if (entry.number if entry else 0) == sight.number:
                return outcome
            conflicts = 0

    def _look(self) -> _Sight:
        try:
            # Before the log: who moves the alias after this makes our move fail.
            alias = self._function.alias(self._alias)
        except AbsentError as error:
            raise UndecidedError(
                f"function {self._deployment.function} has no alias {self._alias!r}: "
                "run terraform apply"
            ) from error
        entry = self._registry.alias_entry(self._deployment.model, self._alias)
        last = self._registry.last_release(self._deployment, self._alias)
        return _Sight(alias, entry, last)

    def _kept(self, sight: _Sight) -> _Sight | None:
        """Return the sight in which what an alias shows is wished for, if the real wish failed.

        None if there is no such failure, or if the alias shows something else than was released
        last. So this wish never changes the model that is shown, whoever else is at work.
        """
        if not _is_failure_of(sight.last, sight.number):
            return None
        success = next(self._registry.successes(self._deployment, self._alias), None)
        entries = self._registry.history(self._deployment.model, self._alias) if success else []
        entry = next((it for it in entries if success and it.number == success.entry), None)
        if bool(success) != bool(entry):
            return None
        pin, canary, share = self._wish(entry)
        if (pin, canary, share) == self._wish(sight.entry):
            return None  # it failed under other code: it is what must pass now
        shown = self._shown(sight.alias)
        others = {pin for number, pin in shown.items() if number != sight.alias.version}
        is_shown = shown.get(sight.alias.version) == pin and (not canary or others == {canary})
        return _Sight(sight.alias, entry, success) if is_shown else None

    def _attempt_both(self, kept: _Sight) -> Outcome:
        """Keep what is shown, and then try the newest entry as a sweep would."""
        problem, outcome = "", None
        try:
            outcome = self._serve(kept)
        except (UndecidedError, StoreError):
            raise
        except ShearlingError as error:
            problem = _reason(error)
        self._sweep = True
        sight = self._look()
        newest = self._attempt(sight)
        if newest.outcome != FAILED or not sight.entry:
            return newest
        served = f"version {kept.entry.version}" if kept.entry else "no model"
        if outcome is None:
            return replace(newest, reason=f"{newest.reason}; and {served}, kept so far: {problem}")
        note = (
            f"{sight.entry.model}:{self._alias} names version {sight.entry.version}, which failed: "
            f"{newest.reason}. It goes on serving {served}: {REMEDY}"
        )
        return replace(outcome, note=note, timings=self._seconds())

    def _attempt(self, sight: _Sight) -> Outcome:
        latest: Configuration | None = None
        try:
            latest = self._function.latest()
            if self._sweep and _has_failed_before(sight, latest):
                reason = sight.last.reason if sight.last else ""
                return self._outcome(sight, FAILED, sight.alias.version, reason)
            return self._serve(sight)
        except (UndecidedError, StoreError):
            raise
        except BeingStagedError as error:
            return self._wait_for_stager(sight, error)
        except _ObjectionError as error:
            return self._fail(sight, latest, error, self._retreat(sight))
        except ShearlingError as error:
            # Without the configuration in the record, every sweep tries this again.
            return self._fail(sight, None, error, sight.alias.version)

    def _serve(self, sight: _Sight) -> Outcome:
        pin, canary, share = self._wish(sight.entry)
        version = self._published(pin)
        pins, weights = {version.number: (pin, version)}, {}
        if share and canary != pin:
            other = self._published(canary)
            pins[other.number], weights[other.number] = (canary, other), share
        for number, (wanted, published) in pins.items():
            is_shown = number in sight.alias.versions
            if number not in self._passed and not (is_shown and self._is_proven(sight.alias)):
                self._gate(published, wanted)
        if moves := not self._is_shown(sight, version.number, weights):
            self._move(sight, version.number, weights)
        recorded = self._record(sight, RELEASED, version.number, version)
        return self._outcome(sight, RELEASED if moves or recorded else UNCHANGED, version.number)

    def _is_shown(self, sight: _Sight, version: str, weights: Mapping[str, float]) -> bool:
        """Say whether an alias shows what it shall, but for weights that AWS gives it meanwhile.

        After a move of an alias with provisioned concurrency, AWS itself sends less and less to the
        version before. Our record says that the move is over and left no canary.
        """
        if sight.alias.version != version:
            return False
        if weights or sight.alias.weights == weights:
            return sight.alias.weights == weights
        return (
            sight.last is not None
            and (sight.last.outcome, sight.last.entry) == (RELEASED, sight.number)
            and sight.last.lambda_version == version
            and self._is_named(sight.alias)
        )

    def _wish(self, entry: AliasEntry | None) -> tuple[str, str, float]:
        """Return the pin, the canary's pin and its share; no pin if nothing is named."""
        if entry is None:
            return "", "", 0.0
        pin = str(self._registry.resolve(f"{entry.model}:{entry.version}"))
        if not entry.canary:
            return pin, "", 0.0
        canary = str(self._registry.resolve(f"{entry.model}:{entry.canary['version']}"))
        return pin, canary, entry.canary["percent"] / 100

    def _published(self, pin: str) -> Configuration:
        """Return a published version with a pin and with what `$LATEST` has; make it if needed."""
        with self._timed("publish"):
            latest = self._function.latest()
            for version in self._function.versions():
                if version.pin == pin and version.is_like(latest):
                    return self._function.version(version.number)
            self._prepare(pin, latest)
            if latest.pin != pin or latest.variables is None:
                latest = self._function.set_pin(latest, pin)
            return self._function.publish(latest)

    def _prepare(self, pin: str, latest: Configuration) -> None:
        """See that a bundle fits the function, and that it lies where the function finds it."""
        if not pin:
            return
        is_staged = latest.is_mounted and bool(self._deployment.stager)
        try:
            manifest = self._registry.manifest(Pin.parse(pin))
        except ModelNotFoundError:
            pass  # the function, or the stager, will say so
        else:
            if reason := misfit(manifest, latest, is_staged=is_staged):
                raise _ObjectionError(reason)
        if is_staged:
            self._stage(pin)

    def _stage(self, pin: str) -> None:
        with self._timed("stage"):
            try:
                require_staged(
                    self._stager,
                    pin,
                    self._deployment,
                    self._alias,
                    sweep=self._sweep,
                    last=self._staging,
                )
            except FinalStagingError as error:
                raise _ObjectionError(error.reason) from error
            except AbsentError as error:
                raise UndecidedError(
                    f"there is no stager {self._stager.name}: run terraform apply"
                ) from error

    def _is_proven(self, alias: LambdaAlias) -> bool:
        """Say whether what an alias shows has passed its check for this very alias.

        It has not if Terraform put it there, or if we were cut off after the move.
        """
        successes = self._registry.successes(self._deployment, self._alias)
        return any(release.lambda_version == alias.version for release in successes)

    def _gate(self, version: Configuration, pin: str) -> None:
        """Run the model's example on a version, unless it has no model."""
        if not pin:
            return
        start = self._clock.now()
        with self._timed("check"):
            while reason := objection(*self._function.check(version.number), pin, version):
                if not is_denied(reason) or self._clock.now() - start >= FRESH_ROLE_SECONDS:
                    raise _ObjectionError(reason)
                self._clock.pause(4)
        self._passed.add(version.number)

    def _move(self, sight: _Sight, version: str, weights: dict[str, float]) -> None:
        with self._timed("move"):
            try:
                self._function.move(self._alias, sight.alias, version, weights)
            except (UndecidedError, DeniedError):
                raise
            except ReleaseError as error:
                if not weights and "provisioned concurrency" in str(error).lower():
                    # The weights are those that AWS itself gives, while its last move is under way.
                    raise ConflictError(str(error)) from error
                # Such as a canary together with provisioned concurrency: not mended by time.
                raise _ObjectionError(str(error)) from error

    def _retreat(self, sight: _Sight) -> str:
        """Show no model rather than one that this alias's log never named.

        So it is when Terraform has just created the alias at a version made for another one.
        Returns what the alias serves now.
        """
        if self._is_named(sight.alias):
            return sight.alias.version
        empty = self._published("").number
        self._function.move(self._alias, sight.alias, empty, {})
        return empty

    def _is_named(self, alias: LambdaAlias) -> bool:
        """Say whether the log has named, at any time, each model that an alias shows."""
        prefixes = tuple(
            f"{entry.model}:{number}@"
            for entry in self._registry.history(self._deployment.model, self._alias)
            for number in (entry.version, (entry.canary or {}).get("version"))
        )
        return all(pin.startswith(prefixes) for pin in self._shown(alias).values() if pin)

    def _shown(self, alias: LambdaAlias) -> dict[str, str]:
        """Return the pins that an alias shows, by the number of the Lambda version."""
        versions = self._function.versions()
        return {one.number: one.pin for one in versions if one.number in alias.versions}

    def _wait_for_stager(self, sight: _Sight, error: BeingStagedError) -> Outcome:
        shown = self._retreat(sight)
        # A sweep tries again what failed, as often as it must: nobody needs to read of each try.
        is_retried = self._sweep and _is_failure_of(sight.last, sight.number)
        if not is_retried:
            self._record(sight, STAGING, shown, None, error.reason)
        return self._outcome(sight, STAGING, shown, error.reason)

    def _fail(
        self,
        sight: _Sight,
        latest: Configuration | None,
        error: ShearlingError,
        lambda_version: str,
    ) -> Outcome:
        self._record(sight, FAILED, lambda_version, latest, _reason(error))
        return self._outcome(sight, FAILED, lambda_version, _reason(error))

    def _record(
        self,
        sight: _Sight,
        outcome: str,
        lambda_version: str,
        configuration: Configuration | None,
        reason: str = "",
    ) -> bool:
        """Append to the log of releases, unless its last record says the same."""
        if sight.entry is None:
            return False
        fields = {
            "entry": sight.entry.number,
            "version": sight.entry.version,
            "outcome": outcome,
            "lambda_version": lambda_version,
            "code_sha256": configuration.code_sha256 if configuration else "",
            "configuration": configuration.sha256 if configuration else "",
            "reason": reason,
        }
        # Lambda's messages may differ each time, and nobody waits for a sweep.
        compared = [name for name in fields if name != "reason" or not self._sweep]
        if sight.last and all(getattr(sight.last, name) == fields[name] for name in compared):
            return False
        timings = {"timings": self._seconds()}
        self._registry.record_release(self._deployment, self._alias, fields | timings)
        return True

    # Telling

    def _outcome(
        self, sight: _Sight | None, outcome: str, lambda_version: str = "", reason: str = ""
    ) -> Outcome:
        return Outcome(
            function=self._deployment.function,
            alias=self._alias,
            outcome=outcome,
            version=sight.entry.version if sight and sight.entry else None,
            lambda_version=lambda_version,
            reason=reason,
            timings=self._seconds(),
        )

    def _seconds(self) -> dict[str, str]:
        return {step: f"{seconds:.3f}" for step, seconds in self._timings.items()}

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        start = self._clock.now()
        try:
            yield
        finally:
            self._timings[step] = self._timings.get(step, 0.0) + self._clock.now() - start


def _has_failed_before(sight: _Sight, latest: Configuration) -> bool:
    return (
        sight.last is not None
        and _is_failure_of(sight.last, sight.number)
        and (sight.last.code_sha256, sight.last.configuration)
        == (latest.code_sha256, latest.sha256)
    )


def _is_failure_of(last: Release | None, entry: int) -> bool:
    return last is not None and (last.outcome, last.entry) == (FAILED, entry)


def _reason(error: ShearlingError) -> str:
    return error.reason if isinstance(error, ReleaseError) else str(error)
