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
GROUPS = frozenset({"alias"})


def shown(page: Path) -> list[str]:
    """The lines of a page's shell blocks that run `shearling`."""
    lines = (line for block in blocks(page.read_text(), "sh") for line in block.splitlines())
    return [line for line in lines if line.startswith("shearling ")]


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
