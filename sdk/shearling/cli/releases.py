"""Commands about what functions serve: status, retry-release, prune."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shearling.cli.command import add_command
from shearling.cli.output import note, say, say_json, utc
from shearling.errors import ModelNotFoundError, ReleaseError
from shearling.lambda_api import failure_message
from shearling.progress import human_bytes
from shearling.text_table import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from mypy_boto3_lambda import LambdaClient

    from shearling.cli.command import Commands
    from shearling.registry.registry import Registry


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    status = add_command(
        commands,
        "status",
        _status,
        summary="show the version that each alias names and that each function serves",
        example="shearling status\nshearling status fraud",
        json="the status",
    )
    status.add_argument("model", nargs="?", metavar="MODEL", help="show only this model")
    retry = add_command(
        commands,
        "retry-release",
        _retry_release,
        summary="release a model's aliases now, without waiting for the releaser's schedule",
        details="Does not change an alias that already serves its version. Requires permission to "
        "invoke the releaser.",
        example="shearling retry-release fraud\nshearling retry-release fraud prod",
        json="the results",
    )
    retry.add_argument("model", metavar="MODEL", help="fraud, or fraud:prod")
    retry.add_argument("alias", nargs="?", metavar="ALIAS", help="release only this alias")
    prune = add_command(
        commands,
        "prune",
        _prune,
        summary="remove files that no function version needs from mounted file systems",
        details="The first run marks a blob that no function version pins. A run at least one day "
        "later removes it. Requires permission to list the functions' versions and to invoke the "
        "stager (Terraform's output `prune_policy`). The registry keeps all bundles.",
        example="shearling prune --dry-run\nshearling prune",
        json="the blobs",
    )
    prune.add_argument(
        "--dry-run", action="store_true", help="show what would be removed, and remove nothing"
    )


def _status(arguments: argparse.Namespace) -> None:
    from shearling.aliases.status import status

    current = status(arguments.model, registry=arguments.registry)
    if arguments.json:
        say_json(current.to_dict())
    else:
        say(str(current))


def _retry_release(arguments: argparse.Namespace) -> None:
    from shearling.lambda_api import lambda_client
    from shearling.registry.registry import Registry

    client_of = arguments.lambda_client or lambda_client
    registry = Registry.existing(arguments.registry)
    model, _, inline = arguments.model.partition(":")  # allow `fraud:prod` too
    if inline and arguments.alias not in (None, inline):
        arguments.refuse(f"two aliases are given, {inline} and {arguments.alias}; give one")
    alias = arguments.alias or inline or None
    request = {"model": model, "alias": alias}
    releasers = _releasers(registry, model, alias)
    results, failures = [], []
    for releaser, region in releasers:
        note(f"invoking {releaser} in {region} ...")
        try:
            results += _invoke_releaser(client_of(region), releaser, request)
        except ReleaseError as error:  # continue with the other releasers
            failures.append(str(error))
    if arguments.json:
        say_json(results)
    elif results:
        columns = ("function", "alias", "outcome", "version", "lambda_version", "reason")
        headers = ["FUNCTION", "ALIAS", "OUTCOME", "VERSION", "LAMBDA VERSION", "REASON"]
        say(table(headers, ([result.get(column) for column in columns] for result in results)))
    if failures:
        raise ReleaseError("; ".join(failures))


def _prune(arguments: argparse.Namespace) -> None:
    from shearling.lambda_api import lambda_client
    from shearling.registry.registry import Registry
    from shearling.release.staging import prune

    registry = Registry.existing(arguments.registry)
    rows = prune(arguments.lambda_client or lambda_client, registry, dry_run=arguments.dry_run)
    if arguments.json:
        say_json(rows)
        return
    if not rows:
        if any(deployment.stager for deployment in registry.release_log.deployments()):
            note("nothing to remove: function versions need every blob on the mounted file systems")
        else:
            note("no function of this registry mounts a file system (module input `file_system`)")
        return
    cells = (
        [row["digest"], human_bytes(row["size"]), row["state"], _minute(row["since"])]
        for row in rows
    )
    say(table(["BLOB", "SIZE", "STATE", "NOT NEEDED SINCE (UTC)"], cells))
    for state in ("removed", "removable", "waiting"):
        sizes = [row["size"] for row in rows if row["state"] == state]
        if sizes:
            note(f"{state}: {len(sizes)} blobs, {human_bytes(sum(sizes))}")


def _minute(moment: str) -> str:
    from datetime import datetime

    return utc(datetime.fromisoformat(moment))


def _releasers(registry: Registry, model: str, alias: str | None) -> list[tuple[str, str]]:
    """Return name and region of the releasers of a model, or of one of its aliases."""
    releasers = {
        (deployment.releaser, deployment.region): None
        for deployment in registry.release_log.deployments(model)
        if alias is None or alias in deployment.aliases
    }
    if not releasers:
        registry.resolve(model)
        what = f"alias {alias!r} of {model!r}" if alias else f"{model!r}"
        raise ModelNotFoundError(
            f"no function serves {what}. Add it to Terraform's `models`, then run terraform apply"
        )
    return list(releasers)


def _invoke_releaser(
    client: LambdaClient, releaser: str, request: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Invoke a releaser and return its results, one for each alias.

    Raises:
        ReleaseError: the release of an alias failed, or the releaser crashed.
    """
    answer = client.invoke(FunctionName=releaser, Payload=json.dumps(request).encode())
    data = answer["Payload"].read()
    try:
        document = json.loads(data)
    except ValueError:
        document = data.decode(errors="replace")
    if answer.get("FunctionError"):
        raise ReleaseError(f"{releaser}: {failure_message(document)}")
    if not isinstance(document, dict) or not isinstance(document.get("results"), list):
        raise ReleaseError(
            f"the response of {releaser} is not a releaser's, since it has no 'results': "
            f"{document!r:.200}"
        )
    return list(document["results"])
