"""`python -m tests.distribution.release_check`: whether this commit may be released, and how."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.distribution.project import REPOSITORY, project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def tag_of(version: str) -> str:
    """The tag that names the commit of a version."""
    return f"v{version}"


def problems(root: Path = REPOSITORY) -> Iterator[str]:
    """What must be done before the commit that is checked out can be released."""
    version = project(root)["version"]
    if changed := _git(root, "status", "--porcelain"):
        yield f"these files are changed or unknown to git; commit or remove them:\n{changed}"
    if not _has_section(root, version):
        yield f"CHANGELOG.md has no section `## {version}` with entries: run `make changelog`"
    if fragments := _fragments(root):
        names = ", ".join(fragments)
        yield f"changelog.d/ holds entries of no release ({names}): run `make changelog`"
    yield from _tag_problems(root, tag_of(version))


def _tag_problems(root: Path, tag: str) -> Iterator[str]:
    here = _git(root, "tag", "--points-at", "HEAD", "--list", "v*").split()
    if others := [each for each in here if each != tag]:
        yield f"this commit has the tag {others[0]}, but pyproject.toml's version needs {tag}"
    if tag not in here and _git(root, "tag", "--list", tag):
        yield f"the tag {tag} names another commit: raise the version in pyproject.toml"


def _has_section(root: Path, version: str) -> bool:
    changelog = (root / "CHANGELOG.md").read_text()
    section = rf"^## {re.escape(version)}$(.*?)(?=^## |\Z)"
    found = re.search(section, changelog, re.MULTILINE | re.DOTALL)
    return found is not None and re.search(r"^- ", found[1], re.MULTILINE) is not None


def _fragments(root: Path) -> list[str]:
    files = (root / "changelog.d").glob("*.md")
    return sorted(file.name for file in files if file.name != "README.md")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", root, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.rstrip()


def main() -> None:
    """Print each problem and fail, or print how to tag this commit."""
    found = list(problems())
    if found:
        sys.exit("\n".join(f"error: {problem}" for problem in found))
    version = project()["version"]
    tag = tag_of(version)
    sys.stdout.write(
        f"{version} can be released. When dist/ is built and checked, tag this commit:\n"
        f"  git tag --annotate {tag} --message 'Shearling {version}' && git push origin {tag}\n"
    )


if __name__ == "__main__":
    main()
