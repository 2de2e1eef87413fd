"""The lowest versions that the project declares can be installed, and push and answer models."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from shearling.package import find_python
from tests.distribution.project import project

pytestmark = pytest.mark.slow

MODELS = Path(__file__).with_name("push_five_models.py")

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
#: The oldest and the newest Python that the package is declared for.
RUN_ON = ("3.11", "3.13")


def lowest_versions(python: str) -> list[str]:
    """What the project and its extras declare for that Python, pinned to the lower bounds."""
    extras = project()["optional-dependencies"]
    used = ("sklearn", "boosting", "pandas", "server", "image")
    lines = [*project()["dependencies"], *(line for name in used for line in extras[name])]
    bounds: dict[str, Version] = {}
    for line in lines:
        requirement = Requirement(line)
        marker = requirement.marker
        if requirement.name == "shearling" or (
            marker and not marker.evaluate({"python_version": python})
        ):
            continue
        bound = _lower_bound(requirement)
        bounds[requirement.name] = max(bound, bounds.get(requirement.name, bound))
    return [f"{name}=={bound}" for name, bound in bounds.items()]


def _lower_bound(requirement: Requirement) -> Version:
    bounds = [Version(part.version) for part in requirement.specifier if part.operator == ">="]
    assert len(bounds) == 1, f"{requirement} has no lower bound"
    return bounds[0]


def pip(*arguments: str | Path) -> None:
    """Run this environment's pip, with wheels only."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    # The constraints of a Makefile or a user pin what is newest.
    environment = {**os.environ, "PIP_CONSTRAINT": "", "PIP_ONLY_BINARY": ":all:"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("python", PYTHONS)
def test_every_lower_bound_has_wheels_for_each_python(python: str, tmp_path: Path) -> None:
    pip(
        "install",
        "--quiet",
        "--dry-run",
        "--no-deps",
        f"--python-version={python}",
        f"--target={tmp_path}",
        *lowest_versions(python),
    )


@pytest.fixture(params=RUN_ON)
def lowest_environment(request: pytest.FixtureRequest, wheel: Path, tmp_path: Path) -> Path:
    """The interpreter of a virtual environment with the lowest versions and no others."""
    base = find_python(request.param)
    if base is None:
        pytest.skip(f"no Python {request.param} on this machine")
    subprocess.run([base, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    packages = [f"{wheel}[boosting,pandas]", "lightgbm", *lowest_versions(request.param)]
    pip("--python", python, "install", "--quiet", "--no-compile", *packages)
    return python


def test_five_models_are_pushed_and_answer_with_the_lowest_versions(
    lowest_environment: Path, s3_uri: str
) -> None:
    done = subprocess.run(
        [lowest_environment, MODELS, s3_uri], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["scikit-learn", "lightgbm", "onnx", "image", "cloudpickle"]
