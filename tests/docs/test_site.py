"""The documentation site: it builds without a warning, and needs no network to be read."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.markdown import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

#: What a browser loads without being asked to.
LOADED = re.compile(
    r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?([^\"\s>]+)"
    r"|<link[^>]*\srel=\"?(?:stylesheet|icon|preconnect|preload)[^>]*\shref=\"?([^\"\s>]+)"
    r"|@import\s+[\"']?([^\"';]+)"
    r"|url\([\"']?((?:https?:)?//[^\"')]+)"
)


@pytest.fixture(scope="module")
def site() -> Path:
    """The site, built in strict mode: a broken link or an unknown object fails the build."""
    built = subprocess.run(
        ["make", "docs", f"PYTHON={sys.executable}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return REPOSITORY / "build" / "docs"


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    loaded = {
        next(filter(None, groups)) for page in pages for groups in LOADED.findall(page.read_text())
    }
    assert any(name.endswith(".css") for name in loaded)
    assert {name for name in loaded if re.match(r"(?:https?:)?//", name)} == set()


def test_no_diagram_needs_a_script_from_another_host(site: Path) -> None:
    assert [page for page in site.rglob("*.html") if 'class="mermaid"' in page.read_text()] == []


def test_every_command_has_a_section(site: Path) -> None:
    page = (site / "reference" / "cli.html").read_text()
    for command in ("push", "alias-set", "serve", "package"):
        assert f'<h2 id="{command}">' in page


def test_every_public_module_has_its_inputs(site: Path) -> None:
    page = (site / "reference" / "terraform.html").read_text()
    for readme in (REPOSITORY / "terraform" / "modules").glob("*/README.md"):
        title = readme.read_text().partition("\n")[0]
        is_shown = f'<h2 id="{readme.parent.name}">' in page
        assert is_shown != title.endswith("(private)"), title
    assert "<code>memory_mb</code>" in page


def test_python_reference_shows_types_and_defaults(site: Path) -> None:
    page = re.sub(r"<[^>]+>", "", (site / "reference" / "python.html").read_text())
    assert "wait: bool = False" in page
    assert "-&gt; ModelVersion" in page
