"""The report of a package: the sizes of its distributions, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shearling.package.build_target import Target

_MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageItem:
    """The size of one distribution in a package.

    Attributes:
        name: normalised name of the distribution.
        version: its version; empty if unknown.
        unzipped_bytes: total size of its files in the package.
        zipped_bytes: total compressed size of its files.
        pruned_bytes: total size of its files that were left out.
    """

    name: str
    version: str
    unzipped_bytes: int
    zipped_bytes: int
    pruned_bytes: int

    @property
    def label(self) -> str:
        """Name and version for a table."""
        return f"{self.name} {self.version}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageReport:
    """A built package: its path, digest, sizes and notes.

    Attributes:
        target: kind, Python and architecture of the package.
        path: path of the zip.
        sha256: SHA-256 of the zip, in hex.
        unzipped_bytes: total size of the files.
        zipped_bytes: size of the zip.
        compiled_by: Python release that compiled it, as in `3.13.0`; None if it was not compiled.
        items: sizes of the distributions, the largest first.
        notes: sentences about deviations, such as replaced pins or missing compilation.
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
        """Total size in bytes of the files that were left out."""
        return sum(item.pruned_bytes for item in self.items)

    def __str__(self) -> str:
        target = self.target
        rows = [
            *(
                (item.label, item.unzipped_bytes, item.zipped_bytes, item.pruned_bytes)
                for item in self.items
            ),
            ("total", self.unzipped_bytes, self.zipped_bytes, self.pruned_bytes),
        ]
        return "\n".join(
            [
                f"{self.path.name}: {target.kind}, Python {target.python}, {target.architecture}",
                *size_table(("MB", "unzipped", "zipped", "pruned"), rows),
                *([f"  sha256 {self.sha256}"] if self.sha256 else []),
                *(f"  {note}" for note in self.notes),
            ]
        )


def size_table(
    titles: Sequence[str], rows: Sequence[tuple[str, int | None, int | None, int | None]]
) -> list[str]:
    """Return the lines of a table of names and sizes in MB; None leaves a cell empty."""
    width = max(len(titles[0]), *(len(row[0]) for row in rows))
    cells = [
        (name, *("" if size is None else f"{size / _MB:.2f}" for size in sizes))
        for name, *sizes in rows
    ]
    return [
        f"  {row[0]:<{width}}  {row[1]:>8}  {row[2]:>8}  {row[3]:>8}".rstrip()
        for row in (tuple(titles), *cells)
    ]
