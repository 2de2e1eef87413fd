"""Select the files that functions never use, which packages leave out."""

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
# points, and licences must be distributed with the code.
_METADATA_KEPT = ("METADATA", "entry_points.txt", "LICEN[CS]E*", "NOTICE*", "COPYING*")

# `*` matches across directories. numpy.f2py must stay, because `from numpy import *`, which scipy
# uses, imports it.
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
    # The library for C and C++. The Python module has the same code linked in.
    "onnxruntime/capi/libonnxruntime.so*",
    "boto3/examples/*",
)

# What only a model's own code may use: Pillow's parts that do not decode JPEG, PNG or WebP.
_RUN_BY_CODE = (
    "PIL/_avif.*",
    "PIL/_imagingcms.*",
    "PIL/_imagingft.*",
    "PIL/_imagingmath.*",
    "PIL/_imagingmorph.*",
    "PIL/_imagingtk.*",
    "pillow.libs/libavif-*",
    "pillow.libs/libbrotli*",
    "pillow.libs/libfreetype-*",
    "pillow.libs/libharfbuzz-*",
    "pillow.libs/liblcms2-*",
    "pillow.libs/libpng16-*",
)

# Services that the control functions call, and those that boto3 calls to get credentials.
_BOTOCORE_SERVICES = frozenset(
    {
        "application-autoscaling",
        "cloudwatch",
        "events",
        "kms",
        "lambda",
        "logs",
        "s3",
        "sagemaker",
        "signin",
        "sns",
        "sqs",
        "sso",
        "sso-oidc",
        "sts",
    }
)
_BOTOCORE_DATA = ("botocore", "data")

#: Our packages and modules for notebooks and the command line, which no function imports.
LEFT_OUT_OF_FUNCTIONS = {
    "shearling": (
        "aliases",
        "cli",
        "client",
        "converters",
        "loopback",
        "models",
        "package",
        "plain_warnings",
        "progress",
    ),
    "shearling_runtime": ("local", "local_jobs", "measure"),
}

#: Additional packages and modules that the functions of each kind of package do not import.
_LEFT_OUT_OF_KIND: dict[Kind, dict[str, tuple[str, ...]]] = {
    "runtime": {
        "shearling": ("batches", "release"),
        "shearling_runtime": ("control", "releaser", "server", "stager", "index"),
    },
    "control": {"shearling_runtime": ("handler", "server")},
    "image": {
        "shearling": ("batches", "release"),
        "shearling_runtime": ("control", "releaser", "stager", "index"),
    },
}

_IMPORTS_TESTS = re.compile(r"^\s*(?:from|import)\s+[\w.]*\btests?\b", re.MULTILINE)


def is_pruned(path: PurePosixPath, kind: Kind, *, has_code: bool = True) -> bool:
    """Return whether to leave out a file of a wheel.

    Args:
        path: path relative to the directory that wheels are installed in.
        kind: kind of the package.
        has_code: whether the code of a model may run.
    """
    if path.suffix in _SUFFIXES or _DIRECTORIES.intersection(path.parts):
        return True
    if path.parts[0].endswith(".dist-info"):
        return not any(fnmatchcase(path.name, kept) for kept in _METADATA_KEPT)
    if any(fnmatchcase(path.as_posix(), pattern) for pattern in _NEVER_RUN):
        return True
    if not has_code and any(fnmatchcase(path.as_posix(), pattern) for pattern in _RUN_BY_CODE):
        return True
    # A pickled model may use any service of boto3. The control functions use a known list.
    return kind == "control" and _is_other_service(path)


def is_own_left_out(path: PurePosixPath, kind: Kind) -> bool:
    """Return whether to leave out a file of our own packages, as in `shearling/cli/output.py`."""
    package, module = path.parts[0], path.parts[1].partition(".")[0]
    left_out = (
        *LEFT_OUT_OF_FUNCTIONS.get(package, ()),
        *_LEFT_OUT_OF_KIND[kind].get(package, ()),
    )
    if module in left_out or path.suffix in _SUFFIXES:
        return True
    # A checkout can contain files of editors and tools.
    return any(part == "__pycache__" or part.startswith(".") for part in path.parts)


def unimported_tests(root: Path) -> set[PurePosixPath]:
    """Return the test directories under `root`, except those that their own package imports."""
    directories: set[PurePosixPath] = set()
    for package in (path for path in root.iterdir() if path.is_dir()):
        tests = [path for name in ("tests", "test") for path in package.rglob(name)]
        tests = [path for path in tests if path.is_dir()]
        if tests and not _imports_tests(package, tests):
            directories.update(PurePosixPath(path.relative_to(root)) for path in tests)
    return directories


def _imports_tests(package: Path, tests: Iterable[Path]) -> bool:
    # Some libraries, such as astropy, import their tests: they keep them all.
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
