"""A model that is served by an endpoint, with the contract of a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.endpoints.bodies import AnswerError, read_response, write_request
from shearling.errors import PredictionError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from shearling.bundle.manifest import Manifest
    from shearling.endpoints.invoke import Endpoint
    from shearling.formats.base import Tensors

#: Option of a bundle with the form of the endpoint's bodies. Our container takes binary tensors.
#: Other endpoints of other bundles take JSON, or binary tensors where JSON cannot carry a datatype.
BODY = "body"


class EndpointPredictor:
    """A predictor that asks an endpoint.

    Args:
        manifest: manifest of the bundle that has the contract.
        endpoint: the endpoint.
        by_row: names of the outputs that must have a row for each row of a request.
    """

    def __init__(
        self, manifest: Manifest, endpoint: Endpoint, by_row: Collection[str] = ()
    ) -> None:
        self._endpoint = endpoint
        self._by_row = by_row
        self._signature = manifest.signature
        specs = (*self._signature.inputs, *self._signature.outputs)
        is_binary = endpoint.is_ours or any(spec.datatype == "FP16" for spec in specs)
        self._body = str(manifest.options.get(BODY, "binary" if is_binary else "json"))

    def predict(
        self, inputs: Tensors, outputs: Sequence[str], seconds: float = float("inf")
    ) -> dict[str, NDArray[Any]]:
        """Return the named outputs for inputs that match the signature.

        Args:
            inputs: arrays by input name.
            outputs: names of the outputs.
            seconds: seconds to wait for the endpoint at most.

        Raises:
            InferenceError: as for `Endpoint.invoke`.
            PredictionError: the endpoint's answer does not fit the contract.
        """
        body, content_type, accept = write_request(self._body, inputs, outputs)
        data, kind = self._endpoint.invoke(body, content_type, accept, seconds)
        rows = self._rows(inputs)
        try:
            answers = read_response(data, kind, self._signature, outputs, rows)
            self._check_rows(answers, rows)
        except AnswerError as error:
            raise PredictionError(f"endpoint {self._endpoint.name}: {error}") from error
        return answers

    def refusal(self, error: Exception) -> str:
        """Return an empty reason: `predict` raises what the caller gets."""
        del error
        return ""

    def _check_rows(self, answers: Tensors, rows: int | None) -> None:
        for name, array in answers.items():
            if name in self._by_row and len(array) != rows:
                raise AnswerError(
                    f"its answer has {len(array)} rows in output {name!r}, but the request has "
                    f"{rows}"
                )

    def _rows(self, inputs: Tensors) -> int | None:
        counts = (len(inputs[s.name]) for s in self._signature.inputs if s.shape[:1] == (-1,))
        return next(counts, None)
