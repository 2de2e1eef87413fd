"""Pages that MkDocs generates from the code: the command line and the Terraform modules."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[1]
TERRAFORM = REPOSITORY / "terraform"

#: Column at which argparse wraps help.
_WIDTH = "90"

#: A line of argparse's list of commands: four spaces and the command's name.
_COMMAND = re.compile(r"^    ([a-z][a-z-]*)\b", re.MULTILINE)
_HEADING = re.compile(r"^(#+ )", re.MULTILINE)
_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)

#: Links between the READMEs of modules, as `modules/api`, `../api` or `modules/api#readme`.
_MODULE_LINK = re.compile(r"\]\((?:modules|\.\.)/([a-z-]+)(?:#readme)?\)")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace the marker of a generated part by that part; MkDocs calls this for each page."""
    for marker, generate in (
        ("<!-- generated: command line -->", command_line),
        ("<!-- generated: terraform -->", terraform_modules),
    ):
        if marker in markdown:
            markdown = markdown.replace(marker, generate())
    return markdown


def command_line() -> str:
    """Return a section for each command of `shearling`, with its help text."""
    top = _help()
    return "\n\n".join(
        ["## shearling { #shearling }", _fenced(top), *_command_sections((), top)],
    )


def terraform_modules() -> str:
    """Return the READMEs of the composed module and of each public module below it."""
    readmes = TERRAFORM.glob("modules/*/README.md")
    modules = sorted(path.parent for path in readmes if not _is_private(path))
    return "\n\n".join(_module_section(module) for module in [TERRAFORM, *modules])


def _command_sections(parents: tuple[str, ...], listing: str) -> Iterator[str]:
    for name in _COMMAND.findall(listing):
        command = (*parents, name)
        text = _help(*command)
        yield f"## shearling {' '.join(command)} {{ #{'-'.join(command)} }}\n\n{_fenced(text)}"
        if "COMMAND ..." in text.partition("\n\n")[0]:
            yield from _command_sections(command, text)


def _help(*command: str) -> str:
    """Return what `shearling <command> --help` prints."""
    sys.path.insert(0, str(REPOSITORY / "sdk"))
    try:
        from shearling.cli import main
    finally:
        sys.path.pop(0)
    printed = io.StringIO()
    with (
        mock.patch.dict(os.environ, COLUMNS=_WIDTH, NO_COLOR="1"),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main([*command, "--help"])
    return printed.getvalue().strip()


def _fenced(text: str) -> str:
    return f"```text\n{text}\n```"


def _is_private(readme: Path) -> bool:
    """Whether only our own modules call a module, which its title says."""
    return readme.read_text().partition("\n")[0].endswith("(private)")


def _module_section(module: Path) -> str:
    """Return a module's README one level down, its links to other modules as anchors."""
    text = (module / "README.md").read_text()
    text = re.sub(r"<!-- (BEGIN|END)_\w+ -->\n*", "", text)
    text = "".join(
        part if part.startswith("```") else _HEADING.sub(r"#\1", part)
        for part in _FENCED.split(text)
    )
    text = _MODULE_LINK.sub(r"](#\1)", text)
    title, _, rest = text.partition("\n")
    return f"{title} {{ #{module.name} }}\n{rest}"
