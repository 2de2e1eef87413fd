"""Check that a bundle fits into a function's /tmp and memory before anything is published."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shearling.bundle.manifest import Manifest
    from shearling.bundle.measurement import Measurement
    from shearling.release.function_configuration import FunctionConfiguration

_MIB = 2**20

#: Lambda's limit in MB, for /tmp and for memory.
LAMBDA_LIMIT_MB = 10_240


#: Share of the measured memory that a function surely needs: that of the push had another system.
_SURE = 0.9


def capacity_error(
    manifest: Manifest,
    function: FunctionConfiguration,
    *,
    is_staged: bool,
    measured: Measurement | None = None,
) -> str:
    """Return why a bundle does not fit into a function, and what to change; empty if it fits.

    What is refused here would fail its check, which decides about everything else.

    Args:
        manifest: manifest of the bundle.
        function: configuration of the function.
        is_staged: whether the bundle is read from a mounted file system instead of fetched to /tmp.
        measured: what the push measured; None for the sizes of the files.
    """
    if function.is_proxy:
        return ""
    size, room = megabytes(manifest.size), function.ephemeral_storage_mb
    if not is_staged and size > room:
        more = f"raise ephemeral_storage_mb to {size}, or " if size <= LAMBDA_LIMIT_MB else ""
        return (
            f"the bundle has {size:,} MB, but the function's /tmp has {room:,} MB: "
            f"{more}give the model a file_system"
        )
    needed, memory = _surely_needed_mb(manifest, measured), function.memory_mb
    if needed > memory:
        start = max(needed, math.ceil(measured.start_mb)) if measured else needed
        advice = (
            f"raise memory_mb above {start}"
            if start < LAMBDA_LIMIT_MB
            else f"Lambda has at most {LAMBDA_LIMIT_MB:,} MB. For an ONNX model, push it with "
            'load="latency", which maps the weights'
        )
        return (
            f"the model needs more than {needed:,} MB of memory, but the function has "
            f"{memory:,} MB: {advice}"
        )
    return ""


def _surely_needed_mb(manifest: Manifest, measured: Measurement | None) -> int:
    """Return the memory in MB without which the model cannot start anywhere.

    A pickle's measurement does not count: it includes imports, and a notebook may have other
    builds of its packages, such as those for graphics cards.
    """
    if measured is None or measured.model_mb is None or manifest.format != "onnx":
        return megabytes(resident_bytes(manifest))
    return int(_SURE * measured.model_mb)


def resident_bytes(manifest: Manifest) -> int:
    """Return the bytes of a bundle that must be in memory: all files except mapped weights.

    Mapped weights do not count, because the system loads and evicts their pages as needed. A
    function may read a few rows of a table that is larger than its memory.
    """
    if manifest.options.get("prepack", True):
        return manifest.size
    # A weights file has its digest as its path.
    return sum(file.size for file in manifest.files if file.path != file.hex)


def megabytes(size: int) -> int:
    """Return a number of bytes in MB of 2^20 bytes, as Lambda counts them, rounded up."""
    return -(-size // _MIB)
