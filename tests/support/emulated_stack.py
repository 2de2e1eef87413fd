"""A root module in a directory, whose provider is the embedded AWS."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.support.terraform_cli import REPOSITORY, TerraformStack, write_emulator_override

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws


def write_root(directory: Path, main: str) -> None:
    """Write a root module that calls the composed module as `./terraform`."""
    shutil.copytree(REPOSITORY / "terraform", directory / "terraform")
    (directory / "main.tf").write_text(main)


def emulated_stack(aws: EmbeddedAws, directory: Path, **variables: object) -> TerraformStack:
    """Return the root module of a directory, initialised."""
    write_emulator_override(directory, aws.url)
    stack = TerraformStack(directory, environment=aws.process_environment(), variables=variables)
    stack.init()
    return stack
