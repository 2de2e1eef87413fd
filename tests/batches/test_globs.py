"""Which keys an input names."""

from __future__ import annotations

import pytest

from shearling.batches.globs import Pattern
from shearling.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("text", "matching", "others"),
    [
        ("in/a.csv", ["in/a.csv", "in/a.csv/b"], ["in/a.csv2", "in/a"]),
        ("in/2026", ["in/2026/a.csv", "in/2026/x/b.csv"], ["in/2026b.csv"]),
        ("in/", ["in/a", "in/x/y"], ["int/a"]),
        ("", ["a", "x/y"], []),
        ("in/*.csv", ["in/a.csv", "in/.csv"], ["in/x/a.csv", "in/a.csv.gz", "in/a.CSV"]),
        ("in/*/a?.csv", ["in/x/a1.csv"], ["in/x/a.csv", "in/x/y/a1.csv", "in/x/a/.csv"]),
        ("in/**/*.csv", ["in/a.csv", "in/x/a.csv", "in/x/y/a.csv"], ["in/x/a.npy"]),
        ("in/**", ["in/a.csv", "in/x/a"], ["int/a"]),
        ("in/a**.csv", ["in/ab.csv", "in/a/b/c.csv"], ["in/b.csv"]),
        ("in/200[1-3].csv", ["in/2001.csv", "in/2003.csv"], ["in/2004.csv"]),
        ("in/[!_]*.csv", ["in/a.csv"], ["in/_a.csv", "in//a.csv"]),
        ("in/[^_]*.csv", ["in/a.csv"], ["in/_a.csv"]),
        ("in/a[[]1].csv", ["in/a[1].csv"], ["in/a1.csv"]),
        ("in/[]x].csv", ["in/].csv", "in/x.csv"], ["in/y.csv"]),
        ("in/a[b.csv", ["in/a[b.csv"], ["in/ab.csv"]),
        ("in/2026-*/", ["in/2026-01/a.csv", "in/2026-01/x/b"], ["in/2026-01", "in/x/2026-1/a"]),
        ("in/a.c+v(1)", ["in/a.c+v(1)"], ["in/axccv(1)"]),
        ("in/*", ["in/two\nlines"], []),
    ],
)
def test_a_pattern_names_keys(text: str, matching: list[str], others: list[str]) -> None:
    pattern = Pattern(text)

    assert [key for key in matching if not pattern.matches(key)] == []
    assert [key for key in others if pattern.matches(key)] == []


@pytest.mark.parametrize(
    ("text", "prefix", "folder"),
    [
        ("in/2026/a*.csv", "in/2026/a", "in/2026/"),
        ("*.csv", "", ""),
        ("in/a.csv", "in/a.csv", "in/"),
        ("in/x[12]/a", "in/x", "in/"),
    ],
)
def test_only_what_begins_as_the_pattern_is_listed(text: str, prefix: str, folder: str) -> None:
    pattern = Pattern(text)

    assert (pattern.prefix, pattern.folder) == (prefix, folder)


def test_an_invalid_range_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match=r"'in/\[z-a\]' is not a pattern: bad character"):
        Pattern("in/[z-a]")
