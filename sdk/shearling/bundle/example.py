"""The example of a bundle: input tensors and the model's outputs for them.

The file starts with a length (8 bytes, little-endian) and that many bytes of canonical JSON, which
has the name, datatype, shape and size of each tensor. The tensors' bytes follow in order, encoded
as in the protocol. The tensors are not JSON, because JSON has no NaN.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.bundle.canonical_json import canonical_json
from shearling.errors import BundleError, InvalidRequestError
from shearling.tensors.dtypes import datatype_of
from shearling.tensors.encoding import from_bytes, to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Tensors = Mapping[str, NDArray[Any]]


#: Limits the example to a few rows, since every cold start runs the model on it.
EXAMPLE_LIMIT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Example:
    """Input tensors, and the outputs that the model returned for them at push."""

    inputs: Tensors
    outputs: Tensors

    def to_bytes(self) -> bytes:
        """Encode the example as a file of a bundle."""
        header: dict[str, list[dict[str, Any]]] = {}
        body = []
        for group, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            header[group] = []
            for name, array in tensors.items():
                data = to_bytes(array)
                header[group].append(
                    {
                        "name": name,
                        "datatype": datatype_of(array),
                        "shape": list(array.shape),
                        "size": len(data),
                    }
                )
                body.append(data)
        text = canonical_json(header)
        return b"".join([struct.pack("<Q", len(text)), text, *body])

    @classmethod
    def from_bytes(cls, data: bytes) -> Example:
        """Decode the example of a bundle, whose digest was verified before.

        Raises:
            BundleError: the bytes are not an example.
        """
        try:
            (length,) = struct.unpack_from("<Q", data)
            header = json.loads(data[8 : 8 + length])
            position = 8 + length
            groups: list[dict[str, NDArray[Any]]] = []
            for group in ("inputs", "outputs"):
                groups.append({})
                for tensor in header[group]:
                    part = memoryview(data)[position : position + tensor["size"]]
                    position += tensor["size"]
                    groups[-1][tensor["name"]] = from_bytes(
                        part, tensor["datatype"], tensor["shape"]
                    )
        except (struct.error, ValueError, LookupError, TypeError, InvalidRequestError) as error:
            raise BundleError(f"the example cannot be read: {error}") from error
        return cls(*groups)
