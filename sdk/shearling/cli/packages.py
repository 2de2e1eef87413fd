"""The command that builds the packages of functions: package."""

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
        summary="build the zip of a function, for Terraform's `packages`",
        details="Uses wheels only, and builds the same bytes each time. One runtime package serves "
        "all ONNX models. A model stored as a pickle needs its own package, with the requirements "
        "recorded at push. With --upload, Terraform needs no zip on its machine: put the printed "
        "line into `packages`.",
        example="shearling package runtime\n"
        "shearling package control\n"
        "shearling package runtime --for fraud:7 --output build/fraud.zip\n"
        "shearling package runtime --upload s3://acme-builds/shearling",
    )
    package.add_argument(
        "kind",
        choices=("runtime", "control"),
        help="runtime: functions that serve models; control: the releaser, stager and catalog",
    )
    package.add_argument(
        "--python",
        metavar="3.N",
        help=f"Python version of the function (default: {_PYTHON}; with --for, the model's)",
    )
    package.add_argument(
        "--architecture",
        choices=("x86_64", "arm64"),
        default="x86_64",
        help="processor architecture of the function (default: x86_64)",
    )
    package.add_argument(
        "--output", type=Path, metavar="PATH", help="path of the zip (default: build/<kind>.zip)"
    )
    package.add_argument(
        "--upload",
        metavar="URI",
        help="also upload the zip to this folder in S3, as in s3://bucket/folder, and print its "
        "line of Terraform's `packages`; Lambda needs a bucket in its own region",
    )
    package.add_argument(
        "--for", dest="ref", metavar="REF", help="add the requirements of this pickle"
    )


def _package(arguments: argparse.Namespace) -> None:
    if arguments.ref and arguments.kind != "runtime":
        arguments.refuse(
            "--for is allowed only for a runtime package, since only that one loads models"
        )

    from shearling.package import PackageUpload, build_package

    # First, because a build takes a minute.
    upload = PackageUpload(arguments.upload) if arguments.upload is not None else None
    name = arguments.kind
    python = arguments.python or _PYTHON
    requirements: tuple[str, ...] = ()
    if arguments.ref:
        pin, environment = _environment(arguments.ref, arguments.registry)
        if arguments.python not in (None, environment.python):
            arguments.refuse(
                f"{arguments.ref} was pushed with Python {environment.python}; leave out "
                "--python, or push the model again with that version"
            )
        name = f"{name}-{pin.model}-{pin.version}"
        python, requirements = environment.python, environment.requirements
    output = arguments.output or Path("build", f"{name}.zip")
    report = build_package(
        arguments.kind,
        python=python,
        architecture=arguments.architecture,
        output=output,
        requirements=requirements,
        progress=note,
    )
    say(str(report))
    if upload is not None:
        note(f"Uploading {output}")
        # A pickle's package is the `package` of its model.
        say(f"{'package' if arguments.ref else arguments.kind} = {upload.put(output)}")


def _environment(ref: str, uri: str | None) -> tuple[Pin, Environment]:
    """Return a model's pin, and the Python version and requirements recorded at its push.

    Raises:
        PackageError: the model needs no package of its own.
    """
    from shearling.registry.registry import Registry

    registry = Registry.existing(uri)
    pin = registry.resolve(ref)
    manifest = registry.manifest(pin)
    if manifest.environment is None:
        raise PackageError(
            f"{ref} is stored as {manifest.format} and needs no package of its own. Build the "
            "common one with `shearling package runtime`"
        )
    return pin, manifest.environment
