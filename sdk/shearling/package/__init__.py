"""Build function packages: reproducible zips for Lambda, made from wheels only; and upload them."""

from __future__ import annotations

from shearling.package.build import UNZIPPED_LIMIT, build_package
from shearling.package.build_target import Architecture, Kind, Target
from shearling.package.interpreters import find_python
from shearling.package.report import PackageItem, PackageReport
from shearling.package.upload import PackageLocation, PackageUpload

__all__ = [
    "UNZIPPED_LIMIT",
    "Architecture",
    "Kind",
    "PackageItem",
    "PackageLocation",
    "PackageReport",
    "PackageUpload",
    "Target",
    "build_package",
    "find_python",
]
