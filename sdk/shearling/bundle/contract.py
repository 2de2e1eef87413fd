"""What callers of a version rely on: its signature, and the names of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.bundle.manifest import Manifest
    from shearling.tensors.spec import Signature

#: Field of a version's record with the revision of the contract that its push recorded. Pushes that
#: write no such field recorded the first one, without classes, categories, dependent rows and
#: the refusal of infinite values.
REVISION_FIELD, REVISION = "contract", 2

#: Field of a version's record that every push writes.
_PUSH_FIELD = "shearling"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What callers of a version rely on.

    Attributes:
        signature: inputs and outputs of the model.
        columns: column names of the only input; empty if it was pushed without names.
        is_complete: whether the contract has all that there is to say. If not, an older push wrote
            the version: what it does not say of classes, categories, dependent rows and infinite
            values is unknown.
    """

    signature: Signature
    columns: tuple[str, ...] = ()
    is_complete: bool = True

    @classmethod
    def of(cls, manifest: Manifest, details: Mapping[str, Any]) -> Contract:
        """Return the contract of a version.

        Args:
            manifest: manifest of the version.
            details: facts in the version's record.
        """
        return cls(
            signature=manifest.signature,
            columns=tuple(manifest.options.get("columns") or ()),
            is_complete=REVISION_FIELD in details or _PUSH_FIELD not in details,
        )
