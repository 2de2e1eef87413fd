"""The stager function: the only function that writes to the mounted file system.

A file under a blob's name that has a mark is complete and verified, so that several stagers can run
at the same time, and any of them can end at any moment. The stager of version 0.1 wrote no marks:
its files are verified once where they are, because running functions have them mapped.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.errors import BundleError, ReleaseError, ShearlingError
from shearling.refs import Pin
from shearling.registry.registry import REGISTRY_VARIABLE, Registry, naming_verify
from shearling.release.staging import ENSURE, NOT_STAGED, PRUNE, STAGE, STAGED, UNFINISHED
from shearling.storage import marks
from shearling.storage.blobs import BLOBS, NoRoomError, fetch_blobs, staged_manifest
from shearling_runtime.control import attempts
from shearling_runtime.control.retrying_store import RetryingStore
from shearling_runtime.telemetry import log, log_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shearling.storage.store import Store

#: Time before the function's timeout that is reserved for finishing the ranges in progress and for
#: flushing the file system's cache.
_MARGIN_SECONDS = 60.0

#: Time to keep a blob after the last version that pinned it, since sandboxes may still use it.
_RETENTION = timedelta(days=1)

#: Folder of an empty file for each unpinned blob; its time is when no version was first found to
#: pin the blob.
_UNPINNED = "unpinned"
_LOCKS = "locks"

_HEX_DIGITS = 64


class _OutOfTimeError(Exception):
    """The time left is too short to fetch another part."""


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Check whether a bundle is staged, stage a bundle, or remove unneeded blobs.

    Raises:
        ReleaseError: the event is none of these requests.
    """
    end = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS
    mount = Path(os.environ["SHEARLING_MOUNT"])
    match event.get("shearling"):
        case str(request) if request == ENSURE:
            pin = Pin.parse(event["pin"])
            if ensure_staged(mount, pin):
                return {"staged": True}
            last = attempts.last(mount, pin.hex, mount / _LOCKS / pin.hex)
            return {"staged": False} | ({"last": last} if last else {})
        case str(request) if request == STAGE:
            store = RetryingStore(_store(os.environ.get(REGISTRY_VARIABLE, "")), end)
            registry = Registry(store=store)
            return stage(registry, mount, Pin.parse(event["pin"]), end=end)
        case str(request) if request == PRUNE:
            return prune(mount, set(event["keep"]), dry_run=event.get("dry_run") is True)
    raise ReleaseError(
        f"shearling: unknown request {event.get('shearling')!r:.40} to the stager; expected "
        f"{ENSURE!r}, {STAGE!r} or {PRUNE!r}"
    )


def ensure_staged(mount: Path, pin: Pin) -> bool:
    """Return whether a bundle is staged completely; if so, mark its blobs as needed."""
    with locked(mount, BLOBS.replace("/", "-"), shared=True):
        manifest = staged_manifest(mount / BLOBS, pin)
        if manifest:
            _mark_needed(mount, {pin.hex, *(file.hex for file in manifest.files)})
        return manifest is not None


def stage(
    registry: Registry,
    mount: Path,
    pin: Pin,
    *,
    end: float,
    now: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Copy a bundle from the registry to the file system.

    Args:
        registry: registry of the bundle.
        mount: mount path of the file system.
        pin: pin of the bundle.
        end: time to stop at, in the seconds of `now`; parts written by then are kept.
        now: monotonic clock in seconds.

    Returns:
        The result, as `shearling.release.staging.Attempt` reads it.
    """
    try:
        with locked(mount, pin.hex) as is_ours:
            if not is_ours:
                return _unfinished("another stager is staging this bundle", pin)
            attempts.begin(mount, pin.hex)
            answer = _attempt(registry, mount, pin, end, now)
            attempts.end(mount, pin.hex, answer)
    except OSError as error:
        return _failed(error, mount, pin)
    return answer


def prune(
    mount: Path,
    keep: set[str],
    *,
    dry_run: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> dict[str, Any]:
    """Remove blobs that no version has needed for a day, and list all unneeded blobs.

    Args:
        mount: mount path of the file system.
        keep: names of the blobs that are needed.
        dry_run: whether to list the blobs only.
        now: returns the current time.

    Returns:
        `blobs`, a list with the state of each unneeded blob; or `reason`, if a bundle is being
        staged.
    """
    with locked(mount, BLOBS.replace("/", "-")) as is_ours:
        if not is_ours:
            return {"reason": "a bundle is being staged; try again later"}
        _mark_needed(mount, keep)
        blobs = [path for path in sorted((mount / BLOBS).glob("*")) if path.name not in keep]
        return {"blobs": [_prune(mount, path, now(), dry_run=dry_run) for path in blobs]}


def _attempt(
    registry: Registry, mount: Path, pin: Pin, end: float, now: Callable[[], float]
) -> dict[str, Any]:
    started = now()
    try:
        with naming_verify(pin):
            size = _copy_bundle(registry, mount, pin, end, now)
    except _OutOfTimeError:
        return _unfinished(
            "the stager ran out of time; the next scheduled reconciliation resumes", pin
        )
    except (ShearlingError, OSError) as error:
        return _failed(error, mount, pin)
    log("staged", model=str(pin), bytes=size, seconds=round(now() - started, 3))
    return {"outcome": STAGED}


def _failed(error: Exception, mount: Path, pin: Pin) -> dict[str, Any]:
    log_error("staging failed", error, model=str(pin))
    reason = _reason(error, mount)
    return {"outcome": NOT_STAGED, "reason": reason, "is_final": isinstance(error, BundleError)}


def _copy_bundle(
    registry: Registry, mount: Path, pin: Pin, end: float, now: Callable[[], float]
) -> int:
    def advance(_: int) -> None:
        if now() >= end:
            raise _OutOfTimeError

    manifest = registry.manifest(pin)
    with locked(mount, BLOBS.replace("/", "-"), shared=True):
        _mark_needed(mount, {pin.hex, *(file.hex for file in manifest.files)})
        advance(0)
        done = registry.fetch(manifest, mount / BLOBS, advance)
        # The manifest is last, so that its presence means that the bundle is complete.
        fetch_blobs(registry.store, [registry.manifest_descriptor(pin)], mount / BLOBS)
    return done.size_bytes


def _unfinished(reason: str, pin: Pin) -> dict[str, Any]:
    log("staging unfinished", model=str(pin), reason=reason)
    return {"outcome": UNFINISHED, "reason": reason}


def _reason(error: Exception, mount: Path) -> str:
    if isinstance(error, NoRoomError):
        return f"the file system is full: {error}. Remove unneeded blobs with `shearling prune`"
    if isinstance(error, OSError):
        return f"the file system at {mount} cannot be used: {error.strerror}"
    return str(error)


def _prune(mount: Path, path: Path, now: datetime, *, dry_run: bool) -> dict[str, Any]:
    size = path.stat().st_size
    since = _unpinned_since(mount, path, now, dry_run=dry_run)
    is_over = now - since >= _RETENTION and not _is_busy(path)
    if is_over and not dry_run:
        path.unlink(missing_ok=True)
        marks.forget(path)
        (mount / _UNPINNED / path.name).unlink(missing_ok=True)
    state = ("removable" if dry_run else "removed") if is_over else "waiting"
    digest = f"sha256:{path.name}" if len(path.name) == _HEX_DIGITS else path.name
    return {"digest": digest, "size": size, "state": state, "since": since.isoformat()}


def _unpinned_since(mount: Path, path: Path, now: datetime, *, dry_run: bool) -> datetime:
    mark = mount / _UNPINNED / path.name
    try:
        return datetime.fromtimestamp(mark.stat().st_mtime, UTC)
    except FileNotFoundError:
        if not dry_run:
            mark.parent.mkdir(exist_ok=True)
            mark.touch()
            os.utime(mark, (now.timestamp(), now.timestamp()))
        return now


def _is_busy(path: Path) -> bool:
    """Return whether a stager is writing a file; the file of a stager that ended is not locked."""
    if len(path.name) == _HEX_DIGITS:
        return False
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _mark_needed(mount: Path, names: set[str]) -> None:
    """Remove the marks of unpinned blobs, so that their retention starts again."""
    for name in names:
        with suppress(FileNotFoundError):
            (mount / _UNPINNED / name).unlink()


@contextmanager
def locked(mount: Path, name: str, *, shared: bool = False) -> Iterator[bool]:
    """Take a lock on the file system, and yield whether it was free.

    Waits for a shared lock, but not for an exclusive one. The lock ends with its process. It
    avoids that two stagers copy the same bytes, and that a prune runs while a bundle is being
    staged. Correctness does not depend on it.

    Args:
        mount: mount path of the file system.
        name: name of the lock.
        shared: whether several holders may have the lock at the same time.
    """
    path = mount / _LOCKS / name
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o640)
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB
        try:
            fcntl.flock(descriptor, kind)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


@cache
def _store(uri: str) -> Store:
    return Registry(uri).store
