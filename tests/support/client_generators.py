"""Generate clients of a model from its OpenAPI document, with other people's generators."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tests.embedded_aws import install

_CONSTRAINTS = Path(__file__).with_name("openapi-python-client-constraints.txt")

#: What a TypeScript project needs: the types' generator, a client that they fit, a compiler.
_NPM = {"openapi-fetch": "0.17.0", "openapi-typescript": "7.13.0", "typescript": "5.9.3"}

_SECONDS = 120


def python_client(document: Path, directory: Path) -> Path:
    """Generate a Python package and return the interpreter that can import it.

    Args:
        document: the OpenAPI document.
        directory: directory of the package, which must not exist.
    """
    fingerprint = install.fingerprint_of(_CONSTRAINTS.read_text())
    tools = install.TOOLS / "openapi-python-client"
    python = install.environment(tools, fingerprint, _build_python)
    arguments = ("--path", str(document), "--output-path", str(directory), "--meta", "none")
    generator = str(python.with_name("openapi-python-client"))
    install.run(generator, "generate", *arguments)
    return python


def why_no_typescript() -> str:
    """Return why no TypeScript client can be generated here; empty if one can."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not installed here" if missing else ""


def typescript_answer(document: Path, script: str, directory: Path, url: str) -> str:
    """Check a script against the types that a document generates, run it, and return its output.

    Args:
        document: the OpenAPI document.
        script: TypeScript that imports `paths` from `./api.js`; `process.argv[2]` is the URL.
        directory: existing directory to work in.
        url: URL that the script is run with.
    """
    modules = _typescript_modules()
    (directory / "node_modules").symlink_to(modules)
    (directory / "package.json").write_text('{"type": "module"}')
    (directory / "main.ts").write_text(script)
    binaries = modules / ".bin"
    _run(directory, str(binaries / "openapi-typescript"), str(document), "--output", "api.d.ts")
    options = ("--strict", "--module", "nodenext", "--target", "es2022", "--skipLibCheck")
    _run(directory, str(binaries / "tsc"), *options, "main.ts")
    return _run(directory, "node", "main.js", url)


def _typescript_modules() -> Path:
    directory = install.TOOLS / "typescript-client"
    install.installed(directory, install.fingerprint_of(_NPM), _build_typescript)
    return directory / "node_modules"


def _build_python(directory: Path) -> None:
    install.run(str(install.project_python()), "-m", "venv", str(directory))
    pip = (str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet")
    install.run(*pip, "--constraint", str(_CONSTRAINTS), "openapi-python-client", "ruff")


def _build_typescript(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "package.json").write_text(json.dumps({"private": True, "dependencies": _NPM}))
    quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent")
    install.run("npm", "install", "--prefix", str(directory), *quiet)


def _run(directory: Path, *command: str) -> str:
    completed = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout
