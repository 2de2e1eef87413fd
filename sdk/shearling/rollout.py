"""Move aliases from a notebook, with rights on the bucket alone, and learn what became of it."""

from __future__ import annotations

import operator
import sys
import time
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shearling.errors import ModelNotFoundError, RegistryError, ReleaseError
from shearling.progress import is_watched
from shearling.ref import check_alias
from shearling.registry import Registry
from shearling.standing import Status, status

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from shearling.model_version import ModelVersion
    from shearling.registry import AliasEntry, Deployment, Release

__all__ = ["Status", "require_served", "rollback", "set_alias", "status", "wait_for_release"]

#: How often the outcome is looked for.
_POLL_SECONDS = 1.0

#: What a canary may get; all or nothing is another version.
_PERCENT = range(1, 100)


def set_alias(
    model: str,
    alias: str,
    version: int | ModelVersion,
    *,
    wait: bool = False,
    timeout_seconds: float = 900,
    canary: Mapping[str, int] | None = None,
    reason: str = "",
    registry: Registry | str | os.PathLike[str] | None = None,
) -> AliasEntry:
    """Name a version by an alias; every function that serves the alias follows.

    Naming the version that is named already asks for another try, should its release have failed.

    Args:
        model: the model.
        alias: such as `prod`; it need not exist yet.
        version: number of the version, or what `push_model` returned.
        wait: return only when every function that serves the alias serves this version.
        timeout_seconds: how long to wait.
        canary: another version that gets a share of the requests: `{"version": 8, "percent": 10}`.
        reason: a note for the alias's history.
        registry: the registry or its URI; by default what SHEARLING_REGISTRY says.

    Raises:
        ModelNotFoundError: there is no such version.
        RegistryError: the version is no whole number, or another model's; or the canary is none.
        ReleaseError: with `wait`: nothing serves that alias, and it is left as it was; or the
            release failed or took too long, and the alias names the version all the same.
    """
    target = _opened(registry)
    number, share = _number(model, version), _share(model, canary)
    if wait:
        require_served(target, model, alias)
    entry = target.set_alias(model, alias, number, canary=share, reason=reason)
    if wait:
        wait_for_release(target, entry, timeout_seconds=timeout_seconds)
    return entry


def rollback(
    model: str,
    alias: str,
    *,
    wait: bool = False,
    timeout_seconds: float = 900,
    reason: str = "rollback",
    registry: Registry | str | os.PathLike[str] | None = None,
) -> AliasEntry:
    """Name the version that served before the one that serves now.

    That is the version of the newest successful release that differs from it; if a part of the
    requests goes to a canary, it is the same version without the canary. If what is named is not
    served, as its release failed or is under way, it is the version that serves now. If nothing is
    deployed, the alias's own history decides. Two people who roll back at once go back one step,
    not two.

    Args:
        model: the model.
        alias: such as `prod`.
        wait: return only when every function that serves the alias serves that version.
        timeout_seconds: how long to wait.
        reason: a note for the alias's history.
        registry: the registry or its URI; by default what SHEARLING_REGISTRY says.

    Raises:
        ModelNotFoundError: the alias was never set.
        ReleaseError: there is nothing to go back to; or, with `wait`, as for `set_alias`.
    """
    target = _opened(registry)
    if wait:
        require_served(target, model, alias)
    entry = _roll_back(target, model, alias, reason)
    if wait:
        wait_for_release(target, entry, timeout_seconds=timeout_seconds)
    return entry


def require_served(registry: Registry, model: str, alias: str) -> list[Deployment]:
    """Return the functions that serve an alias; for who is about to wait for them.

    Raises:
        ReleaseError: none does, so that there is nothing to wait for.
    """
    found = _deployments(registry, model, check_alias(alias))
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


# Going back


def _roll_back(registry: Registry, model: str, alias: str, reason: str) -> AliasEntry:
    first: AliasEntry | None = None
    while True:
        current = registry.alias_entry(model, alias)
        if current is None:
            raise ModelNotFoundError(f"alias {alias!r} of model {model!r} was never set")
        first = first or current
        version = _before(registry, first)
        is_named = current.version == version and not current.canary
        if is_named and not _has_failed(registry, current):
            return current  # somebody else has just rolled back
        if entry := registry.replace_entry(current, version, reason):
            return entry


def _before(registry: Registry, first: AliasEntry) -> int:
    """Return the version to go back to from the entry that was newest when the rollback began."""
    deployments = _deployments(registry, first.model, first.alias)
    released = sorted(
        it.entry for one in deployments for it in registry.successes(one, first.alias)
    )
    log = registry.history(first.model, first.alias)
    if deployments:
        entries = {entry.number: entry for entry in log}
        log = [entries[number] for number in released]
    served = log[-1] if log and deployments else first
    others = [it.version for it in log if it.version != served.version]
    before = served.version if served.canary else others[-1] if others else None
    if log and first.number > served.number and first.version != before:
        return served.version  # what is named was not released, and is no rollback either
    if not log or before is None:
        raise ReleaseError(
            f"there is nothing to roll {first.model}:{first.alias} back to: no other version was "
            "ever released there; name one with set_alias"
        )
    return before


def _has_failed(registry: Registry, entry: AliasEntry) -> bool:
    lasts = (
        registry.last_release(one, entry.alias)
        for one in _deployments(registry, entry.model, entry.alias)
    )
    return any(last and (last.entry, last.outcome) == (entry.number, "failed") for last in lasts)


# Waiting


def _is_released(registry: Registry, deployment: Deployment, entry: AliasEntry) -> bool:
    last = registry.last_release(deployment, entry.alias)
    if last is None or last.entry < entry.number:
        return False
    if last.entry > entry.number:
        raise _superseded(entry, last)
    if last.outcome == "staging":
        return False
    if last.outcome != "released":
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
        f"queue, or run: shearling release {entry.model}:{entry.alias}"
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


# What they share


def _opened(registry: Registry | str | os.PathLike[str] | None) -> Registry:
    return registry if isinstance(registry, Registry) else Registry(registry)


def _deployments(registry: Registry, model: str, alias: str) -> list[Deployment]:
    return [one for one in registry.deployments(model) if alias in one.aliases]


def _number(model: str, version: object) -> int:
    """Return the number of a version: a whole number of any kind, or what has one."""
    if getattr(version, "model", model) != model:
        raise RegistryError(f"{version} is no version of model {model!r}")
    number = _whole(getattr(version, "version", version))
    if number is None:
        raise RegistryError(
            f"version {version!r}: expected its number, as in 8, or what push_model returned"
        )
    return number


def _share(model: str, canary: object) -> dict[str, int] | None:
    if canary is None:
        return None
    if isinstance(canary, Mapping) and set(canary) == {"version", "percent"}:
        percent = _whole(canary["percent"])
        if percent is not None and percent in _PERCENT:
            return {"version": _number(model, canary["version"]), "percent": percent}
    raise RegistryError(
        f"canary {canary!r}: expected the version and the percentage of requests, 1 to 99, as in "
        "{'version': 8, 'percent': 10}"
    )


def _whole(number: Any) -> int | None:
    """Return a whole number of any kind; None if it is none, as True, which nobody means by 1."""
    try:
        return None if isinstance(number, bool) else operator.index(number)
    except TypeError:
        return None
