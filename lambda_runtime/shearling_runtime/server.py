"""The model as a server: live, ready, metadata, infer and check; it knows no Lambda."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from shearling.errors import (
    DeadlineError,
    InferenceError,
    ModelNotReadyError,
    PredictionError,
    ShearlingError,
    StoreError,
    UnknownModelError,
)
from shearling_runtime.hydrate import hydrate
from shearling_runtime.telemetry import Ledger, emit, log, log_error, peak_memory_mb

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.bundle import Manifest, Signature, TensorSpec
    from shearling.example import Example
    from shearling.formats import Predictor
    from shearling.protocol import InferAnswer, InferRequest
    from shearling.ref import Pin
    from shearling_runtime.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """A bundle that is loaded and has answered its example."""

    pin: Pin
    manifest: Manifest
    predictor: Predictor
    example: Example
    ledger: Ledger
    warm_seconds: float


@dataclass(slots=True)
class Query:
    """A request as it came.

    Attributes:
        document: its JSON.
        tail: the bytes after the JSON.
        is_raw: whether there is no JSON, and the bytes are the model's only input.
    """

    document: object
    tail: bytes | memoryview = b""
    is_raw: bool = False


class Server:
    """Serves the one model that the settings pin."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._model: _Model | None = None
        self._failure: ShearlingError | None = None

    def start(self) -> None:
        """Load the model; what goes wrong is logged, and answered to whoever asks for it."""
        if problem := self.problem():
            log("not ready", reason=problem)

    def live(self) -> bool:
        """Say that the process runs."""
        return True

    def ready(self) -> bool:
        """Say whether requests can be answered."""
        return not self.problem()

    def problem(self) -> str:
        """Return why no request can be answered; empty if they can."""
        try:
            self._ready_model()
        except ModelNotReadyError as error:
            return str(error)
        return ""

    @property
    def pin(self) -> Pin | None:
        """What is served here."""
        return self._settings.pin

    def check_name(self, model: str, version: str | None, alias: str | None) -> None:
        """Refuse a model or version that is not the one served here.

        Args:
            model: the model's name.
            version: a number, or an alias.
            alias: the alias that the request came by.

        Raises:
            UnknownModelError: it is another.
            ModelNotReadyError: nothing is served here yet.
        """
        pin = self._pin()
        if model != pin.model:
            raise UnknownModelError(f"model {model!r} is not served here; {pin.model!r} is")
        served = [str(pin.version), *([alias] if alias else [])]
        if version is not None and version not in served:
            raise UnknownModelError(
                f"version {version!r} of model {model!r} is not served here; "
                f"{' as '.join(served)} is"
            )

    def metadata(self) -> dict[str, Any]:
        """Return the model's metadata in the protocol's form."""
        model = self._ready_model()
        return {
            "name": model.pin.model,
            "versions": [str(model.pin.version)],
            "platform": f"shearling_{model.manifest.format}",
            "inputs": [_spec_document(spec) for spec in model.manifest.signature.inputs],
            "outputs": [_spec_document(spec) for spec in model.manifest.signature.outputs],
            "parameters": _parameters(model),
        }

    def docs(self, alias: str | None) -> tuple[str, dict[str, str]]:
        """Return the page on which a person tries the model, and its headers."""
        from shearling_runtime.page import docs_page

        return docs_page(self.metadata(), self._ready_model().example, alias)

    def openapi(self, version: str | None = None) -> dict[str, Any]:
        """Return the description of the model's own API, below a version's path if it is given."""
        from shearling.openapi import describe_api

        model = self._ready_model()
        return describe_api(
            self.metadata(), model.manifest.signature, model.example, version=version
        )

    def infer(self, request: Query, *, seconds_left: float = float("inf")) -> InferAnswer:
        """Answer a request.

        Raises:
            InvalidRequestError: it is malformed, or does not fit the signature.
            DeadlineError: less time is left than the example needs.
            PredictionError: the model itself failed.
        """
        from shearling import protocol

        model = self._ready_model()
        if seconds_left < model.warm_seconds:
            raise DeadlineError(
                f"{seconds_left:.2f} s are left, and a request needs {model.warm_seconds:.2f} s: "
                "give the function more `timeout_seconds` or `memory_mb`"
            )
        signature = model.manifest.signature
        if request.is_raw or _is_plain(request.document):
            parsed = _parse_other(request, signature)
        else:
            parsed = protocol.parse_request(request.document, signature, request.tail)
        try:
            outputs = model.predictor.predict(parsed.inputs, parsed.outputs)
        except Exception as error:  # the model's own
            raise PredictionError(f"the model failed with {type(error).__name__}") from error
        name, version = model.pin.model, str(model.pin.version)
        if parsed.rows:
            from shearling import instances

            return instances.predictions(name, version, parsed, outputs)
        return protocol.answer(name, version, parsed, outputs)

    def check(self) -> dict[str, Any]:
        """Run the bundled example and say whether the answers are the ones of the push."""
        document: dict[str, Any] = {
            "shearling": "check",
            "model": str(self._settings.pin or ""),
            "memory_mb": self._settings.memory_mb,
        }
        try:
            model = self._ready_model()
            problem, difference = _try_example(model.manifest, model.predictor, model.example)
            timings = {"warm": model.warm_seconds * 1000, **model.ledger.timings()}
        except InferenceError as error:
            problem, difference, timings = str(error), float("inf"), {}
        return document | {
            "passed": not problem,
            "reason": problem,
            "worst_difference": repr(difference),
            "timings": {name: round(ms, 1) for name, ms in timings.items()},
            "peak_memory_mb": peak_memory_mb(),
        }

    def _pin(self) -> Pin:
        if self._settings.pin is None:
            raise ModelNotReadyError(
                f"no model is released on {self._settings.function} yet: push one and set the "
                "alias, by sdk.push_model(..., alias=...) or `shearling alias set`"
            )
        return self._settings.pin

    def _ready_model(self) -> _Model:
        """Return the loaded model; a load that failed for want of the store is tried again."""
        if self._model is not None:
            return self._model
        pin = self._pin()
        if self._failure is None or isinstance(self._failure, StoreError):
            try:
                self._model = _load(self._settings, pin)
            except ShearlingError as error:
                self._failure = error
                log_error("start failed", error, model=str(pin))
            else:
                return self._model
        raise ModelNotReadyError(f"{pin.model}:{pin.version} cannot be served: {self._failure}")


def _parameters(model: _Model) -> dict[str, Any]:
    """Return what a push said of the model; no such word stands in for what is so of the bundle."""
    said = {key: value for key, value in model.manifest.metadata.items() if key != "columns"}
    columns = model.manifest.options.get("columns")
    return said | ({"columns": columns} if columns else {}) | {"digest": model.pin.digest}


def _is_plain(document: object) -> bool:
    return isinstance(document, dict) and "instances" in document and "inputs" not in document


def _parse_other(request: Query, signature: Signature) -> InferRequest:
    """Read a request that is not one of tensors: bytes alone, or instances."""
    if request.is_raw:
        from shearling.binary import raw_request

        return raw_request(request.tail, signature)
    from shearling.instances import parse_instances

    return parse_instances(cast("dict[str, Any]", request.document), signature)


def _load(settings: Settings, pin: Pin) -> _Model:
    from shearling import formats
    from shearling.errors import FormatError

    ledger = Ledger()
    manifest, directory = _hydrate_while_importing(settings, pin, ledger)
    with ledger.step("load"):
        predictor = formats.load(
            manifest,
            directory,
            formats.LoadSettings(allow_pickle=settings.allow_pickle, threads=settings.threads),
        )
        example = _read_example(manifest, directory)
    with ledger.step("warm_up"):
        problem, _ = _try_example(manifest, predictor, example)
    if problem:
        raise FormatError(f"the example is answered differently than at the push: {problem}")
    started = time.perf_counter()
    _try_example(manifest, predictor, example)
    _tell_start(settings, pin, ledger)
    return _Model(
        pin=pin,
        manifest=manifest,
        predictor=predictor,
        example=example,
        ledger=ledger,
        warm_seconds=time.perf_counter() - started,
    )


def _tell_start(settings: Settings, pin: Pin, ledger: Ledger) -> None:
    """Write the ledger of the start as one line, which is its metrics too."""
    summary = ledger.summary()
    steps = {name.title().replace("_", ""): ms for name, ms in ledger.timings().items()}
    emit(
        "start",
        {
            f"Start{name}": (ms, "Milliseconds")
            for name, ms in {"": summary["total_ms"], **steps}.items()
        },
        # A start is before the first event, and so by no alias.
        {"function_name": settings.function, "alias": "none"},
        model=str(pin),
        peak_memory_mb=peak_memory_mb(),
        **summary,
    )


def _hydrate_while_importing(settings: Settings, pin: Pin, ledger: Ledger) -> tuple[Manifest, Path]:
    # The fetch waits for the network while the imports keep the processor busy.
    with ThreadPoolExecutor(1) as pool:
        hydrated = pool.submit(hydrate, settings, pin, ledger)
        with ledger.step("import"):
            import shearling.example
            import shearling.formats
            import shearling.instances
            import shearling.protocol  # noqa: F401

            if not settings.allow_pickle:
                import onnxruntime  # noqa: F401
        return hydrated.result()


def _read_example(manifest: Manifest, directory: Path) -> Example:
    from shearling.example import Example

    return Example.from_bytes((directory / manifest.file(manifest.example.path).hex).read_bytes())


def _try_example(manifest: Manifest, predictor: Predictor, example: Example) -> tuple[str, float]:
    from shearling.example import compare

    names = [spec.name for spec in manifest.signature.outputs]
    try:
        answers = predictor.predict(example.inputs, names)
    except Exception as error:  # noqa: BLE001 - the model's own
        return f"the model fails on its example with {type(error).__name__}: {error}", float("inf")
    tolerance = manifest.example
    found = compare(example.outputs, answers, rtol=tolerance.rtol, atol=tolerance.atol)
    return found.problem, found.difference


def _spec_document(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
