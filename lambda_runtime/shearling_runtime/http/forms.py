"""What the headers of a request say of the forms of its body and its answer."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from shearling.errors import InvalidRequestError
from shearling.protocol.constants import PICTURE_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Values of the parameter `header` of the type `text/csv`: whether the first line is a header.
_HEADER = {"present": True, "absent": False}

#: Maximum characters of a header that are parsed; browsers send about two hundred.
HEADER_LIMIT = 1024

CSV, JSON = "text/csv", "application/json"


class Forms(NamedTuple):
    """What the headers of a request say of its body and its answer.

    Attributes:
        is_csv: whether the body is CSV.
        has_names: whether the CSV has a header; None if that is not said.
        wants_csv: whether to return CSV.
        is_picture: whether the body is the file of a picture.
    """

    is_csv: bool
    has_names: bool | None
    wants_csv: bool
    is_picture: bool


def forms_of(headers: Mapping[str, Any]) -> Forms:
    """Return what the headers of a request say of its body and its answer.

    Raises:
        InvalidRequestError: the parameter `header` of CSV, or the type of a picture, is unknown.
    """
    return _forms(
        # The cache must not grow with what callers send.
        str(headers.get("content-type"))[:HEADER_LIMIT],
        str(headers.get("accept"))[:HEADER_LIMIT],
    )


@lru_cache(maxsize=64)
def _forms(content_type: str, accepts: str) -> Forms:
    """Return what two headers say; see `forms_of`."""
    kind, _, parameters = content_type.lower().partition(";")
    is_csv = kind.strip() == CSV
    return Forms(
        is_csv=is_csv,
        has_names=_has_names(parameters) if is_csv else None,
        wants_csv=_wants_csv(accepts.lower(), is_csv=is_csv),
        is_picture=kind.startswith("image/") and _is_picture(kind.strip()),
    )


def _is_picture(kind: str) -> bool:
    """Return that a content type is one of a picture that can be decoded.

    Raises:
        InvalidRequestError: it is another one of images.
    """
    if kind not in (*PICTURE_TYPES, "image/jpg", "image/*"):
        raise InvalidRequestError(
            f"content-type: {kind:.80} is not one of {', '.join(PICTURE_TYPES)}: convert the "
            "picture to JPEG, PNG or WebP"
        )
    return True


def _has_names(parameters: str) -> bool | None:
    """Return what the parameter `header` of the type `text/csv` says; None if it is missing."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "header":
            value = value.strip().strip('"')
            if value not in _HEADER:
                raise InvalidRequestError(
                    f"content-type: header={value:.40} is unknown: set header=present if the first "
                    "line of the table has names, or header=absent"
                )
            return _HEADER[value]
    return None


def _wants_csv(accepts: str, *, is_csv: bool) -> bool:
    """Return whether to respond with CSV: the first accepted type, else the type of the body."""
    if CSV not in accepts:
        return is_csv and JSON not in accepts
    kinds = [
        kind.strip()
        for kind, _, weight in (part.partition(";") for part in accepts.split(","))
        if weight.replace(" ", "").rstrip("0.") != "q="  # q=0, q=0.0, q=0.00, ...
    ]
    return next((kind == CSV for kind in kinds if kind in (CSV, JSON)), False)
