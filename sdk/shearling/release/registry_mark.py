"""The description of a Lambda alias, which names the registry that the alias is released from.

A registry without an entry for an alias looks the same whether the alias is new or the registry was
moved to another bucket or prefix. The description tells them apart: a new alias has no mark and is
emptied, and a marked alias stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.errors import ReleaseError

if TYPE_CHECKING:
    from shearling.release.alias_state import AliasSnapshot, Target

_PREFIX = "Released by Shearling from "

#: Lambda's limit for a description.
_LENGTH = 256


def mark_of(target: Target, snapshot: AliasSnapshot) -> str:
    """Return the description that an alias must have; unchanged if its log is empty."""
    if snapshot.entry is None:
        return snapshot.alias.description
    return f"{_PREFIX}{target.registry.store.uri}"[:_LENGTH]


def require_same_registry(target: Target, snapshot: AliasSnapshot) -> None:
    """Require that an alias is new, or that the registry has an entry for it.

    Raises:
        ReleaseError: the alias was released from another registry, and this one has no entry.
    """
    description = snapshot.alias.description
    if snapshot.entry or not description.startswith(_PREFIX):
        return
    model = target.deployment.model
    raise ReleaseError(
        f"the alias was released from the registry {description.removeprefix(_PREFIX)}, but the "
        f"registry {target.registry.store.uri} has no entry for {model}:{target.alias}. The alias "
        "is unchanged. If the registry was not meant to move, restore `registry` in Terraform's "
        "inputs. Otherwise set the alias in the new registry: "
        f"shearling alias set {model} {target.alias} VERSION"
    )
