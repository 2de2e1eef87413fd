"""Connect to the deployed model that the arguments of a command name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from shearling.cli.command import API_KEY_VARIABLE, TOKEN_VARIABLE

if TYPE_CHECKING:
    import argparse

    from shearling.client.base import RemoteModel


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a deployed model."""
    parser.add_argument("target", metavar="TARGET", help="<function>:<alias>, or the URL of an API")
    parser.add_argument("--model", metavar="NAME", help="for a URL: name of the model")
    parser.add_argument("--alias", metavar="ALIAS", help="for a URL: alias or version")
    parser.add_argument(
        "--region", help="for a URL: sign requests for this region, even if an API key is set"
    )


def target_words(arguments: argparse.Namespace) -> str:
    """Return the arguments that name a model, to be repeated in another command."""
    named = ((name, getattr(arguments, name)) for name in ("model", "alias", "region"))
    words = [arguments.target, *(f"--{name} {value}" for name, value in named if value)]
    return " ".join(words)


def connected(arguments: argparse.Namespace) -> RemoteModel:
    """Return the model; wrong usage of the arguments ends the command."""
    from shearling.client.connect import connect

    if "://" in arguments.target:
        if not arguments.model:
            arguments.refuse("a URL requires --model, the name of the model")
        return connect(
            arguments.target,
            model=arguments.model,
            alias=arguments.alias,
            auth="iam" if arguments.region else "auto",
            region=arguments.region,
            token=os.environ.get(TOKEN_VARIABLE),
            api_key=os.environ.get(API_KEY_VARIABLE),
        )
    if arguments.model or arguments.alias or arguments.region:
        arguments.refuse(
            "--model, --alias and --region are allowed only with a URL; name a function as "
            "<function>:<alias>"
        )
    client_of = arguments.lambda_client
    return connect(arguments.target, client=client_of(None) if client_of else None)
