"""Format `onnx`: a graph that ONNX Runtime optimised at push, and its weights.

Large weights are in an external data file whose location is the hex digest of its blob. So a bundle
loads from any flat directory of blobs, without symbolic links, which ONNX Runtime refuses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from shearling.bundle.options import IMAGE, TOKENIZER
from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import onnxruntime
    from numpy.typing import NDArray

    from shearling.bundle.manifest import Manifest
    from shearling.formats.base import LoadSettings, Predictor, Tensors
    from shearling.formats.text import TextNormalization

#: ONNX Runtime's message about an input that it does not accept, or for which an operator fails.
_REFUSAL = re.compile(
    r"\[ONNXRuntimeError\] : "
    r"(?:2 : INVALID_ARGUMENT|\d : (?:FAIL|RUNTIME_EXCEPTION)(?= : Non-zero)) : "
    r"(?:Non-zero status code returned while running (?P<operator>\w+) node\. "
    r"Name:'[^']*' Status Message: )?(?P<reason>.*)",
    re.DOTALL,
)
_OUT_OF_MEMORY = ("allocate memory", "bad_alloc", "bad allocation", "out of memory")


class OnnxPredictor:
    """A predictor for an ONNX Runtime session.

    Args:
        session: session of the graph.
        text: for each input of texts, what happens to them before the graph reads them.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        text: Mapping[str, TextNormalization] | None = None,
    ) -> None:
        self._session = session
        self._text = text

    def predict(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs for inputs that match the signature."""
        if self._text:
            normalised = {name: one.apply(inputs[name]) for name, one in self._text.items()}
            inputs = {**inputs, **normalised}
        return dict(zip(outputs, self._session.run(outputs, inputs)))  # noqa: B905 - costs time

    def refusal(self, error: Exception) -> str:
        """Return why a run failed if the values of the inputs are the cause.

        A graph has no state, so an operator fails because of its values or because of memory.
        """
        found = _REFUSAL.fullmatch(str(error).strip())
        if found is None or any(word in found["reason"] for word in _OUT_OF_MEMORY):
            return ""
        # Some messages begin with the C++ condition that failed.
        reason = _reason(found["reason"]).rpartition(" was false. ")[2]
        return f"{found['operator']}: {reason}" if found["operator"] else reason


def load(manifest: Manifest, directory: Path, settings: LoadSettings) -> Predictor:
    """Create an ONNX Runtime session for the graph of a bundle.

    Raises:
        FormatError: ONNX Runtime cannot load the graph, for example because its IR version or an
            operator is newer than the installed ONNX Runtime; or a library is missing that makes
            the graph's inputs of what callers send.
    """
    path = directory / manifest.file(manifest.entry).hex
    entries = {} if manifest.options.get("prepack", True) else {"disable_prepacking": "1"}
    text = None
    if "text" in manifest.options:
        from shearling.formats.text import TextNormalization

        settings_by_input = manifest.options["text"].items()
        text = {name: TextNormalization(**values) for name, values in settings_by_input}

    def opened() -> onnxruntime.InferenceSession:
        try:
            return open_session(path, settings.threads, entries)
        except FormatError as error:
            raise FormatError(f"{error}{_version_hint(manifest)}") from error

    if TOKENIZER in manifest.options:
        from shearling.formats.tokenizer import with_tokenizer

        return with_tokenizer(opened, OnnxPredictor, manifest, directory)
    session = opened()
    predictor = OnnxPredictor(session, text)
    if IMAGE in manifest.options:
        from shearling.formats.image import with_pictures

        pictures = directory / manifest.file(manifest.options[IMAGE]["graph"]).hex
        return with_pictures(predictor, session, open_session(pictures, settings.threads), manifest)
    return predictor


def _version_hint(manifest: Manifest) -> str:
    """Return a hint for the error if the bundle was written by a newer ONNX Runtime.

    An older version alone does not refuse a bundle: the graph may use only operators that the older
    version has, and the check on the example verifies the outputs.
    """
    import onnxruntime

    installed, writer = onnxruntime.__version__, str(manifest.options.get("onnxruntime", "0.0"))
    if _release(installed) >= _release(writer):
        return ""
    return (
        f" - this is ONNX Runtime {installed}, and the bundle was written by {writer}: install "
        f"{writer} or newer, or rebuild the function's package with it"
    )


def open_session(
    path: Path,
    threads: int | None,
    entries: Mapping[str, str] | None = None,
    *,
    optimize: bool = True,
    optimized: Path | None = None,
) -> onnxruntime.InferenceSession:
    """Create an ONNX Runtime session on the CPU.

    Args:
        path: path of the graph.
        threads: number of threads for one prediction; None takes ONNX Runtime's default.
        entries: session options of ONNX Runtime, by name without the prefix `session.`.
        optimize: whether ONNX Runtime optimises the graph.
        optimized: path to write the graph to after hardware-independent optimisations.

    Raises:
        FormatError: ONNX Runtime cannot load the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # failures raise an exception, so logging them is redundant
    options.inter_op_num_threads = 1
    # Spinning threads would use up the fraction of a core that a small function has.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    for key, value in (entries or {}).items():
        options.add_session_config_entry(f"session.{key}", value)
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the errors of ONNX Runtime have no common class
        raise FormatError(f"ONNX Runtime cannot load the model: {_reason(str(error))}") from error


def _reason(message: str) -> str:
    """Return a message of ONNX Runtime without the location in its source code."""
    return re.sub(r"/onnxruntime_src/\S+:\d+ .*\) (?=[A-Z])", "", message.strip())


def _release(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall("[0-9]+", version)[:2]))
