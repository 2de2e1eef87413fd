"""Requests of the releaser and of `shearling prune` to the stager of a mounted file system.

Only the stager may write to the file system. Nothing else records what is staged, so the stager
checks the files on every request. If an invocation is lost or the stager is stopped, the next
scheduled reconciliation starts it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shearling.errors import ReleaseError
from shearling.lambda_api import failure_message
from shearling.refs import Pin
from shearling.release.api_calls import ResourceMissingError, RetryLaterError
from shearling.release.clock import Clock
from shearling.release.health_check import CheckFailedError
from shearling.release.lambda_function import LambdaFunction
from shearling.release.trigger import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_lambda import LambdaClient

    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry
    from shearling.release.alias_state import Target

#: The stager's requests: the value of "shearling" in its event. ENSURE returns whether a bundle is
#: staged, and if so marks it as needed. Its value is the one that stagers of version 0.1 accept.
ENSURE, STAGE, PRUNE = "look", "stage", "prune"

#: Outcomes of an attempt to stage a bundle.
STAGED, UNFINISHED, NOT_STAGED = "staged", "unfinished", "failed"

#: How long a bundle may be copied to the file system before the release counts as failed.
_LIMIT = timedelta(hours=1)

#: Seconds that one request to remove blobs may take, with its retries.
_PRUNE_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """The event after an attempt to stage a bundle.

    Whoever may invoke the releaser can send this event. So it only says which alias to release;
    the releaser asks the stager for the outcome of the attempt.

    Attributes:
        pin: the bundle, such as `fraud:7@sha256:...`.
        function: name of the function that the bundle was staged for.
        alias: name of the function's alias that the bundle was staged for.
        trigger: the trigger of the release that the bundle was staged for.
        is_crash: whether the event says that the stager crashed.
    """

    pin: str
    function: str
    alias: str
    trigger: Trigger = Trigger.REQUEST
    is_crash: bool = False

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> Staging | None:
        """Read Lambda's event about a finished asynchronous invocation of the stager.

        The stager runs in a VPC from which Lambda's API may not be reachable. So the stager only
        returns its result, and Lambda sends the result, or the failure, to the releaser.

        Returns:
            The result; None if the event is not about a request to stage a bundle.
        """
        request, answer = event.get("requestPayload"), event.get("responsePayload")
        if not isinstance(request, Mapping) or request.get("shearling") != STAGE:
            return None
        known = {name: request.get(name) for name in ("pin", "function", "alias")}
        texts = {name: text for name, text in known.items() if isinstance(text, str) and text}
        if len(texts) < len(known):
            return None
        trigger = Trigger.SCHEDULE if request.get("sweep") is True else Trigger.REQUEST
        said = answer if isinstance(answer, Mapping) else {}
        is_crash = not said.get("outcome") and "timed out" not in str(said.get("errorMessage"))
        return cls(**texts, trigger=trigger, is_crash=is_crash)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The stager's answer about its last attempt to stage a bundle.

    Attributes:
        outcome: "unfinished" if another attempt resumes it, or "failed".
        reason: why the attempt failed or is unfinished.
        is_final: whether every further attempt with the same bundle fails too.
        is_running: whether a stager is copying the bundle now.
    """

    outcome: str
    reason: str
    is_final: bool
    is_running: bool

    @classmethod
    def read(cls, said: object) -> Attempt | None:
        """Read the answer; None if the stager has no attempt on record, as those of 0.1."""
        if not isinstance(said, Mapping) or said.get("outcome") not in (UNFINISHED, NOT_STAGED):
            return None
        return cls(
            outcome=said["outcome"],
            reason=str(said.get("reason", ""))[:1000],
            is_final=said.get("is_final") is True,
            is_running=said.get("is_running") is True,
        )


class BeingStagedError(ReleaseError):
    """What serves the model is being prepared; the release starts again afterwards.

    Args:
        reason: what is happening.
        goal: what has not happened if it takes too long, as a sentence without its end.
        limit: how long it may take before the release counts as failed.
        log: log group that tells more.
    """

    def __init__(self, reason: str, *, goal: str, limit: timedelta, log: str) -> None:
        super().__init__(reason)
        self.limit = limit
        self._overdue = f"{goal} within {limit.total_seconds() / 60:.0f} minutes: {reason}"
        self._log = log

    def overdue(self) -> ReleaseError:
        """Return the failure of a release that waited too long."""
        return ReleaseError(f"{self._overdue}. Read the log {self._log}; the schedule tries again")


def _being_copied(reason: str, stager: str) -> BeingStagedError:
    return BeingStagedError(
        reason,
        goal="the bundle was not copied to the function's file system",
        limit=_LIMIT,
        log=f"/aws/lambda/{stager}",
    )


def require_staged(
    stager: LambdaFunction, pin: str, target: Target, *, trigger: Trigger, last: Staging | None
) -> None:
    """Require that a bundle is complete on the file system, and start copying it if it is not.

    Args:
        stager: the stager's Lambda function.
        pin: the bundle, such as `fraud:7@sha256:...`.
        target: the alias that waits for the bundle.
        trigger: why the release is attempted.
        last: the event after the stager's attempt, if it started this release.

    Raises:
        BeingStagedError: the bundle is being copied to the file system.
        CheckFailedError: the last attempt failed, and every further attempt would fail too.
        ReleaseError: the last attempt failed, or the stager cannot be invoked.
    """
    answer = _ask(stager, {"shearling": ENSURE, "pin": pin})
    if answer.get("staged") is True:
        return
    if last and last.pin == pin:
        raise _unstaged(stager.name, Attempt.read(answer.get("last")), last)
    request = {"shearling": STAGE, "pin": pin, "sweep": trigger is Trigger.SCHEDULE}
    stager.start({**request, "function": target.deployment.function, "alias": target.alias})
    raise _being_copied("the bundle is being copied to the function's file system", stager.name)


def _unstaged(stager: str, attempt: Attempt | None, last: Staging) -> ReleaseError:
    """Return the error for a bundle that is not staged after an attempt."""
    if attempt is None:
        # Not started here: a stager that always ends like this would be started in a loop.
        return _being_copied(
            f"{stager} has no attempt on record; the next reconciliation starts one", stager
        )
    if attempt.outcome == NOT_STAGED:
        return (CheckFailedError if attempt.is_final else ReleaseError)(attempt.reason)
    if last.is_crash and not attempt.is_running:
        return ReleaseError(f"the stager crashed; see its log /aws/lambda/{stager}")
    return _being_copied(f"the bundle is not on the file system yet: {attempt.reason}", stager)


def prune(
    client_of: Callable[[str], LambdaClient],
    registry: Registry,
    *,
    dry_run: bool = False,
    clock: Clock | None = None,
) -> list[dict[str, Any]]:
    """Remove the blobs that no Lambda version needs from all mounted file systems of a registry.

    A blob is removed one day after a prune first found that no version needs it.

    Args:
        client_of: returns a Lambda client for an AWS region.
        registry: the registry whose deployments mount the file systems.
        dry_run: whether to only report what would be removed.
        clock: time source; the system's clock by default.

    Returns:
        A row for each blob that no version needs: `file_system`, `digest`, `size` in bytes, `state`
        ("removed", "removable" or "waiting") and `since`.

    Raises:
        ReleaseError: a function cannot be read, or a stager cannot be invoked or failed.
        ModelNotFoundError: a version pins a bundle that the registry does not have.
    """
    clock = clock or Clock()
    mounted = [item for item in registry.release_log.deployments() if item.stager]
    rows: list[dict[str, Any]] = []
    for file_system in sorted({item.file_system for item in mounted}):
        # Stacks that share a file system each have a stager. Any of them can remove the blobs.
        sharing = [item for item in mounted if item.file_system == file_system]
        keep = sorted(_pinned(client_of, registry, sharing, clock))
        request = {"shearling": PRUNE, "keep": keep, "dry_run": dry_run}
        answer = _ask(_function(client_of, sharing[0], sharing[0].stager, clock), request)
        if problem := answer.get("reason"):
            raise ReleaseError(f"{sharing[0].stager}: {problem}")
        rows += [{"file_system": file_system, **row} for row in answer["blobs"]]
    return rows


def _pinned(
    client_of: Callable[[str], LambdaClient],
    registry: Registry,
    deployments: Sequence[Deployment],
    clock: Clock,
) -> set[str]:
    """Return the digests, in hexadecimal, of all blobs that a version of a function needs."""
    pins: set[str] = set()
    for deployment in deployments:
        function = _function(client_of, deployment, deployment.function, clock)
        try:
            # Include `$LATEST`, because it becomes the next version.
            versions = [function.latest(), *function.versions()]
        except ResourceMissingError as error:
            raise ReleaseError(
                f"{function.name} is registered but does not exist, so the bundles that it needs "
                "are unknown and nothing is removed: run terraform apply"
            ) from error
        for version in versions:
            if version.variables is None:
                raise ReleaseError(
                    f"the environment variables of {deployment.function}:{version.number} cannot "
                    f"be read ({version.unreadable}), so the bundle that it needs is unknown and "
                    "nothing is removed"
                )
        pins |= {version.pin for version in versions if version.pin}
    digests: set[str] = set()
    for pin in map(Pin.parse, pins):
        files = registry.manifest(pin).files
        digests |= {pin.hex, *(file.hex for file in files)}
    return digests


def _function(
    client_of: Callable[[str], LambdaClient], deployment: Deployment, name: str, clock: Clock
) -> LambdaFunction:
    # Use the ARN, because a name alone selects a function in the caller's own account.
    partition = deployment.file_system.split(":")[1]
    arn = f"arn:{partition}:lambda:{deployment.region}:{deployment.account}:function:{name}"
    return LambdaFunction(client_of(deployment.region), arn, clock, clock.now() + _PRUNE_SECONDS)


def _ask(stager: LambdaFunction, request: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        answer, failure = stager.ask(request)
    except ResourceMissingError as error:
        raise RetryLaterError(
            f"stager {stager.name} does not exist: run terraform apply"
        ) from error
    if failure or not isinstance(answer, Mapping):
        raise ReleaseError(f"{stager.name} failed: {failure_message(answer)[:500]}")
    return answer
