"""Prices are a dated table in the package, which a file replaces."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from shearling.errors import InvalidRequestError
from shearling.models import prices as module
from shearling.models.prices import Prices

PACKAGED: dict[str, Any] = json.loads(Path(module.__file__).with_name("prices.json").read_text())


def written(directory: Path, document: object) -> Path:
    path = directory / "prices.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def changed(path: str, value: object) -> dict[str, Any]:
    """The package's table with one value changed; None removes it."""
    document = copy.deepcopy(PACKAGED)
    *outer, last = path.split("/")
    place: dict[str, Any] = document
    for name in outer:
        place = place[name]
    place.pop(last, None)
    if value is not None:
        place[last] = value
    return document


def test_the_package_has_prices_with_their_day_and_region() -> None:
    prices = Prices.read()
    assert (prices.region, prices.currency) == ("us-east-1", "USD")
    assert prices.date.startswith("2026-")
    assert prices.million_requests == 0.2
    assert prices.gb_second == 0.0000166667


def test_a_file_replaces_them(tmp_path: Path) -> None:
    path = written(tmp_path, changed("lambda/gb_second", 0.5) | {"region": "eu-west-1"})
    prices = Prices.read(path)
    assert (prices.gb_second, prices.region) == (0.5, "eu-west-1")
    assert Prices.read(str(path)) == prices


def test_instances_may_be_missing_and_the_cheapest_that_is_large_enough_is_taken(
    tmp_path: Path,
) -> None:
    assert Prices.read(written(tmp_path, changed("sagemaker", None))).instance(1) is None
    prices = Prices.read()
    found = prices.instance(9 * 1024)
    assert found
    assert found.name == "ml.m5.xlarge"
    assert prices.instance(10**9) is None


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{", "is not JSON"),
        ([], "is not an object"),
        (changed("lambda", None), "missing in 'lambda'"),
        (changed("lambda/gb_second", None), "missing in 'lambda.gb_second'"),
        (changed("lambda/gb_second", "cheap"), "'cheap' is not a number"),
        (changed("lambda/gb_second", -1), "-1 is not a number from 0"),
        (changed("lambda/gb_second", True), "True is not a number"),
        (changed("lambda/gb_second", float("nan")), "nan is not a number"),
        (changed("lambda/gb_second", float("inf")), "inf is not a number"),
        (changed("lambda/gb_hour", 1), "'gb_hour' is not a field; the fields are million_requests"),
        (changed("prices", 1), "'prices' is not a field"),
        (changed("date", "last year"), "'last year' is not a day"),
        (changed("date", 2026), "2026 is not a string"),
        (changed("currency", ""), "'' is not a name"),
        (changed("region", "\x1b[31m"), "is not a name"),
        (changed("sagemaker/ml.m5.large", {"hour": 1}), r"missing in 'sagemaker\.ml"),
        (changed("sagemaker", ["ml.m5.large"]), "is not an object"),
    ],
)
def test_a_file_that_is_no_table_of_prices_is_refused(
    tmp_path: Path, document: object, reason: str
) -> None:
    with pytest.raises(InvalidRequestError, match=rf"prices: .*prices\.json is not.*{reason}"):
        Prices.read(written(tmp_path, document))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"absent\.json cannot be read \(No such file"):
        Prices.read(tmp_path / "absent.json")
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        Prices.read(tmp_path)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="more than 1,048,576 bytes"):
        Prices.read(written(tmp_path, " " * (2**20 + 1)))
