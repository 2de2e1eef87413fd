"""The example of a bundle: input tensors, and the outputs that the model must give for them.

It is one file: a length (8 bytes, little-endian), that many bytes of canonical JSON with the names,
datatypes, shapes and sizes, then the tensors' bytes in order, as in the protocol. JSON alone will
not do: it knows no NaN.
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


#: The example is answered at every start: a few rows, not a data set.
EXAMPLE_LIMIT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Example:
    """Input tensors, and the outputs that the model gave for them when it was pushed."""

    inputs: Tensors
    outputs: Tensors

    def to_bytes(self) -> bytes:
        """Write the example as a file of a bundle."""
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
        """Read the example of a bundle, whose bytes are proven already.

        Raises:
            BundleError: it is not an example.
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
            raise BundleError(f"the example is broken: {error}") from error
        return cls(*groups)
