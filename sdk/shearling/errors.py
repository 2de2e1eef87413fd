"""The exceptions that Shearling raises.

```
ShearlingError
+- BundleError                  a bundle cannot be read; has the path of the invalid field
|  +- UnsupportedSchemaError    a newer version of Shearling wrote the bundle
|  +- IntegrityError            the bytes differ from the pushed ones
+- FormatError                  a model cannot be saved or loaded
|  +- EnvironmentMismatchError  the bundle needs another Python or package version
+- RegistryError                the registry cannot serve the request
|  +- ModelNotFoundError        no such model, version or alias
|  +- InvalidRefError           a name or ref is malformed
+- ReleaseError                 an alias could not be moved; has the reason
|  +- BreakingChangeError       the version breaks callers; has the changes
+- StoreError                   the object store refused or failed
+- PackageError                 a function package cannot be built
+- BatchFailedError             a batch run has not succeeded; has the parts that failed
+- InferenceError               status 500
   +- InvalidRequestError       400
   +- UnknownModelError         404
   +- PayloadTooLargeError      413
   +- ModelNotReadyError        503
   +- DeadlineError             504
   |  +- JobTimeoutError        504: an asynchronous job is not done yet; it goes on
   +- PredictionError           500
   +- RowsFailedError           500: some rows failed; has the reasons and the other outputs
```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: How many reasons a message lists, and how many ranges of rows for each reason.
_REASONS, _PLACES = 5, 5


class ShearlingError(Exception):
    """The base class of every error that Shearling raises on purpose."""


class BundleError(ShearlingError):
    """A bundle that this version of Shearling cannot read.

    Attributes:
        field: path of the invalid field, as in `files[0].digest`; empty if no single field is
            invalid.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(f"{message} in {field!r}" if field else message)
        self.field = field


class UnsupportedSchemaError(BundleError):
    """A bundle that a newer version of Shearling wrote."""


class IntegrityError(BundleError):
    """Bytes that differ from the pushed ones.

    Attributes:
        expected: the recorded digest or size.
        actual: the digest or size that was found.
    """

    def __init__(self, what: str, *, expected: str, actual: str, advice: str = "") -> None:
        found = f"{what} is corrupt or was changed: expected {expected}, got {actual}"
        super().__init__(f"{found}; {advice}" if advice else found)
        self.expected = expected
        self.actual = actual
        self._what = what

    def advised(self, advice: str) -> IntegrityError:
        """Return the same error with what to do about it."""
        return IntegrityError(self._what, expected=self.expected, actual=self.actual, advice=advice)


class FormatError(ShearlingError):
    """A model that cannot be saved in a format or loaded from it."""


class EnvironmentMismatchError(FormatError):
    """A bundle that needs another Python or package version than this process has."""


class RegistryError(ShearlingError):
    """The registry cannot serve the request, or a record in it is invalid."""


class ModelNotFoundError(RegistryError, LookupError):
    """No such model, version or alias, or no registry that could have one."""


class InvalidRefError(RegistryError, ValueError):
    """A malformed ref, or a malformed name of a model, version or alias."""


class ReleaseError(ShearlingError):
    """An alias could not be moved.

    Attributes:
        reason: the cause, in a sentence.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class BreakingChangeError(ReleaseError):
    """A version that breaks callers of the versions that the alias names now.

    Attributes:
        changes: the changes of the contract that break callers, as lines of text.
    """

    def __init__(self, message: str, *, reason: str, changes: Sequence[str]) -> None:
        super().__init__(message, reason=reason)
        self.changes = tuple(changes)


class StoreError(ShearlingError):
    """The object store refused, failed or could not be reached.

    Attributes:
        denied: whether the caller lacks a permission.
    """

    def __init__(self, message: str, *, denied: bool = False) -> None:
        super().__init__(message)
        self.denied = denied


class PackageError(ShearlingError):
    """A function package that cannot be built or is too large for Lambda."""


class BatchFailedError(ShearlingError):
    """A batch run that has failed or was stopped, or that is not over where it has to be.

    Attributes:
        failures: the first parts without a result, with the reason of each.
    """

    def __init__(self, message: str, *, failures: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.failures = tuple(failures)


class InferenceError(ShearlingError):
    """A request that could not be answered; `status` is the HTTP status of the response."""

    status: ClassVar[int] = 500


class InvalidRequestError(InferenceError):
    """A request that is malformed or does not match the model's signature.

    Attributes:
        column: name of the column with the invalid value; None if it is unknown.
        value: the invalid value as text, cut; None if it is unknown.
    """

    status: ClassVar[int] = 400

    def __init__(
        self, message: str, *, column: str | None = None, value: str | None = None
    ) -> None:
        super().__init__(message)
        self.column = column
        self.value = value


class UnknownModelError(InferenceError):
    """The function has no such model, version or path."""

    status: ClassVar[int] = 404


class PayloadTooLargeError(InferenceError):
    """The request or the response exceeds Lambda's size limit."""

    status: ClassVar[int] = 413


class ModelNotReadyError(InferenceError):
    """No model is released on the alias yet, or it could not be loaded."""

    status: ClassVar[int] = 503


class DeadlineError(InferenceError):
    """The request needs more time than is left."""

    status: ClassVar[int] = 504


class JobTimeoutError(DeadlineError, TimeoutError):
    """An asynchronous job is not done within the time that its caller waits; it goes on."""


class PredictionError(InferenceError):
    """The model failed on a valid request."""

    status: ClassVar[int] = 500


#: Error class for each status of a response: the class that the runtime raised.
_BY_STATUS: dict[int, type[InferenceError]] = {
    kind.status: kind
    for kind in (
        DeadlineError,
        InvalidRequestError,
        ModelNotReadyError,
        PayloadTooLargeError,
        PredictionError,
        UnknownModelError,
    )
}


def error_of(status: int) -> type[InferenceError]:
    """Return the error class for the HTTP status of a response."""
    return _BY_STATUS.get(status, InferenceError)


@dataclass(frozen=True, slots=True)
class RowFailure:
    """A range of rows that failed, and the error.

    Attributes:
        rows: indices of the rows, as in `range(1000, 2000)`.
        error: the exception of the request, or one that says that the rows were not sent.
    """

    rows: range
    error: Exception


class RowsFailedError(InferenceError):
    """Some rows failed; the outputs of the other rows are in `outputs`.

    Attributes:
        failures: the failed ranges, in the order of the rows.
        answered: indices of all other rows, ascending.
        outputs: arrays by output name, with one row for each index in `answered`; empty if all
            rows failed. The attribute `versions` of the dict has the version that answered each.
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
        self.outputs = outputs if isinstance(outputs, dict) else dict(outputs)


def _reasons(failures: Sequence[RowFailure]) -> list[str]:
    """Return one line for each of the first distinct errors, with the rows that it affects."""
    places: dict[str, list[range]] = {}
    for failure in failures:
        ranges = places.setdefault(" ".join(str(failure.error).split()), [])
        is_adjacent = bool(ranges) and ranges[-1].stop == failure.rows.start
        first = ranges.pop().start if is_adjacent else failure.rows.start
        ranges.append(range(first, failure.rows.stop))
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
