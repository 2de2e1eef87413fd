"""The command that builds what Lambda runs: package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shearling.cli.command import add_command
from shearling.cli.output import note, say
from shearling.errors import PackageError

if TYPE_CHECKING:
    import argparse

    from shearling.bundle.manifest import Environment
    from shearling.cli.command import Commands
    from shearling.refs import Pin

_PYTHON = "3.13"


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    package = add_command(
        commands,
        "package",
        _package,
        summary="build the zip that a function runs, for Terraform's `packages`",
        details="From wheels only, and the same bytes each time. One runtime package serves every "
        "ONNX model; a model kept as a pickle needs its own, with the packages that were recorded "
        "when it was pushed.",
        example="shearling package runtime\n"
        "shearling package control\n"
        "shearling package runtime --for fraud:7 --output build/fraud.zip",
    )
    package.add_argument(
        "kind",
        choices=("runtime", "control"),
        help="runtime: the function that serves a model; control: the releaser",
    )
    package.add_argument(
        "--python", metavar="3.N", help=f"of the function (default: {_PYTHON}, or the model's)"
    )
    package.add_argument("--architecture", choices=("x86_64", "arm64"), default="x86_64")
    package.add_argument(
        "--output", type=Path, metavar="PATH", help="the zip (default: build/<kind>.zip)"
    )
    package.add_argument("--for", dest="ref", metavar="REF", help="add what this pickle needs")


def _package(arguments: argparse.Namespace) -> None:
    if arguments.ref and arguments.kind != "runtime":
        arguments.refuse("--for is for a runtime package: only that one loads the model")

    from shearling.package import build_package

    name = arguments.kind
    python = arguments.python or _PYTHON
    requirements: tuple[str, ...] = ()
    if arguments.ref:
        pin, environment = _environment(arguments.ref, arguments.registry)
        if arguments.python not in (None, environment.python):
            arguments.refuse(f"{arguments.ref} was pushed with Python {environment.python}")
        name = f"{name}-{pin.model}-{pin.version}"
        python, requirements = environment.python, environment.requirements
    report = build_package(
        arguments.kind,
        python=python,
        architecture=arguments.architecture,
        output=arguments.output or Path("build", f"{name}.zip"),
        requirements=requirements,
        progress=note,
    )
    say(str(report))


def _environment(ref: str, uri: str | None) -> tuple[Pin, Environment]:
    """Return what a model was recorded to need.

    Raises:
        PackageError: it needs nothing of its own.
    """
    from shearling.registry.registry import Registry

    registry = Registry(uri)
    pin = registry.resolve(ref)
    manifest = registry.manifest(pin)
    if manifest.environment is None:
        raise PackageError(
            f"{ref} is kept as {manifest.format} and needs no packages of its own: `shearling "
            "package runtime` builds what serves it"
        )
    return pin, manifest.environment
