"""The prices that plans use: a dated table in the package, or a file of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from shearling.bundle.json_reader import Field, read_json
from shearling.errors import BundleError, InvalidRequestError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

_PACKAGED = Path(__file__).with_name("prices.json")

#: Size limit of a file of prices in bytes.
_MOST_BYTES = 2**20

_FIELDS = ("region", "date", "currency", "lambda", "sagemaker")
_LAMBDA_FIELDS = ("million_requests", "gb_second", "tmp_gb_second")
_INSTANCE_FIELDS = ("memory_gb", "hour")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance type of SageMaker.

    Attributes:
        name: name of the type, such as `ml.m5.large`.
        memory_gb: memory in GB of 2^30 bytes.
        hour: price of one hour.
    """

    name: str
    memory_gb: float
    hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """List prices of one region.

    Attributes:
        region: AWS region.
        date: day on which the prices held, as in `2026-11-01`.
        currency: currency of all prices.
        million_requests: a million requests to Lambda.
        gb_second: one GB of a function's memory for one second.
        tmp_gb_second: one GB of a function's /tmp above 512 MB for one second.
        instances: instance types of SageMaker, by price.
    """

    region: str
    date: str
    currency: str
    million_requests: float
    gb_second: float
    tmp_gb_second: float
    instances: tuple[Instance, ...]

    @classmethod
    def read(cls, path: str | os.PathLike[str] | None = None) -> Prices:
        """Read a file of prices, by default the package's.

        Raises:
            InvalidRequestError: the file cannot be read, or is not a table of prices.
        """
        file = _PACKAGED if path is None else Path(path)
        try:
            with file.open("rb") as stream:
                data = stream.read(_MOST_BYTES + 1)
            return _prices(data)
        except OSError as error:
            raise InvalidRequestError(
                f"prices: {file} cannot be read ({error.strerror or error})"
            ) from error
        except BundleError as error:
            raise InvalidRequestError(
                f"prices: {file} is not a table of prices: {error}. For an example, see {_PACKAGED}"
            ) from error

    def instance(self, memory_mb: float) -> Instance | None:
        """Return the cheapest instance type with the given memory; None if there is none."""
        return next((it for it in self.instances if it.memory_gb * 1024 >= memory_mb), None)


def _prices(data: bytes) -> Prices:
    if len(data) > _MOST_BYTES:
        raise BundleError(f"it has more than {_MOST_BYTES:,} bytes")
    root = read_json(data, "the file")
    _only(root, _FIELDS)
    rates = root["lambda"]
    _only(rates, _LAMBDA_FIELDS)
    return Prices(
        region=_word(root["region"]),
        date=_day(root["date"]),
        currency=_word(root["currency"]),
        million_requests=_amount(rates["million_requests"]),
        gb_second=_amount(rates["gb_second"]),
        tmp_gb_second=_amount(rates["tmp_gb_second"]),
        instances=tuple(sorted(_instances(root.get("sagemaker", {})), key=lambda it: it.hour)),
    )


def _instances(place: Field) -> list[Instance]:
    types: Mapping[str, object] = place.expect(dict, "an object")
    found = []
    for name in types:
        _only(place[name], _INSTANCE_FIELDS)
        size, hour = (_amount(place[name][field]) for field in _INSTANCE_FIELDS)
        found.append(Instance(name=name, memory_gb=size, hour=hour))
    return found


def _only(place: Field, fields: tuple[str, ...]) -> None:
    unknown = sorted(set(place.expect(dict, "an object")) - set(fields))
    if unknown:
        raise BundleError(
            f"{unknown[0]!r:.80} is not a field; the fields are {', '.join(fields)}",
            field=place.path,
        )


def _word(place: Field) -> str:
    text = place.text()
    if not text.isprintable() or not 1 <= len(text) <= 40:  # noqa: PLR2004 - fits a line
        raise BundleError(f"{text!r:.80} is not a name of 1 to 40 characters", field=place.path)
    return text


def _day(place: Field) -> str:
    try:
        return date.fromisoformat(place.text()).isoformat()
    except ValueError:
        raise BundleError(
            f"{place.value!r:.80} is not a day, such as 2026-11-01", field=place.path
        ) from None


def _amount(place: Field) -> float:
    value = place.value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < 10**9:  # type: ignore[operator]
        raise BundleError(
            f"{value!r:.80} is not a number from 0 to a thousand million", field=place.path
        )
    return float(value)  # type: ignore[arg-type]
