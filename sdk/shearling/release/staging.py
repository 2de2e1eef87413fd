"""Bundles on a mounted file system: what the releaser and `shearling prune` ask of the stager.

Only the stager may write there. What lies there is the one truth about what is staged, so it is
asked each time: an invocation that is lost, or a stager that is cut off, costs no more than the
time until the next sweep asks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.errors import ReleaseError
from shearling.lambda_api import failure_message
from shearling.refs import Pin
from shearling.release.clock import Clock
from shearling.release.health_check import CheckFailedError
from shearling.release.lambda_function import LambdaFunction, ResourceMissingError, RetryLaterError
from shearling.release.trigger import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_lambda import LambdaClient

    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry
    from shearling.release.alias_state import Target

#: The stager's requests: the value under "shearling" in its event. ENSURE says whether a bundle is
#: staged, and if so that it is needed; its value is the one that stagers of 0.1 know.
ENSURE, STAGE, PRUNE = "look", "stage", "prune"

#: What becomes of staging a bundle.
STAGED, UNFINISHED, NOT_STAGED = "staged", "unfinished", "failed"

#: How long one request to remove blobs may take, in all.
_PATIENCE_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """What became of one attempt to stage a bundle.

    Attributes:
        outcome: "staged", "unfinished" if another attempt resumes it, or "failed".
        reason: why it failed or is unfinished.
        is_final: whether the same bundle would fail again, however often it is tried.
        alias: of the function; it was staged to be released there.
        trigger: of the release that it was staged for.
    """

    pin: str
    function: str
    alias: str
    outcome: str
    reason: str = ""
    is_final: bool = False
    trigger: Trigger = Trigger.REQUEST

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> Staging | None:
        """Read what Lambda says of an asynchronous invocation that is over; None if it is none.

        The stager stands in a network from where Lambda's API need not be in reach: it returns,
        and Lambda takes its answer to the releaser, or word of its end without one.
        """
        request, answer = event.get("requestPayload"), event.get("responsePayload")
        if not isinstance(request, Mapping) or request.get("shearling") != STAGE:
            return None
        known = {name: request.get(name, "") for name in ("pin", "function", "alias")}
        trigger = Trigger.SCHEDULE if request.get("sweep") is True else Trigger.REQUEST
        if isinstance(answer, Mapping) and answer.get("outcome"):
            return cls(
                **known,
                trigger=trigger,
                outcome=answer["outcome"],
                reason=answer.get("reason", ""),
                is_final=answer.get("is_final") is True,
            )
        reason = f"the stager crashed: {failure_message(answer)[:500]}"
        outcome = UNFINISHED if "timed out" in reason else NOT_STAGED
        return cls(**known, trigger=trigger, outcome=outcome, reason=reason)


class BeingStagedError(ReleaseError):
    """The bundle is on its way to the file system; the stager starts the release again."""


def require_staged(
    stager: LambdaFunction, pin: str, target: Target, *, trigger: Trigger, last: Staging | None
) -> None:
    """Return if a bundle lies whole on the file system, or have it brought there.

    Args:
        stager: the stager's function.
        pin: of the bundle.
        target: where it shall be released.
        trigger: of the release.
        last: what became of an attempt that is just over.

    Raises:
        BeingStagedError: it is being brought there.
        CheckFailedError: it cannot be, however often it is tried; the last attempt said why.
        ReleaseError: it could not be, or the stager cannot be asked.
    """
    over = last if last and last.pin == pin else None
    if over and over.outcome == NOT_STAGED:
        raise (CheckFailedError if over.is_final else ReleaseError)(over.reason)
    if over and over.outcome == UNFINISHED:
        raise BeingStagedError(f"not on the file system yet: {over.reason}")
    if _ask(stager, {"shearling": ENSURE, "pin": pin}).get("staged") is True:
        return
    if over:
        raise ReleaseError(f"{stager.name} has staged the bundle, and it is not there")
    request = {"shearling": STAGE, "pin": pin, "sweep": trigger is Trigger.SCHEDULE}
    stager.start({**request, "function": target.deployment.function, "alias": target.alias})
    raise BeingStagedError("the bundle is being brought to the function's file system")


def prune(
    client_of: Callable[[str], LambdaClient],
    registry: Registry,
    *,
    dry_run: bool = False,
    clock: Clock | None = None,
) -> list[dict[str, Any]]:
    """Have every stager of a registry remove the blobs that no Lambda version pins.

    A blob goes a day after a prune first found that nothing pins it.

    Args:
        client_of: makes a Lambda client for a region.
        registry: whose deployments are looked at.
        dry_run: only tell what would be done.
        clock: time.

    Returns:
        A row for each blob that nothing pins: `file_system`, `digest`, `size`, `state` ("removed",
        "removable" or "waiting") and `since`.

    Raises:
        ReleaseError: a function cannot be looked at, or a stager cannot be asked.
        ModelNotFoundError: a version pins a bundle that the registry does not have.
    """
    clock = clock or Clock()
    mounted = [one for one in registry.release_log.deployments() if one.stager]
    rows: list[dict[str, Any]] = []
    for file_system in sorted({one.file_system for one in mounted}):
        # Whoever mounts it, also by another stack with a stager of its own: any of them will do.
        sharing = [one for one in mounted if one.file_system == file_system]
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
    """Return the names of all blobs that an existing version of a function needs."""
    pins: set[str] = set()
    for one in deployments:
        function = _function(client_of, one, one.function, clock)
        try:
            # `$LATEST` too: it is the next version.
            versions = [function.latest(), *function.versions()]
        except ResourceMissingError as error:
            raise ReleaseError(
                f"{function.name} is registered and not there, so it is not known what it pins: "
                "run terraform apply"
            ) from error
        for version in versions:
            if version.variables is None:
                raise ReleaseError(
                    f"what {one.function}:{version.number} pins cannot be read "
                    f"({version.unreadable}), so nothing can be removed"
                )
        pins |= {version.pin for version in versions if version.pin}
    found: set[str] = set()
    for pin in map(Pin.parse, pins):
        files = registry.manifest(pin).files
        found |= {pin.hex, *(file.hex for file in files)}
    return found


def _function(
    client_of: Callable[[str], LambdaClient], deployment: Deployment, name: str, clock: Clock
) -> LambdaFunction:
    # By its ARN: by its name alone, a namesake in the caller's own account would be asked.
    partition = deployment.file_system.split(":")[1]
    arn = f"arn:{partition}:lambda:{deployment.region}:{deployment.account}:function:{name}"
    return LambdaFunction(client_of(deployment.region), arn, clock, clock.now() + _PATIENCE_SECONDS)


def _ask(stager: LambdaFunction, request: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        answer, failure = stager.ask(request)
    except ResourceMissingError as error:
        raise RetryLaterError(f"there is no stager {stager.name}: run terraform apply") from error
    if failure or not isinstance(answer, Mapping):
        raise ReleaseError(f"{stager.name} failed: {failure_message(answer)[:500]}")
    return answer
