"""What a package is made of, item by item, as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.package.build_target import Target

_MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageItem:
    """One distribution in a package; `pruned_bytes` is what of it was left out."""

    name: str
    version: str
    unzipped_bytes: int
    zipped_bytes: int
    pruned_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageReport:
    """A built package: where it is, its digest, its sizes, and what a person should know of it.

    Attributes:
        compiled_by: the Python that compiled it, as in `3.13.0`; None if it was not compiled.
        notes: sentences: what was not done, or was done differently from what was asked.
    """

    target: Target
    path: Path
    sha256: str
    unzipped_bytes: int
    zipped_bytes: int
    compiled_by: str | None
    items: tuple[PackageItem, ...]
    notes: tuple[str, ...]

    @property
    def pruned_bytes(self) -> int:
        """What the distributions hold beyond what the function needs."""
        return sum(item.pruned_bytes for item in self.items)

    def __str__(self) -> str:
        target = self.target
        rows = [
            ("MB", "unzipped", "zipped", "pruned"),
            *(
                (
                    f"{item.name} {item.version}".strip(),
                    _mb(item.unzipped_bytes),
                    _mb(item.zipped_bytes),
                    _mb(item.pruned_bytes),
                )
                for item in self.items
            ),
            ("total", _mb(self.unzipped_bytes), _mb(self.zipped_bytes), _mb(self.pruned_bytes)),
        ]
        width = max(len(row[0]) for row in rows)
        return "\n".join(
            [
                f"{self.path.name}: {target.kind}, Python {target.python}, {target.architecture}",
                *(f"  {row[0]:<{width}}  {row[1]:>8}  {row[2]:>8}  {row[3]:>8}" for row in rows),
                *([f"  sha256 {self.sha256}"] if self.sha256 else []),
                *(f"  {note}" for note in self.notes),
            ]
        )


def _mb(size: int) -> str:
    return f"{size / _MB:.2f}"
