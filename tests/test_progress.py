"""Who sees progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ipykernel.kernelapp import IPKernelApp

from shearling.progress import is_watched

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def kernel() -> Iterator[None]:
    IPKernelApp.instance()
    yield
    IPKernelApp.clear_instance()


def test_a_process_that_has_only_imported_kernels_of_notebooks_shows_no_bar(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert capsys
    assert not is_watched()


@pytest.mark.usefixtures("kernel")
def test_a_notebook_shows_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    assert capsys
    assert is_watched()
