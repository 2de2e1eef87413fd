"""The state of one alias of one function: desired, current and last successfully released."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import TYPE_CHECKING, NamedTuple

from shearling.errors import ReleaseError
from shearling.registry.records import FAILED, STAGING
from shearling.release.api_calls import ResourceMissingError, RetryLaterError
from shearling.release.registry_mark import mark, marked_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from shearling.registry.records import AliasEntry, Deployment, Release
    from shearling.registry.registry import Registry
    from shearling.release.function_configuration import FunctionConfiguration
    from shearling.release.lambda_function import LambdaAlias, LambdaFunction


#: How many records of a log are looked at for what an alias shows: the log only grows.
_LATEST = 20


class DesiredState(NamedTuple):
    """What an alias must serve.

    Attributes:
        pin: the model, such as `fraud:7@sha256:...`; empty if the registry names no version.
        canary: the canary's model; empty if there is no canary.
        share: the canary's share of the calls, from 0 to 1.
    """

    pin: str = ""
    canary: str = ""
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class AliasSnapshot:
    """The state that a release decision is based on, read in the order of the attributes.

    Attributes:
        number: number of the next release record.
        last: the newest release record; None if there is none.
        alias: the Lambda alias with its revision.
        entry: the newest entry of the registry's alias; None if it names no version.
        newest: the newest release record, also if the decision is based on an older one.
    """

    number: int
    last: Release | None
    alias: LambdaAlias
    entry: AliasEntry | None
    newest: Release | None

    @property
    def outcome(self) -> str:
        """The recorded outcome of the current entry; empty if there is none."""
        is_current = self.last and self.entry and self.last.entry == self.entry.number
        return self.last.outcome if self.last and is_current else ""

    def recorded(self, outcome: str) -> Release | None:
        """Return the last release record, if it has this outcome for the current entry."""
        return self.last if self.outcome == outcome else None

    def known_failure(self, code_sha256: str, configuration: str) -> Release | None:
        """Return the recorded failure of the current entry, if nothing has changed since.

        A change of the entry, the code, the configuration or the Lambda version that the alias
        serves allows another attempt. The last one changes if Terraform recreates the alias.

        Args:
            code_sha256: hash of the function's code.
            configuration: see `Target.configuration_of`.
        """
        failure = self.recorded(FAILED)
        now = (code_sha256, configuration, self.alias.version)
        if failure and now == (failure.code_sha256, failure.configuration, failure.lambda_version):
            return failure
        return None


@dataclass(frozen=True, slots=True)
class Target:
    """One alias of one function."""

    function: LambdaFunction
    registry: Registry
    deployment: Deployment
    alias: str

    def read_snapshot(self) -> AliasSnapshot:
        """Read the state that a release decision needs.

        The order matters. A release that another process records after the first read makes our
        record fail, and a move after the second read makes our move fail. So a decision that is
        based on an older entry cannot overtake one that is based on a newer entry.

        Raises:
            RetryLaterError: the function or its alias does not exist yet.
        """
        end, last = self.registry.release_log.end(self.deployment, self.alias)
        try:
            alias = self.function.alias(self.alias)
        except ResourceMissingError as error:
            raise RetryLaterError(
                f"function {self.deployment.function} has no alias {self.alias!r}: "
                "run terraform apply"
            ) from error
        return AliasSnapshot(end + 1, last, alias, self.entry(), last)

    def require_known_log(self, snapshot: AliasSnapshot) -> None:
        """Require that an alias is new, or that the registry has an entry for it.

        Raises:
            ReleaseError: the alias was released from another registry, and this one has no entry.
        """
        former = marked_registry(snapshot.alias.description)
        if snapshot.entry or not former:
            return
        model = self.deployment.model
        raise ReleaseError(
            f"the alias was released from the registry {former}, but the registry "
            f"{self.registry.store.uri} has no entry for {model}:{self.alias}. The alias is "
            "unchanged. If the registry was not meant to move, restore `registry` in Terraform's "
            "inputs. Otherwise set the alias in the new registry: "
            f"shearling alias set {model} {self.alias} VERSION"
        )

    def mark(self, snapshot: AliasSnapshot) -> str:
        """Return the description that an alias must have; unchanged while its log is empty."""
        if snapshot.entry is None:
            return snapshot.alias.description
        return mark(self.registry.store.uri)

    def move(self, snapshot: AliasSnapshot, version: str, weights: dict[str, float]) -> None:
        """Point the alias at a version and mark it; see `LambdaFunction.move`."""
        self.function.move(self.alias, snapshot.alias, version, weights, self.mark(snapshot))

    def configuration_of(self, function: FunctionConfiguration) -> str:
        """Return a hash of all that someone configured for a release, except the code."""
        settings = self.deployment.sagemaker
        if settings is None:
            return function.sha256
        # Without what makes no other endpoint.
        settings = replace(settings, keep_minutes=0, tags={})
        return hashlib.sha256(f"{function.sha256} {settings}".encode()).hexdigest()

    def entry(self) -> AliasEntry | None:
        """Return the newest entry of the registry's alias; None if it names no version."""
        return self.registry.alias_entry(self.deployment.model, self.alias)

    def desired_state(self, entry: AliasEntry | None) -> DesiredState:
        """Return what an alias must serve according to an entry of its log."""
        if entry is None or entry.version is None:
            return DesiredState()
        pin = str(self.registry.resolve(f"{entry.model}:{entry.version}"))
        if not entry.canary:
            return DesiredState(pin)
        canary = str(self.registry.resolve(f"{entry.model}:{entry.canary['version']}"))
        return DesiredState(pin, canary, entry.canary["percent"] / 100)

    def staging_since(self, snapshot: AliasSnapshot) -> datetime | None:
        """Return when staging of the newest entry began; None if it was not being staged."""
        last = snapshot.recorded(STAGING)
        if last is None:
            return None
        records = self.registry.release_log.down_from(self.deployment, self.alias, last.number)
        attempts = takewhile(
            lambda it: (it.entry, it.outcome) == (last.entry, STAGING), islice(records, _LATEST)
        )
        return min(it.created for it in attempts)

    def pins(self, alias: LambdaAlias) -> dict[str, str]:
        """Return the pins that a Lambda alias serves, by the number of the Lambda version."""
        versions = self.function.versions()
        return {
            version.number: version.pin for version in versions if version.number in alias.versions
        }

    def is_named(self, alias: LambdaAlias) -> bool:
        """Return whether a recent entry of the log names each model that the Lambda alias serves.

        An alias serves a released entry or, if a releaser was stopped, one of the newest entries.
        Older entries are not read, because the log only grows.
        """
        shown = [pin for pin in self.pins(alias).values() if pin]
        entries = self._latest_entries()
        while shown and (entry := next(entries, None)):
            named = (entry.version, (entry.canary or {}).get("version"))
            prefixes = tuple(f"{entry.model}:{number}@" for number in named if number)
            shown = [pin for pin in shown if not pin.startswith(prefixes)]
        return not shown

    def _latest_entries(self) -> Iterator[AliasEntry]:
        """Yield the entries that were released last, and then the newest."""
        log = self.registry.alias_log(self.deployment.model, self.alias)
        for number in dict.fromkeys(release.entry for release in self._latest_successes()):
            if entry := log.at(number):
                yield entry
        yield from islice(log.down_from(), _LATEST)

    def _latest_successes(self) -> Iterator[Release]:
        return islice(self.registry.release_log.successes(self.deployment, self.alias), _LATEST)


def last_good_snapshot(target: Target, snapshot: AliasSnapshot) -> AliasSnapshot | None:
    """Return a snapshot with the entry that the alias serves, if the newest entry failed.

    Releasing that entry never changes the model that is served. So the result is None if the newest
    entry did not fail, or if the alias does not serve what the last successful release set.
    """
    if not snapshot.recorded(FAILED):
        return None
    success = next(target.registry.release_log.successes(target.deployment, target.alias), None)
    log = target.registry.alias_log(target.deployment.model, target.alias)
    entry = log.at(success.entry) if success else None
    if success and not entry:
        return None
    desired = target.desired_state(entry)
    if desired == target.desired_state(snapshot.entry):
        return None  # the newest entry names what is served, so it is released itself
    pins = target.pins(snapshot.alias)
    is_shown = pins.pop(snapshot.alias.version, None) == desired.pin
    is_shared = not desired.canary or set(pins.values()) == {desired.canary}
    return replace(snapshot, entry=entry, last=success) if is_shown and is_shared else None
