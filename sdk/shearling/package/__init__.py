"""Function packages: the zips that Lambda runs, from wheels only and byte for byte reproducible."""

from __future__ import annotations

from shearling.package.build import UNZIPPED_LIMIT, build_package
from shearling.package.interpreters import find_python
from shearling.package.report import PackageItem, PackageReport
from shearling.package.target import Architecture, Kind, Target

__all__ = [
    "UNZIPPED_LIMIT",
    "Architecture",
    "Kind",
    "PackageItem",
    "PackageReport",
    "Target",
    "build_package",
    "find_python",
]
