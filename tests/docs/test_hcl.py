"""Terraform that the pages show is valid: each example, and each input shown alone."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.docs.markdown import DOCS, REPOSITORY, blocks
from tests.terraform_cli import cli_configuration

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

TERRAFORM = REPOSITORY / "terraform"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]

#: What a page that shows one input leaves out.
OTHERS = {
    "name": '"acme"',
    "packages": '{ runtime = "build/runtime.zip", control = "build/control.zip" }',
    "models": "{ fraud = { aliases = { prod = {} } } }",
}


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks(page.read_text(), "hcl")],
    ids=lambda page: page.stem,
)
def test_terraform_on_a_page_is_valid(page: Path, tmp_path: Path) -> None:
    configuration = "\n".join(
        _module(block, i) if re.match(r"\s*\w+ += ", block) else _renamed(block, i)
        for i, block in enumerate(blocks(page.read_text(), "hcl"))
    )
    if "module.inference." in configuration:
        configuration += _module("", 99).replace('"example_99"', '"inference"')
    configuration = re.sub(r'source += ".*"', f'source = "{TERRAFORM}"', configuration)
    packages = TERRAFORM / "tests" / "packages"
    configuration = configuration.replace("build/ranker.zip", "build/runtime.zip")
    (tmp_path / "main.tf").write_text(configuration.replace('"build/', f'"{packages}/'))
    _terraform(tmp_path, "init", "-backend=false")
    _terraform(tmp_path, "validate")


def _module(inputs: str, number: int) -> str:
    others = [f"{name} = {value}" for name, value in OTHERS.items() if not _sets(inputs, name)]
    lines = "\n".join([*others, inputs])
    return f'module "example_{number}" {{\n  source = "./terraform"\n{lines}\n}}\n'


def _sets(inputs: str, name: str) -> bool:
    return re.search(rf"^ *{name} +=", inputs, re.MULTILINE) is not None


def _renamed(block: str, number: int) -> str:
    return block.replace('module "inference"', f'module "shown_{number}"')


def _terraform(directory: Path, *arguments: str) -> None:
    ours = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    done = subprocess.run(
        ["terraform", *arguments, "-no-color"],
        cwd=directory,
        env={**ours, **cli_configuration(), "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
