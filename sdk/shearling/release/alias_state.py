"""One alias of one function: what the registry names, what it serves, and what it served last."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from shearling.registry.records import FAILED
from shearling.release.lambda_function import ResourceMissingError, RetryLaterError

if TYPE_CHECKING:
    from shearling.registry.records import AliasEntry, Deployment, Release
    from shearling.registry.registry import Registry
    from shearling.release.function_configuration import FunctionConfiguration
    from shearling.release.lambda_function import LambdaAlias, LambdaFunction


class DesiredState(NamedTuple):
    """What an alias shall show; no pin if nothing is named.

    Attributes:
        share: of the calls, for the canary.
    """

    pin: str = ""
    canary: str = ""
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class AliasSnapshot:
    """What a decision is based on, read in this order.

    Attributes:
        number: of the next record of a release.
        last: the newest one.
        entry: what the registry names; None if nothing.
    """

    number: int
    last: Release | None
    alias: LambdaAlias
    entry: AliasEntry | None

    def recorded(self, outcome: str) -> Release | None:
        """Return the last record, if it is about the entry and says this of it."""
        if self.last and self.entry and self.last.entry == self.entry.number:
            return self.last if self.last.outcome == outcome else None
        return None

    def known_failure(self, latest: FunctionConfiguration) -> Release | None:
        """Return the record of a failure since which nothing has changed.

        That is neither entry, code and configuration, nor what the alias serves: Terraform may have
        made it anew, at a version made for another one.
        """
        failure = self.recorded(FAILED)
        now = (latest.code_sha256, latest.sha256, self.alias.version)
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
        """Look at all that a decision needs.

        In this order: who records a release after this makes our record fail, and who moves the
        alias makes our move fail. So no decision on an older entry overtakes one on a newer.
        """
        last = self.registry.release_log.last(self.deployment, self.alias)
        try:
            alias = self.function.alias(self.alias)
        except ResourceMissingError as error:
            raise RetryLaterError(
                f"function {self.deployment.function} has no alias {self.alias!r}: "
                "run terraform apply"
            ) from error
        return AliasSnapshot(last.number + 1 if last else 1, last, alias, self.entry())

    def entry(self) -> AliasEntry | None:
        """Return what the registry names now."""
        return self.registry.alias_entry(self.deployment.model, self.alias)

    def desired_state(self, entry: AliasEntry | None) -> DesiredState:
        """Return what an entry of the log wishes for."""
        if entry is None:
            return DesiredState()
        pin = str(self.registry.resolve(f"{entry.model}:{entry.version}"))
        if not entry.canary or entry.canary["version"] == entry.version:
            return DesiredState(pin)
        canary = str(self.registry.resolve(f"{entry.model}:{entry.canary['version']}"))
        return DesiredState(pin, canary, entry.canary["percent"] / 100)

    def pins(self, alias: LambdaAlias) -> dict[str, str]:
        """Return the pins that an alias shows, by the number of the Lambda version."""
        versions = self.function.versions()
        return {one.number: one.pin for one in versions if one.number in alias.versions}

    def is_named(self, alias: LambdaAlias) -> bool:
        """Say whether the log has named, at any time, each model that an alias shows."""
        prefixes = tuple(
            f"{entry.model}:{number}@"
            for entry in self.registry.history(self.deployment.model, self.alias)
            for number in (entry.version, (entry.canary or {}).get("version"))
        )
        return all(pin.startswith(prefixes) for pin in self.pins(alias).values() if pin)

    def is_proven(self, alias: LambdaAlias) -> bool:
        """Say whether what an alias shows has passed its check for this very alias.

        It has not if Terraform put it there, or if we were cut off after the move.
        """
        successes = self.registry.release_log.successes(self.deployment, self.alias)
        return any(release.lambda_version == alias.version for release in successes)


def last_good_snapshot(target: Target, snapshot: AliasSnapshot) -> AliasSnapshot | None:
    """Return a snapshot whose entry is the one that the alias serves, if the newest entry failed.

    None if the newest entry did not fail, or if the alias serves another version than the last
    successful release left there. So releasing it never changes the model that is served.
    """
    if not snapshot.recorded(FAILED):
        return None
    success = next(target.registry.release_log.successes(target.deployment, target.alias), None)
    log = target.registry.history(target.deployment.model, target.alias) if success else []
    entry = next((entry for entry in log if success and entry.number == success.entry), None)
    if success and not entry:
        return None
    desired = target.desired_state(entry)
    if desired == target.desired_state(snapshot.entry):
        return None  # it failed under other code: it is what must pass now
    pins = target.pins(snapshot.alias)
    is_shown = pins.pop(snapshot.alias.version, None) == desired.pin
    is_shared = not desired.canary or set(pins.values()) == {desired.canary}
    return replace(snapshot, entry=entry, last=success) if is_shown and is_shared else None
