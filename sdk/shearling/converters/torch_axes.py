"""Which sizes of a PyTorch module's inputs vary from request to request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shearling.formats.base import Tensors

    #: For each input, the axes whose size may vary, with a name for each size.
    Axes = Mapping[str, Mapping[int, str]]

#: Sizes from this one on are too large to be asked about.
_LARGEST = 4096

#: Rows that are asked about with another size.
_FEW = 4

#: The name of the size that the inputs have in common.
ROWS = "rows"


def axes_of(arrays: Tensors, dynamic: Axes) -> Axes:
    """Return the axes whose size may vary: the rows, and those that the caller names.

    Inputs with another first size than the first input are no rows, such as a table to look up.

    Args:
        arrays: the example by input name.
        dynamic: for each input, further axes with a name for each size.

    Raises:
        InvalidRequestError: an input or an axis does not exist, or sizes of one name differ.
    """
    _check(dynamic, arrays)
    count = len(next(iter(arrays.values())))
    rows = {name: {0: ROWS} for name, array in arrays.items() if len(array) == count}
    axes = {name: rows.get(name, {}) | _from_the_front(dynamic, name, arrays) for name in arrays}
    sizes: dict[str, int] = {}
    for name, own in axes.items():
        for axis, size in own.items():
            found = arrays[name].shape[axis]
            if sizes.setdefault(size, found) != found:
                raise InvalidRequestError(
                    f"dynamic: the size {size!r:.80} is {sizes[size]} and {found} in the example: "
                    "give sizes that differ names of their own"
                )
    return axes


def axes_of_program(program: Any, arrays: Tensors) -> Axes:
    """Return the axes that an exported program lets vary; those of inputs without any are empty.

    Args:
        program: a `torch.export.ExportedProgram`.
        arrays: the example by input name.
    """
    shapes = placeholder_shapes(program)
    rows = str(shapes[0][0]) if shapes and shapes[0] else ""
    return {
        name: {
            axis: ROWS if str(size) == rows else str(size)
            for axis, size in enumerate(shape)
            if not isinstance(size, int)
        }
        for name, shape in zip(arrays, shapes, strict=True)
    }


def placeholder_shapes(program: Any) -> list[Any]:
    """Return the shape of each input of a `torch.export.ExportedProgram`; symbols vary."""
    inputs = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    return [node.meta["val"].shape for node in nodes if node.name in inputs]


def sizes_unlike(
    arrays: Tensors, axes: Axes, limits: Mapping[str, int]
) -> list[tuple[str, dict[str, NDArray[Any]]]]:
    """Return rows of other sizes than the example's, with a text that names the size.

    They are a size of 1, which exporters take for another kind of size, those beside it and beside
    the example's, and the first beyond the sizes that the exported program admits.

    Args:
        arrays: the example by input name.
        axes: the axes whose size varies.
        limits: the largest size that the program admits, for sizes that it limits.
    """
    found: dict[str, int] = {}
    for name, own in axes.items():
        found |= {size: arrays[name].shape[axis] for axis, size in own.items()}
    variants = []
    for size, count in found.items():
        wanted = {1, 2} if size == ROWS else {1, 2, count + 1}
        if (limit := limits.get(size, _LARGEST)) < _LARGEST:
            wanted.add(limit + 1)
        variants += [
            (f"{other} {size}", _resized(arrays, axes, size, other))
            for other in sorted(wanted - {count})
        ]
    return variants


def _resized(arrays: Tensors, axes: Axes, size: str, count: int) -> dict[str, NDArray[Any]]:
    """Return the example with another size, cut or repeated along the axes of that name.

    All rows but a few are left out if another size varies.
    """
    resized = {}
    for name, array in arrays.items():
        for axis, own in axes[name].items():
            if own == size:
                array = np.take(array, np.arange(count) % array.shape[axis], axis)  # noqa: PLW2901
            elif own == ROWS:
                array = array[:_FEW]  # noqa: PLW2901
        resized[name] = array
    return resized


def _from_the_front(dynamic: Axes, name: str, arrays: Tensors) -> dict[int, str]:
    """Return an input's named axes, counted from the first one."""
    return {axis % arrays[name].ndim: size for axis, size in dynamic.get(name, {}).items()}


def _check(dynamic: Axes, arrays: Tensors) -> None:
    if not isinstance(dynamic, Mapping):
        raise InvalidRequestError(
            f"dynamic {dynamic!r:.80} is not a dict: pass the axes of each input whose size "
            "varies, as in {'input_ids': {1: 'seq'}}"
        )
    for name, own in dynamic.items():
        if name not in arrays:
            raise InvalidRequestError(
                f"dynamic: {name!r:.80} is not an input of the model; it has {', '.join(arrays)}"
            )
        rank = arrays[name].ndim
        entries = own.items() if isinstance(own, Mapping) else [(own, None)]
        for axis, size in entries:
            is_axis = type(axis) is int and -rank <= axis < rank
            if not is_axis or not isinstance(size, str):
                raise InvalidRequestError(
                    f"dynamic[{name!r:.80}] has {axis!r:.40}: {size!r:.40}, and input {name!r:.80} "
                    f"has the axes 0 to {rank - 1}: pass a name for each axis whose size varies, "
                    "as in {1: 'seq'}"
                )
