"""Finds a Python of a given version on this machine, and compiles a package with it."""

from __future__ import annotations

import glob
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from shearling.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where Lambda unpacks a package: compiled in, so that tracebacks name the file that ran.
_CODE_DIRECTORY = "/var/task"
_PROBE_SECONDS = 10


def find_python(version: str) -> Path | None:
    """Return an interpreter of that version, as in `3.13`: this one, pyenv's newest, or PATH's."""
    for candidate in _candidates(version):
        release = python_release(candidate)
        if release is not None and release.rpartition(".")[0] == version:
            return candidate
    return None


def python_release(python: Path) -> str | None:
    """Return what runs there, as in `3.13.0`; None if it is no standard CPython that starts."""
    # Run, not only looked at: pyenv's shims exist for versions that are not selected. A
    # free-threaded build ("t") has another ABI than the one on Lambda.
    probe = (
        "import sys; assert sys.implementation.name == 'cpython' and 't' not in sys.abiflags; "
        "print('.'.join(map(str, sys.version_info[:3])))"
    )
    try:
        done = subprocess.run(  # noqa: S603 - an interpreter of this machine
            [python, "-I", "-S", "-c", probe],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PROBE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def compile_tree(root: Path, python: Path) -> list[str]:
    """Compile every module beside its source, and return those that could not be, sorted.

    The same tree and Python give the same bytes: compileall goes through the files in order, one
    process does it all (what is interned, and so how it is written, depends on what came
    before), and hashing is not randomised.
    """
    quietly = ("-S", "-m", "compileall", "-q", "-q", "--invalidation-mode=unchecked-hash")
    done = subprocess.run(  # noqa: S603 - an interpreter of this machine
        [str(python), *quietly, "-s", str(root), "-p", _CODE_DIRECTORY, str(root)],
        env={"PYTHONHASHSEED": "0", "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and not any(root.rglob("*.pyc")):
        raise PackageError(f"{python} could not compile the package: {done.stderr.strip()[-500:]}")
    return sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if not any((path.parent / "__pycache__").glob(f"{glob.escape(path.stem)}.*.pyc"))
    )


def _candidates(version: str) -> Iterator[Path]:
    # The one below a virtual environment: what is found may be used to make others.
    yield Path(getattr(sys, "_base_executable", sys.executable))
    for root in (os.environ.get("PYENV_ROOT"), Path("~/.pyenv").expanduser()):
        # Not free-threaded (3.13t), not a pre-release (3.14.0rc1): plain releases only.
        releases = Path(root, "versions").glob(f"{version}.*") if root else ()
        plain = [path for path in releases if re.fullmatch(r"[0-9.]+", path.name)]
        for release in sorted(plain, key=lambda path: int(path.name.rpartition(".")[2]))[::-1]:
            yield release / "bin" / "python"
    for directory in os.get_exec_path():
        executable = Path(directory, f"python{version}")
        if os.access(executable, os.X_OK):
            yield executable
