"""Score what a test puts into a directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from shearling.scoring.blocks import BLOCK_BYTES
from shearling.scoring.engine import score
from shearling.scoring.request import ScoreRequest
from shearling.storage.directory_objects import DirectoryObjects

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shearling.scoring.blocks import Scorer
    from shearling.scoring.outcome import Outcome


@dataclass
class Places:
    """Two directories in the place of two buckets."""

    root: Path

    @property
    def source(self) -> DirectoryObjects:
        return DirectoryObjects(self.root / "in")

    @property
    def output(self) -> DirectoryObjects:
        return DirectoryObjects(self.root / "out")

    def put(self, key: str, data: bytes) -> str:
        path = self.root / "in" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        return key

    def score(
        self,
        key: str,
        scorer: Scorer,
        *,
        block_bytes: int = BLOCK_BYTES,
        seconds_left: Callable[[], float] = lambda: 60.0,
        source: dict[str, Any] | None = None,
        output: dict[str, Any] | None = None,
        **options: Any,
    ) -> Outcome:
        document = {
            "source": {"bucket": "in", "key": key, **(source or {})},
            "output": {"bucket": "out", **(output or {})},
            "options": options,
        }
        request = ScoreRequest.from_document(document)
        return score(
            request,
            self.source,
            self.output,
            scorer,
            seconds_left=seconds_left,
            block_bytes=block_bytes,
        )

    def read(self, key: str) -> bytes:
        return (self.root / "out" / key).read_bytes()

    def json(self, key: str) -> dict[str, Any]:
        document: dict[str, Any] = orjson.loads(self.read(key))
        return document

    def files(self) -> list[str]:
        root = self.root / "out"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
