"""Whether an alias may be set to a version: is the alias known, and do callers break?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from shearling.bundle.contract import Contract
from shearling.bundle.contract_changes import contract_changes
from shearling.errors import BreakingChangeError, BundleError, RegistryError, ReleaseError
from shearling.refs import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shearling.bundle.contract_changes import Change
    from shearling.registry.records import AliasEntry
    from shearling.registry.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The contract of a version that an alias is set to, compared with one that it names now.

    Attributes:
        model: the model's name.
        before: the version that the alias names now.
        after: the version that the alias is set to.
        changes: the differences between their contracts.
        unreadable: why the contracts cannot be compared; empty if they can.
    """

    model: str
    before: int
    after: int
    changes: tuple[Change, ...] = ()
    unreadable: str = ""

    @property
    def breaking(self) -> tuple[Change, ...]:
        """The changes that break callers."""
        return tuple(change for change in self.changes if change.effect == "breaking")

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of JSON values."""
        return asdict(self) | {"is_breaking": bool(self.breaking)}

    def __str__(self) -> str:
        title = f"contract of {self.model}:{self.before} -> {self.model}:{self.after}:"
        if self.unreadable:
            return f"{title} unknown, since {self.unreadable}"
        if not self.changes:
            return f"{title} no changes"
        width = max(len(change.effect) for change in self.changes)
        return "\n  ".join([title, *(f"{it.effect:{width}}  {it}" for it in self.changes)])


def answering_versions(registry: Registry, current: AliasEntry | None) -> tuple[int, ...]:
    """Return the versions that callers of an alias know, with that of a canary.

    Args:
        registry: registry of the model.
        current: the current entry of the alias; None if it was never set.
    """
    if current is None:
        return ()
    # After a failed release, the alias answers with what it answered before.
    answering = registry.alias_log(current.model, current.alias).answering(current)
    return answering.versions if answering else ()


def compare(
    registry: Registry, model: str, current: Sequence[int], wanted: Sequence[int]
) -> list[Comparison]:
    """Compare the contracts of versions with those of the versions that an alias names now.

    Args:
        registry: registry of the model.
        model: the model's name.
        current: versions that the alias names now, with that of a canary.
        wanted: versions that the alias is set to.
    """
    contracts: dict[int, Contract | str] = {
        number: _contract(registry, f"{model}:{number}") for number in {*current, *wanted}
    }
    return [
        _comparison(model, (before, contracts[before]), (after, contracts[after]))
        for after in dict.fromkeys(wanted)
        for before in current
        if after != before
    ]


def _comparison(
    model: str, old: tuple[int, Contract | str], new: tuple[int, Contract | str]
) -> Comparison:
    (before, one), (after, other) = old, new
    if isinstance(one, str) or isinstance(other, str):
        unreadable = next(it for it in (one, other) if isinstance(it, str))
        return Comparison(model=model, before=before, after=after, unreadable=unreadable)
    changes = contract_changes(one, other)
    return Comparison(model=model, before=before, after=after, changes=changes)


def _contract(registry: Registry, ref: str) -> Contract | str:
    """Return the contract of a version, or why it cannot be read.

    A damaged bundle must not keep an alias on it.
    """
    try:
        version = registry.version(ref)
        return Contract.of(registry.manifest(version.pin), version.details)
    except (BundleError, RegistryError) as error:
        return str(error)


def require_compatible(alias: str, comparisons: Iterable[Comparison]) -> None:
    """Refuse versions that break callers.

    Raises:
        BreakingChangeError: some versions do; the message has the changes.
    """
    breaking = [comparison for comparison in comparisons if comparison.breaking]
    if not breaking:
        return
    first = breaking[0]
    name = f"{first.model}:{alias}"
    lines = [f"{name} is not moved, because callers would break."]
    for comparison in breaking:
        lines += [_breaks(comparison), *(f"  {change}" for change in comparison.breaking)]
    lines.append(
        f"To see all changes, run: shearling diff {first.model}:{first.before} "
        f"{first.model}:{first.after}. To move {name} anyway, pass allow_breaking=True"
    )
    changes = [str(change) for comparison in breaking for change in comparison.breaking]
    reason = f"{_breaks(first)} {'; '.join(changes)}"
    raise BreakingChangeError("\n".join(lines), reason=reason, changes=changes)


def _breaks(comparison: Comparison) -> str:
    return f"Version {comparison.after} breaks callers of version {comparison.before}:"


def require_known(registry: Registry, model: str, alias: str, current: AliasEntry | None) -> None:
    """Refuse an alias that was never set and that no function serves, which may be misspelt.

    In a registry without deployed functions, any alias may be set.

    Raises:
        ReleaseError: the alias is unknown.
    """
    if current is not None:
        return
    deployments = registry.release_log.deployments()
    served = {name for it in deployments if it.model == model for name in it.aliases}
    if alias in served or not deployments:
        return
    if not served:
        raise ReleaseError(
            f"no function serves the model {model!r}, and {model}:{alias} was never set. Push the "
            f"model without an alias, deploy a function (`shearling plan {model}` prints its "
            "Terraform settings), then set the alias. To set it before, pass new=True to set_alias"
        )
    known = nearest(alias, sorted(served.union(registry.aliases(model))))
    raise ReleaseError(
        f"{model}:{alias} was never set, and no function serves it; known aliases of {model!r}: "
        f"{known}. To set a new alias, pass new=True to set_alias"
    )
