"""What a signature says beyond names, datatypes and shapes, as lines of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.protocol.class_names import class_text, targets_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shearling.tensors.spec import Scalar, Signature

#: Classes or categories that a line lists at most.
_MOST_LISTED = 10


def contract_facts(signature: Signature) -> list[tuple[str, object]]:
    """Return what callers must know of values and rows, as pairs of name and text."""
    facts: list[tuple[str, object]] = []
    for name, classes in signature.classes.items():
        facts += [("classes", f"{name}: {_listed(target)}") for target in targets_of(classes)]
    for spec in signature.categorical:
        known = [values for values in spec.categories or () if values]
        facts += [("categories", f"{spec.name}: {_listed(values)}") for values in known]
    if finite := [spec.name for spec in signature.inputs if spec.finite]:
        facts.append(("finite", f"{', '.join(finite)}: infinite values are refused"))
    if not signature.independent_rows:
        facts.append(("rows", "depend on the other rows of a request"))
    return facts


def _listed(values: Sequence[Scalar]) -> str:
    more = f" and {len(values) - _MOST_LISTED} more" if len(values) > _MOST_LISTED else ""
    return ", ".join(map(class_text, values[:_MOST_LISTED])) + more
