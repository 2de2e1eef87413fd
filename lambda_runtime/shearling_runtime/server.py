"""The model as a server: live, ready, metadata, infer and check; it knows no Lambda."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.errors import (
    InferenceError,
    ModelNotReadyError,
    ShearlingError,
    StoreError,
    UnknownModelError,
)
from shearling_runtime.hydrate import hydrate
from shearling_runtime.telemetry import Ledger, Metrics, log, log_error, peak_memory_mb

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.bundle import Manifest
    from shearling.protocol import InferAnswer
    from shearling.ref import Pin
    from shearling_runtime.model import Model
    from shearling_runtime.settings import Settings


@dataclass(slots=True)
class Query:
    """A request as it came.

    Attributes:
        document: its JSON.
        wants_csv: whether the answer is to be a table.
        tail: the bytes after the JSON.
        is_raw: whether there is no JSON, and the bytes are the model's only input.
        csv: a table instead of JSON, if that came.
        has_names: whether the table's first line is names; None if nobody said.
    """

    document: object
    wants_csv: bool = False
    tail: bytes | memoryview = b""
    is_raw: bool = False
    csv: str | None = None
    has_names: bool | None = None


class Server:
    """Serves the one model that the settings pin."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._model: Model | None = None
        self._failure: ShearlingError | None = None
        #: The pin, in the words of logs; empty if there is none.
        self.name = str(settings.pin or "")

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
        pin = self._settings.pin or self._pin()
        if model != pin.model:
            raise UnknownModelError(f"model {model!r} is not served here; {pin.model!r} is")
        if version is not None and version not in (alias, str(pin.version)):
            by_alias = f", by alias {alias!r}" if alias else ""
            raise UnknownModelError(
                f"version {version!r} of model {model!r} is not served here: version "
                f"{pin.version} is{by_alias}"
            )

    def metadata(self) -> dict[str, Any]:
        """Return the model's metadata in the protocol's form."""
        return self._ready_model().metadata()

    def docs(self, alias: str | None) -> tuple[str, dict[str, str]]:
        """Return the page on which a person tries the model, and its headers."""
        from shearling_runtime.page import docs_page

        model = self._ready_model()
        return docs_page(model.metadata(), model.example, alias)

    def openapi(self, version: str | None = None) -> dict[str, Any]:
        """Return the description of the model's own API, below a version's path if it is given."""
        from shearling.openapi import describe_api

        model = self._ready_model()
        return describe_api(
            model.metadata(), model.manifest.signature, model.example, version=version
        )

    def infer(self, query: Query, *, seconds_left: float = float("inf")) -> InferAnswer:
        """Answer a request.

        Raises:
            ModelNotReadyError: nothing is served here yet.
            InferenceError: as of `Model.infer`.
        """
        model = self._model or self._ready_model()
        return model.infer(query, seconds_left=seconds_left)

    def check(self) -> dict[str, Any]:
        """Run the bundled example and say whether the answers are the ones of the push."""
        document: dict[str, Any] = {
            "shearling": "check",
            "model": self.name,
            "memory_mb": self._settings.memory_mb,
        }
        try:
            model = self._ready_model()
            problem, difference = model.try_example()
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

    def _ready_model(self) -> Model:
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


def _load(settings: Settings, pin: Pin) -> Model:
    ledger = Ledger()
    manifest, directory = _hydrate_while_importing(settings, pin, ledger)
    from shearling_runtime.model import load

    model = load(settings, pin, manifest, directory, ledger)
    _tell_start(settings, pin, ledger)
    return model


def _tell_start(settings: Settings, pin: Pin, ledger: Ledger) -> None:
    """Write the ledger of the start as one line, which is its metrics too."""
    summary = ledger.summary()
    steps = {f"Start{name.title().replace('_', '')}": ms for name, ms in ledger.timings().items()}
    milliseconds = {"Start": summary["total_ms"], **steps}
    Metrics(dict.fromkeys(milliseconds, "Milliseconds")).emit(
        {
            "event": "start",
            # A start is before the first event, and so by no alias.
            "function_name": settings.function,
            "alias": "none",
            "model": str(pin),
            "peak_memory_mb": peak_memory_mb(),
            **summary,
            **milliseconds,
        }
    )


def _hydrate_while_importing(settings: Settings, pin: Pin, ledger: Ledger) -> tuple[Manifest, Path]:
    # The fetch waits for the network while the imports keep the processor busy.
    with ThreadPoolExecutor(1) as pool:
        hydrated = pool.submit(hydrate, settings, pin, ledger)
        with ledger.step("import"):
            import shearling_runtime.model  # noqa: F401

            if not settings.allow_pickle:
                import onnxruntime  # noqa: F401
        return hydrated.result()
