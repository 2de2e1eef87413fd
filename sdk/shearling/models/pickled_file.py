"""Load a pickle whose caller has allowed it to run code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path


def unpickled(path: Path) -> Any:
    """Return the object of a pickle.

    Raises:
        FormatError: it cannot be loaded.
    """
    import pickle

    try:
        try:
            import joblib  # reads pickles of both kinds; comes with scikit-learn
        except ModuleNotFoundError:
            with path.open("rb") as stream:
                return pickle.load(stream)  # noqa: S301 - allowed by the caller
        return joblib.load(path)
    except Exception as error:  # the code of a pickle can raise anything
        raise FormatError(
            f"the pickle {path.name!r:.80} cannot be loaded: {type(error).__name__}: {error!s:.500}"
        ) from error
