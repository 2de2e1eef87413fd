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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shearling.registry.records import AliasEntry, Deployment, Release
    from shearling.registry.registry import Registry


#: How often the outcome is looked for.
_POLL_SECONDS = 1.0


def require_served(registry: Registry, model: str, alias: str) -> list[Deployment]:
    """Return the functions that serve an alias; for who is about to wait for them.

    Raises:
        ReleaseError: none does, so that there is nothing to wait for.
    """
    found = serving_deployments(registry, model, check_alias(alias))
    if not found:
        raise ReleaseError(
            f"no function serves {model}:{alias}, so there is nothing to wait for: deploy it with "
            f"this alias (terraform apply), or leave out `wait`"
        )
    return found


def wait_for_release(
    registry: Registry,
    entry: AliasEntry,
    *,
    timeout_seconds: float = 900,
    sleep: Callable[[float], object] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Return when every function that serves an alias has released an entry of its log.

    Raises:
        ReleaseError: a release failed, with its reason; a newer entry has superseded this one;
            nothing serves the alias; or the time is up.
    """
    serving = require_served(registry, entry.model, entry.alias)
    start = now()
    with _shown() as show:
        while waiting := [one for one in serving if not _is_released(registry, one, entry)]:
            seconds = now() - start
            newest = registry.alias_entry(entry.model, entry.alias)
            if newest and newest.number > entry.number:
                raise _superseded(entry, newest)
            if seconds >= timeout_seconds:
                raise _out_of_time(entry, waiting, seconds)
            functions = ", ".join(one.function for one in waiting)
            show(f"{_words(entry)}: waiting for {functions} ({seconds:.0f} s)")
            sleep(_POLL_SECONDS)


def _is_released(registry: Registry, deployment: Deployment, entry: AliasEntry) -> bool:
    last = registry.release_log.last(deployment, entry.alias)
    if last is None or last.entry < entry.number:
        return False
    if last.entry > entry.number:
        raise _superseded(entry, last)
    if last.outcome == STAGING:
        return False
    if last.outcome != RELEASED:
        raise ReleaseError(
            f"{_words(entry)} failed on {deployment.function}, which serves what it did: "
            f"{last.reason}",
            reason=last.reason,
        )
    return True


def _superseded(entry: AliasEntry, newer: AliasEntry | Release) -> ReleaseError:
    return ReleaseError(
        f"{_words(entry)} was superseded: {entry.model}:{entry.alias} names version "
        f"{newer.version} now"
    )


def _out_of_time(entry: AliasEntry, waiting: list[Deployment], seconds: float) -> ReleaseError:
    one = waiting[0]
    return ReleaseError(
        f"{_words(entry)}: after {seconds:.0f} s no word of {one.function} in {one.region}. It is "
        f"still under way or its event was lost (events of a new bucket begin after minutes; the "
        f"next sweep finds it). Look at the log /aws/lambda/{one.releaser} and its dead-letter "
        f"queue, or run: shearling retry-release {entry.model}:{entry.alias}"
    )


def _words(entry: AliasEntry) -> str:
    return f"{entry.model}:{entry.alias} -> version {entry.version}"


@contextmanager
def _shown() -> Iterator[Callable[[str], object]]:
    """Yield a function that shows a line in place of the last one, where somebody is looking."""
    if not is_watched():
        yield len
        return
    shown = ""

    def show(line: str) -> None:
        nonlocal shown
        # Padded, since a notebook knows how to return and not how to erase.
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
    return [one for one in registry.release_log.deployments(model) if alias in one.aliases]
