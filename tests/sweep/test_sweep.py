"""A fixed tenth of the sweep has the outcomes that the documentation promises."""

from __future__ import annotations

import zlib

import pytest

from tests.sweep.cases import all_cases
from tests.sweep.run import run_by_name
from tests.sweep.table import UNFITTED, read_table

TABLE = read_table()

#: Cases that can be fitted, one in ten; the same ones in every run.
TENTH = [
    name for name, word in TABLE.items() if word != UNFITTED and zlib.crc32(name.encode()) % 10 == 0
]


def test_the_table_has_every_case_that_can_be_fitted() -> None:
    missing = {case.name for case in all_cases()} - TABLE.keys()
    # Settings that no data fit are left out of the table.
    assert not [name for name in missing if name.startswith(("LGBM", "XGB"))]
    assert len(TABLE) > 1000
    assert "WRONG" not in TABLE.values()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(8))
def test_a_tenth_of_the_estimators_is_served_as_the_table_says(part: int) -> None:
    outcomes = {name: run_by_name(name) for name in TENTH[part::8]}
    differing = {
        name: f"{result['word']}: {result['reason']}"
        for name, result in outcomes.items()
        if result["word"] != TABLE[name]
    }
    assert not differing
