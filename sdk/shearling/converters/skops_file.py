"""Load an estimator from a `.skops` file, once the caller trusts the types that it has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from shearling.errors import FormatError, InvalidRequestError

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".skops"


def load_skops(path: Path, trusted: object = None) -> Any:
    """Return the object of a file. Nothing of it is loaded before all of its types are trusted.

    Args:
        path: the file.
        trusted: names of the types to load besides those that skops trusts.

    Raises:
        InvalidRequestError: `trusted` is not a list of names.
        FormatError: the file is damaged, skops is not installed, or a type is not trusted.
    """
    names = checked_types(trusted)
    try:
        from skops import io
    except ImportError as error:
        raise FormatError(
            f"reading {path.name} needs skops: pip install 'shearling[imports]'"
        ) from error
    try:
        found = io.get_untrusted_types(file=path)
    except Exception as error:  # skops checks no more than that there is a schema
        raise FormatError(
            f"{path} is not a file that skops can read ({type(error).__name__}: {error!s:.200}): "
            "write it again with skops.io.dump"
        ) from error
    if missing := sorted(set(found) - set(names)):
        raise FormatError(
            f"{path} has types that are not trusted: {', '.join(missing):.2000}. Loading them may "
            f"run their code. If you trust them and where the file is from, pass "
            f"trusted={sorted(found)!r:.2000}"
        )
    try:
        return io.load(path, trusted=found)
    except Exception as error:  # of the types' own code
        raise FormatError(
            f"{path} cannot be loaded: {type(error).__name__}: {error!s:.500}. It needs the "
            "packages that it was written with, in versions that can read it"
        ) from error


def checked_types(trusted: object) -> list[str]:
    """Return names of types.

    Raises:
        InvalidRequestError: it is not a list of names.
    """
    if trusted is None:
        return []
    names = list(trusted) if isinstance(trusted, Iterable) and not isinstance(trusted, str) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise InvalidRequestError(
            f"trusted {trusted!r:.80} is not a list of names of types, such as "
            "['xgboost.sklearn.XGBClassifier']"
        )
    return names
