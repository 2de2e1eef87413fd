"""Commands that move and list aliases: alias set, list, history and delete, and rollback."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from shearling.cli.command import add_command, add_group, add_wait
from shearling.cli.option_names import with_option_names
from shearling.cli.output import entry_document, note, say, say_json, utc
from shearling.refs import is_alias
from shearling.text_table import table

if TYPE_CHECKING:
    from shearling.cli.command import Commands
    from shearling.registry.records import AliasEntry


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    verbs = add_group(
        commands,
        "alias",
        summary="set and list aliases: set, list, history, delete",
        description="Set and list aliases. An alias, such as prod, is a movable name of a version.",
        example="shearling alias set fraud prod 7 --wait",
    )
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
        summary="show all entries of an alias, newest first, with their outcome on each function",
        example="shearling alias history fraud prod",
        json="the history",
    )
    history.add_argument("model", metavar="MODEL")
    history.add_argument("alias", metavar="ALIAS")
    delete = add_command(
        verbs,
        "delete",
        _delete,
        summary="end an alias that no function serves",
        details="Its history stays, and a rollback restores it.",
        example="shearling alias delete fraud porduction",
        json="the alias's last entry",
    )
    delete.add_argument("model", metavar="MODEL")
    delete.add_argument("alias", metavar="ALIAS")
    delete.add_argument("--reason", default="", help="reason to record in the alias's history")
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
        "passes its check on that function. A version that would break callers is refused.",
        example="shearling alias set fraud prod 7 --wait\n"
        "shearling alias set fraud prod staging --dry-run\n"
        'shearling alias set fraud prod 7 --canary 8:10 --reason "try 8 on a tenth"',
        json="the alias's new entry",
    )
    setter.add_argument("model", metavar="MODEL")
    setter.add_argument("alias", metavar="ALIAS")
    setter.add_argument(
        "version",
        metavar="VERSION",
        type=_version,
        help="number of the version, another alias for the version that it names, or a ref",
    )
    add_wait(setter)
    setter.add_argument(
        "--canary",
        type=_canary,
        metavar="VERSION:PERCENT",
        help="send a percentage of the requests to another version",
    )
    setter.add_argument("--reason", default="", help="reason to record in the alias's history")
    setter.add_argument(
        "--allow-breaking", action="store_true", help="set it even if callers would break"
    )
    setter.add_argument(
        "--new",
        action="store_true",
        help="allow an alias that was never set and that no function serves",
    )
    setter.add_argument(
        "--dry-run",
        action="store_true",
        help="show what would change for callers, and set nothing; fails where the command would",
    )


def _version(text: str) -> int | str:
    if text.isascii() and text.isdigit():
        return int(text)
    if is_alias(text) or ":" in text:
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r:.80} is neither a version, as in 8, nor an alias, nor a ref, as in fraud:8"
    )


def _canary(text: str) -> dict[str, int | str]:
    version, _, percent = text.rpartition(":")
    try:
        return {"version": _version(version), "percent": int(percent)}
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(
            f"{text!r:.80} is not VERSION:PERCENT, as in 8:10 or staging:10"
        ) from None


def _set(arguments: argparse.Namespace) -> None:
    from shearling.aliases.set_alias import set_alias

    if arguments.dry_run:
        _show_dry_run(arguments)
        return
    entry = set_alias(
        arguments.model,
        arguments.alias,
        arguments.version,
        wait=arguments.wait,
        canary=arguments.canary,
        reason=arguments.reason,
        allow_breaking=arguments.allow_breaking,
        new=arguments.new,
        registry=arguments.registry,
    )
    _print_entry(entry, arguments)


def _show_dry_run(arguments: argparse.Namespace) -> None:
    """Show what would change for callers, and raise the error with which the command would fail."""
    from shearling.aliases.promotion import require_compatible
    from shearling.aliases.set_alias import compare_with_current
    from shearling.aliases.waiting import require_served
    from shearling.registry.alias_log import check_reason
    from shearling.registry.registry import Registry

    check_reason(arguments.reason)
    registry = Registry.existing(arguments.registry)
    if arguments.wait:
        require_served(registry, arguments.model, arguments.alias)
    comparisons = compare_with_current(
        arguments.model,
        arguments.alias,
        arguments.version,
        canary=arguments.canary,
        new=arguments.new,
        registry=registry,
    )
    if arguments.json:
        say_json([comparison.to_dict() for comparison in comparisons])
    for comparison in [] if arguments.json else comparisons:
        say(str(comparison))
    if not comparisons:
        note(f"{arguments.model}:{arguments.alias} names no other version to compare with")
    if not arguments.allow_breaking:
        require_compatible(arguments.alias, comparisons)


def _rollback(arguments: argparse.Namespace) -> None:
    from shearling.aliases.rollback import append_rollback
    from shearling.aliases.waiting import wait_for_release
    from shearling.registry.registry import Registry

    registry = Registry.existing(arguments.registry)
    entry, comparisons = append_rollback(
        arguments.model,
        arguments.alias,
        wait=arguments.wait,
        reason=arguments.reason,
        force=arguments.force,
        registry=registry,
    )
    for comparison in comparisons:
        note(str(comparison))
    if arguments.wait:
        wait_for_release(registry, entry)
    _print_entry(entry, arguments)


def _delete(arguments: argparse.Namespace) -> None:
    from shearling.aliases.delete import delete_alias

    entry = delete_alias(
        arguments.model, arguments.alias, reason=arguments.reason, registry=arguments.registry
    )
    if arguments.json:
        say_json(entry_document(entry))
    else:
        say(f"{entry.model}:{entry.alias} names no version any more")


def _print_entry(entry: AliasEntry, arguments: argparse.Namespace) -> None:
    if arguments.json:
        say_json(entry_document(entry))
        return
    waited = ", and every function that serves it has released it" if arguments.wait else ""
    say(f"{entry.model}:{entry.alias} -> {entry.named}{waited}")


def _list(arguments: argparse.Namespace) -> None:
    from shearling.registry.registry import Registry

    registry = Registry.existing(arguments.registry)
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
    from shearling.aliases.history import history
    from shearling.registry.registry import Registry
    from shearling.storage.caller import short_name

    past = history(Registry.existing(arguments.registry), arguments.model, arguments.alias)
    if arguments.json:
        say_json(
            [
                entry_document(it.entry)
                | {"outcomes": dict(it.outcomes), "failures": dict(it.reasons)}
                for it in past
            ]
        )
        return
    rows = (
        [
            it.entry.number,
            it.entry.named,
            short_name(it.entry.by),
            utc(it.entry.created),
            ", ".join(f"{function}: {outcome}" for function, outcome in it.outcomes.items()),
            it.entry.reason,
        ]
        for it in past
    )
    say(table(["ENTRY", "VERSION", "BY", "SET (UTC)", "OUTCOME", "REASON"], rows))
    for it in past:
        for function, reason in it.reasons.items():
            sentence = with_option_names(" ".join(reason.split()))
            say(f"\nentry {it.entry.number} on {function}: {sentence}")
