"""Entries of changelog.d/ become a section of the changelog."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.distribution.project import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


def towncrier(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--version", "9.0.0", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_entry_here_has_a_name_that_says_its_kind() -> None:
    assert "9.0.0" in towncrier(REPOSITORY, "--draft")


def test_entries_become_the_newest_section_and_their_files_go(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(REPOSITORY / name, tmp_path)
    entries = tmp_path / "changelog.d"
    entries.mkdir()
    (entries / "README.md").write_text("How to write an entry.\n")
    (entries / "12.added.md").write_text("`sdk.new` does it.\n")
    (entries / "+wheels.fixed.md").write_text("A bug.\n")
    before = (tmp_path / "CHANGELOG.md").read_text()
    towncrier(tmp_path, "--yes")
    section = "## 9.0.0\n\n### Added\n\n- `sdk.new` does it. (#12)\n\n### Fixed\n\n- A bug.\n\n\n"
    first = before.index("## ")
    assert (tmp_path / "CHANGELOG.md").read_text() == before[:first] + section + before[first:]
    assert [file.name for file in entries.iterdir()] == ["README.md"]
