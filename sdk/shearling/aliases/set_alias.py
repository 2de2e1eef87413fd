"""Make an alias name a version: an entry in the registry, which every function follows."""

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


#: What a canary may get; all or nothing is another version.
_PERCENT = range(1, 100)


class VersionRef(Protocol):
    """What names a version: `push_model` returns one."""

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
    """Name a version by an alias; every function that serves the alias follows.

    Naming the version that is named already asks for another try, should its release have failed.

    Args:
        model: the model.
        alias: such as `prod`; it need not exist yet.
        version: number of the version, or what `push_model` returned.
        wait: return only when every function that serves the alias serves this version.
        timeout_seconds: how long to wait.
        canary: another version that gets a share of the requests: `{"version": 8, "percent": 10}`.
        reason: a note for the alias's history.
        registry: the registry or its URI; by default what SHEARLING_REGISTRY says.

    Raises:
        ModelNotFoundError: there is no such version.
        RegistryError: the version is no whole number, or another model's; or the canary is none.
        ReleaseError: with `wait`: nothing serves that alias, and it is left as it was; or the
            release failed or took too long, and the alias names the version all the same.
    """
    target = Registry.at(registry)
    number, share = _number(model, version), _share(model, canary)
    if wait:
        require_served(target, model, alias)
    entry = target.set_alias(model, alias, number, canary=share, reason=reason)
    if wait:
        wait_for_release(target, entry, timeout_seconds=timeout_seconds)
    return entry


def _number(model: str, version: object) -> int:
    """Return the number of a version: a whole number of any kind, or what has one."""
    if getattr(version, "model", model) != model:
        raise RegistryError(f"{version} is no version of model {model!r}")
    number = _whole(getattr(version, "version", version))
    if number is None:
        raise RegistryError(
            f"version {version!r}: expected its number, as in 8, or what push_model returned"
        )
    return number


def _share(model: str, canary: object) -> dict[str, int] | None:
    if canary is None:
        return None
    if isinstance(canary, Mapping) and set(canary) == {"version", "percent"}:
        percent = _whole(canary["percent"])
        if percent is not None and percent in _PERCENT:
            return {"version": _number(model, canary["version"]), "percent": percent}
    raise RegistryError(
        f"canary {canary!r}: expected the version and the percentage of requests, 1 to 99, as in "
        "{'version': 8, 'percent': 10}"
    )


def _whole(number: Any) -> int | None:
    """Return a whole number of any kind; None if it is none, as True, which nobody means by 1."""
    try:
        return None if isinstance(number, bool) else operator.index(number)
    except TypeError:
        return None
