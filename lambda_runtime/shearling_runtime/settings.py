"""Read the function's configuration from its environment variables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shearling.refs import Pin

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

#: MB of memory for which Lambda gives one full processor.
MEMORY_PER_CORE = 1769

#: Days after which jobs are deleted where the configuration does not say so.
_JOBS_KEEP_DAYS = 7

#: Cache directories of libraries, by default below $HOME, which is read-only on Lambda.
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
        registry: URI of the registry.
        pin: bundle to serve; None if no model is released yet.
        allow_pickle: whether to load pickles, which run code.
        mount: mount path of the file system with staged bundles; None if there is none.
        package: directory of the function's code.
        scratch: writable directory.
        memory_mb: memory of the function in MB.
        function: name of the function.
        endpoint: name of the SageMaker endpoint that serves the model; empty if this function does.
        endpoint_is_staged: whether the releaser made the endpoint, which then runs our container.
        endpoint_calls: URI of the folder with the calls of a staged endpoint that is asynchronous;
            empty if it answers at once.
        is_unpublished: whether this is `$LATEST`, whose model changes with every release.
        processors: processors for one prediction; 0: those of the memory size, as on Lambda.
        jobs: URI of the bucket of asynchronous jobs; empty if the model has none.
        jobs_keep_days: days after which a job and its result are deleted.
    """

    registry: str
    pin: Pin | None
    allow_pickle: bool
    mount: Path | None
    package: Path
    scratch: Path
    memory_mb: int
    function: str
    endpoint: str = ""
    endpoint_is_staged: bool = False
    endpoint_calls: str = ""
    is_unpublished: bool = False
    processors: int = 0
    jobs: str = ""
    jobs_keep_days: int = _JOBS_KEEP_DAYS

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the variables that Terraform, the releaser and Lambda set.

        Raises:
            InvalidRefError: SHEARLING_MODEL is not a pin.
        """
        pin = environment.get("SHEARLING_MODEL")
        mount = environment.get("SHEARLING_MOUNT")
        staged = environment.get("SHEARLING_STAGED_ENDPOINT", "")
        return cls(
            registry=environment.get("SHEARLING_REGISTRY", ""),
            pin=Pin.parse(pin) if pin else None,
            allow_pickle=environment.get("SHEARLING_ALLOW_PICKLE", "").lower() == "true",
            mount=Path(mount) if mount else None,
            package=Path(environment.get("LAMBDA_TASK_ROOT", ".")),
            scratch=Path(environment.get("SHEARLING_SCRATCH", "/tmp")),  # noqa: S108 - Lambda's
            memory_mb=int(environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_PER_CORE)),
            function=environment.get("AWS_LAMBDA_FUNCTION_NAME", "local"),
            endpoint=staged or environment.get("SHEARLING_ENDPOINT", ""),
            endpoint_is_staged=bool(staged),
            endpoint_calls=environment.get("SHEARLING_ENDPOINT_CALLS", ""),
            # Not by the invoked ARN: it has no qualifier in every event source's invocation.
            is_unpublished=environment.get("AWS_LAMBDA_FUNCTION_VERSION") == "$LATEST",
            jobs=environment.get("SHEARLING_JOBS", ""),
            jobs_keep_days=int(environment.get("SHEARLING_JOBS_KEEP_DAYS", _JOBS_KEEP_DAYS)),
        )

    @property
    def threads(self) -> int:
        """Number of threads for one prediction: the full processors of the memory size."""
        return self.processors or max(1, round(self.memory_mb / MEMORY_PER_CORE))

    def prepare(self, environment: MutableMapping[str, str]) -> None:
        """Set the variables that libraries read when they are imported.

        Moves caches to the writable directory. Limits NumPy's linear algebra to one thread, unless
        a pickle may need more: ONNX Runtime has its own threads, and creating NumPy's takes a tenth
        of the start-up time.

        Args:
            environment: environment variables to change.
        """
        for variable in _CACHE_VARIABLES:
            environment[variable] = str(self.scratch)
        if not self.allow_pickle:
            environment.setdefault("OPENBLAS_NUM_THREADS", "1")
