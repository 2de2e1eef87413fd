"""Fixtures of the tests of batch runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.batches.runs import Runs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)
