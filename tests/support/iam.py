"""What an IAM policy allows, as far as the policies here go: no principals and no NotAction."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def allows(
    policy: str, action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """Return whether a policy alone allows an action on a resource."""
    effects = _effects(policy, action, resource, context or {})
    return "Allow" in effects and "Deny" not in effects


def denies(
    policy: str, action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """Return whether a policy denies an action on a resource, whatever else allows it."""
    return "Deny" in _effects(policy, action, resource, context or {})


def _effects(policy: str, action: str, resource: str, context: Mapping[str, str]) -> set[str]:
    return {
        statement["Effect"]
        for statement in json.loads(policy)["Statement"]
        if any(_matches(pattern, action) for pattern in _list(statement["Action"]))
        and any(_matches(pattern, resource) for pattern in _list(statement["Resource"]))
        and all(
            _holds(operator, context.get(key.lower()), _list(values))
            for operator, conditions in statement.get("Condition", {}).items()
            for key, values in conditions.items()
        )
    }


def _holds(operator: str, actual: str | None, values: list[Any]) -> bool:
    match operator:
        case "Null":
            return (actual is None) is (values[0] == "true")
        case "Bool":
            return actual == str(values[0])
        case "StringLike":
            return actual is not None and any(_matches(value, actual) for value in values)
    raise ValueError(f"this evaluator does not know the operator {operator}")


def _matches(pattern: str, text: str) -> bool:
    # As in IAM, both wildcards also match slashes.
    expression = "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
