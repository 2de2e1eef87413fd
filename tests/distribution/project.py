"""What pyproject.toml says of the project."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


def project(root: Path = REPOSITORY) -> dict[str, Any]:
    """The `project` table of the pyproject.toml in a directory."""
    table: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return table
