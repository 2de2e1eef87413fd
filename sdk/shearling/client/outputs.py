"""The outputs for many rows, with the version of the model that answered each of them."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Digits of a version that is a number.
_DIGITS = 10


class Outputs(dict[str, "NDArray[Any]"]):
    """Outputs by name, as a dict of arrays with one row for each answered row.

    Attributes:
        versions: for each row, the number of the version that answered it; strings if a version is
            no number, as another server may have it, or unknown.
    """

    def __init__(self, outputs: Mapping[str, NDArray[Any]], versions: NDArray[Any]) -> None:
        super().__init__(outputs)
        self.versions = versions


def versions_of_rows(answered: Mapping[range, str]) -> NDArray[Any]:
    """Return the version of each row.

    Args:
        answered: ranges of rows in ascending order, with the version that answered them.
    """
    versions = list(answered.values())
    are_numbers = all(map(_is_number, versions))
    each = np.array([*map(int, versions)], np.int64) if are_numbers else np.array(versions, object)
    return np.repeat(each, [len(rows) for rows in answered])


def warn_of_several_versions(target: str, versions: NDArray[Any]) -> None:
    """Warn the caller of this function's caller if several versions have answered.

    Args:
        target: name of the model for the message.
        versions: the version of each row.
    """
    counts = Counter(versions.tolist())
    if len(counts) <= 1:
        return
    shares = ", ".join(
        f"{count:,} rows by {'an unknown version' if it == '' else f'version {it}'}"
        for it, count in sorted(counts.items())
    )
    warnings.warn(
        f"{target} answered with several versions of the model ({shares}), because it has a canary "
        "or was moved meanwhile. The result's `versions` tells which version answered each row; "
        "infer_many(..., version=N) asks only one",
        UserWarning,
        stacklevel=3,
    )


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit() and len(version) <= _DIGITS
