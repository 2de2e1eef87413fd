"""Find or publish the Lambda version for a pin, and check that it serves the model correctly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.bundle.measurement import Measurement
from shearling.errors import ModelNotFoundError
from shearling.refs import Pin
from shearling.registry.record_reader import InvalidRecordError
from shearling.registry.records import FAILED, STAGING
from shearling.release.capacity import capacity_error
from shearling.release.clock import FreshRoleGrace
from shearling.release.health_check import (
    CheckFailedError,
    CheckNotRunError,
    is_denied,
    rejection_reason,
)
from shearling.release.staging import require_staged

if TYPE_CHECKING:
    from shearling.registry.registry import Registry
    from shearling.release.alias_state import Target
    from shearling.release.clock import Clock, Stopwatch
    from shearling.release.endpoints.in_service import Endpoints
    from shearling.release.function_configuration import FunctionConfiguration
    from shearling.release.lambda_function import LambdaFunction
    from shearling.release.staging import Staging
    from shearling.release.trigger import Trigger


class Publisher:
    """Publishes and checks Lambda versions for one alias of a function.

    Args:
        target: the alias.
        stager: the Lambda function that copies bundles to the function's file system.
        clock: time source.
        stopwatch: measures the steps of the release.
        staging: the event after the stager's attempt, if it started this release.
        endpoints: the endpoints that serve the function's models; None if the function does.
    """

    def __init__(
        self,
        target: Target,
        stager: LambdaFunction,
        clock: Clock,
        stopwatch: Stopwatch,
        staging: Staging | None,
        *,
        endpoints: Endpoints | None,
    ) -> None:
        self._target = target
        self._stager = stager
        self._clock = clock
        self._stopwatch = stopwatch
        self._staging = staging
        self._endpoints = endpoints
        #: Numbers of the Lambda versions that passed their check in this release.
        self.passed: set[str] = set()
        #: Numbers of those that failed their last check in this release.
        self.wrong: set[str] = set()
        #: Numbers of those that failed before another releaser recorded an outcome. That releaser
        #: may have checked them since, so their next check decides.
        self.doubted: set[str] = set()
        #: Numbers of those that this release published.
        self.published: set[str] = set()

    @property
    def failed(self) -> set[str]:
        """Numbers of the Lambda versions that failed, including those that are in doubt."""
        return self.wrong | self.doubted

    def ensure_version(
        self, pin: str, trigger: Trigger, *, recorded: str = ""
    ) -> FunctionConfiguration:
        """Return a version with a pin and `$LATEST`'s code and configuration; publish it if needed.

        Args:
            pin: the model, such as `fraud:7@sha256:...`; empty for no model.
            trigger: why the release is attempted.
            recorded: recorded outcome of the newest entry; empty if there is none.

        Raises:
            CheckFailedError: the bundle does not fit into the function, or cannot be staged.
            BeingStagedError: the bundle is being copied to the function's file system, or its
                endpoint is not in service yet.
        """
        function, endpoint = self._target.function, ""
        if pin and self._endpoints:
            endpoint = self._endpoints.name(pin)
            with self._stopwatch.step("stage"):
                self._endpoints.require(
                    pin,
                    is_under_way=recorded == STAGING,
                    is_repetition=recorded == FAILED and trigger.is_repeated,
                )
        with self._stopwatch.step("publish"):
            latest = function.latest()
            for version in function.versions():
                if (version.pin, version.endpoint) == (pin, endpoint) and version.is_like(latest):
                    return function.version(version.number)
            if pin and not endpoint:
                self._prepare(pin, latest, trigger)
            is_set = (latest.pin, latest.endpoint) == (pin, endpoint)
            if not is_set or latest.variables is None:
                latest = function.set_pin(latest, pin, endpoint)
            version = function.publish(latest)
            self.published.add(version.number)
            if pin and self._endpoints:
                self._endpoints.confirm(pin)
            return version

    def check(self, version: FunctionConfiguration, pin: str) -> None:
        """Run the model's example on a version, unless it has no model or has already passed.

        Raises:
            BeingStagedError: its endpoint is starting an instance.
            CheckFailedError: the version did not pass its check.
            CheckNotRunError: the check could not run.
        """
        if not pin or version.number in self.passed:
            return
        if self._endpoints and version.endpoint:
            self._endpoints.wake(pin)
        grace = FreshRoleGrace(self._clock)
        with self._stopwatch.step("check"):
            check = self._target.function.check
            while reason := rejection_reason(*check(version.number), pin, version):
                if not is_denied(reason):
                    self.doubted.discard(version.number)
                    self.wrong.add(version.number)
                    raise CheckFailedError(reason)
                if not grace.covers_denial():
                    raise CheckNotRunError(reason)
                self._clock.pause(4)
        self.accept(version)

    def accept(self, version: FunctionConfiguration) -> None:
        """Take a version for one that passed its check."""
        self.passed.add(version.number)
        self.doubted.discard(version.number)
        self.wrong.discard(version.number)

    def doubt_verdicts(self) -> None:
        """Check every version again, because another releaser may have checked it since."""
        self.passed.clear()
        self.doubted |= self.wrong
        self.wrong.clear()

    def _prepare(self, pin: str, latest: FunctionConfiguration, trigger: Trigger) -> None:
        """Check that a bundle fits into the function, and stage it if a file system is mounted."""
        is_staged = latest.is_mounted and bool(self._target.deployment.stager)
        try:
            manifest = self._target.registry.manifest(Pin.parse(pin))
        except ModelNotFoundError:
            pass  # the function or the stager reports it
        else:
            measured = _measurement(self._target.registry, Pin.parse(pin))
            reason = capacity_error(manifest, latest, is_staged=is_staged, measured=measured)
            if reason:
                raise CheckFailedError(reason)
        if is_staged:
            with self._stopwatch.step("stage"):
                require_staged(self._stager, pin, self._target, trigger=trigger, last=self._staging)


def _measurement(registry: Registry, pin: Pin) -> Measurement | None:
    """Return what the push of a bundle measured; None if no valid record of it has that."""
    try:
        version = registry.version_log(pin.model).read(pin.version)
    except InvalidRecordError:
        return None
    if version is None or version.pin != pin:
        return None
    return Measurement.from_details(version.details)
