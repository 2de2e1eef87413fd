"""Wait until every function that serves an alias has released its entry."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shearling.errors import ReleaseError
from shearling.progress import is_watched
from shearling.refs import check_alias
from shearling.registry.records import RELEASED, STAGING
from shearling.text_table import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shearling.registry.records import AliasEntry, Deployment, Release
    from shearling.registry.registry import Registry


#: Seconds between reads of the release records.
_POLL_SECONDS = 1.0


def require_served(registry: Registry, model: str, alias: str) -> list[Deployment]:
    """Return the functions that serve an alias, and require at least one.

    Raises:
        ReleaseError: no function serves the alias.
    """
    deployments = serving_deployments(registry, model, check_alias(alias))
    if not deployments:
        raise ReleaseError(
            f"no function serves {model}:{alias}, so there is no release to wait for: deploy a "
            "function with this alias (terraform apply), or leave out wait=True"
        )
    return deployments


def wait_for_release(
    registry: Registry,
    entry: AliasEntry,
    *,
    timeout_seconds: float = 900,
    sleep: Callable[[float], object] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until every function that serves an alias has released an entry of its log.

    Args:
        registry: the registry with the alias and the release records.
        entry: the entry to wait for.
        timeout_seconds: seconds to wait at most.
        sleep: waits for a number of seconds.
        now: returns a monotonic time in seconds.

    Raises:
        ReleaseError: a release failed (the message has the reason), a newer entry superseded this
            one, no function serves the alias, or the time is up.
    """
    serving = require_served(registry, entry.model, entry.alias)
    start = now()
    with _status_line() as show:
        while pending := _pending(registry, serving, entry):
            seconds = now() - start
            newest = registry.alias_entry(entry.model, entry.alias)
            if newest and newest.number > entry.number:
                raise _superseded(entry, newest)
            if seconds >= timeout_seconds:
                raise _timed_out(entry, *pending[0], seconds)
            functions = ", ".join(
                f"{deployment.function} ({reason})" if reason else deployment.function
                for deployment, reason in pending
            )
            show(f"{_label(entry)}: waiting for {functions} ({seconds:.0f} s)")
            sleep(_POLL_SECONDS)


def _pending(
    registry: Registry, serving: list[Deployment], entry: AliasEntry
) -> list[tuple[Deployment, str]]:
    """Return the functions that have not released an entry, and what they wait for if known."""
    reasons = [(deployment, _pending_reason(registry, deployment, entry)) for deployment in serving]
    return [(deployment, reason) for deployment, reason in reasons if reason is not None]


def _pending_reason(registry: Registry, deployment: Deployment, entry: AliasEntry) -> str | None:
    """Return what a release waits for; empty if that is unknown, and None if it is over."""
    last = registry.release_log.last(deployment, entry.alias)
    if last is None or last.entry < entry.number:
        return ""
    if last.entry > entry.number:
        raise _superseded(entry, last)
    if last.outcome == STAGING:
        return last.reason
    if last.outcome != RELEASED:
        raise ReleaseError(
            f"{_label(entry)} failed on {deployment.function}, where the alias still serves what "
            f"it served before: {last.reason}",
            reason=last.reason,
        )
    return None


def _superseded(entry: AliasEntry, newer: AliasEntry | Release) -> ReleaseError:
    return ReleaseError(
        f"{_label(entry)} was superseded: {entry.model}:{entry.alias} now names version "
        f"{newer.version}"
    )


def _timed_out(
    entry: AliasEntry, deployment: Deployment, reason: str, seconds: float
) -> ReleaseError:
    if reason:
        return ReleaseError(
            f"{_label(entry)}: {deployment.function} in {deployment.region} is still staging after "
            f"{seconds:.0f} s: {reason}. The release continues without you: `shearling status "
            f"{entry.model}` shows when it is done"
        )
    return ReleaseError(
        f"{_label(entry)}: no result from {deployment.function} in {deployment.region} after "
        f"{seconds:.0f} s. The release is still in progress, or its event was lost (a new bucket "
        "sends events only after some minutes; the next scheduled reconciliation releases the "
        f"entry). Check the log /aws/lambda/{deployment.releaser} and its dead-letter queue, or "
        f"run: shearling retry-release {entry.model}:{entry.alias}"
    )


def _label(entry: AliasEntry) -> str:
    return f"{entry.model}:{entry.alias} -> version {entry.version}"


@contextmanager
def _status_line() -> Iterator[Callable[[str], object]]:
    """Yield a function that replaces the status line, if standard error is watched by a person."""
    if not is_watched():
        yield len
        return
    shown = ""

    def show(line: str) -> None:
        nonlocal shown
        line = printable(line)
        # Padded, because notebooks support carriage returns but not erasing a line.
        sys.stderr.write(f"\r{line.ljust(len(shown))}")
        sys.stderr.flush()
        shown = line

    try:
        yield show
    finally:
        show("")
        sys.stderr.write("\r")


def serving_deployments(registry: Registry, model: str, alias: str) -> list[Deployment]:
    """Return the functions that serve an alias of a model."""
    deployments = registry.release_log.deployments(model)
    return [deployment for deployment in deployments if alias in deployment.aliases]
