"""Partial files of fetches that were stopped do not stay for ever."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

import pytest

from shearling.registry.registry import Registry
from tests.support.bundles import scaling_bundle

if TYPE_CHECKING:
    from pathlib import Path

DAY = 24 * 3600


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "blobs").mkdir()
    return tmp_path / "blobs"


def fetch(tmp_path: Path, directory: Path) -> None:
    version = scaling_bundle(tmp_path).publish(str(tmp_path / "registry"))
    registry = Registry(str(tmp_path / "registry"))
    registry.fetch(registry.manifest(version.pin), directory)


def partial(directory: Path, name: str, age_seconds: float) -> Path:
    path = directory / f"{name}.1-abcd.partial"
    path.write_bytes(b"some of it")
    then = time.time() - age_seconds
    os.utime(path, (then, then))
    return path


def test_a_fetch_removes_what_others_abandoned_a_day_ago(tmp_path: Path, directory: Path) -> None:
    old = partial(directory, "a" * 64, DAY + 60)
    young = partial(directory, "b" * 64, DAY - 60)
    blob = directory / ("c" * 64)
    blob.touch()
    os.utime(blob, (0, 0))
    fetch(tmp_path, directory)
    assert not old.exists()
    assert young.exists()
    assert blob.exists()


def test_what_another_process_has_locked_stays(tmp_path: Path, directory: Path) -> None:
    busy = partial(directory, "a" * 64, 3 * DAY)
    descriptor = os.open(busy, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        fetch(tmp_path, directory)
        assert busy.exists()
    finally:
        os.close(descriptor)


def test_a_fetch_does_not_fail_because_of_what_cannot_be_removed(
    tmp_path: Path, directory: Path
) -> None:
    odd = directory / "odd.1-abcd.partial"
    odd.mkdir()
    os.utime(odd, (0, 0))
    fetch(tmp_path, directory)
    assert odd.exists()
