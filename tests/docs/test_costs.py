"""Costs that the pages show are those of the table of prices."""

from __future__ import annotations

import re

import pytest

from shearling.models.prices import Prices
from tests.support.markdown import DOCS

PAGE = DOCS / "guides" / "beyond-lambda.md"
ROW = re.compile(
    r"\| ([\d,]+) MB, ([\d,]+) ms \| ([\d.]+) \| ([\d.]+) \| `([\w.]+)` \| (\d+) \| "
    r"([\d.]+) million, ([\d.]+) a second \|"
)

HOURS = 730
#: Memory of a function that forwards requests, in GB.
FORWARDING_GB = 0.5


def test_the_requests_from_which_an_instance_is_cheaper_follow_from_the_prices() -> None:
    prices = Prices.read()
    hours = {instance.name: instance.hour for instance in prices.instances}
    rows = ROW.findall(PAGE.read_text())
    assert len(rows) == 3
    for memory_mb, ms, *shown, instance, month, millions, a_second in rows:
        seconds = float(ms.replace(",", "")) * 1000  # of a million requests
        gigabytes = float(memory_mb.replace(",", "")) / 1024
        own, front = (
            prices.million_requests + seconds * size * prices.gb_second
            for size in (gigabytes, FORWARDING_GB)
        )
        assert [float(each) for each in shown] == pytest.approx([own, front], abs=0.005)
        assert float(month) == pytest.approx(HOURS * hours[instance], abs=0.5)
        requests = HOURS * hours[instance] / (own - front)
        assert float(millions) == pytest.approx(requests, abs=0.05)
        assert float(a_second) == pytest.approx(requests * 1e6 / HOURS / 3600, abs=0.05)
