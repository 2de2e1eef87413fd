"""The command that builds function packages and container images: package."""

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
        summary="build the zip of a function, for Terraform's `packages`, or a container image",
        details="Uses wheels only, and builds the same bytes each time. One runtime package serves "
        "all ONNX models. A model stored as a pickle needs its own package, with the requirements "
        "recorded at push. With --upload, Terraform needs no zip on its machine: put the printed "
        "line into `packages`. An image serves models in containers, and functions whose packages "
        "are too large for a zip; no container engine is needed to build it.",
        example="shearling package runtime\n"
        "shearling package control\n"
        "shearling package runtime --for fraud:7 --output build/fraud.zip\n"
        "shearling package runtime --with image,text\n"
        "shearling package runtime --upload s3://acme-builds/shearling\n"
        "shearling package image --output build/image.tar\n"
        "shearling package image --for fraud:7 --push "
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com/models:fraud-7",
    )
    package.add_argument(
        "kind",
        choices=("runtime", "control", "image"),
        help="runtime: functions that serve models; control: releaser, stager, catalog and "
        "planner; image: a container image that serves models",
    )
    package.add_argument(
        "--python",
        metavar="3.N",
        help=f"Python version of the function (default: {_PYTHON}; with --for, the model's; with "
        "--base, the image's)",
    )
    package.add_argument(
        "--architecture",
        choices=("x86_64", "arm64"),
        default="x86_64",
        help="processor architecture of the function (default: x86_64)",
    )
    package.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="path of the zip or image (default: build/<kind>.zip, or build/image.tar if the image "
        "is not pushed)",
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
    package.add_argument(
        "--with",
        dest="extra",
        action="append",
        default=[],
        metavar="FEATURE",
        help="image: let functions decode pictures; parquet: let them score Parquet files; text: "
        "let them serve models of texts; several separated by commas. For a container image, also "
        "any package, as in pandas==2.3.3; may be repeated",
    )
    package.add_argument(
        "--base",
        metavar="IMAGE",
        help="for an image: image to build on, by name, as in debian@sha256:..., or a directory in "
        "OCI's layout; it has Python and glibc 2.34 or newer (default: Docker's python:<3.N>-slim "
        "in Amazon ECR's public registry)",
    )
    package.add_argument(
        "--push",
        metavar="REPOSITORY",
        help="for an image: push it to this repository or tag, and print its name with its digest. "
        "Logs in to Amazon ECR with your AWS credentials, elsewhere as `docker login` did",
    )


def _package(arguments: argparse.Namespace) -> None:
    if arguments.ref and arguments.kind == "control":
        arguments.refuse(
            "--for is allowed only for a runtime package or an image, since only these load models"
        )
    is_image = arguments.kind == "image"
    for option in ("base", "push") if not is_image else ("upload",):
        if getattr(arguments, option):
            kinds = "a runtime or control package" if is_image else "an image"
            arguments.refuse(f"--{option} is allowed only for {kinds}")
    if arguments.extra and arguments.kind == "control":
        arguments.refuse("--with is allowed only for a runtime package or an image")
    (_build_image if is_image else _build_package)(arguments)


def _build_package(arguments: argparse.Namespace) -> None:
    from shearling.package import PackageUpload, build_package

    # First, because a build takes a minute.
    upload = PackageUpload(arguments.upload) if arguments.upload is not None else None
    name, python, requirements = _content(arguments)
    output = arguments.output or Path("build", f"{name}.zip")
    report = build_package(
        arguments.kind,
        python=python or _PYTHON,
        architecture=arguments.architecture,
        output=output,
        requirements=(*requirements, *_features(arguments)),
        progress=note,
    )
    say(str(report))
    if upload is not None:
        note(f"Uploading {output}")
        # A pickle's package is the `package` of its model.
        say(f"{'package' if arguments.ref else arguments.kind} = {upload.put(output)}")


def _build_image(arguments: argparse.Namespace) -> None:
    from shearling.package.image import ImageReference, build_image

    push = ImageReference.parse(arguments.push) if arguments.push else None
    name, python, requirements = _content(arguments)
    output = arguments.output
    if output is None and push is None:
        output = Path("build", f"{name}.tar")
    report = build_image(
        base=arguments.base,
        python=python,
        architecture=arguments.architecture,
        requirements=(*requirements, *_features(arguments)),
        output=output,
        push=push,
        progress=note,
    )
    say(str(report))
    if push:
        say(f'image_uri = "{report.pushed}"')  # as an attribute of Terraform's `models`


def _content(arguments: argparse.Namespace) -> tuple[str, str | None, tuple[str, ...]]:
    """Return the name of what is built, its Python if one is asked for, and its requirements."""
    if not arguments.ref:
        return arguments.kind, arguments.python, ()
    pin, environment = _environment(arguments.ref, arguments.registry)
    if arguments.python not in (None, environment.python):
        arguments.refuse(
            f"{arguments.ref} was pushed with Python {environment.python}; leave out --python, or "
            "push the model again with that version"
        )
    name = f"{arguments.kind}-{pin.model}-{pin.version}"
    return name, environment.python, environment.requirements


def _features(arguments: argparse.Namespace) -> list[str]:
    """Return the packages that `--with` asks for; those of a feature are pinned."""
    from shearling.package.wheels import FEATURES, feature_requirements

    found: list[str] = []
    words: list[str] = []
    for given in arguments.extra:
        parts = given.split(",")  # a requirement may have commas, too
        words += parts if set(parts) <= FEATURES.keys() else [given]
    for word in words:
        if word not in FEATURES and arguments.kind != "image":
            arguments.refuse(
                f"--with {word}: not a feature of a runtime package; choose from "
                f"{', '.join(FEATURES)}, or build an image, which takes any package"
            )
        found += feature_requirements(word) or [word]
    return found


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
            f"{ref} is stored as {manifest.format} and needs no packages of its own. Leave out "
            "--for"
        )
    return pin, manifest.environment
