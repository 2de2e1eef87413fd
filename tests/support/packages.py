"""Build function packages for tests and the demo, once for each state of the sources."""

from __future__ import annotations

import fcntl
import hashlib
import platform
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import shearling.package
from shearling.package import build_package, find_python
from shearling.package.build import own_files
from shearling.package.interpreters import python_release
from shearling.package.wheels import feature_requirements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shearling.package import Architecture, Kind

REPOSITORY = Path(__file__).parents[2]
_PACKAGES = REPOSITORY / ".tools" / "packages"
_KEPT = 4


def function_python() -> str:
    """Return the newest installed Python that functions can use: `3.13`, `3.12` or `3.11`."""
    return next((version for version in ("3.13", "3.12") if find_python(version)), "3.11")


def host_architecture() -> Architecture:
    """Return the architecture of this machine, on which the emulator runs functions."""
    return "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"


def built_package(kind: Kind, python: str | None = None, *, features: Sequence[str] = ()) -> Path:
    """Return the zip for this machine, building it if the sources have changed since.

    Args:
        kind: kind of the package.
        python: minor version of its Python.
        features: what `--with` adds.
    """
    python = python or function_python()
    _PACKAGES.mkdir(parents=True, exist_ok=True)
    # Tests and the demo may run at the same time; the second waits for the zip of the first.
    name = "-".join([kind, *features, python])
    with (_PACKAGES / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        package = _PACKAGES / f"{name}-{_key(kind, python)}.zip"
        if not package.exists():
            build_package(
                kind,
                python=python,
                architecture=host_architecture(),
                output=package,
                requirements=[pin for each in features for pin in feature_requirements(each)],
            )
            _forget_old(f"{name}-*.zip")
    return package


def unzipped_package(
    kind: Kind, root: Path, python: str | None = None, *, features: Sequence[str] = ()
) -> Path:
    """Unzip a package under `root` and return its directory."""
    package = built_package(kind, python, features=features)
    return unzip(package, root / package.stem)


def unzip(package: Path, directory: Path) -> Path:
    """Unzip a package with the permissions that Lambda would set."""
    with zipfile.ZipFile(package) as archive:
        archive.extractall(directory)
        for entry in archive.infolist():
            (directory / entry.filename).chmod(entry.external_attr >> 16 & 0o777)
    return directory


def _key(kind: Kind, python: str) -> str:
    interpreter = find_python(python)
    digest = hashlib.sha256(f"{interpreter and python_release(interpreter)}".encode())
    builder = Path(shearling.package.__file__).parent
    sources = [
        *own_files(kind).values(),
        *builder.glob("*.py"),
        builder / "constraints.txt",
    ]
    for source in sorted(sources):
        content = source.read_bytes()
        digest.update(f"{source.parent.name}/{source.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _forget_old(pattern: str) -> None:
    newest_first = sorted(_PACKAGES.glob(pattern), key=lambda path: -path.stat().st_mtime)
    for package in newest_first[_KEPT:]:
        package.unlink(missing_ok=True)
