"""What the function's environment says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shearling.refs import Pin

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

#: MB of memory that come with one whole processor.
_MEMORY_PER_CORE = 1769

#: Where libraries write caches, mostly below $HOME, which is read-only on Lambda.
_CACHE_VARIABLES = (
    "HOME",
    "XDG_CACHE_HOME",
    "HF_HOME",
    "MPLCONFIGDIR",
    "NUMBA_CACHE_DIR",
    "TORCH_HOME",
    "JOBLIB_TEMP_FOLDER",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration of one function version.

    Attributes:
        registry: the registry's URI.
        pin: the bundle to serve; None if no model is released here yet.
        allow_pickle: whether a bundle may be one that runs code.
        mount: where a file system with staged bundles is mounted, if one is.
        package: the directory of the function's code.
        scratch: the directory that may be written.
        memory_mb: of the function.
        function: the function's name.
    """

    registry: str
    pin: Pin | None
    allow_pickle: bool
    mount: Path | None
    package: Path
    scratch: Path
    memory_mb: int
    function: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the variables that Terraform, the releaser and Lambda set.

        Raises:
            InvalidRefError: SHEARLING_MODEL is not a pin.
        """
        pin = environment.get("SHEARLING_MODEL")
        mount = environment.get("SHEARLING_MOUNT")
        return cls(
            registry=environment.get("SHEARLING_REGISTRY", ""),
            pin=Pin.parse(pin) if pin else None,
            allow_pickle=environment.get("SHEARLING_ALLOW_PICKLE", "").lower() == "true",
            mount=Path(mount) if mount else None,
            package=Path(environment.get("LAMBDA_TASK_ROOT", ".")),
            scratch=Path(environment.get("SHEARLING_SCRATCH", "/tmp")),  # noqa: S108 - Lambda's own
            memory_mb=int(environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", _MEMORY_PER_CORE)),
            function=environment.get("AWS_LAMBDA_FUNCTION_NAME", "local"),
        )

    @property
    def threads(self) -> int:
        """How many threads one prediction gets: as many as the memory has whole processors."""
        return max(1, round(self.memory_mb / _MEMORY_PER_CORE))

    def prepare(self, environment: MutableMapping[str, str]) -> None:
        """Set the variables that libraries read when they are imported.

        Caches go where writing is possible. NumPy's linear algebra gets one thread unless a pickle
        may need more: ONNX Runtime has its own, and to make them takes a tenth of the start.
        """
        for variable in _CACHE_VARIABLES:
            environment[variable] = str(self.scratch)
        if not self.allow_pickle:
            environment.setdefault("OPENBLAS_NUM_THREADS", "1")
