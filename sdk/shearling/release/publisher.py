"""Published versions that may be shown: found or made, with their bundle in place, and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.errors import ModelNotFoundError
from shearling.refs import Pin
from shearling.release.capacity import capacity_error
from shearling.release.clock import FreshRoleGrace
from shearling.release.health_check import CheckFailedError, is_denied, rejection_reason
from shearling.release.staging import require_staged

if TYPE_CHECKING:
    from shearling.release.alias_state import Target
    from shearling.release.clock import Clock, Stopwatch
    from shearling.release.function_configuration import FunctionConfiguration
    from shearling.release.lambda_function import LambdaFunction
    from shearling.release.staging import Staging
    from shearling.release.trigger import Trigger


class Publisher:
    """Publishes versions for one alias of a function, and checks them.

    Args:
        target: the alias.
        stager: what brings bundles to the function's file system.
        clock: time.
        stopwatch: of the release.
        staging: what became of bringing a bundle there, just now.
    """

    def __init__(
        self,
        target: Target,
        stager: LambdaFunction,
        clock: Clock,
        stopwatch: Stopwatch,
        staging: Staging | None,
    ) -> None:
        self._target = target
        self._stager = stager
        self._clock = clock
        self._stopwatch = stopwatch
        self._staging = staging
        #: The Lambda versions that have passed their check just now.
        self._passed: set[str] = set()

    def ensure_version(self, pin: str, trigger: Trigger) -> FunctionConfiguration:
        """Return a published version with a pin and with what `$LATEST` has; make it if needed.

        Raises:
            CheckFailedError: the bundle does not fit the function, or cannot be staged.
            BeingStagedError: it is being brought to the function's file system first.
        """
        function = self._target.function
        with self._stopwatch.step("publish"):
            latest = function.latest()
            for version in function.versions():
                if version.pin == pin and version.is_like(latest):
                    return function.version(version.number)
            if pin:
                self._prepare(pin, latest, trigger)
            if latest.pin != pin or latest.variables is None:
                latest = function.set_pin(latest, pin)
            return function.publish(latest)

    def check(self, version: FunctionConfiguration, pin: str) -> None:
        """Run the model's example on a version, unless it has no model or has just passed.

        Raises:
            CheckFailedError: it did not pass.
        """
        if not pin or version.number in self._passed:
            return
        grace = FreshRoleGrace(self._clock)
        with self._stopwatch.step("check"):
            answer = self._target.function.check
            while reason := rejection_reason(*answer(version.number), pin, version):
                if not is_denied(reason) or not grace.covers_denial():
                    raise CheckFailedError(reason)
                self._clock.pause(4)
        self._passed.add(version.number)

    def _prepare(self, pin: str, latest: FunctionConfiguration, trigger: Trigger) -> None:
        """See that a bundle fits the function, and that it lies where the function finds it."""
        is_staged = latest.is_mounted and bool(self._target.deployment.stager)
        try:
            manifest = self._target.registry.manifest(Pin.parse(pin))
        except ModelNotFoundError:
            pass  # the function, or the stager, will say so
        else:
            if reason := capacity_error(manifest, latest, is_staged=is_staged):
                raise CheckFailedError(reason)
        if is_staged:
            with self._stopwatch.step("stage"):
                require_staged(self._stager, pin, self._target, trigger=trigger, last=self._staging)
