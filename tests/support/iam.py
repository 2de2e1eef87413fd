"""What an IAM policy allows, as far as the policies here go: no NotAction or NotResource."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def allows(
    policy: str,
    action: str,
    resource: str,
    context: Mapping[str, str] | None = None,
    *,
    principal: str | None = None,
) -> bool:
    """Return whether a policy alone allows an action on a resource.

    Args:
        policy: the policy's JSON.
        action: as in `s3:PutObject`.
        resource: ARN of the resource.
        context: values of condition keys, which are in lower case.
        principal: who asks: a service or an ARN; only resource policies name principals.
    """
    effects = _effects(policy, action, resource, context or {}, principal)
    return "Allow" in effects and "Deny" not in effects


def denies(
    policy: str, action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """Return whether a policy denies an action on a resource, whatever else allows it."""
    return "Deny" in _effects(policy, action, resource, context or {}, None)


def statements(policy: str) -> list[dict[str, Any]]:
    """Return the statements of a policy, with lists of actions and resources."""
    return [
        {
            **statement,
            "Action": _list(statement["Action"]),
            # A policy about who takes a role on is about that role alone.
            "Resource": _list(statement.get("Resource", "*")),
        }
        for statement in json.loads(policy)["Statement"]
    ]


def _effects(
    policy: str, action: str, resource: str, context: Mapping[str, str], principal: str | None
) -> set[str]:
    return {
        statement["Effect"]
        for statement in statements(policy)
        if any(_matches(pattern.lower(), action.lower()) for pattern in statement["Action"])
        and any(_matches(pattern, resource) for pattern in statement["Resource"])
        and _is_about(statement, principal)
        and all(
            _holds(operator, context.get(key.lower()), _list(values))
            for operator, conditions in statement.get("Condition", {}).items()
            for key, values in conditions.items()
        )
    }


def _is_about(statement: Mapping[str, Any], principal: str | None) -> bool:
    named = statement.get("Principal", "*")
    names = [named] if named == "*" else [name for each in named.values() for name in _list(each)]
    return principal is None or "*" in names or principal in names


def _holds(operator: str, actual: str | None, values: list[Any]) -> bool:
    match operator:
        case "Null":
            return (actual is None) is (values[0] == "true")
        case "Bool":
            return actual == str(values[0])
        case "StringEquals":
            return actual in values
        case "StringNotEquals":
            return actual not in values
        case "StringLike" | "ArnLike":
            return actual is not None and any(_matches(value, actual) for value in values)
        case "ArnNotEquals":
            return actual is None or not any(_matches(value, actual) for value in values)
    raise ValueError(f"this evaluator does not know the operator {operator}")


def _matches(pattern: str, text: str) -> bool:
    # As in IAM, both wildcards also match slashes.
    expression = "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
