"""A root module on the recorded state of a stack: plans of it need no stack that exists."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from tests.support.emulated_stack import emulated_stack
from tests.support.terraform_cli import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws

STATES = REPOSITORY / "tests" / "terraform" / "states"

#: Paths as the states have them, relative to the root module.
PACKAGES = {kind: f"packages/{kind}.zip" for kind in ("runtime", "control")}


#: The description of an alias when Terraform creates it.
_DESCRIPTION = "Moved by the releaser when the registry's alias of this name moves."


class RecordedStack:
    """A root module in a directory, whose state is the recorded one.

    Args:
        aws: answers for the account and the availability zones, and for nothing else.
        directory: the root module.
        state: name of the recorded state.
    """

    def __init__(self, aws: EmbeddedAws, directory: Path, state: str) -> None:
        text = (STATES / f"{state}.json").read_text()
        # Terraform writes the one, and the releaser the other: no plan may change it back.
        marked = text.replace(_DESCRIPTION, "Released by Shearling from s3://acme-models")
        (directory / "terraform.tfstate").write_text(marked)
        shutil.copytree(REPOSITORY / "terraform" / "tests" / "packages", directory / "packages")
        self._terraform = emulated_stack(aws, directory)

    def plan(self, **variables: object) -> dict[str, Any]:
        """Return the plan for these input variables, without reading a resource."""
        self._terraform.set_variables(**{"packages": PACKAGES, **variables})
        return self._terraform.plan(refresh=False)


def resources(plan: dict[str, Any], action: str) -> list[str]:
    """Addresses of the resources that a plan deletes, creates or updates; both if it replaces."""
    return [each["address"] for each in plan["resource_changes"] if action in actions_of(each)]


def types(plan: dict[str, Any], action: str) -> set[str]:
    """Types of these resources."""
    return {each["type"] for each in plan["resource_changes"] if action in actions_of(each)}


def actions_of(resource_change: dict[str, Any]) -> list[str]:
    """The actions that are planned for a resource, in their order."""
    actions: list[str] = resource_change["change"]["actions"]
    return actions
