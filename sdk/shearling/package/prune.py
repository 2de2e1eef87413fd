"""What of a distribution never runs in a function, and so stays out of its package."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shearling.package.build_target import Kind

_SUFFIXES = frozenset({".a", ".h", ".pxd", ".pyc", ".pyi", ".pyx"})
_DIRECTORIES = frozenset({"__pycache__", ".ipynb_checkpoints"})

# importlib.metadata and vulnerability scanners read METADATA, plug-ins are found by their entry
# points, and licences ask to travel along.
_METADATA_KEPT = ("METADATA", "entry_points.txt", "LICEN[CS]E*", "NOTICE*", "COPYING*")

# `*` matches across directories. numpy.f2py is no tool in this sense: `from numpy import *`, as
# scipy does it, imports it.
_NEVER_RUN = (
    "bin/*",
    "share/man/*",
    "numpy/_pyinstaller/*",
    "numpy/conftest.py",
    "numpy/_core/include/*",
    "numpy/_core/lib/*",
    "numpy/_core/_simd.*.so",
    "numpy/_core/_*_tests.*.so",
    "onnxruntime/backend/*",
    "onnxruntime/datasets/*",
    "onnxruntime/quantization/*",
    "onnxruntime/tools/*",
    "onnxruntime/transformers/*",
    # The library for C and C++: the Python module has all of it linked in and never opens it.
    "onnxruntime/capi/libonnxruntime.so*",
    "boto3/examples/*",
)

# The data of what the control functions call, and of what boto3 calls to get credentials.
_BOTOCORE_SERVICES = frozenset(
    {
        "cloudwatch",
        "events",
        "kms",
        "lambda",
        "s3",
        "signin",
        "sns",
        "sqs",
        "sso",
        "sso-oidc",
        "sts",
    }
)
_BOTOCORE_DATA = ("botocore", "data")

#: Packages and modules of ours that no function imports: they are a notebook's or a terminal's.
LEFT_OUT_OF_FUNCTIONS = {
    "shearling": ("aliases", "cli", "client", "converters", "models", "package", "progress"),
    "shearling_runtime": ("local",),
}

#: The same, of each kind of package: its functions import all else.
_LEFT_OUT_OF_KIND: dict[Kind, dict[str, tuple[str, ...]]] = {
    "runtime": {
        "shearling": ("release",),
        "shearling_runtime": ("control", "releaser", "stager", "index"),
    },
    "control": {"shearling_runtime": ("handler",)},
}

_IMPORTS_TESTS = re.compile(r"^\s*(?:from|import)\s+[\w.]*\btests?\b", re.MULTILINE)


def is_pruned(path: PurePosixPath, kind: Kind) -> bool:
    """Tell whether a file of a wheel, relative to where wheels are installed, stays out."""
    if path.suffix in _SUFFIXES or _DIRECTORIES.intersection(path.parts):
        return True
    if path.parts[0].endswith(".dist-info"):
        return not any(fnmatchcase(path.name, kept) for kept in _METADATA_KEPT)
    if any(fnmatchcase(path.as_posix(), pattern) for pattern in _NEVER_RUN):
        return True
    # A model may need any service of boto3; of the control functions we know what they call.
    return kind == "control" and _is_other_service(path)


def is_own_left_out(path: PurePosixPath, kind: Kind) -> bool:
    """Tell whether a file of shearling's own packages (`shearling/cli/output.py`) stays out."""
    package, module = path.parts[0], path.parts[1].partition(".")[0]
    left_out = (
        *LEFT_OUT_OF_FUNCTIONS.get(package, ()),
        *_LEFT_OUT_OF_KIND[kind].get(package, ()),
    )
    if module in left_out or path.suffix in _SUFFIXES:
        return True
    # A checkout has what editors and tools leave in it.
    return any(part == "__pycache__" or part.startswith(".") for part in path.parts)


def unimported_tests(root: Path) -> set[PurePosixPath]:
    """Return the directories of tests under `root`, but for those of packages that import them."""
    found: set[PurePosixPath] = set()
    for package in (path for path in root.iterdir() if path.is_dir()):
        tests = [path for name in ("tests", "test") for path in package.rglob(name)]
        tests = [path for path in tests if path.is_dir()]
        if tests and not _imports_tests(package, tests):
            found.update(PurePosixPath(path.relative_to(root)) for path in tests)
    return found


def _imports_tests(package: Path, tests: Iterable[Path]) -> bool:
    # Some libraries import their tests with themselves (astropy): they keep all of them.
    inside = set(tests)
    return any(
        _IMPORTS_TESTS.search(source.read_text("utf-8", errors="replace"))
        for source in package.rglob("*.py")
        if not inside.intersection(source.parents) and source.name != "conftest.py"
    )


def _is_other_service(path: PurePosixPath) -> bool:
    if path.parts[:2] != _BOTOCORE_DATA:
        return False
    inside = path.parts[2:]
    return len(inside) > 1 and inside[0] not in _BOTOCORE_SERVICES
