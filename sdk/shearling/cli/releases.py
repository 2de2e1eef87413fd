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
        summary="show what each alias names and what each function serves",
        example="shearling status\nshearling status fraud",
        json="it",
    )
    status.add_argument("model", nargs="?", metavar="MODEL", help="only this model")
    retry = add_command(
        commands,
        "retry-release",
        _retry_release,
        summary="release a model's aliases now, without waiting for the releaser's schedule",
        details="An alias that serves what it names already is left as it is. Needs the right to "
        "invoke the releaser.",
        example="shearling retry-release fraud\nshearling retry-release fraud prod",
        json="the results",
    )
    retry.add_argument("model", metavar="MODEL", help="fraud, or fraud:prod")
    retry.add_argument("alias", nargs="?", metavar="ALIAS", help="only this alias")
    prune = add_command(
        commands,
        "prune",
        _prune,
        summary="remove from mounted file systems what no function version needs any more",
        details="A blob goes a day after this command first found that no version of any function "
        "pins it: run it again then. Needs the right to list the functions' versions and to "
        "invoke the stager (Terraform's output `prune_policy`). The registry keeps all bundles.",
        example="shearling prune --dry-run\nshearling prune",
        json="the blobs",
    )
    prune.add_argument("--dry-run", action="store_true", help="only tell what would be removed")


def _status(arguments: argparse.Namespace) -> None:
    from shearling.aliases.status import status

    found = status(arguments.model, registry=arguments.registry)
    if arguments.json:
        say_json(found.to_dict())
    else:
        say(str(found))


def _retry_release(arguments: argparse.Namespace) -> None:
    from shearling.lambda_api import lambda_client
    from shearling.registry.registry import Registry

    client_of = arguments.lambda_client or lambda_client
    registry = Registry(arguments.registry)
    model, _, inline = arguments.model.partition(":")  # `fraud:prod` is how a person names it too
    if inline and arguments.alias not in (None, inline):
        arguments.refuse(f"which alias: {inline} or {arguments.alias}?")
    alias = arguments.alias or inline or None
    request = {"model": model, "alias": alias}
    releasers = _releasers(registry, model, alias)
    results, failures = [], []
    for releaser, region in releasers:
        note(f"{releaser} in {region} releases ...")
        try:
            results += _ask(client_of(region), releaser, request)
        except ReleaseError as error:  # the others may do better
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

    registry = Registry(arguments.registry)
    rows = prune(arguments.lambda_client or lambda_client, registry, dry_run=arguments.dry_run)
    if arguments.json:
        say_json(rows)
        return
    if not rows:
        if any(deployment.stager for deployment in registry.release_log.deployments()):
            note("every blob on a mounted file system is needed")
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
            note(f"{state}: {len(sizes)} of {human_bytes(sum(sizes))}")


def _minute(moment: str) -> str:
    from datetime import datetime

    return utc(datetime.fromisoformat(moment))


def _releasers(registry: Registry, model: str, alias: str | None) -> list[tuple[str, str]]:
    """Return name and region of the functions that release a model, or one alias of it."""
    found = {
        (one.releaser, one.region): None
        for one in registry.release_log.deployments(model)
        if alias is None or alias in one.aliases
    }
    if not found:
        registry.resolve(model)
        what = f"alias {alias!r} of {model!r}" if alias else f"{model!r}"
        raise ModelNotFoundError(
            f"no function serves {what}: add it to Terraform's `models`, then terraform apply"
        )
    return list(found)


def _ask(client: LambdaClient, releaser: str, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a releaser did.

    Raises:
        ReleaseError: an alias could not be released, or the releaser crashed.
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
        raise ReleaseError(f"{releaser} is no releaser: it answered {document!r:.200}")
    return list(document["results"])
