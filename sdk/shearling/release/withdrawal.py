"""Withdraw from an alias what it must not serve after the release of its newest entry failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.errors import ReleaseError
from shearling.release.api_calls import ConflictError, DeniedError, RetryLaterError
from shearling.release.health_check import CheckNotRunError
from shearling.release.staging import BeingStagedError
from shearling.release.verdicts import is_proven, passed_versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.release.alias_state import AliasSnapshot, Target
    from shearling.release.function_configuration import FunctionConfiguration
    from shearling.release.publisher import Publisher
    from shearling.release.trigger import Trigger


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Leaves an alias on the last version that passed its check, or on no model.

    Attributes:
        target: the alias.
        publisher: the verdicts of the release that failed.
        trigger: why the release was attempted.
    """

    target: Target
    publisher: Publisher
    trigger: Trigger

    def run(self, snapshot: AliasSnapshot) -> str:
        """Make an alias stop serving what it must not serve.

        Returns:
            The Lambda version that the alias serves afterwards.
        """
        alias = snapshot.alias
        published = {one.number: one for one in self.target.function.versions()}
        number, weights = alias.version, dict(alias.weights)
        if self._may_stay(snapshot, published):
            weights = {it: weights[it] for it in weights if not self._is_wrong(it, published)}
        else:
            number, weights = self._fallback(snapshot, published), {}
        name = self.target.alias
        if (number, weights) != (alias.version, dict(alias.weights)):
            self.target.move(snapshot, number, weights)
        elif self.target.function.alias(name).revision != alias.revision:
            # Without a move no revision is compared, and the decision was about another version.
            raise ConflictError(f"{name!r} was moved while it was being released")
        return number

    def _may_stay(
        self, snapshot: AliasSnapshot, published: Mapping[str, FunctionConfiguration]
    ) -> bool:
        """Return whether an alias may keep serving its main version after the newest entry failed.

        It may not if Terraform has just created the alias at a version that was published for
        another alias, or if the version failed its check. If a releaser was stopped after it moved
        the alias, only another check can tell.
        """
        version = published.get(snapshot.alias.version)
        if version is None:
            raise ConflictError(f"{self.target.alias!r} was moved while it was being released")
        if not version.pin:
            return True
        if self._is_wrong(version.number, published):
            return False
        if is_proven(self.target, snapshot, version):
            return True
        return self.target.is_named(snapshot.alias) and self._passes(version)

    def _is_wrong(self, number: str, published: Mapping[str, FunctionConfiguration]) -> bool:
        """Return whether a version failed its last check; a check in doubt is run again."""
        if number in self.publisher.doubted and number in published:
            return not self._passes(published[number])
        return number in self.publisher.failed

    def _fallback(
        self, snapshot: AliasSnapshot, published: Mapping[str, FunctionConfiguration]
    ) -> str:
        """Return the last version that passed for this alias and still passes, or an empty one."""
        for version, failed_since in passed_versions(self.target, snapshot, published):
            if version.number not in self.publisher.wrong and self._passes(
                version, if_not_run=not failed_since
            ):
                return version.number
        return self.publisher.ensure_version("", self.trigger).number

    def _passes(self, version: FunctionConfiguration, *, if_not_run: bool = False) -> bool:
        """Return whether a published version passes its check, or a default if it cannot run."""
        try:
            self.publisher.check(self.target.function.version(version.number), version.pin)
        except (CheckNotRunError, BeingStagedError):  # its endpoint has no instance at the moment
            return if_not_run
        except (RetryLaterError, DeniedError):
            raise
        except ReleaseError:
            return False
        return True
