"""Fixtures of the tests of scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.scoring.places import Places

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return Places(tmp_path)
