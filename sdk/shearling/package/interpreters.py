"""Find a Python interpreter of a given version on this machine, and compile a package with it."""

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

# Lambda's directory for packages. Compiled modules contain it, so that tracebacks have the paths
# of the files on Lambda.
_CODE_DIRECTORY = "/var/task"
_PROBE_SECONDS = 10


def find_python(version: str) -> Path | None:
    """Return an interpreter: the running one, the newest of pyenv, or one on the PATH.

    Args:
        version: major and minor version, as in `3.13`.
    """
    for candidate in _candidates(version):
        release = python_release(candidate)
        if release is not None and release.rpartition(".")[0] == version:
            return candidate
    return None


def python_release(python: Path) -> str | None:
    """Return the release of an interpreter, as in `3.13.0`.

    None means that it does not start, or is not a standard build of CPython.
    """
    # The interpreter must be run, because pyenv has shims for versions that are not selected. A
    # free-threaded build ("t") has another ABI than the Python on Lambda.
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
    """Compile every module beside its source; return the paths of those that failed, sorted.

    The same tree and Python give the same bytes: compileall visits the files in order, hashing is
    not randomised, and a single process compiles all files, because the bytes of a module depend on
    the strings that were interned before.

    Args:
        root: directory of the modules.
        python: interpreter to compile with.
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
    # The base interpreter of a virtual environment, since callers may create others from it.
    yield Path(getattr(sys, "_base_executable", sys.executable))
    for root in (os.environ.get("PYENV_ROOT"), Path("~/.pyenv").expanduser()):
        # Only plain releases: no free-threaded builds (3.13t) and no pre-releases (3.14.0rc1).
        releases = Path(root, "versions").glob(f"{version}.*") if root else ()
        plain = [path for path in releases if re.fullmatch(r"[0-9.]+", path.name)]
        for release in sorted(plain, key=lambda path: int(path.name.rpartition(".")[2]))[::-1]:
            yield release / "bin" / "python"
    for directory in os.get_exec_path():
        executable = Path(directory, f"python{version}")
        if os.access(executable, os.X_OK):
            yield executable
