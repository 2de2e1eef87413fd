"""A loaded model: its metadata and its answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from shearling.bundle.example import Example
from shearling.bundle.options import TOKENIZER
from shearling.errors import DeadlineError, FormatError
from shearling.formats.answering import model_answer
from shearling.formats.base import LoadSettings, load_bundle
from shearling.protocol import instances, requests, responses
from shearling.protocol.metadata import signature_metadata
from shearling.tensors.comparison import compare
from shearling_runtime.serving.answer_size import LAMBDA, AnswerLimit, check_outputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from shearling.bundle.example import Tensors
    from shearling.bundle.manifest import Manifest
    from shearling.endpoints.predictor import EndpointPredictor
    from shearling.formats.base import Predictor
    from shearling.formats.tokenizer import TextPredictor
    from shearling.protocol.requests import InferRequest
    from shearling.protocol.responses import InferResponse
    from shearling.refs import Pin
    from shearling.scoring.blocks import Scorer
    from shearling.tensors.spec import Classes
    from shearling_runtime.serving.inference_input import InferenceInput
    from shearling_runtime.settings import Settings
    from shearling_runtime.telemetry import StartupTimings

#: Keys of the metadata's parameters that have a fact of the bundle or are absent, whatever the
#: push's metadata say.
_FACTS = frozenset({"columns", "digest", "independent_rows"})


@dataclass(slots=True, kw_only=True)
class LoadedModel:
    """A loaded bundle.

    Attributes:
        pin: pin of the bundle.
        manifest: manifest of the bundle.
        predictor: loaded model.
        example: example inputs with the outputs recorded at push.
        startup: timings of the start-up.
        endpoint: the predictor, if it asks an endpoint, which can be slow.
        text: the predictor, if it reads texts, of which it may truncate some.
        warm_seconds: seconds that the example takes when it is run the second time.
    """

    pin: Pin
    manifest: Manifest
    predictor: Predictor
    example: Example
    startup: StartupTimings
    endpoint: EndpointPredictor | None = None
    text: TextPredictor | None = None
    warm_seconds: float = 0.0

    def metadata(self) -> dict[str, Any]:
        """Return the model's metadata as the protocol defines it."""
        signature = self.manifest.signature
        return {
            "name": self.pin.model,
            "versions": [str(self.pin.version)],
            "platform": f"shearling_{self.manifest.format}",
            **signature_metadata(signature),
            "parameters": self._parameters(),
        }

    def infer(
        self, query: InferenceInput, *, seconds_left: float, limit: AnswerLimit = LAMBDA
    ) -> InferResponse:
        """Answer an inference request.

        Args:
            query: request.
            seconds_left: seconds until the request's deadline.
            limit: maximum size of the response.

        Raises:
            InvalidRequestError: the request is malformed, does not fit the signature, or has values
                that the model cannot process.
            DeadlineError: the time left is less than the example needs.
            PredictionError: the model failed.
            PayloadTooLargeError: the response is above the limit.
        """
        if seconds_left < self.warm_seconds:
            raise DeadlineError(
                f"{seconds_left:.2f} s are left, but a request needs {self.warm_seconds:.2f} s. "
                "Raise the function's `memory_mb`, or its `timeout_seconds`; an HTTP API waits at "
                "most 30 s, a REST API as long as its own `timeout_seconds`"
            )
        signature = self.manifest.signature
        request = self.parse(query)
        outputs = self.answer(request, seconds_left)
        check_outputs(request, outputs, is_csv=query.wants_csv, limit=limit)
        classes = signature.classes
        if query.wants_csv:
            return _table(request, outputs, classes)
        answer = instances.predictions if request.rows else responses.answer
        return answer(self.pin.model, str(self.pin.version), request, outputs, classes)

    def answer(self, request: InferRequest, seconds_left: float = float("inf")) -> Tensors:
        """Return the outputs for a request that matches the signature, by name.

        Raises:
            InvalidRequestError: the request has values that the model cannot process.
            PredictionError: the model failed.
        """
        return model_answer(
            self.predictor,
            request.inputs,
            request.outputs,
            signature=self.manifest.signature,
            example=self.example,
            predict=partial(self._predict, request, seconds_left),
        )

    def scorer(self) -> Scorer:
        """Return the model for scoring objects."""
        from shearling.scoring.blocks import Scorer

        return Scorer(
            pin=str(self.pin),
            signature=self.manifest.signature,
            columns=self._columns,
            answer=self.answer,
        )

    def _predict(
        self, request: InferRequest, seconds_left: float, inputs: Tensors, outputs: Sequence[str]
    ) -> Tensors:
        if self.endpoint:
            return self.endpoint.predict(inputs, outputs, seconds_left)
        if self.text:
            request.truncated = 0  # also if there are no texts
            answers, request.truncated = self.text.predict_counted(inputs, outputs)
            return answers
        return self.predictor.predict(inputs, outputs)

    def try_example(self) -> tuple[str, float]:
        """Run the example; return the problem (empty: none) and the largest difference."""
        try:
            answers = self.predictor.predict(
                self.example.inputs, self.manifest.signature.output_names
            )
        except Exception as error:  # noqa: BLE001 - any error of the model
            reason = f"the model fails on its example with {type(error).__name__}: {error}"
            return reason, float("inf")
        tolerance = self.manifest.example
        comparison = compare(
            self.example.outputs, answers, rtol=tolerance.rtol, atol=tolerance.atol
        )
        return comparison.problem, comparison.difference

    @property
    def _columns(self) -> Sequence[str]:
        return self.manifest.options.get("columns") or ()

    def _parameters(self) -> dict[str, Any]:
        """Return the metadata of the push; facts of the bundle override keys of the same name."""
        metadata = {
            key: value for key, value in self.manifest.metadata.items() if key not in _FACTS
        }
        facts: dict[str, Any] = {"digest": self.pin.digest}
        if self._columns:
            facts["columns"] = self._columns
        if not self.manifest.signature.independent_rows:
            facts["independent_rows"] = False
        return metadata | facts

    def parse(self, query: InferenceInput) -> InferRequest:
        """Parse a request of tensors or instances, raw bytes, a picture, or CSV.

        Raises:
            InvalidRequestError: the request is malformed, or does not fit the signature.
        """
        signature = self.manifest.signature
        if query.is_raw:
            from shearling.protocol.binary import raw_request

            return raw_request(query.tail, signature, self._columns)
        if query.is_picture:
            from shearling.protocol.binary import picture_request

            return picture_request(query.tail, signature)
        if query.csv is not None:
            from shearling.protocol.csv_rows import parse_csv

            return parse_csv(query.csv, signature, self._columns, has_names=query.has_names)
        document = query.document
        if isinstance(document, dict) and "instances" in document and "inputs" not in document:
            return instances.parse_instances(document, signature, self._columns)
        return requests.parse_request(document, signature, query.tail, self._columns)


def load(
    settings: Settings, pin: Pin, manifest: Manifest, directory: Path, startup: StartupTimings
) -> LoadedModel:
    """Load a bundle, and run its example.

    Args:
        settings: configuration of the function.
        pin: pin of the bundle.
        manifest: manifest of the bundle.
        directory: directory that contains its verified blobs.
        startup: timings to record the steps in.

    Raises:
        FormatError: the bundle cannot be loaded, or its answers differ from those at the push.
        BundleError: its example cannot be read, or does not check all of the signature.
    """
    with startup.step("load"):
        example = _read_example(manifest, directory)
        endpoint = _endpoint(settings, manifest, example)
        load_settings = LoadSettings(allow_pickle=settings.allow_pickle, threads=settings.threads)
        predictor = endpoint or load_bundle(manifest, directory, load_settings)
        reads_texts = TOKENIZER in manifest.options and not endpoint
        model = LoadedModel(
            pin=pin,
            manifest=manifest,
            predictor=predictor,
            example=example,
            startup=startup,
            endpoint=endpoint,
            text=cast("TextPredictor", predictor) if reads_texts else None,
        )
    if endpoint:
        return model  # an endpoint that is busy now answers later, and it needs no warm-up
    with startup.step("warm_up"):
        problem, _ = model.try_example()
    if problem:
        raise FormatError(f"the answers to the example differ from those at the push: {problem}")
    started = time.perf_counter()
    model.try_example()
    model.warm_seconds = time.perf_counter() - started
    return model


def _endpoint(settings: Settings, manifest: Manifest, example: Example) -> EndpointPredictor | None:
    if not settings.endpoint:
        return None
    from shearling.endpoints.predictor import EndpointPredictor
    from shearling_runtime.serving.endpoint_client import endpoint_of

    endpoint = endpoint_of(settings)
    return EndpointPredictor(manifest, endpoint, example.outputs_by_row(manifest.signature))


def _read_example(manifest: Manifest, directory: Path) -> Example:
    """Return a bundle's example, which has all that its signature says."""
    path = directory / manifest.file(manifest.example.path).hex
    example = Example.from_bytes(path.read_bytes())
    example.check(manifest.signature)
    return example


def _table(
    request: InferRequest, outputs: Tensors, classes: Mapping[str, Classes]
) -> InferResponse:
    from shearling.protocol.csv_rows import csv_of

    table = csv_of(request, outputs, classes)
    return responses.InferResponse({}, csv=table, truncated=request.truncated)
