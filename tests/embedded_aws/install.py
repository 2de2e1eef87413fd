"""Installs what the embedded AWS runs on: emulator, function environments, runtime emulator."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = REPOSITORY / ".tools"
CONSTRAINTS = Path(__file__).with_name("emulator-constraints.txt")
MOTO_CONSTRAINTS = Path(__file__).with_name("moto-constraints.txt")

#: What a function environment holds: AWS's runtime client and what that needs.
RUNTIME_CLIENT = (
    "awslambdaric==4.2.2",
    "simplejson==4.3.0",
    "snapshot-restore-py==1.0.0",
)
SAM_CLI = "aws-sam-cli==1.170.0"

#: Lambda's managed runtimes whose operating system current wheels run on.
LAMBDA_PYTHONS = ("3.12", "3.13", "3.14")

_STAMP = ".complete"

_DESCRIBE = (
    "import json, sys, sysconfig; import venv, ssl;"
    "print(json.dumps(None if sysconfig.get_config_var('Py_GIL_DISABLED') or"
    " sys.implementation.name != 'cpython' else '%d.%d.%d' % sys.version_info[:3]))"
)


class InstallError(RuntimeError):
    """A tool that the embedded AWS needs cannot be installed."""


def emulator_python() -> Path:
    """The interpreter of the environment that holds the emulator, and nothing of ours."""
    directory = TOOLS / "emulator"
    base = project_python()
    fingerprint = fingerprint_of(base, CONSTRAINTS.read_text())
    return environment(directory, fingerprint, functools.partial(_build_emulator, base))


def moto_python() -> Path:
    """The interpreter of the environment that holds moto, for services the emulator lacks."""
    base = project_python()
    fingerprint = fingerprint_of(base, MOTO_CONSTRAINTS.read_text())
    return environment(TOOLS / "moto", fingerprint, functools.partial(_build_moto, base))


def function_python(version: str | None = None) -> Path:
    """The interpreter of a function environment: AWS's runtime client and nothing else."""
    version = version or function_versions()[-1]
    pythons = _function_pythons()
    if version not in pythons:
        have = ", ".join(pythons)
        raise InstallError(f"no Python {version} on this machine to run functions on (have {have})")
    base = pythons[version]
    fingerprint = fingerprint_of(base, *RUNTIME_CLIENT)
    build = functools.partial(_build_function, base)
    return environment(TOOLS / f"function-{version}", fingerprint, build)


def function_versions() -> list[str]:
    """Python versions that functions can run on here, oldest first."""
    return sorted(_function_pythons(), key=_ordinal)


def rie_binary() -> Path:
    """AWS's Lambda runtime interface emulator, taken out of the aws-sam-cli wheel."""
    machine = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    directory = TOOLS / "rie"
    name = f"aws-lambda-rie-{machine}"
    installed(directory, fingerprint_of(SAM_CLI, name), functools.partial(_build_rie, name))
    return directory / name


def environment(directory: Path, fingerprint: str, build: Callable[[Path], None]) -> Path:
    """Return the interpreter of an environment, which is built if it is missing."""
    python = directory / "bin" / "python"
    if not python.exists():
        # The interpreter that it was made with has been removed.
        (directory / _STAMP).unlink(missing_ok=True)
    installed(directory, fingerprint, build)
    return python


def installed(directory: Path, fingerprint: str, build: Callable[[Path], None]) -> None:
    """Build a directory once; the stamp is written last, so what is half-finished is rebuilt."""
    stamp = directory / _STAMP
    if _text(stamp) == fingerprint:
        return
    with _lock(directory.name):
        if _text(stamp) == fingerprint:
            return
        shutil.rmtree(directory, ignore_errors=True)
        with _progress(f"installing {directory.relative_to(REPOSITORY)}"):
            build(directory)
        stamp.write_text(fingerprint)


def _build_emulator(base: Path, directory: Path) -> None:
    run(str(base), "-m", "venv", str(directory))
    pip = (str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet")
    # Without cryptography it refuses every token, good or bad.
    run(*pip, "--constraint", str(CONSTRAINTS), "ministack", "cryptography")


def _build_moto(base: Path, directory: Path) -> None:
    run(str(base), "-m", "venv", str(directory))
    pip = (str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet")
    run(*pip, "--constraint", str(MOTO_CONSTRAINTS), "moto[server]")


def _build_function(base: Path, directory: Path) -> None:
    run(str(base), "-m", "venv", "--without-pip", str(directory))
    # Wheels only: a build from source would need cmake and curl's headers.
    options = ("--quiet", "--no-deps", "--only-binary", ":all:", "--no-compile")
    _pip("--python", str(directory / "bin" / "python"), "install", *options, *RUNTIME_CLIENT)
    run(str(directory / "bin" / "python"), "-m", "compileall", "-q", str(directory / "lib"))


def _build_rie(name: str, directory: Path) -> None:
    directory.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as downloads:
        _pip("download", "--quiet", "--no-deps", "--dest", downloads, SAM_CLI)
        (wheel,) = Path(downloads).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            binary = archive.read(f"samcli/local/rapid/{name}")
    target = directory / name
    target.write_bytes(binary)
    target.chmod(0o755)


def _pip(*arguments: str) -> None:
    """Run the emulator environment's pip: the project's own may have been made without one."""
    run(str(emulator_python()), "-m", "pip", *arguments)


def run(*command: str) -> None:
    """Run an installer's command; an error has its output."""
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    if done.returncode:
        raise InstallError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def project_python() -> Path:
    """The interpreter behind the project's virtual environment."""
    return Path(getattr(sys, "_base_executable", sys.executable))


@functools.cache
def _function_pythons() -> dict[str, Path]:
    """Version to interpreter: the newest that Lambda has, and the project's own."""
    own = ".".join(map(str, sys.version_info[:2]))
    found = {own: project_python()}
    managed = {
        version: path
        for version, path in _machine_pythons().items()
        if version in LAMBDA_PYTHONS and version != own
    }
    if managed:
        newest = max(managed, key=_ordinal)
        found[newest] = managed[newest]
    return found


def _machine_pythons() -> dict[str, Path]:
    """Minor version to the newest working interpreter of it."""
    patches: dict[str, tuple[tuple[int, ...], Path]] = {}
    for name, full in _described(_candidates()).items():
        if full is None:
            continue
        minor = full.rpartition(".")[0]
        best = patches.get(minor)
        if best is None or _ordinal(full) > best[0]:
            patches[minor] = (_ordinal(full), Path(name))
    return {minor: path for minor, (_, path) in patches.items()}


def _candidates() -> list[str]:
    roots = [Path.home() / ".pyenv"]
    if "PYENV_ROOT" in os.environ:
        roots.insert(0, Path(os.environ["PYENV_ROOT"]))
    found = [str(path) for root in roots for path in root.glob("versions/*/bin/python")]
    for version in LAMBDA_PYTHONS:
        on_path = shutil.which(f"python{version}")
        if on_path:
            found.append(on_path)
    return sorted({name for name in found if Path(name).exists()})


def _described(candidates: list[str]) -> dict[str, str | None]:
    """Ask each interpreter for its version; remembered, as asking takes a process each."""
    cache = TOOLS / "pythons.json"
    key = {name: Path(name).stat().st_mtime_ns for name in candidates}
    with contextlib.suppress(ValueError, KeyError):
        known = json.loads(_text(cache) or "{}")
        if known["candidates"] == key:
            versions: dict[str, str | None] = known["versions"]
            return versions
    versions = {name: _version_of(name) for name in candidates}
    with _lock("pythons"):
        temporary = cache.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({"candidates": key, "versions": versions}))
        temporary.replace(cache)
    return versions


def _version_of(python: str) -> str | None:
    """None for what does not run: pyenv puts a shim on PATH for every version it has."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", _DESCRIBE], capture_output=True, timeout=20, check=True
        )
        version: str | None = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return version


def _ordinal(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def fingerprint_of(*parts: object) -> str:
    """Return a text that changes with what a directory is built from."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


@contextlib.contextmanager
def _lock(name: str) -> Iterator[None]:
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / f".{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _progress(text: str) -> Iterator[None]:
    started = time.monotonic()
    print(f"{text} ...", file=sys.stderr, flush=True)  # noqa: T201
    yield
    seconds = time.monotonic() - started
    print(f"{text}: {seconds:.1f} s", file=sys.stderr, flush=True)  # noqa: T201


def main() -> None:
    """Install everything."""
    emulator_python()
    moto_python()
    for version in function_versions():
        function_python(version)
    rie_binary()


if __name__ == "__main__":
    main()
