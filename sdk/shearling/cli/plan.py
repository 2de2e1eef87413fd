"""The command that prints the Terraform settings of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.cli.command import add_command
from shearling.cli.option_names import with_option_names
from shearling.cli.output import note, say, say_json

if TYPE_CHECKING:
    import argparse

    from shearling.cli.command import Commands


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    plan = add_command(
        commands,
        "plan",
        _plan,
        summary="print the Terraform settings of models, estimated from their sizes",
        details="Standard output gets the input `models` of the Terraform module, to paste or to "
        "write to a .tfvars file; standard error gets the reasons. The check of each release "
        "decides whether the estimate is enough.",
        example="shearling plan fraud\nshearling plan fraud embed:7 > models.auto.tfvars\n"
        "shearling plan fraud --alias prod --alias staging",
        json="the settings and their reasons",
    )
    plan.add_argument(
        "refs", nargs="+", metavar="REF", help="fraud (the newest), fraud:7, fraud:prod"
    )
    plan.add_argument(
        "--alias",
        action="append",
        default=[],
        metavar="NAME",
        help="an alias of the functions; repeat it for several (default: those of the registry)",
    )


def _plan(arguments: argparse.Namespace) -> None:
    from shearling.models.plan import plan, terraform_models, undeployed_by
    from shearling.registry.registry import Registry

    registry = Registry.existing(arguments.registry)
    plans = [plan(ref, aliases=arguments.alias, registry=registry) for ref in arguments.refs]
    models = [each.pin.model for each in plans]
    if len(set(models)) < len(models):
        arguments.refuse("REF: a model has one function, so name each model once")
    if others := undeployed_by(plans, registry=registry):
        note(
            "Terraform keeps only the functions of the models in its input, and a new .tfvars file "
            "replaces the last one. Not named here, but deployed from this registry: "
            f"{', '.join(others)}\n"
        )
    if arguments.json:
        say_json(
            {
                each.pin.model: {
                    "version": each.pin.version,
                    "settings": each.values,
                    "reasons": {name: each.reasons.get(name, "") for name in each.values},
                }
                for each in plans
            }
        )
        return
    for each in plans:
        note(with_option_names(f"{each.pin.model}:{each.pin.version}\n{each}\n"))
    say(terraform_models(plans))
