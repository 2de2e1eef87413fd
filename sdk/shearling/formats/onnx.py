"""Format `onnx`: a graph that ONNX Runtime optimised once, its weights beside it.

Large weights are an external data file whose location is the blob's own hex digest: so the files of
a bundle load from any flat directory of blobs, without links, which ONNX Runtime refuses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import onnxruntime
    from numpy.typing import NDArray

    from shearling.bundle.manifest import Manifest
    from shearling.formats.base import LoadSettings, Tensors


class OnnxPredictor:
    """An ONNX Runtime session as a predictor."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def predict(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs for inputs that fit the signature."""
        return dict(zip(outputs, self._session.run(outputs, inputs)))  # noqa: B905 - takes time


def load(manifest: Manifest, directory: Path, settings: LoadSettings) -> OnnxPredictor:
    """Make a session of the bundle's graph.

    Raises:
        FormatError: ONNX Runtime refuses the graph, as for an IR version or operators newer than
            its own.
    """
    path = directory / manifest.file(manifest.entry).hex
    entries = {} if manifest.options.get("prepack", True) else {"disable_prepacking": "1"}
    try:
        return OnnxPredictor(open_session(path, settings.threads, **entries))
    except FormatError as error:
        raise FormatError(f"{error}{_if_older(manifest)}") from error


def _if_older(manifest: Manifest) -> str:
    """Say that this ONNX Runtime is older than the one that a bundle was written by, if it is.

    That alone is no reason to refuse it: what a graph needs is its IR version and operators, and
    whether they are answered alike is proven by the example.
    """
    import onnxruntime

    here, writer = onnxruntime.__version__, str(manifest.options.get("onnxruntime", "0.0"))
    if _release(here) >= _release(writer):
        return ""
    return (
        f" - this is ONNX Runtime {here}, and the bundle was written by {writer}: rebuild the "
        f"function's package with {writer} or newer"
    )


def open_session(path: Path, threads: int | None, **entries: str) -> onnxruntime.InferenceSession:
    """Open a graph as a session on the processor.

    Args:
        path: of the graph.
        threads: of one prediction; None leaves the number to ONNX Runtime.
        **entries: ONNX Runtime's session options, without `session.`; `optimized` is the path to
            which the optimised graph is written.

    Raises:
        FormatError: ONNX Runtime cannot load the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised
    options.inter_op_num_threads = 1
    # A spinning thread burns the fraction of a core that a small function has.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    if target := entries.pop("optimized", None):
        options.optimized_model_filepath = target
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    for key, value in entries.items():
        options.add_session_config_entry(f"session.{key}", value)
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no class of their own
        raise FormatError(f"ONNX Runtime cannot load the model: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return what ONNX Runtime says, without the place in its own source."""
    return re.sub(r"/onnxruntime_src/\S+:\d+ .*\) (?=[A-Z])", "", str(error).strip())


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])
