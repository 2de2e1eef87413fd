"""What a Terraform plan says about the resources of a type."""

from __future__ import annotations

from typing import Any


def planned(plan: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The attributes that resources of a type will have, by address."""
    return {
        each["address"]: each["change"]["after"]
        for each in plan["resource_changes"]
        if each["type"] == kind and each["mode"] == "managed" and each["change"]["after"]
    }


def planned_functions(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The attributes that functions will have, by name."""
    functions = planned(plan, "aws_lambda_function").values()
    return {function["function_name"]: function for function in functions}
