"""Commands about models and their versions: list, versions, show, diff, pull."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.cli.command import add_command
from shearling.cli.output import note, say, say_json, utc
from shearling.errors import RegistryError
from shearling.progress import human_bytes, progress
from shearling.text_table import table

if TYPE_CHECKING:
    import argparse

    from shearling.bundle.manifest import Manifest
    from shearling.cli.command import Commands
    from shearling.refs import Pin
    from shearling.registry.records import AliasEntry, Version
    from shearling.registry.registry import Registry
    from shearling.tensors.spec import TensorSpec

#: Number of models to read at a time, since each read of the registry takes a round trip.
_PARALLEL = 8


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    lister = add_command(
        commands,
        "list",
        _list,
        summary="list the models, or the versions of one",
        example="shearling list\nshearling list fraud",
        json="the list",
    )
    lister.add_argument("model", nargs="?", metavar="MODEL", help="list the versions of this model")
    versions = add_command(
        commands,
        "versions",
        _list,
        summary="list the versions of a model, newest first",
        example="shearling versions fraud",
        json="the list",
    )
    versions.add_argument("model", metavar="MODEL")
    show = add_command(
        commands,
        "show",
        _show,
        summary="show the details of a version",
        example="shearling show fraud:prod",
        json="the details",
    )
    show.add_argument("ref", metavar="REF", help="fraud (the newest), fraud:7, fraud:prod")
    compared = add_command(
        commands,
        "diff",
        _diff,
        summary="compare two versions: what changes for callers, metrics, size, packages",
        details="A change breaks callers if the second version refuses requests that the first one "
        "answers, or if its answers lack something.",
        example="shearling diff fraud:prod fraud:8",
        json="the differences",
    )
    compared.add_argument("before", metavar="REF", help="the version that callers know")
    compared.add_argument("after", metavar="REF", help="the version that is to answer them")
    pull = add_command(
        commands,
        "pull",
        _pull,
        summary="copy the files of a version to a directory, and verify their digests",
        example="shearling pull fraud:prod ./fraud",
    )
    pull.add_argument("ref", metavar="REF", help="fraud (the newest), fraud:7, fraud:prod")
    pull.add_argument(
        "directory", metavar="DIR", type=Path, help="directory to write to, created if missing"
    )
    pull.add_argument(
        "--blobs",
        action="store_true",
        help="write the files under their digests in DIR/blobs/sha256, as a container without "
        "network reads them",
    )
    pull.add_argument("--force", action="store_true", help="write to DIR even if it is not empty")


def _list(arguments: argparse.Namespace) -> None:
    from shearling.registry.registry import Registry

    registry = Registry.existing(arguments.registry)
    if arguments.model:
        _list_versions(registry, arguments.model, as_json=arguments.json)
    else:
        _list_models(registry, as_json=arguments.json)


def _list_models(registry: Registry, *, as_json: bool) -> None:
    def read(model: str) -> tuple[Version, dict[str, AliasEntry]]:
        return registry.version(model), registry.aliases(model)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        listed = list(pool.map(read, registry.models()))
    if as_json:
        say_json(
            [
                _document(newest)
                | {"aliases": {alias: entry.version for alias, entry in aliases.items()}}
                for newest, aliases in listed
            ]
        )
    elif listed:
        say(
            table(
                ["MODEL", "NEWEST", "ALIASES", "SIZE", "PUSHED (UTC)"],
                (_model_row(newest, aliases) for newest, aliases in listed),
            )
        )
    else:
        note(f"no models in {registry.store.uri} yet; to push one, see: shearling push --help")


def _model_row(newest: Version, aliases: dict[str, AliasEntry]) -> list[object]:
    named = "; ".join(f"{alias} -> {entry.named}" for alias, entry in aliases.items())
    return [newest.pin.model, newest.pin.version, named, _size(newest), utc(newest.created)]


def _list_versions(registry: Registry, model: str, *, as_json: bool) -> None:
    from shearling.storage.caller import short_name

    versions = registry.versions(model)[::-1]
    aliases = registry.aliases(model)
    if as_json:
        say_json(
            [_document(version) | {"aliases": _names(version.pin, aliases)} for version in versions]
        )
        return
    rows = (
        [
            version.pin.version,
            ", ".join(_names(version.pin, aliases)),
            version.details.get("format"),
            _size(version),
            utc(version.created),
            short_name(str(version.details.get("pushed_by", ""))),
        ]
        for version in versions
    )
    say(table(["VERSION", "ALIASES", "FORMAT", "SIZE", "PUSHED (UTC)", "BY"], rows))


def _show(arguments: argparse.Namespace) -> None:
    from shearling.registry.registry import Registry

    registry = Registry.existing(arguments.registry)
    version = registry.version(arguments.ref)
    manifest = registry.manifest(version.pin)
    aliases = registry.aliases(version.pin.model)
    if arguments.json:
        say_json(
            _document(version)
            | {"aliases": _names(version.pin, aliases), "manifest": json.loads(manifest.to_bytes())}
        )
        return
    facts = _facts(version, manifest, aliases)
    say(f"{version.pin}\n")
    say(table(["", ""], facts))
    tensors = [
        [
            role,
            spec.name,
            spec.datatype,
            f"[{', '.join(map(str, spec.shape))}]",
            _missing_values(role, spec),
        ]
        for role, specs in (
            ("input", manifest.signature.inputs),
            ("output", manifest.signature.outputs),
        )
        for spec in specs
    ]
    say(f"\n{table(['TENSOR', 'NAME', 'DATATYPE', 'SHAPE', 'MISSING VALUES'], tensors)}")
    files = ([file.path, human_bytes(file.size), file.digest] for file in manifest.files)
    say(f"\n{table(['FILE', 'SIZE', 'DIGEST'], files)}")


def _diff(arguments: argparse.Namespace) -> None:
    from shearling.models.diff import diff

    compared = diff(arguments.before, arguments.after, registry=arguments.registry)
    if arguments.json:
        say_json(compared.to_dict())
    else:
        say(str(compared))


def _missing_values(role: str, spec: TensorSpec) -> str:
    """Return whether an input accepts missing values; empty if its type cannot have any."""
    if role != "input" or not spec.datatype.startswith("FP"):
        return ""
    return "accepted" if spec.nullable else "refused"


def _facts(
    version: Version, manifest: Manifest, aliases: dict[str, AliasEntry]
) -> list[tuple[str, object]]:
    """Return the details of a version, as pairs of name and value."""
    from shearling.cli.contract import contract_facts
    from shearling.cli.measured import measured_facts
    from shearling.cli.optimisation import OPTIMISATION, optimisation_facts

    details = dict(version.details)
    by = details.pop("pushed_by", None)
    example = manifest.example
    facts: list[tuple[str, object]] = [
        ("aliases", ", ".join(_names(version.pin, aliases))),
        ("pushed", f"{utc(version.created)} UTC{f' by {by}' if by else ''}"),
        ("format", manifest.format),
        ("size", human_bytes(manifest.size)),
        ("tolerance", f"relative {example.rtol:g}, absolute {example.atol:g}"),
    ]
    if environment := manifest.environment:
        needed = ", ".join(environment.requirements) or "no packages"
        facts.append(("environment", f"Python {environment.python}; {needed}"))
    options = dict(manifest.options)
    facts += contract_facts(manifest.signature, options.pop("columns", ()))
    metrics = details.pop("metrics", {})  # those of a training job are not in the metadata
    groups = {
        "options": options,
        "metadata": manifest.metadata,
        "metrics": {key: metrics[key] for key in metrics if key not in manifest.metadata},
        "recorded": details,
    }
    facts += [("measured", fact) for fact in measured_facts(details)]
    if tried := optimisation_facts(details):
        facts += [(OPTIMISATION, fact) for fact in tried]
        del details[OPTIMISATION]
    shown = ("format", "size_bytes", "contract", "measured")
    return facts + [
        (group, f"{key}: {_plain(value)}")
        for group, values in groups.items()
        for key, value in values.items()
        if not (group == "recorded" and key in shown)
    ]


def _pull(arguments: argparse.Namespace) -> None:
    directory: Path = arguments.directory
    if directory.exists() and any(directory.iterdir()) and not arguments.force:
        raise RegistryError(f"{directory} is not empty. To write to it anyway, pass --force")

    from shearling.registry.registry import Registry
    from shearling.storage.blobs import BLOBS, fetch_blobs

    registry = Registry.existing(arguments.registry)
    pin = registry.resolve(arguments.ref)
    manifest = registry.manifest(pin)
    files = [*manifest.files, registry.manifest_descriptor(pin)]
    directory.mkdir(parents=True, exist_ok=True)
    # Within the directory, so that a verified file only has to be renamed.
    with tempfile.TemporaryDirectory(prefix=".shearling-", dir=directory) as temporary:
        blobs = directory / BLOBS if arguments.blobs else Path(temporary, "sha256")
        with progress(f"pull {arguments.ref}", manifest.size) as advance:
            fetch_blobs(registry.store, files, blobs, advance)
        for i, file in enumerate(files if not arguments.blobs else []):
            path = directory / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            is_needed_again = any(later.hex == file.hex for later in files[i + 1 :])
            (shutil.copyfile if is_needed_again else os.replace)(Path(blobs, file.hex), path)
    say(
        f"{pin.model}:{pin.version}: {len(files)} files, {human_bytes(manifest.size)}, "
        f"in {directory}"
    )


def _document(version: Version) -> dict[str, Any]:
    """Return a version's record as a document for JSON."""
    # In this order, so that what the pusher recorded does not replace what is known.
    return {
        **version.details,
        "model": version.pin.model,
        "version": version.pin.version,
        "digest": version.pin.digest,
        "created": version.created.isoformat(),
    }


def _names(pin: Pin, aliases: dict[str, AliasEntry]) -> list[str]:
    """Return the aliases that name a version, and those that send it a percentage."""
    whole = [alias for alias, entry in aliases.items() if entry.version == pin.version]
    shares = [
        f"{alias} ({entry.canary['percent']} %)"
        for alias, entry in aliases.items()
        if entry.canary and entry.canary["version"] == pin.version
    ]
    return whole + shares


def _size(version: Version) -> str:
    size = version.details.get("size_bytes")
    return human_bytes(size) if isinstance(size, int) else ""


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
