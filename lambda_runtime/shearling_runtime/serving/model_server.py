"""Serve a model: ready, metadata, infer and check, independent of Lambda."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from shearling.errors import (
    InferenceError,
    InvalidRequestError,
    ModelNotReadyError,
    ShearlingError,
    StoreError,
    UnknownModelError,
)
from shearling_runtime.serving.answer_size import LAMBDA
from shearling_runtime.serving.bundle_source import locate_bundle
from shearling_runtime.telemetry import Metrics, StartupTimings, cut, log, log_error, peak_memory_mb

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.bundle.manifest import Manifest
    from shearling.endpoints.invoke import Endpoint
    from shearling.protocol.responses import InferResponse
    from shearling.refs import Pin
    from shearling.scoring.blocks import Scorer
    from shearling_runtime.serving.answer_size import AnswerLimit
    from shearling_runtime.serving.inference_input import InferenceInput
    from shearling_runtime.serving.loaded_model import LoadedModel
    from shearling_runtime.settings import Settings


class ModelServer:
    """Serves the one model that the settings pin.

    Attributes:
        settings: configuration of the function.
        container: the endpoint that runs our container, to which requests are forwarded as they
            are; None if there is none.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.container = _container(settings)
        self._model: LoadedModel | None = None
        self._failure: ShearlingError | None = None
        #: The pin, for logs; empty if there is none.
        self.name = str(settings.pin or "")

    def start(self) -> None:
        """Load the model; an error is logged here and returned to each request.

        With a container, the contract is loaded when it is needed: the container has the model.
        """
        if self.container is None and (problem := self.problem()):
            log("not ready", reason=problem)

    def ready(self) -> bool:
        """Return whether the server can answer requests."""
        return not self.problem()

    def problem(self) -> str:
        """Return why the server cannot answer requests; empty if it can."""
        try:
            self._ready_model()
        except ModelNotReadyError as error:
            return str(error)
        return ""

    def check_name(self, model: str, version: str | None, alias: str | None) -> None:
        """Refuse a model or version that is not the one served here.

        Args:
            model: name of the model.
            version: version number or alias; None: any.
            alias: alias by which the function was invoked; None: no alias.

        Raises:
            UnknownModelError: this function serves another model or version.
            ModelNotReadyError: no model is released on this function yet.
        """
        pin = self.pin
        if model != pin.model:
            raise UnknownModelError(
                f"model {cut(model, 80)!r} is not served here; {pin.model!r} is"
            )
        if version is not None and version not in (alias, str(pin.version)):
            by_alias = f", by alias {alias!r}" if alias else ""
            raise UnknownModelError(
                f"version {cut(version, 80)!r} of model {model!r} is not served here; version "
                f"{pin.version} is{by_alias}"
            )

    def small_request_seconds(self) -> float:
        """Return the seconds that a small request takes; infinite if its size does not tell.

        A picture of few bytes may have many pixels.
        """
        model = self._ready_model()
        has_pictures = any(spec.content for spec in model.manifest.signature.inputs)
        return float("inf") if has_pictures else model.warm_seconds

    def metadata(self) -> dict[str, Any]:
        """Return the model's metadata as the protocol defines it."""
        return self._ready_model().metadata()

    def docs(self, alias: str | None) -> tuple[str, dict[str, str]]:
        """Return the model's page in HTML, and its headers."""
        from shearling_runtime.apidocs.page import docs_page

        model = self._ready_model()
        has_jobs = bool(self.settings.jobs)
        return docs_page(model.metadata(), model.example, alias, has_jobs=has_jobs)

    def openapi(self, version: str | None = None) -> dict[str, Any]:
        """Return the model's OpenAPI description, with the version in the paths if it is given."""
        from shearling_runtime.apidocs.openapi import describe_api

        model = self._ready_model()
        return describe_api(
            model.metadata(),
            model.manifest.signature,
            model.example,
            version=version,
            has_jobs=bool(self.settings.jobs),
        )

    def check_ready(self) -> None:
        """Refuse a request that this function could not answer, whatever it asks.

        Raises:
            InvalidRequestError: the function was invoked without an alias.
            ModelNotReadyError: no model is released yet, or the model cannot be loaded.
        """
        self.check_published()
        self._ready_model()

    def check_published(self) -> None:
        """Refuse any request to `$LATEST`, whose model changes with every release.

        Raises:
            InvalidRequestError: the function was invoked without an alias.
        """
        if self.settings.is_unpublished:
            raise self._no_alias()

    def check_request(self, query: InferenceInput) -> None:
        """Refuse a request that does not fit the model's contract, without running the model.

        Raises:
            InvalidRequestError: the request is malformed, or does not fit the signature.
            ModelNotReadyError: no model is released yet, or the model cannot be loaded.
        """
        self.check_ready()
        self._ready_model().parse(query)

    def infer(
        self,
        query: InferenceInput,
        *,
        seconds_left: float = float("inf"),
        limit: AnswerLimit = LAMBDA,
    ) -> InferResponse:
        """Answer an inference request.

        Args:
            query: request.
            seconds_left: seconds until the request's deadline.
            limit: maximum size of the response.

        Raises:
            InvalidRequestError: the function was invoked without an alias.
            ModelNotReadyError: no model is released yet, or the model cannot be loaded.
            InferenceError: as for `LoadedModel.infer`.
        """
        self.check_published()
        model = self._model or self._ready_model()
        return model.infer(query, seconds_left=seconds_left, limit=limit)

    def scorer(self) -> Scorer:
        """Return the model for scoring objects.

        Raises:
            InvalidRequestError: the function was invoked without an alias.
            ModelNotReadyError: no model is released yet, or the model cannot be loaded.
        """
        self.check_ready()
        return self._ready_model().scorer()

    def check(self) -> dict[str, Any]:
        """Run the example, and return whether the answers match those recorded at the push."""
        document: dict[str, Any] = {
            "shearling": "check",
            "model": self.name,
            "memory_mb": self.settings.memory_mb,
        }
        try:
            model = self._ready_model()
            problem, difference = model.try_example()
            timings = {"warm": model.warm_seconds * 1000, **model.startup.timings()}
        except InferenceError as error:
            problem, difference, timings = str(error), float("inf"), {}
        return document | {
            "passed": not problem,
            "reason": problem,
            "worst_difference": repr(difference),
            "timings": {name: round(ms, 1) for name, ms in timings.items()},
            "peak_memory_mb": peak_memory_mb(),
        }

    def _no_alias(self) -> InvalidRequestError:
        function, pin = self.settings.function, self.settings.pin
        model = f" {pin.model}" if pin else ""
        return InvalidRequestError(
            f"{function} was invoked without an alias, which runs $LATEST: its model changes with "
            f"every release. Invoke an alias, such as {function}:prod; `shearling status{model}` "
            "lists them"
        )

    @property
    def pin(self) -> Pin:
        """The pin of the model.

        Raises:
            ModelNotReadyError: no model is released on this function yet.
        """
        if self.settings.pin is None:
            raise ModelNotReadyError(
                f"no model is released on {self.settings.function} yet. Push one and set the "
                "alias, with sdk.push_model(..., alias=...) or `shearling alias set`"
            )
        return self.settings.pin

    def _ready_model(self) -> LoadedModel:
        """Return the loaded model; retry a load that failed because of the store."""
        if self._model is not None:
            return self._model
        pin = self.pin
        if self._failure is None or isinstance(self._failure, StoreError):
            try:
                self._model = _load(self.settings, pin)
            except ShearlingError as error:
                self._failure = error
                log_error("start failed", error, model=str(pin))
            else:
                return self._model
        raise ModelNotReadyError(f"{pin.model}:{pin.version} cannot be served: {self._failure}")


def _container(settings: Settings) -> Endpoint | None:
    if not settings.endpoint_is_staged:
        return None
    from shearling_runtime.serving.endpoint_client import endpoint_of

    return endpoint_of(settings)


def _load(settings: Settings, pin: Pin) -> LoadedModel:
    startup = StartupTimings()
    manifest, directory = _locate_while_importing(settings, pin, startup)
    from shearling_runtime.serving.loaded_model import load

    model = load(settings, pin, manifest, directory, startup)
    _log_start(settings, pin, startup)
    return model


def _log_start(settings: Settings, pin: Pin, startup: StartupTimings) -> None:
    """Log the timings of the start-up in one line with metrics."""
    summary = startup.summary()
    steps = {f"Start{name.title().replace('_', '')}": ms for name, ms in startup.timings().items()}
    milliseconds = {"Start": summary["total_ms"], **steps}
    Metrics(dict.fromkeys(milliseconds, "Milliseconds")).emit(
        {
            "event": "start",
            # The start-up precedes the first event, so its alias is unknown.
            "function_name": settings.function,
            "alias": "none",
            "model": str(pin),
            "peak_memory_mb": peak_memory_mb(),
            **summary,
            **milliseconds,
        }
    )


def _locate_while_importing(
    settings: Settings, pin: Pin, startup: StartupTimings
) -> tuple[Manifest, Path]:
    # Overlaps the fetch, which waits for the network, with the imports, which use the processor.
    with ThreadPoolExecutor(1) as pool:
        located = pool.submit(locate_bundle, settings, pin, startup)
        with startup.step("import"):
            import shearling_runtime.serving.loaded_model  # noqa: F401

            if not (settings.allow_pickle or settings.endpoint):
                import onnxruntime  # noqa: F401
        return located.result()
