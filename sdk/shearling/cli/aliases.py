"""Commands that move and list aliases: alias set, alias list, alias history, rollback."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from shearling.cli.command import add_command, add_wait
from shearling.cli.output import entry_document, note, say, say_json, utc
from shearling.text_table import table

if TYPE_CHECKING:
    from shearling.cli.command import Commands
    from shearling.registry.records import AliasEntry


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    alias = commands.add_parser(
        "alias",
        help="set and list aliases: set, list, history",
        description="Set and list aliases. An alias, such as prod, is a movable name of a version.",
        epilog="example:\n  shearling alias set fraud prod 7 --wait",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = alias.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_set(verbs)
    lister = add_command(
        verbs,
        "list",
        _list,
        summary="list the aliases of a model with their versions",
        example="shearling alias list fraud",
        json="the list",
    )
    lister.add_argument("model", metavar="MODEL")
    history = add_command(
        verbs,
        "history",
        _history,
        summary="show all versions that an alias has named, newest first",
        example="shearling alias history fraud prod",
        json="the history",
    )
    history.add_argument("model", metavar="MODEL")
    history.add_argument("alias", metavar="ALIAS")
    rollback = add_command(
        commands,
        "rollback",
        _rollback,
        summary="set an alias back to the version released before",
        example="shearling rollback fraud prod --wait",
        json="the alias's new entry",
    )
    rollback.add_argument("model", metavar="MODEL")
    rollback.add_argument("alias", metavar="ALIAS")
    add_wait(rollback)
    rollback.add_argument(
        "--reason", default="rollback", help="reason to record in the alias's history"
    )
    rollback.add_argument(
        "--force",
        action="store_true",
        help="release the version without a check, when its check cannot pass",
    )


def _add_set(verbs: Commands) -> None:
    setter = add_command(
        verbs,
        "set",
        _set,
        summary="set an alias to a version",
        details="Every function that serves the alias then releases the version, if the version "
        "passes its check on that function.",
        example="shearling alias set fraud prod 7 --wait\n"
        'shearling alias set fraud prod 7 --canary 8:10 --reason "try 8 on a tenth"',
        json="the alias's new entry",
    )
    setter.add_argument("model", metavar="MODEL")
    setter.add_argument("alias", metavar="ALIAS")
    setter.add_argument("version", metavar="VERSION", type=int)
    add_wait(setter)
    setter.add_argument(
        "--canary",
        type=_canary,
        metavar="VERSION:PERCENT",
        help="send a percentage of the requests to another version",
    )
    setter.add_argument("--reason", default="", help="reason to record in the alias's history")


def _canary(text: str) -> dict[str, int]:
    version, _, percent = text.partition(":")
    try:
        return {"version": int(version), "percent": int(percent)}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not VERSION:PERCENT, as in 8:10") from None


def _set(arguments: argparse.Namespace) -> None:
    from shearling.aliases.set_alias import set_alias

    entry = set_alias(
        arguments.model,
        arguments.alias,
        arguments.version,
        wait=arguments.wait,
        canary=arguments.canary,
        reason=arguments.reason,
        registry=arguments.registry,
    )
    _print_entry(entry, arguments)


def _rollback(arguments: argparse.Namespace) -> None:
    from shearling.aliases.rollback import rollback

    entry = rollback(
        arguments.model,
        arguments.alias,
        wait=arguments.wait,
        reason=arguments.reason,
        force=arguments.force,
        registry=arguments.registry,
    )
    _print_entry(entry, arguments)


def _print_entry(entry: AliasEntry, arguments: argparse.Namespace) -> None:
    if arguments.json:
        say_json(entry_document(entry))
        return
    waited = ", and every function that serves it has released it" if arguments.wait else ""
    say(f"{entry.model}:{entry.alias} -> {entry.named}{waited}")


def _list(arguments: argparse.Namespace) -> None:
    from shearling.registry.registry import Registry

    registry = Registry(arguments.registry)
    registry.resolve(arguments.model)  # raises an error if the model does not exist
    entries = registry.aliases(arguments.model)
    if arguments.json:
        say_json([entry_document(entry) for entry in entries.values()])
    elif entries:
        rows = (
            [alias, entry.named, utc(entry.created), entry.reason]
            for alias, entry in entries.items()
        )
        say(table(["ALIAS", "VERSION", "SINCE (UTC)", "REASON"], rows))
    else:
        note(f"{arguments.model} has no alias yet; to set one, see: shearling alias set --help")


def _history(arguments: argparse.Namespace) -> None:
    from shearling.registry.registry import Registry

    registry = Registry(arguments.registry)
    registry.resolve(f"{arguments.model}:{arguments.alias}")
    entries = registry.history(arguments.model, arguments.alias)[::-1]
    if arguments.json:
        say_json([entry_document(entry) for entry in entries])
        return
    rows = (
        [
            entry.number,
            entry.named,
            utc(entry.created),
            entry.reason,
        ]
        for entry in entries
    )
    say(table(["ENTRY", "VERSION", "SET (UTC)", "REASON"], rows))
