"""What a signature says beyond names, datatypes and shapes, as lines of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.protocol.class_names import class_text, targets_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shearling.tensors.spec import Scalar, Signature, TensorSpec

#: Classes or categories that a line lists at most, and column names: rows need them all.
_MOST_LISTED, _MOST_COLUMNS = 10, 100


def contract_facts(signature: Signature, columns: Sequence[str]) -> list[tuple[str, object]]:
    """Return what callers must know of values and rows, as pairs of name and text.

    Args:
        signature: signature of the model.
        columns: column names of the model's only input; empty if they have none.
    """
    facts: list[tuple[str, object]] = []
    if columns:
        facts.append(("columns", _listed(columns, _MOST_COLUMNS)))
    for name, classes in signature.classes.items():
        facts += [("classes", f"{name}: {_listed(target)}") for target in targets_of(classes)]
    for spec in signature.categorical:
        facts += [
            ("categories", f"{_column(spec, i, columns)}: {_listed(values)}")
            for i, values in enumerate(spec.categories or ())
            if values
        ]
    if finite := [spec.name for spec in signature.inputs if spec.finite]:
        facts.append(("finite", f"{', '.join(finite)}: infinite values are refused"))
    if not signature.independent_rows:
        facts.append(("rows", "depend on the other rows of a request"))
    return facts


def _column(spec: TensorSpec, i: int, columns: Sequence[str]) -> str:
    """Return the name of a column, as rows have it; its place in the input without names."""
    count = len(spec.known)
    if len(columns) == count:
        return columns[i]
    return f"{spec.name}[{i}]" if count > 1 else spec.name


def _listed(values: Sequence[Scalar], most: int = _MOST_LISTED) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(map(class_text, values[:most])) + more
