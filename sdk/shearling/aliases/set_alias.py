"""Set an alias to a version by adding an entry to the alias's log in the registry."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from shearling.aliases.waiting import require_served, wait_for_release
from shearling.errors import RegistryError
from shearling.registry.registry import Registry

if TYPE_CHECKING:
    import os

    from shearling.registry.records import AliasEntry


#: Allowed percentages of a canary.
_PERCENT = range(1, 100)


class VersionRef(Protocol):
    """A model version, such as the result of `push_model`."""

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    @property
    def version(self) -> int:
        """The version's number."""
        ...


def set_alias(
    model: str,
    alias: str,
    version: int | VersionRef,
    *,
    wait: bool = False,
    timeout_seconds: float = 900,
    canary: Mapping[str, int] | None = None,
    reason: str = "",
    registry: Registry | str | os.PathLike[str] | None = None,
) -> AliasEntry:
    """Set an alias to a version. Every function that serves the alias then releases that version.

    Setting the version that the alias already has retries its release if it failed.

    Args:
        model: the model's name.
        alias: the alias, such as `prod`. It need not exist yet.
        version: the version's number, or the result of `push_model`.
        wait: whether to wait until every function that serves the alias serves this version.
        timeout_seconds: seconds to wait at most.
        canary: another version that gets a percentage of the requests, from 1 to 99:
            `{"version": 8, "percent": 10}`.
        reason: a note for the alias's history.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Raises:
        ModelNotFoundError: there is no such version.
        RegistryError: `version` is not a whole number or belongs to another model, or `canary` is
            malformed.
        ReleaseError: with `wait`, either no function serves the alias and the alias is unchanged,
            or the release failed, was superseded or took too long after the alias was set.
    """
    target = Registry.at(registry)
    number, canary_fields = _version_number(model, version), _canary(model, canary)
    if wait:
        require_served(target, model, alias)
    entry = target.set_alias(model, alias, number, canary=canary_fields, reason=reason)
    if wait:
        wait_for_release(target, entry, timeout_seconds=timeout_seconds)
    return entry


def _version_number(model: str, version: object) -> int:
    """Return the number of a version, given as a whole number or as an object with `version`."""
    if getattr(version, "model", model) != model:
        raise RegistryError(f"{version} is not a version of model {model!r}")
    number = _whole_number(getattr(version, "version", version))
    if number is None:
        raise RegistryError(
            f"version {version!r}: expected a number such as 8, or the result of push_model"
        )
    return number


def _canary(model: str, canary: object) -> dict[str, int] | None:
    if canary is None:
        return None
    if isinstance(canary, Mapping) and set(canary) == {"version", "percent"}:
        percent = _whole_number(canary["percent"])
        if percent is not None and percent in _PERCENT:
            return {"version": _version_number(model, canary["version"]), "percent": percent}
    raise RegistryError(
        f"canary {canary!r}: expected a version and its percentage of the requests, from 1 to 99, "
        "such as {'version': 8, 'percent': 10}"
    )


def _whole_number(number: Any) -> int | None:
    """Convert a whole number of any type to int; return None for other values and booleans."""
    try:
        # numpy 2.1 also has an index for its own booleans.
        is_boolean = type(number).__name__ in ("bool", "bool_")
        return None if is_boolean else operator.index(number)
    except TypeError:
        return None
