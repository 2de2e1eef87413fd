"""Python and JSON that the pages show can be read, and use what exists."""

from __future__ import annotations

import ast
import inspect
import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

import shearling
from tests.support.markdown import DOCS, REPOSITORY, blocks

if TYPE_CHECKING:
    from pathlib import Path

URL_OPTIONS = {"alias", "auth", "region", "token", "api_key", "timeout_seconds"}

PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]


def programs() -> list[str]:
    return [block for page in PAGES for block in blocks(page.read_text(), "python")]


def parameters(function: str) -> set[str]:
    return set(inspect.signature(getattr(shearling, function)).parameters)


def test_python_on_every_page_is_python() -> None:
    assert len(programs()) > 10
    for program in programs():
        ast.parse(program)


def test_python_on_every_page_uses_public_names() -> None:
    used = set(re.findall(r"\bsdk\.(\w+)", "\n".join(programs())))
    assert used <= set(shearling.__all__)


def test_arguments_on_every_page_are_parameters() -> None:
    """Of the functions of `sdk`, two of which hand on arguments of others."""
    handed_on = {"connect": URL_OPTIONS, "import_model": parameters("push_model")}
    for program in programs():
        for call in ast.walk(ast.parse(program)):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            if not isinstance(call.func.value, ast.Name) or call.func.value.id != "sdk":
                continue
            known = parameters(call.func.attr) | handed_on.get(call.func.attr, set())
            assert {keyword.arg for keyword in call.keywords} <= known, ast.unparse(call)


def test_json_on_every_page_is_json() -> None:
    for page in PAGES:
        for block in blocks(page.read_text(), "json"):
            json.loads(block)


def test_every_notebook_runs_without_a_registry_in_the_environment() -> None:
    notebooks = sorted((REPOSITORY / "examples/notebooks").glob("*.ipynb"))
    assert len(notebooks) >= 5
    for path in notebooks:
        assert 'setdefault(\\"SHEARLING_REGISTRY\\", ' in path.read_text(), path.name


@pytest.mark.parametrize("page", [REPOSITORY / "README.md", DOCS / "contributing/layout.md"])
def test_a_subject_has_one_row(page: Path) -> None:
    """Two changes of a row become two rows where a merge takes the lines of both."""
    rows = [line.split("|")[1].strip() for line in page.read_text().splitlines() if line[:1] == "|"]
    twice = {subject for subject, following in pairwise(rows) if subject == following}
    assert not twice
