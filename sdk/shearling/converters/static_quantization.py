"""Quantise convolutions with the ranges that values have on calibration rows."""

from __future__ import annotations

import logging
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.converters.onnx_reference import with_opset
from shearling.converters.onnx_weights import with_fp16_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    from numpy.typing import NDArray

#: The oldest opset with a scale for each channel, and the one that older graphs are converted to.
_PER_CHANNEL = 13


def with_int8_convolutions(
    graph: onnx.ModelProto, calibration: list[dict[str, NDArray[Any]]]
) -> None:
    """Compute convolutions in 8 bits, in place, with ranges from calibration rows.

    Values are unsigned and weights signed, with a scale for each channel. The weights keep to 7 of
    the 8 bits: without AVX512-VNNI, processors add products of full range with saturation, so that
    answers would depend on the processor. Other large weights get 16 bits.

    Args:
        graph: the graph, edited in place.
        calibration: tensors by input name, in batches.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory(prefix="shearling-") as directory:
        source, target = Path(directory, "source.onnx"), Path(directory, "target.onnx")
        onnx.save(_with_shapes(graph), str(source))
        with _quiet():
            quantize_static(
                str(source),
                str(target),
                _reader(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        graph.CopyFrom(onnx.load(str(target)))
    del graph.graph.value_info[:]
    del graph.metadata_props[:]
    with_fp16_weights(graph)


def _with_shapes(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph with the shapes of its inner tensors, as far as they can be inferred.

    ONNX Runtime's `quant_pre_process` also infers symbolic shapes, but fails for some graphs, and
    then leaves files in the working directory; the quantizer of convolutions needs no such shapes.
    """
    from onnx import shape_inference

    version = next((each.version for each in graph.opset_import if not each.domain), _PER_CHANNEL)
    if version < _PER_CHANNEL:
        graph = with_opset(graph, _PER_CHANNEL)
    return shape_inference.infer_shapes(graph)


def _reader(batches: list[dict[str, NDArray[Any]]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc] # it has no types
        """The batches in turn."""

        def __init__(self) -> None:
            self._batches = iter(batches)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            """Return the next batch; None after the last."""
            return next(self._batches, None)

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's log from the terminal, and from configuring logging for the process."""
    silent = logging.NullHandler()
    logging.root.addHandler(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.removeHandler(silent)
