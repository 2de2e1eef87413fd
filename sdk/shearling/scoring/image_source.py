"""Read a picture, which is one row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.protocol.requests import InferRequest
from shearling.scoring.blocks import PLACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from shearling.scoring.blocks import Block, Scorer
    from shearling.scoring.request import ScoreRequest

#: Maximum bytes of a file.
_FILE_LIMIT = 64 * 2**20


class ImageReader:
    """Reads a picture; see `Reader`."""

    def __init__(
        self, chunks: Iterable[bytes], size: int, scorer: Scorer, request: ScoreRequest
    ) -> None:
        self._chunks = chunks
        self._size = size
        self._scorer = scorer
        self._request = request
        self.names: Sequence[str] = ()
        self.empty: Block | None = None

    def __iter__(self) -> Iterator[ImageBlock]:
        """Yield the only block; see `Reader`."""
        inputs = self._scorer.signature.inputs
        if len(inputs) != 1 or not inputs[0].content:
            takes = ", ".join(map(str, inputs))
            raise InvalidRequestError(f"{PLACE}: a picture, but the model takes {takes:.300}")
        if self._request.source.part is not None:
            raise InvalidRequestError(f"{PLACE}.part: a picture has no parts")
        if self._request.options.keep_columns:
            raise InvalidRequestError(
                "options.keep_columns: a picture has no columns: leave it out, since the manifest "
                "of the output names the picture"
            )
        if self._size > _FILE_LIMIT:
            raise InvalidRequestError(
                f"{PLACE}: the picture has {self._size:,} bytes, and {_FILE_LIMIT:,} are allowed"
            )
        picture = np.empty(1, object)
        picture[0] = b"".join(self._chunks)
        yield ImageBlock(picture, self._scorer)


class ImageBlock:
    """A picture, or none; see `Block`."""

    def __init__(self, pictures: NDArray[Any], scorer: Scorer) -> None:
        self._pictures = pictures
        self._scorer = scorer
        self.size = sum(map(len, pictures))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._pictures)

    def request(self) -> InferRequest:
        """See `Block`."""
        signature = self._scorer.signature
        inputs = {signature.inputs[0].name: self._pictures}
        return InferRequest(None, inputs, signature.output_names, rows="objects")

    def part(self, start: int, stop: int) -> ImageBlock:
        """See `Block`."""
        return ImageBlock(self._pictures[start:stop], self._scorer)

    def number(self) -> int:
        """See `Block`."""
        return 1

    def text(self) -> str:
        """See `Block`."""
        return f"a picture of {self.size:,} bytes"

    def values(self) -> list[Any]:
        """See `Block`."""
        return [self.text()]
