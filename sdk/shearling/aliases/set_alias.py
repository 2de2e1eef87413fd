"""Set an alias to a version by adding an entry to the alias's log in the registry."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from shearling.aliases.promotion import (
    answering_versions,
    compare,
    require_compatible,
    require_known,
)
from shearling.aliases.waiting import require_served, wait_for_release
from shearling.errors import RegistryError
from shearling.refs import Ref, is_alias
from shearling.registry.registry import Registry

if TYPE_CHECKING:
    import os

    from shearling.aliases.promotion import Comparison
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
    version: int | str | VersionRef,
    *,
    wait: bool = False,
    timeout_seconds: float = 900,
    canary: Mapping[str, object] | None = None,
    reason: str = "",
    allow_breaking: bool = False,
    new: bool = False,
    registry: Registry | str | os.PathLike[str] | None = None,
) -> AliasEntry:
    """Set an alias to a version. Every function that serves the alias then releases that version.

    Compares the version's contract with that of each version that the alias names now, and refuses
    a version that breaks their callers: `sdk.diff("fraud:prod", "fraud:8")` shows the changes. If
    the release of the current entry failed, compares with the version that is served instead.
    Setting the version that the alias already has retries its release if it failed.

    Args:
        model: the model's name.
        alias: the alias, such as `prod`.
        version: the version's number, the result of `push_model`, another alias, such as
            `staging`, for the version that it names, or a ref, such as `fraud:7`.
        wait: whether to wait until every function that serves the alias serves this version.
        timeout_seconds: seconds to wait at most.
        canary: another version, given as `version` is, and its percentage of the requests, from 1
            to 99: `{"version": 8, "percent": 10}`.
        reason: a note for the alias's history.
        allow_breaking: whether the version, or the canary, may break callers.
        new: whether the alias may be one that was never set and that no function serves. Where no
            function is deployed, any alias may be set.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Raises:
        ModelNotFoundError: there is no such version.
        RegistryError: `version` is not a version of the model, or `canary` is malformed
            or `version` itself.
        BreakingChangeError: callers would break, and `allow_breaking` is False.
        ReleaseError: the alias is unknown, and `new` is False; with `wait`, either no function
            serves the alias and the alias is unchanged, or the release failed, was superseded or
            took too long after the alias was set.
    """
    target = Registry.existing(registry)
    number = _version_named(target, model, version)
    share = _canary(target, model, number, canary)
    if wait:
        require_served(target, model, alias)

    def check(current: AliasEntry | None) -> None:
        if not new:
            require_known(target, model, alias, current)
        if not allow_breaking:
            wanted = [number, share["version"]] if share else [number]
            answering = answering_versions(target, current)
            require_compatible(alias, compare(target, model, answering, wanted))

    entry = target.set_alias(model, alias, number, canary=share, reason=reason, check=check)
    if wait:
        wait_for_release(target, entry, timeout_seconds=timeout_seconds)
    return entry


def compare_with_current(
    model: str,
    alias: str,
    version: int | str | VersionRef,
    *,
    canary: Mapping[str, object] | None = None,
    new: bool = False,
    registry: Registry | str | os.PathLike[str] | None = None,
) -> list[Comparison]:
    """Return what changes for callers if `set_alias` is called with these arguments.

    Raises:
        ModelNotFoundError: there is no such version.
        RegistryError: `version` is not a version of the model, or `canary` is malformed
            or `version` itself.
        ReleaseError: the alias is unknown, and `new` is False.
    """
    target = Registry.existing(registry)
    wanted = [_version_named(target, model, version)]
    if share := _canary(target, model, wanted[0], canary):
        wanted.append(share["version"])
    for number in wanted:
        target.version(f"{model}:{number}")
    current = target.alias_entry(model, alias)
    if not new:
        require_known(target, model, alias, current)
    return compare(target, model, answering_versions(target, current), wanted)


def _version_named(registry: Registry, model: str, version: object) -> int:
    """Return the number of a version, which another alias or a ref may name."""
    if not (isinstance(version, str) and (is_alias(version) or ":" in version)):
        return _version_number(model, version)
    ref = Ref.parse(version if ":" in version else f"{model}:{version}")
    pin = registry.version(ref).pin if ref.model == model else None
    if pin is None or ref.digest not in (None, pin.digest):
        raise RegistryError(f"{version!r:.160} is not a version of model {model!r}")
    entry = registry.alias_entry(model, ref.selector) if isinstance(ref.selector, str) else None
    if entry and entry.canary:
        raise RegistryError(
            f"{model}:{ref.selector} names two versions, {entry.named}: give the number of one"
        )
    return pin.version


def _version_number(model: str, version: object) -> int:
    """Return the number of a version, given as a whole number or as an object with `version`."""
    if getattr(version, "model", model) != model:
        raise RegistryError(f"{version} is not a version of model {model!r}")
    number = _whole_number(getattr(version, "version", version))
    if number is None:
        raise RegistryError(
            f"version {version!r:.80}: expected a number such as 8, the result of push_model, "
            f"an alias such as 'staging', or a ref such as '{model}:8'"
        )
    return number


def _canary(registry: Registry, model: str, version: int, canary: object) -> dict[str, int] | None:
    """Return the canary of a version as it is recorded."""
    if canary is None:
        return None
    if isinstance(canary, Mapping) and set(canary) == {"version", "percent"}:
        percent = _whole_number(canary["percent"])
        if percent is not None and percent in _PERCENT:
            number = _version_named(registry, model, canary["version"])
            if number == version:
                raise RegistryError(
                    f"canary {canary!r}: {model}:{version} is the version that the alias is set "
                    "to, so its canary must be another version"
                )
            return {"version": number, "percent": percent}
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
