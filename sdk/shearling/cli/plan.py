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
        summary="print the Terraform settings of models, with their latency and cost",
        details="Standard output gets the input `models` of the Terraform module, to paste or to "
        "write to a .tfvars file; standard error gets the reasons, estimates of latency and cost, "
        "and their curve against memory, from what the push measured. The check of each release "
        "decides whether the memory is enough.",
        example="shearling plan fraud\nshearling plan fraud embed:7 > models.auto.tfvars\n"
        "shearling plan fraud --p95 50 --per-month 2000000\n"
        "shearling plan fraud --alias prod --alias staging",
        json="settings, reasons and estimates",
    )
    plan.add_argument(
        "refs", nargs="+", metavar="REF", help="fraud (the newest), fraud:7, fraud:prod"
    )
    plan.add_argument(
        "--p95",
        type=float,
        metavar="MS",
        help="milliseconds that 95 %% of the requests of one row may take at most",
    )
    plan.add_argument(
        "--per-month", type=float, metavar="N", help="requests a month, for the price of a month"
    )
    plan.add_argument(
        "--prices", metavar="FILE", help="prices as JSON (default: list prices of us-east-1)"
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
    from shearling.models.prices import Prices
    from shearling.registry.registry import Registry

    registry = Registry.existing(arguments.registry)
    prices = Prices.read(arguments.prices)
    plans = [
        plan(
            ref,
            p95_ms=arguments.p95,
            per_month=arguments.per_month,
            prices=prices,
            aliases=arguments.alias,
            registry=registry,
        )
        for ref in arguments.refs
    ]
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
        say_json({each.pin.model: each.to_dict() for each in plans})
        return
    for each in plans:
        note(with_option_names(f"{each.pin.model}:{each.pin.version}\n{each}\n"))
    say(terraform_models(plans))
