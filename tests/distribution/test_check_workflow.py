"""The workflow's matrix covers what the project says that it supports."""

from __future__ import annotations

import itertools
import re

import pytest
import yaml

from tests.distribution.project import REPOSITORY, project

WORKFLOW = yaml.safe_load((REPOSITORY / ".github/workflows/check.yml").read_text())
MATRIX = WORKFLOW["jobs"]["check"]["strategy"]["matrix"]["include"]


def column(name: str) -> set[str]:
    return {job[name] for job in MATRIX}


def test_every_python_that_the_project_declares_is_checked() -> None:
    label = "Programming Language :: Python :: 3."
    declared = {each.rpartition(" ")[2] for each in project()["classifiers"] if label in each}
    assert declared <= column("python")


def test_each_terraform_is_checked_with_each_aws_provider() -> None:
    pairs = {(job["terraform"], job["aws"]) for job in MATRIX}
    assert pairs == set(itertools.product(column("terraform"), column("aws")))


@pytest.mark.parametrize(
    ("bound", "name"),
    [
        (r'required_version = ">= ([0-9.]+)', "terraform"),
        (r'\bversion = ">= ([0-9]+\.[0-9]+)', "aws"),
    ],
)
def test_the_oldest_terraform_and_provider_that_the_modules_take_are_checked(
    bound: str, name: str
) -> None:
    text = (REPOSITORY / "terraform" / "terraform.tf").read_text()
    found = re.search(bound, text)
    assert found is not None
    assert any(version.startswith(found[1]) for version in column(name))
