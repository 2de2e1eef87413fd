"""The commands that pages show exist, with the options that pages give them."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from shearling.cli import main
from tests.support.markdown import DOCS, REPOSITORY, blocks

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]

#: Verbs that have verbs of their own.
GROUPS = frozenset({"alias", "batch"})


def lines_of(page: Path) -> list[str]:
    """The lines of a page's shell blocks."""
    return [line for block in blocks(page.read_text(), "sh") for line in block.splitlines()]


def shown(page: Path) -> list[str]:
    """Those that run `shearling`."""
    return [line for line in lines_of(page) if line.startswith("shearling ")]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if shown(page)], ids=lambda page: page.stem
)
def test_commands_on_a_page_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in shown(page):
        _, verb, *rest = shlex.split(line, comments=True)
        command = [verb, *rest[: verb in GROUPS]]
        with pytest.raises(SystemExit) as ended:
            main([*command, "--help"])
        assert ended.value.code == 0, line
        help_text = capsys.readouterr().out
        for option in re.findall(r"--[a-z-]+", " ".join(rest)):
            assert re.search(rf"{option}\b", help_text), line


def test_targets_of_make_on_every_page_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    known = {*re.findall(r"^([a-z-]+):", makefile, re.MULTILINE), ".venv/.installed"}
    lines = [line for page in PAGES for line in lines_of(page) if line.startswith("make ")]
    assert lines
    assert {line.split()[1] for line in lines} <= known


def test_outputs_of_the_quickstart_on_every_page_exist() -> None:
    outputs = (REPOSITORY / "examples" / "quickstart" / "outputs.tf").read_text()
    shown = re.findall(
        r"chdir=examples/quickstart output -raw (\w+)",
        "\n".join(line for page in PAGES for line in lines_of(page)),
    )
    assert shown
    assert [name for name in shown if f'output "{name}"' not in outputs] == []
