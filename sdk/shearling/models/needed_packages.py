"""What a teacher would cost as a pickle: its size, and the packages that its function needs."""

from __future__ import annotations

import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.converters import cloudpickle
from shearling.errors import ShearlingError
from shearling.models.load import LoadedModel
from shearling.progress import human_bytes

if TYPE_CHECKING:
    from shearling.bundle.manifest import Environment
    from shearling.models.teacher import Teacher


def teacher_cost(teacher: Teacher, rows: Any) -> tuple[int | None, str]:
    """Return the size of a teacher's files, and what a function needs beyond the runtime.

    Args:
        teacher: the teacher. One that is no version of the registry is pickled to be measured.
        rows: rows to pickle it with.
    """
    if isinstance(teacher.original, LoadedModel):
        manifest = teacher.original.manifest
        return manifest.size, _packages(manifest.environment)
    with tempfile.TemporaryDirectory(prefix="shearling-") as directory:
        try:
            pickled = cloudpickle.convert(teacher.original, rows, Path(directory), None)
        except ShearlingError:  # a callable may hold what no pickle can have
            return None, ""
        size = sum(file.stat().st_size for file in pickled.files.values())
        return size, _packages(pickled.environment)


def _packages(environment: Environment | None) -> str:
    if environment is None or not environment.requirements:
        return "runtime"
    names = [requirement.partition("==")[0] for requirement in environment.requirements]
    size = human_bytes(sum(map(_installed_bytes, names)))
    return f"{len(names)} {'package' if len(names) == 1 else 'packages'}, {size}"


def _installed_bytes(name: str) -> int:
    """Return the size of an installed package; 0 if it is not installed here."""
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        return 0
    paths = (Path(str(file.locate())) for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file())
