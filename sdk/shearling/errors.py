"""What can go wrong, as one tree.

```
ShearlingError
+- BundleError                  not a bundle that this version can read; carries the field's path
|  +- UnsupportedSchemaError    written by a newer shearling
|  +- IntegrityError            not the bytes that were pushed
+- FormatError                  a model cannot be saved or loaded
|  +- EnvironmentMismatchError  the bundle needs another Python or package version
+- RegistryError
|  +- ModelNotFoundError        no such model, version or alias
|  +- InvalidRefError           not a name, or not a ref
+- ReleaseError                 an alias could not be moved; carries the reason
+- StoreError                   the object store refused or failed
+- PackageError                 a function package cannot be built
+- InferenceError               status 500
   +- InvalidRequestError       400
   +- UnknownModelError         404
   +- PayloadTooLargeError      413
   +- ModelNotReadyError        503
   +- DeadlineError             504
   +- PredictionError           500
   +- RowsFailedError           500: some rows of many; carries why, and what was answered
```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: Reasons, and places for each, that a message has.
_REASONS, _PLACES = 5, 5


class ShearlingError(Exception):
    """The root of every error that Shearling raises on purpose."""


class BundleError(ShearlingError):
    """Not a bundle that this version can read.

    Attributes:
        field: where in the manifest, as in `files[0].digest`; empty if it is not about one field.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(f"{message} in {field!r}" if field else message)
        self.field = field


class UnsupportedSchemaError(BundleError):
    """The bundle was written by a newer version of Shearling."""


class IntegrityError(BundleError):
    """The bytes are not the ones that were pushed."""

    def __init__(self, what: str, *, expected: str, actual: str) -> None:
        super().__init__(f"{what} is not what was pushed: expected {expected}, got {actual}")
        self.expected = expected
        self.actual = actual


class FormatError(ShearlingError):
    """A model cannot be saved in, or loaded from, a format."""


class EnvironmentMismatchError(FormatError):
    """The bundle needs another Python, or other packages, than this process has."""


class RegistryError(ShearlingError):
    """The registry does not hold what was asked for, or cannot."""


class ModelNotFoundError(RegistryError, LookupError):
    """No such model, version or alias."""


class InvalidRefError(RegistryError, ValueError):
    """Not a name of a model, version or alias, or not a ref."""


class ReleaseError(ShearlingError):
    """An alias could not be moved.

    Attributes:
        reason: why, in a sentence.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class StoreError(ShearlingError):
    """The object store refused, failed or could not be reached.

    Attributes:
        denied: whether it was for want of a right.
    """

    def __init__(self, message: str, *, denied: bool = False) -> None:
        super().__init__(message)
        self.denied = denied


class PackageError(ShearlingError):
    """A function package cannot be built, or is too large for Lambda."""


class InferenceError(ShearlingError):
    """A request could not be answered; `status` is the HTTP status of the answer."""

    status: ClassVar[int] = 500


class InvalidRequestError(InferenceError):
    """The request is malformed, or does not fit the model's signature."""

    status: ClassVar[int] = 400


class UnknownModelError(InferenceError):
    """No such model, version or path here."""

    status: ClassVar[int] = 404


class PayloadTooLargeError(InferenceError):
    """The request or its answer is larger than Lambda carries."""

    status: ClassVar[int] = 413


class ModelNotReadyError(InferenceError):
    """No model is released here yet, or it could not be loaded."""

    status: ClassVar[int] = 503


class DeadlineError(InferenceError):
    """Less time is left than the request needs."""

    status: ClassVar[int] = 504


class PredictionError(InferenceError):
    """The model itself failed on a valid request."""

    status: ClassVar[int] = 500


@dataclass(frozen=True, slots=True)
class RowFailure:
    """Rows that have no answer, and why.

    Attributes:
        rows: their numbers, as in `range(1000, 2000)`.
        error: what their call raised, or that they were not sent.
    """

    rows: range
    error: Exception


class RowsFailedError(InferenceError):
    """Some rows of many have no answer; the answers of the others are kept here.

    Attributes:
        failures: what has no answer, in the order of the rows.
        answered: the numbers of all other rows, in order.
        outputs: their outputs by name, a row for each in `answered`; empty if there is none.
    """

    def __init__(
        self,
        failures: Sequence[RowFailure],
        *,
        answered: NDArray[Any],
        outputs: Mapping[str, NDArray[Any]],
    ) -> None:
        failed = sum(len(failure.rows) for failure in failures)
        title = f"{failed} of {failed + len(answered)} rows have no answer:"
        super().__init__("\n  ".join([title, *_reasons(failures)]))
        self.failures = tuple(failures)
        self.answered = answered
        self.outputs = dict(outputs)


def _reasons(failures: Sequence[RowFailure]) -> list[str]:
    """Return a line for each of the first reasons, with the rows that it holds for."""
    places: dict[str, list[range]] = {}
    for failure in failures:
        found = places.setdefault(" ".join(str(failure.error).split()), [])
        is_adjacent = bool(found) and found[-1].stop == failure.rows.start
        first = found.pop().start if is_adjacent else failure.rows.start
        found.append(range(first, failure.rows.stop))
    lines = [f"{_places(rows)}: {reason}" for reason, rows in places.items()]
    more = len(lines) - _REASONS
    return lines[:_REASONS] + ([f"and {more} more reasons"] if more > 0 else [])


def _places(places: Sequence[range]) -> str:
    shown = ", ".join(
        f"{rows.start}" if len(rows) == 1 else f"{rows.start} to {rows.stop - 1}"
        for rows in places[:_PLACES]
    )
    more = len(places) - _PLACES
    noun = "row" if sum(map(len, places)) == 1 else "rows"
    return f"{noun} {shown}" + (f" and {more} more places" if more > 0 else "")
