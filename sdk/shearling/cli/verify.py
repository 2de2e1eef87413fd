"""The command that proves every byte of a version in the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.cli.command import add_command
from shearling.cli.output import note, say, say_json
from shearling.progress import human_bytes, progress

if TYPE_CHECKING:
    import argparse

    from shearling.cli.command import Commands


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    verify = add_command(
        commands,
        "verify",
        _verify,
        summary="read all files of a version in the registry, and verify every byte",
        details="It prints each file that is missing or damaged, and exits with code 1 if "
        "there is one. Pushing the same model again restores it if the bucket permits that; else "
        "the error of the push says what the owner of the bucket does.",
        example="shearling verify fraud:prod",
        json="the files",
    )
    verify.add_argument("ref", metavar="REF", help="fraud (the newest), fraud:7, fraud:prod")


def _verify(arguments: argparse.Namespace) -> None:
    from shearling.errors import BundleError
    from shearling.registry.registry import Registry
    from shearling.storage.proving import prove_blob

    registry = Registry.existing(arguments.registry)
    pin = registry.resolve(arguments.ref)
    manifest = registry.manifest(pin)
    files = {file.hex: file for file in manifest.files}
    problems: dict[str, str] = {}
    with progress(f"verify {arguments.ref}", sum(file.size for file in files.values())) as advance:
        for file in files.values():
            try:
                prove_blob(registry.store, file, advance)
            except BundleError as error:
                problems[file.path] = str(error)
    if arguments.json:
        rows = [
            {"path": file.path, "digest": file.digest, "problem": problems.get(file.path, "")}
            for file in files.values()
        ]
        say_json({"model": pin.model, "version": pin.version, "digest": pin.digest, "files": rows})
    for problem in problems.values():
        note(problem)
    if problems:
        raise SystemExit(1)
    if not arguments.json:
        size = human_bytes(manifest.size)
        say(f"{pin.model}:{pin.version}: {len(files)} files, {size}, all as they were pushed")
