"""Terraform that the pages show is valid: each example, and each input shown alone."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.markdown import DOCS, REPOSITORY, blocks
from tests.support.terraform_cli import cli_configuration

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


def test_terraform_on_every_page_is_valid(tmp_path: Path) -> None:
    shown = "\n".join(_as_configuration(page) for page in PAGES)
    if "module.inference." in shown:
        shown += _module("inference", "")
    shown = re.sub(r'source += ".*"', f'source = "{TERRAFORM}"', shown)
    shown = re.sub(r'"build/\w+\.zip"', f'"{TERRAFORM}/tests/packages/runtime.zip"', shown)
    (tmp_path / "main.tf").write_text(shown)
    _terraform(tmp_path, "init", "-backend=false")
    _terraform(tmp_path, "validate")


def _as_configuration(page: Path) -> str:
    """Every block of a page, in which a message can be found by the page's name."""
    return "\n".join(
        _module(f"{page.stem}_{i}", block)
        if re.match(r"\s*\w+ += ", block)
        else block.replace('module "inference"', f'module "{page.stem}_{i}"')
        for i, block in enumerate(blocks(page.read_text(), "hcl"))
    )


def _module(name: str, inputs: str) -> str:
    others = [f"{key} = {value}" for key, value in OTHERS.items() if not _sets(inputs, key)]
    lines = "\n".join([*others, inputs])
    return f'module "{name}" {{\n  source = "./terraform"\n{lines}\n}}\n'


def _sets(inputs: str, name: str) -> bool:
    return re.search(rf"^ *{name} +=", inputs, re.MULTILINE) is not None


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
