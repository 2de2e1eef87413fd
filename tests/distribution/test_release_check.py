"""A commit is released when it is clean, its changelog is written, and its tag fits."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.distribution.project import REPOSITORY, project
from tests.distribution.release_check import problems, tag_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with version 1.2.0 that can be released."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 1.2.0\n\n- New.\n\n## 1.1.0\n\n- Old.\n"
    )
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "changelog.d" / "README.md").write_text("How to write an entry.\n")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(directory: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", "-C", directory, *identity, *arguments], check=True)


def commit(directory: Path) -> None:
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--allow-empty", "--message", "Change")


def test_a_clean_commit_with_its_changelog_can_be_released(repository: Path) -> None:
    assert list(problems(repository)) == []


def test_a_commit_with_the_tag_of_its_version_can_be_built_again(repository: Path) -> None:
    git(repository, "tag", "v1.2.0")
    assert list(problems(repository)) == []


@pytest.mark.parametrize("file", ["CHANGELOG.md", "new.py"])
def test_a_file_that_is_not_committed_is_refused_by_name(repository: Path, file: str) -> None:
    with (repository / file).open("a") as opened:
        opened.write("more\n")
    (problem,) = problems(repository)
    assert file in problem


@pytest.mark.parametrize(
    "changelog",
    ["## 1.1.0\n\n- Old.\n", "## 1.2.0\n\n## 1.1.0\n\n- Old.\n", "## 1.2.0rc1\n\n- New.\n"],
    ids=["absent", "empty", "another"],
)
def test_a_version_without_entries_in_the_changelog_is_refused(
    repository: Path, changelog: str
) -> None:
    (repository / "CHANGELOG.md").write_text(changelog)
    commit(repository)
    (problem,) = problems(repository)
    assert "no section `## 1.2.0` with entries" in problem


def test_entries_that_are_in_no_release_yet_are_refused(repository: Path) -> None:
    (repository / "changelog.d" / "17.fixed.md").write_text("A bug.\n")
    commit(repository)
    (problem,) = problems(repository)
    assert "17.fixed.md" in problem


def test_a_version_that_was_released_from_another_commit_is_refused(repository: Path) -> None:
    git(repository, "tag", "v1.2.0")
    commit(repository)
    (problem,) = problems(repository)
    assert "v1.2.0 names another commit" in problem


def test_a_tag_of_another_version_is_refused(repository: Path) -> None:
    git(repository, "tag", "v1.3.0")
    (problem,) = problems(repository)
    assert "has the tag v1.3.0, but pyproject.toml's version needs v1.2.0" in problem


def test_the_tag_of_this_version_is_v_and_the_version() -> None:
    version = project()["version"]
    assert tag_of(version) == f"v{version}"
    assert f"\n## {version}\n" in (REPOSITORY / "CHANGELOG.md").read_text()
