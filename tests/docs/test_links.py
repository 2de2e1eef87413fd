"""Links between the Markdown files, as a forge follows them; the site's build checks its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import markdown

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "file", markdown.files(), ids=lambda path: str(path.relative_to(markdown.REPOSITORY))
)
def test_every_relative_link_leads_to_a_file_and_a_heading(file: Path) -> None:
    text = file.read_text()
    broken = [link for link in markdown.links(text) if "://" not in link and not _leads(file, link)]
    assert broken == []


def _leads(file: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (file.parent / name).resolve() if name else file
    if not target.exists() or markdown.REPOSITORY not in target.parents:
        return False
    if not anchor:
        return True
    page = target / "README.md" if target.is_dir() else target
    return anchor == "readme" or anchor in markdown.anchors(page.read_text())


def test_readme_links_to_every_page_a_user_needs() -> None:
    linked = {link.partition("#")[0] for link in markdown.links(_readme())}
    folders = ("guides", "operations", "concepts", "reference")
    pages = {
        str(page.relative_to(markdown.REPOSITORY))
        for page in [
            *markdown.DOCS.glob("*.md"),
            *(page for folder in folders for page in (markdown.DOCS / folder).glob("*.md")),
        ]
    }
    assert pages - linked == set()


def test_readme_can_be_read_in_a_few_minutes() -> None:
    assert len(_readme().split()) <= 1300


def _readme() -> str:
    return (markdown.REPOSITORY / "README.md").read_text()
