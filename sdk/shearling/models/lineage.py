"""What a version was made from: its parent, the recipe, and what was measured."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shearling.refs import Pin

#: Names in the manifest's metadata, and of the record's field with what was measured.
PARENT, RECIPE, OPTIMISATION = "parent", "recipe", "optimisation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a version was made from.

    Attributes:
        parent: the version that it was made from; None if the registry does not have the original.
        recipe: how it was made. It is part of the manifest, so it contains nothing that differs
            when the same is done again.
        measured: what was measured, for the version's record.
    """

    parent: Pin | None
    recipe: Mapping[str, Any]
    measured: Mapping[str, Any]

    def with_metadata(self, metadata: Mapping[str, object] | None) -> dict[str, object]:
        """Return a caller's metadata with the parent and the recipe.

        Raises:
            BundleError: the metadata has a field of the same name.
        """
        own = {PARENT: str(self.parent)} if self.parent else {}
        given = metadata or {}
        for field in (PARENT, RECIPE):
            if field in given:
                raise BundleError(
                    "this field says what the version was made from: use another name",
                    field=f"metadata.{field}",
                )
        return {**given, **own, RECIPE: dict(self.recipe)}

    def record_fields(self) -> dict[str, Any]:
        """Return the fields of the version's record."""
        return {OPTIMISATION: dict(self.measured)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Where a model was imported from.

    Attributes:
        name: the field of the version's record that says so.
        facts: what it says.
        metrics: metrics that were recorded there, for the version's own.
    """

    name: str
    facts: Mapping[str, Any]
    metrics: Mapping[str, Any]


_imported: ContextVar[Imported | None] = ContextVar("_imported", default=None)


@contextmanager
def imported_from(origin: Imported) -> Iterator[None]:
    """Let pushes in this context record where the model is from."""
    token = _imported.set(origin)
    try:
        yield
    finally:
        _imported.reset(token)


def current_import() -> Imported | None:
    """Return what a push is to record about an import; None for a model that is not imported."""
    return _imported.get()
