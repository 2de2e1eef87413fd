"""The answer to a block, checked and named before a writer formats it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.protocol.instances import check_rows, row_count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.protocol.requests import InferRequest

    Outputs = Mapping[str, NDArray[Any]]


def distinct(names: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Return names of outputs; one that a column of the source has begins with `output_`."""
    used, found = {*taken}, []
    for name in names:
        new = name
        while new in used or (new != name and new in names):
            new = f"output_{new}"
        used.add(new)
        found.append(new)
    return found


def checked(request: InferRequest, outputs: Outputs) -> Outputs:
    """Return the requested outputs, which have a row for each row of the request."""
    count = row_count(request)
    for name in request.outputs:
        check_rows(name, outputs[name], count)
    return {name: outputs[name] for name in request.outputs}
