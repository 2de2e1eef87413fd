"""Measure a bundle before it is published, in a fresh process that loads it as a function does."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.bundle.digests import digest_of
from shearling.bundle.measurement import MEASURED_FIELD, Measurement
from shearling.bundle.processor import processor_flags, processor_name
from shearling.errors import InvalidRequestError

if TYPE_CHECKING:
    from shearling.bundle.manifest import Manifest

#: Environment variable that turns measuring off with `0`.
MEASURE_VARIABLE = "SHEARLING_MEASURE"

#: Rows of the largest request: the default, and the most.
LARGEST, _MOST_ROWS = 64, 100_000

#: Seconds that the process plans for, and after which it is ended.
_SECONDS, _LIMIT_SECONDS = 12.0, 20.0

#: Files of the process's results and of what it prints.
_RESULT, _LOG = "result.json", "log"

#: Stack level of a warning that points to `push_model`'s caller.
_CALLER = 5

#: The libraries that a pickle may use take as many threads as these say; ours are set by sessions.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"), "1"
)


def is_measured(*, wanted: bool | None) -> bool:
    """Return whether to measure: as the caller says, or else the environment; never on Windows."""
    if os.name != "posix":
        return False
    return os.environ.get(MEASURE_VARIABLE, "") != "0" if wanted is None else wanted


def check_largest(largest: object) -> None:
    """Refuse a number of rows that is not allowed.

    Raises:
        InvalidRequestError: it is no integer from 1 to 100,000.
    """
    is_integer = isinstance(largest, int) and not isinstance(largest, bool)
    if not is_integer or largest not in range(1, _MOST_ROWS + 1):
        raise InvalidRequestError(
            f"largest {largest!r:.80} is not a number of rows from 1 to {_MOST_ROWS:,}"
        )


def measure(manifest: Manifest, directory: Path, *, largest: int) -> Measurement | None:
    """Measure a bundle; warn and return None if that fails, because it is only for estimates.

    Args:
        manifest: manifest of the bundle.
        directory: directory with the verified blobs of the bundle.
        largest: rows of the largest request.
    """
    with tempfile.TemporaryDirectory(prefix="shearling-measure-") as scratch:
        data = manifest.to_bytes()
        path = directory / digest_of(data).removeprefix("sha256:")
        path.write_bytes(data)
        problem = _run(path, Path(scratch), largest, allow_pickle=manifest.format != "onnx")
        facts = _facts(Path(scratch, _RESULT))
    machine = {
        "processor": processor_name(),
        "flags": list(processor_flags()),
        "system": f"{platform.system()} {platform.machine()}",
    }
    found = Measurement.from_details({MEASURED_FIELD: {**facts, **machine}})
    if found is None:
        warnings.warn(
            f"{manifest.model} could not be measured ({problem or 'it wrote no result'}), so "
            "`shearling plan` will estimate from its size. To push without measuring, pass "
            "measure=False",
            UserWarning,
            stacklevel=_CALLER,
        )
    return found


def _run(manifest: Path, scratch: Path, largest: int, *, allow_pickle: bool) -> str:
    """Run the measuring process; return why it failed, empty if it did not."""
    command = [
        *(sys.executable, "-P", "-m", "shearling_runtime.measure"),
        *(str(manifest), str(scratch / _RESULT)),
        *("--largest", str(largest), "--seconds", str(_SECONDS)),
    ]
    log = scratch / _LOG  # not a pipe, which processes of the model might keep open
    try:
        with log.open("wb") as stream:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter
                command,
                env=_environment(scratch, allow_pickle=allow_pickle),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
    except OSError as error:
        return f"{sys.executable or 'Python'} cannot be started: {error}"
    try:
        code = process.wait(_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        return f"it took more than {_LIMIT_SECONDS:.0f} s"
    finally:
        _end(process)
    if code < 0:
        return f"it was ended by signal {-code}; too little memory may be the cause"
    return _last_line(log) if code else ""


def _environment(scratch: Path, *, allow_pickle: bool) -> dict[str, str]:
    """Return the environment of a function with one processor, and this process's packages."""
    inherited = {key: text for key, text in os.environ.items() if not key.startswith("SHEARLING_")}
    return inherited | {
        **_ONE_THREAD,
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),  # noqa: PTH109
        "SHEARLING_SCRATCH": str(scratch),
        "SHEARLING_ALLOW_PICKLE": str(allow_pickle).lower(),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "PYTHONWARNINGS": "ignore",
        "CUDA_VISIBLE_DEVICES": "",  # functions have no graphics cards
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and those that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _facts(result: Path) -> dict[str, Any]:
    try:
        found = json.loads(result.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1]:.300}" if lines else ""
