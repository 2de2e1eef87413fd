"""Markdown files of the repository: their code blocks, headings and links."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} (.+?)(?: \{.*\})?$", re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
_CODE = re.compile(r"`[^`\n]*`")


def files() -> list[Path]:
    """Return all Markdown files that git tracks or does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (REPOSITORY / line for line in listed.stdout.splitlines())
    return sorted(path for path in paths if path.is_file())


def blocks(text: str, language: str) -> list[str]:
    """The contents of the code blocks in a language."""
    return [body for found, body in _FENCED.findall(text) if found == language]


def links(text: str) -> list[str]:
    """Return the targets of all links and images outside code."""
    return _LINK.findall(_CODE.sub("", _FENCED.sub("", text)))


def headings(text: str) -> list[str]:
    """The text of every heading."""
    return _HEADING.findall(_FENCED.sub("", text))


def anchors(text: str) -> set[str]:
    """The anchors of all headings, as forges make them."""
    found: set[str] = set()
    for heading in headings(text):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        number = sum(known == slug or known.startswith(f"{slug}-") for known in found)
        found.add(f"{slug}-{number}" if slug in found else slug)
    return found


def section(text: str, heading: str) -> str:
    """Return the text below a heading of the second level, up to the next one."""
    _, _, rest = text.partition(f"\n## {heading}\n")
    assert rest, f"no heading {heading!r}"
    return rest.partition("\n## ")[0]
