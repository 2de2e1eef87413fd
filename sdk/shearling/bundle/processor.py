"""The processor of this machine: its name, and the instructions that matter to models."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

#: Instructions on which the speed, and the rounding, of ONNX Runtime's operators depend.
_FLAGS = (
    *("sse4_1", "avx", "avx2", "fma", "f16c", "avx_vnni"),
    *("avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_tile"),
    *("asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve"),
)


def processor_name() -> str:
    """Return the name of the processor; that of the architecture if the system has no better."""
    return _cpuinfo("model name") or _sysctl("machdep.cpu.brand_string") or platform.machine()


def processor_flags() -> tuple[str, ...]:
    """Return those of the processor's instructions that matter; none where it cannot be told."""
    found = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    return tuple(flag for flag in _FLAGS if flag in found)


def _cpuinfo(field: str) -> str:
    """Return a field of the first processor in Linux's list; empty if there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == field), "")


def _sysctl(name: str) -> str:
    """Return a value of macOS; empty elsewhere, where there is no such program."""
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
