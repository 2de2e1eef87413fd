"""The report of an image: its digest, and the sizes of its base and of what was added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.package.report import size_table

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.package.build_target import Target
    from shearling.package.report import PackageItem


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReport:
    """A built image: its digest, where it is, its sizes and notes.

    Attributes:
        target: Python and architecture of the image.
        base: name of the base image, with the digest of its manifest.
        digest: digest of the image's manifest, which names all of its bytes.
        path: the tar that was written; None if there is none.
        pushed: name of the image in the registry, pinned by its digest; empty if it is in none.
        base_bytes: compressed size of the base's layers.
        layer_bytes: compressed size of our layer.
        unpacked_bytes: size of the files in our layer.
        sent_bytes: bytes that were uploaded; the registry had the others.
        items: sizes of the distributions in our layer, the largest first.
        notes: sentences about deviations, such as missing compilation.
    """

    target: Target
    base: str
    digest: str
    path: Path | None
    pushed: str
    base_bytes: int
    layer_bytes: int
    unpacked_bytes: int
    sent_bytes: int
    items: tuple[PackageItem, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        target = self.target
        name = self.path.name if self.path else self.pushed
        rows = [
            *((item.label, item.unzipped_bytes, None, item.pruned_bytes) for item in self.items),
            ("our layer", self.unpacked_bytes, self.layer_bytes, None),
            ("base", None, self.base_bytes, None),
            ("image", None, self.base_bytes + self.layer_bytes, None),
        ]
        return "\n".join(
            [
                f"{name}: image, Python {target.python}, {target.architecture}",
                *size_table(("MB", "unpacked", "packed", "pruned"), rows),
                f"  digest {self.digest}",
                f"  base {self.base}",
                *([f"  uploaded {self.sent_bytes / 1e6:.2f} MB"] if self.pushed else []),
                *(f"  {note}" for note in self.notes),
            ]
        )
