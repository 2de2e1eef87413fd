"""What the changes that users make do to a stack that exists: which resources, in which order."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.recorded_stack import STATES, RecordedStack
from tests.support.terraform_cli import REPOSITORY, planned_changes

if TYPE_CHECKING:
    from tests.embedded_aws import EmbeddedAws

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def acme(embedded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> RecordedStack:
    """A stack with everything."""
    directory = tmp_path_factory.mktemp("acme")
    shutil.copytree(REPOSITORY / "terraform", directory / "terraform")
    shutil.copy(STATES / "0.2-acme.tf", directory / "main.tf")
    return RecordedStack(embedded_aws, directory, "0.2-acme")


def test_a_stack_that_nobody_changed_needs_no_change(acme: RecordedStack) -> None:
    assert planned_changes(acme.plan()) == {}
