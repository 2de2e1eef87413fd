"""The target of a package: kind, Python version and architecture, and pip's options for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from shearling.errors import PackageError
from shearling.python_versions import OLDEST, OLDEST_ON_AWS

Kind = Literal["runtime", "control", "image"]
Architecture = Literal["x86_64", "arm64"]

# Amazon Linux 2023 has glibc 2.34. pip matches platform tags exactly, so a wheel for an older glibc
# is found only if the older tag is listed too.
_NEWEST_GLIBC = 34
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}
_LEGACY_TAGS = {
    "x86_64": ("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"),
    "aarch64": ("manylinux2014_aarch64",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a package is built for; invalid values raise PackageError.

    Attributes:
        kind: "runtime", "control" or "image".
        python: major and minor version, as in `3.13`.
        architecture: "x86_64" or "arm64".
    """

    kind: Kind
    python: str
    architecture: Architecture

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise PackageError(f"kind {self.kind!r}: expected 'runtime', 'control' or 'image'")
        if self.architecture not in get_args(Architecture):
            raise PackageError(
                f"architecture {self.architecture!r}: Lambda supports x86_64 and arm64"
            )
        if not re.fullmatch(r"3\.[0-9]{1,2}", self.python):
            raise PackageError(
                f"python {self.python!r}: write the major and minor version, as in 3.13"
            )
        if self._version < OLDEST:
            raise PackageError(f"python {self.python}: Shearling supports 3.11 and newer")

    @property
    def runs_on_aws(self) -> bool:
        """Whether current wheels run on the Lambda runtime; False for those on Amazon Linux 2."""
        return self._version >= OLDEST_ON_AWS

    @property
    def pip_arguments(self) -> list[str]:
        """Options of pip that select wheels for the target instead of for this machine."""
        machine = "aarch64" if self.architecture == "arm64" else "x86_64"
        glibcs = range(_NEWEST_GLIBC, _OLDEST_GLIBC[machine] - 1, -1)
        tags = [f"manylinux_2_{glibc}_{machine}" for glibc in glibcs]
        abis = [f"cp{self.python.replace('.', '')}", "abi3", "none"]
        return [
            "--only-binary=:all:",
            "--implementation=cp",
            f"--python-version={self.python}",
            *(f"--abi={abi}" for abi in abis),
            *(f"--platform={tag}" for tag in (*tags, *_LEGACY_TAGS[machine])),
        ]

    @property
    def _version(self) -> tuple[int, int]:
        major, minor = self.python.split(".")
        return int(major), int(minor)
