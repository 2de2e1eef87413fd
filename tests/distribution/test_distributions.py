"""The sdist and the wheel hold the package, the licence and the read-me, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from typing import TYPE_CHECKING

from tests.distribution.project import REPOSITORY, project

if TYPE_CHECKING:
    from pathlib import Path

VERSION = project()["version"]


def names_in_sdist(sdist: Path) -> set[str]:
    """The files by their paths below the sdist's one folder."""
    with tarfile.open(sdist) as archive:
        folder, names = f"shearling-{VERSION}/", archive.getnames()
    assert all(name.startswith(folder) for name in names)
    return {name.removeprefix(folder) for name in names}


def names_in_wheel(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def sources(*folders: str, base: str) -> set[str]:
    """The files of the repository below these folders, by their paths below `base`."""
    found = (path for folder in folders for path in (REPOSITORY / folder).rglob("*"))
    return {
        str(path.relative_to(REPOSITORY / base))
        for path in found
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_sdist_holds_these_files_and_folders(sdist: Path) -> None:
    assert {name.partition("/")[0] for name in names_in_sdist(sdist)} == {
        *("sdk", "lambda_runtime"),
        *("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"),
        *(".gitignore", "PKG-INFO"),  # the build backend adds them
    }


def test_the_sdist_holds_all_sources_and_no_other_file_below_a_folder(sdist: Path) -> None:
    below = {name for name in names_in_sdist(sdist) if "/" in name}
    assert below == sources("sdk", "lambda_runtime", base=".")


def test_the_wheel_holds_both_packages_and_its_metadata(wheel: Path) -> None:
    metadata = f"shearling-{VERSION}.dist-info"
    names = names_in_wheel(wheel)
    assert {name.partition("/")[0] for name in names} == {
        *("shearling", "shearling_runtime"),
        metadata,
    }
    assert {name for name in names if not name.startswith(metadata)} == {
        *sources("sdk/shearling", base="sdk"),
        *sources("lambda_runtime/shearling_runtime", base="lambda_runtime"),
    }
    assert {name for name in names if name.startswith(metadata)} == {
        f"{metadata}/{name}"
        for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }


def test_both_are_named_after_the_version(sdist: Path, wheel: Path) -> None:
    assert sdist.name == f"shearling-{VERSION}.tar.gz"
    assert wheel.name == f"shearling-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        metadata = message_from_bytes(archive.read(f"shearling-{VERSION}.dist-info/METADATA"))
    assert metadata["Version"] == VERSION


def test_a_package_index_accepts_the_metadata_and_the_read_me(sdist: Path, wheel: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", sdist, wheel],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
