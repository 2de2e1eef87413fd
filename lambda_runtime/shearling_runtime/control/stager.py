"""The stager function: the only one that writes to the mounted file system.

What lies there under the name of a blob is whole and proven, so that any number of stagers may work
at once, and any of them may end at any moment.
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
from shearling.registry.registry import REGISTRY_VARIABLE, Registry
from shearling.release.staging import ENSURE, NOT_STAGED, PRUNE, STAGE, STAGED, UNFINISHED
from shearling.storage.blobs import BLOBS, NoRoomError, fetch_blobs, staged_manifest
from shearling_runtime.control.retrying_store import RetryingStore
from shearling_runtime.telemetry import log, log_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shearling.storage.store import Store

#: What is left unused of the time that Lambda gives: ranges under way are still written, and all
#: that the file system's client holds is flushed.
_MARGIN_SECONDS = 60.0

#: How long a blob outlives the last version that pinned it: sandboxes of that version may run on.
_KEPT = timedelta(days=1)

#: When each blob was first found to be pinned by nothing: the time of an empty file of its name.
_UNPINNED = "unpinned"
_LOCKS = "locks"

_HEX_DIGITS = 64


class _OutOfTimeError(Exception):
    """There is no time to begin another part."""


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Look whether a bundle is here, bring it here, or remove what nothing needs.

    Raises:
        ReleaseError: the event is none of these requests.
    """
    end = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS
    mount = Path(os.environ["SHEARLING_MOUNT"])
    match event.get("shearling"):
        case str(request) if request == ENSURE:
            return {"staged": ensure_staged(mount, Pin.parse(event["pin"]))}
        case str(request) if request == STAGE:
            store = RetryingStore(_store(os.environ.get(REGISTRY_VARIABLE, "")), end)
            registry = Registry(store=store)
            return stage(registry, mount, Pin.parse(event["pin"]), end=end)
        case str(request) if request == PRUNE:
            return prune(mount, set(event["keep"]), dry_run=event.get("dry_run") is True)
    raise ReleaseError(f"the stager is asked to {ENSURE}, {STAGE} or {PRUNE}")


def ensure_staged(mount: Path, pin: Pin) -> bool:
    """Say whether a bundle is here and whole; if so, it is needed from now on."""
    with locked(mount, BLOBS.replace("/", "-"), shared=True):
        manifest = staged_manifest(mount / BLOBS, pin)
        if manifest:
            _need(mount, {pin.hex, *(file.hex for file in manifest.files)})
        return manifest is not None


def stage(
    registry: Registry,
    mount: Path,
    pin: Pin,
    *,
    end: float,
    now: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Bring a bundle here, and say what became of it, as `shearling.staging.Staging` has it.

    Args:
        registry: where the bundle is.
        mount: where the file system is mounted.
        pin: of the bundle.
        end: when to stop, in the seconds of `now`; what is done by then is kept.
        now: seconds that only grow.
    """
    started = now()
    try:
        with locked(mount, pin.hex) as is_ours:
            if not is_ours:
                return _unfinished("another stager is at it", pin)
            size = _bring(registry, mount, pin, end, now)
    except _OutOfTimeError:
        return _unfinished("the stager's time was up; the next sweep resumes it", pin)
    except (ShearlingError, OSError) as error:
        log_error("staging failed", error, model=str(pin))
        reason = _reason(error, mount)
        return {"outcome": NOT_STAGED, "reason": reason, "is_final": isinstance(error, BundleError)}
    log("staged", model=str(pin), bytes=size, seconds=round(now() - started, 3))
    return {"outcome": STAGED}


def prune(
    mount: Path,
    keep: set[str],
    *,
    dry_run: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> dict[str, Any]:
    """Remove blobs that nothing has needed for a day, and tell of all that nothing needs.

    Args:
        mount: where the file system is mounted.
        keep: names of the blobs that are needed.
        dry_run: only tell.
        now: the time of day.
    """
    with locked(mount, BLOBS.replace("/", "-")) as is_ours:
        if not is_ours:
            return {"reason": "a bundle is being staged: try again later"}
        _need(mount, keep)
        blobs = [path for path in sorted((mount / BLOBS).glob("*")) if path.name not in keep]
        return {"blobs": [_prune(mount, path, now(), dry_run=dry_run) for path in blobs]}


def _bring(registry: Registry, mount: Path, pin: Pin, end: float, now: Callable[[], float]) -> int:
    def advance(_: int) -> None:
        if now() >= end:
            raise _OutOfTimeError

    manifest = registry.manifest(pin)
    with locked(mount, BLOBS.replace("/", "-"), shared=True):
        _need(mount, {pin.hex, *(file.hex for file in manifest.files)})
        advance(0)
        done = registry.fetch(manifest, mount / BLOBS, advance)
        # Last, so that a bundle whose manifest is here is here.
        fetch_blobs(registry.store, [registry.manifest_descriptor(pin)], mount / BLOBS)
    return done.size_bytes


def _unfinished(reason: str, pin: Pin) -> dict[str, Any]:
    log("staging unfinished", model=str(pin), reason=reason)
    return {"outcome": UNFINISHED, "reason": reason}


def _reason(error: Exception, mount: Path) -> str:
    if isinstance(error, NoRoomError):
        return f"the file system is full: {error}; `shearling prune` removes what nothing needs"
    if isinstance(error, OSError):
        return f"the file system at {mount} cannot be used: {error.strerror}"
    return str(error)


def _prune(mount: Path, path: Path, now: datetime, *, dry_run: bool) -> dict[str, Any]:
    size = path.stat().st_size
    since = _unpinned_since(mount, path, now, dry_run=dry_run)
    is_over = now - since >= _KEPT and not _is_busy(path)
    if is_over and not dry_run:
        path.unlink(missing_ok=True)
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
    """Say whether a stager writes a file: what is left of one that was cut off is not locked."""
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


def _need(mount: Path, names: set[str]) -> None:
    """Forget that nothing needed these blobs: their day begins anew."""
    for name in names:
        with suppress(FileNotFoundError):
            (mount / _UNPINNED / name).unlink()


@contextmanager
def locked(mount: Path, name: str, *, shared: bool = False) -> Iterator[bool]:
    """Yield whether a lock of the file system's is ours; a shared one is waited for.

    It ends with the process that holds it. Without it nothing would break: it keeps two stagers
    from copying the same bytes, and a prune from looking while a bundle is being named.
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
