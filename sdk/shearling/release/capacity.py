"""Whether a bundle fits a function: known before anything is published or started."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shearling.bundle.manifest import Manifest
    from shearling.release.function_configuration import FunctionConfiguration

_MIB = 2**20

#: The most that Lambda gives, of /tmp and of memory.
_MOST_MB = 10_240


def capacity_error(manifest: Manifest, function: FunctionConfiguration, *, is_staged: bool) -> str:
    """Return why a bundle cannot be served by a function, and what to change; empty if it can.

    Args:
        manifest: of the bundle.
        function: that shall serve it.
        is_staged: whether it is read from a mounted file system, and not fetched to /tmp.
    """
    size, room = _mb(manifest.size), function.ephemeral_storage_mb
    if not is_staged and size > room:
        more = f"raise ephemeral_storage_mb to {size}, or " if size <= _MOST_MB else ""
        return (
            f"the bundle has {size:,} MB and the function's /tmp {room:,}: "
            f"{more}give the model a file_system"
        )
    needed, memory = _mb(_resident_bytes(manifest)), function.memory_mb
    if needed > memory:
        advice = (
            f"raise memory_mb above {needed}"
            if needed < _MOST_MB
            else 'more than Lambda has: push it with load="latency", which maps the weights'
        )
        return f"the model needs more than {needed:,} MB and the function has {memory:,}: {advice}"
    return ""


def _resident_bytes(manifest: Manifest) -> int:
    """Return what memory must hold: all, but for weights that are mapped and used where they lie.

    Pages of a mapping come and go, so its size is no bound: a function may touch a few rows of a
    table that is larger than its memory.
    """
    if manifest.options.get("prepack", True):
        return manifest.size
    # External weights stand in the bundle under their own digest.
    return sum(file.size for file in manifest.files if file.path != file.hex)


def _mb(size: int) -> int:
    return -(-size // _MIB)
