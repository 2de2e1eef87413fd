"""The facts about a push that go into a version's record, because they differ from push to push."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any

from shearling.bundle.contract import REVISION, REVISION_FIELD
from shearling.bundle.digests import digest_of
from shearling.bundle.measurement import MEASURED_FIELD
from shearling.formats.base import REMOTE
from shearling.models.measuring import is_measured, measure

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.bundle.manifest import Manifest
    from shearling.registry.registry import Registry


def version_details(manifest: Manifest, load_seconds: float, caller: str) -> dict[str, Any]:
    """Return the facts about a push, which are not part of the manifest.

    Args:
        manifest: the manifest that is published.
        load_seconds: seconds that loading the bundle took.
        caller: who pushes; empty if unknown.
    """
    commit = _git_commit()
    return {
        "format": manifest.format,
        "size_bytes": manifest.size,
        "load_ms": round(load_seconds * 1000),
        "pushed_by": caller,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "shearling": installed_version("shearling"),
        REVISION_FIELD: REVISION,
    } | ({"git_commit": commit} if commit else {})


def measured_fields(
    registry: Registry, manifest: Manifest, directory: Path, *, wanted: bool | None, largest: int
) -> dict[str, Any]:
    """Return what a measurement found out about a new version; a version that exists keeps its own.

    Args:
        registry: the registry that the bundle is to be published in.
        manifest: the manifest.
        directory: directory with the verified blobs of the bundle.
        wanted: whether to measure; None leaves that to the environment.
        largest: rows of the largest request.
    """
    number = registry.version_log(manifest.model).find(digest_of(manifest.to_bytes()))
    # An endpoint's memory and latency are not this machine's to measure.
    is_local = manifest.format != REMOTE
    if number is not None or not is_local or not is_measured(wanted=wanted):
        return {}
    measured = measure(manifest, directory, largest=largest)
    return {MEASURED_FIELD: measured.to_record()} if measured else {}


def _git_commit() -> str | None:
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - git is found by PATH
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
