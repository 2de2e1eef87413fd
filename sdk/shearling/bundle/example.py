"""The example of a bundle: input tensors and the model's outputs for them.

The file starts with a length (8 bytes, little-endian) and that many bytes of canonical JSON, which
has the name, datatype, shape and size of each tensor. The tensors' bytes follow in order, encoded
as in the protocol. The tensors are not JSON, because JSON has no NaN.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.bundle.canonical_json import canonical_json
from shearling.bundle.json_reader import check_value, read_json
from shearling.errors import BundleError, InvalidRequestError
from shearling.tensors.dtypes import DTYPES, datatype_of
from shearling.tensors.encoding import from_bytes, has_bytes, to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.bundle.json_reader import Field
    from shearling.tensors.spec import Signature, TensorSpec

    Tensors = Mapping[str, NDArray[Any]]


#: Path of the example in a bundle.
EXAMPLE_FILE = "example.tensors"

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
                head = {
                    "name": name,
                    "datatype": datatype_of(array),
                    "shape": list(array.shape),
                    "size": len(data),
                }
                header[group].append(head | ({"text": False} if has_bytes(array) else {}))
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
            header = read_json(data[8 : 8 + length], "its head")
            check_value(header.value)
            position = 8 + length
            groups: list[dict[str, NDArray[Any]]] = []
            for group in ("inputs", "outputs"):
                groups.append({})
                for tensor in header[group].items():
                    end = position + tensor["size"].count()
                    name, array = _read_tensor(tensor, memoryview(data)[position:end])
                    groups[-1][name] = array
                    position = end
        except (struct.error, ValueError, BundleError, InvalidRequestError) as error:
            raise BundleError(f"the example cannot be read: {error}") from error
        return cls(*groups)

    def without_rows(
        self, inputs: Tensors, signature: Signature, outputs: Sequence[str]
    ) -> dict[str, NDArray[Any]] | None:
        """Return the outputs for a request without rows, in the shapes of this example's outputs.

        Some models fail if they get no rows.

        Args:
            inputs: the request's tensors.
            signature: the model's inputs and outputs.
            outputs: names of the requested outputs.

        Returns:
            Empty arrays; None if the request has rows, or an output does not have a row for each.
        """
        varying = [inputs[spec.name] for spec in signature.inputs if spec.shape[:1] == (-1,)]
        by_row = {spec.name for spec in signature.outputs if spec.shape[:1] == (-1,)}
        if not varying or any(len(array) for array in varying) or not by_row.issuperset(outputs):
            return None
        return {name: self.outputs[name][:0] for name in outputs}

    def outputs_by_row(self, signature: Signature) -> frozenset[str]:
        """Return the names of the outputs of variable length that have a row for each input's."""
        counts = {len(self.inputs[s.name]) for s in signature.inputs if s.shape[:1] == (-1,)}
        varying = (spec.name for spec in signature.outputs if spec.shape[:1] == (-1,))
        return frozenset(name for name in varying if {len(self.outputs[name])} == counts)

    def check(self, signature: Signature) -> None:
        """Refuse an example that would not prove what a signature says.

        How large outputs are, and of what datatype, is proven by the answers to the example.

        Raises:
            BundleError: a tensor is missing, an input does not fit, or all inputs are empty.
        """
        for spec in signature.inputs:
            if spec.name not in self.inputs:
                raise BundleError(f"the example has no input {spec.name!r:.80}")
            _check_input(spec, self.inputs[spec.name])
        for name in signature.output_names:
            if name not in self.outputs:
                raise BundleError(f"the example has no output {name!r:.80}, so it proves nothing")
        if not any(array.size for array in self.inputs.values()):
            raise BundleError("the example has no rows, so it proves nothing")


def _read_tensor(tensor: Field, data: memoryview) -> tuple[str, NDArray[Any]]:
    datatype = tensor["datatype"].text()
    if datatype not in DTYPES:
        raise BundleError(f"{datatype!r:.80} is not a datatype", field=tensor["datatype"].path)
    shape = [item.count() for item in tensor["shape"].items()]
    is_text = tensor.get("text", True).expect(bool, "true or false")
    return tensor["name"].text(), from_bytes(data, datatype, shape, is_text=is_text)


def _check_input(spec: TensorSpec, array: NDArray[Any]) -> None:
    sizes = zip(spec.shape, array.shape, strict=False)
    is_of_shape = len(spec.shape) == array.ndim and all(
        size in (-1, given) for size, given in sizes
    )
    is_of_content = has_bytes(array) is bool(spec.content) or not array.size
    if datatype_of(array) != spec.datatype or not is_of_shape or not is_of_content:
        found = f"{datatype_of(array)}{list(array.shape)}"
        raise BundleError(f"the example has {found} for input {spec!s:.200}")
