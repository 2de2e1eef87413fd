"""Who sends a request, as the API that authenticated the caller says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def caller_of(context: Mapping[str, Any]) -> str:
    """Return the identity in the `requestContext` of an event; empty without authentication.

    Whoever may invoke the function directly can send any event, and so any identity.
    """
    authorizer, identity = _map(context.get("authorizer")), _map(context.get("identity"))
    claims = _map(_map(authorizer.get("jwt")).get("claims")) or _map(authorizer.get("claims"))
    candidates = {
        "iam": _map(authorizer.get("iam")).get("userArn") or identity.get("userArn"),
        "token": claims.get("sub") and f"{claims.get('iss', '')} {claims['sub']}",
        "authorizer": authorizer.get("principalId"),
        "key": identity.get("apiKeyId"),
    }
    return next((f"{kind}:{value}" for kind, value in candidates.items() if value), "")


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
