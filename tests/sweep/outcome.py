"""Push a model, ask what is served about rows unlike the example, and compare with the original."""

from __future__ import annotations

import json
import re
import tempfile
import uuid
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InferenceError, ShearlingError
from shearling.models.push import push_model
from shearling.registry.registry import Registry
from shearling.tensors.inputs import is_frame
from shearling_runtime.serving.inference_input import InferenceInput
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.sweep.data import Table

RIGHT, WARNED, CONTRACT, REFUSED, WRONG = "right", "warned", "contract", "refused", "WRONG"

#: Methods whose answer an output holds; the first that the original has counts.
_METHODS = {
    "label": ["predict"],
    "prediction": ["predict"],
    "probabilities": ["predict_proba", "decision_function"],
    "output": ["transform"],
    "scores": ["decision_function", "transform", "predict_proba", "score_samples"],
    "margins": ["decision_function"],
}

#: Differences that rounding explains.
_RTOL, _ATOL = 1e-3, 1e-4

#: Classes tie if their scores differ by less, relative to large scores.
_TIE = 1e-4

_BAD_REQUEST = 400

#: Warnings that show rows which are answered otherwise than by the original.
_SHOWN = re.compile(
    "agrees with the original on the example, but not on|and the published model answers them"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a model: one of the words above, and the reason."""

    word: str
    reason: str = ""


def outcome_of(model: Any, table: Table) -> Outcome:
    """Push a fitted model, and compare what is served with the original on all rows of a table."""
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            version = push_model(model, "swept", example=table.fitted, registry=registry)
        except ShearlingError as error:
            return Outcome(REFUSED, str(error))
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - a crash is what the sweep looks for
            return Outcome(WRONG, f"the push crashes: {type(error).__name__}: {error}")
        # A warning that the contract refuses some rows does not excuse the answers to others.
        warned = [text for one in caught if _SHOWN.search(text := str(one.message))]
        served = _Served(registry, version.pin, Path(scratch))
        refusals = []
        for name, rows in table.asked.items():
            outcome = _asked(model, served, rows)
            if outcome.word == WRONG:
                return (
                    Outcome(WARNED, warned[0])
                    if warned
                    else Outcome(WRONG, f"{name}: {outcome.reason}")
                )
            refusals += [f"{name}: {outcome.reason}"] * (outcome.word == CONTRACT)
    return Outcome(CONTRACT, refusals[0]) if refusals else Outcome(RIGHT)


class _Served:
    """A pushed model behind the runtime's protocol."""

    def __init__(self, registry: Registry, pin: Any, scratch: Path) -> None:
        settings = Settings(
            registry=registry.store.uri,
            pin=pin,
            allow_pickle=False,
            mount=None,
            package=scratch / "package",
            scratch=scratch,
            memory_mb=1024,
            function="swept",
        )
        self._server = ModelServer(settings)
        self._metadata = self._server.metadata()

    def ask(self, rows: Any) -> dict[str, NDArray[Any]]:
        """Send rows as a request in JSON, and return the outputs of the response."""
        specs = self._metadata["inputs"]
        if is_frame(rows) and len(specs) > 1:
            columns = {spec["name"]: rows[spec["name"]].to_numpy() for spec in specs}
        else:
            matrix = rows.to_numpy() if is_frame(rows) else np.asarray(rows)
            columns = {specs[0]["name"]: matrix}
        inputs = [
            {
                "name": spec["name"],
                "datatype": spec["datatype"],
                "shape": [len(rows), *spec["shape"][1:]],
                "data": [_json_value(value) for value in columns[spec["name"]].ravel().tolist()],
            }
            for spec in specs
        ]
        document = json.loads(json.dumps({"inputs": inputs}))
        answer = self._server.infer(InferenceInput(document), seconds_left=60).document
        return {
            output["name"]: np.array(output["data"]).reshape(output["shape"])
            for output in answer["outputs"]
        }


def _json_value(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN


def _asked(model: Any, served: _Served, rows: Any) -> Outcome:
    """Ask about rows together, or one by one if that is refused."""
    outcome = _compared(model, served, rows)
    if outcome.word == RIGHT:
        return outcome
    parts = [rows[i : i + 1] for i in range(len(rows))]
    outcomes = [_compared(model, served, part) for part in parts]
    return max(outcomes, key=lambda one: [RIGHT, CONTRACT, WRONG].index(one.word))


def _compared(model: Any, served: _Served, rows: Any) -> Outcome:
    try:
        answers = served.ask(rows)
    except InferenceError as error:
        if error.status == _BAD_REQUEST:
            return Outcome(CONTRACT, str(error))
        return Outcome(WRONG, f"status {error.status}: {error}: {error.__cause__}")
    for name, answer in answers.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                original = _original(model, name, rows)
        except Exception as error:  # noqa: BLE001 - originals raise errors of any class
            return Outcome(WRONG, f"answered, but the original raises {error!r:.200}")
        if problem := _difference(model, name, rows, answer, original):
            return Outcome(WRONG, f"{name}: {problem}")
    return Outcome(RIGHT)


def _original(model: Any, output: str, rows: Any) -> NDArray[Any]:
    method = next((one for one in _METHODS.get(output, []) if hasattr(model, one)), None)
    if method is None:
        raise TypeError(f"no method answers output {output!r}")
    answer = getattr(model, method)(rows)
    if isinstance(answer, list):
        answer = np.stack(answer, axis=1)
    return np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)


def _difference(
    model: Any, name: str, rows: Any, answer: NDArray[Any], original: NDArray[Any]
) -> str:
    """Return how an answer differs from the original's; empty if it does not."""
    if answer.shape != original.shape and answer.squeeze().shape != original.squeeze().shape:
        return f"shape {list(answer.shape)}, original {list(original.shape)}"
    answer = answer.reshape(original.shape)
    if original.dtype.kind == "f" and name != "label":
        with np.errstate(over="ignore"):  # what is too large for 32 bits is infinite
            original = original.astype(np.float32).astype(np.float64)
        answer = np.where(answer == None, np.nan, answer).astype(np.float64)  # noqa: E711 - null
        largest = np.nanmax(np.abs(original), initial=0, axis=-1, keepdims=True)
        atol = np.maximum(_ATOL, 1e-5 * np.where(np.isfinite(largest), largest, 0))
        far = ~(np.abs(answer - original) <= atol + _RTOL * np.abs(original))
        far &= ~(np.isnan(answer) & np.isnan(original)) & ~(answer == original)
    else:
        far = answer != original
        if name == "label" and far.any():
            far = far & ~_ties(model, rows).reshape((-1,) + (1,) * (far.ndim - 1))
    if not far.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(far)[0])
    return f"{answer[place]} at {list(place)}, original {original[place]}"


def _ties(model: Any, rows: Any) -> NDArray[Any]:
    """Return for each row whether the two best classes have nearly the same score."""
    rank = next((one for one in ("predict_proba", "decision_function") if hasattr(model, one)), "")
    if not rank:
        return np.zeros(len(rows), bool)
    scores = getattr(model, rank)(rows)
    scores = np.stack(scores, axis=1) if isinstance(scores, list) else np.asarray(scores)
    if scores.ndim == 1:  # two classes: the sign decides
        return np.asarray(np.abs(scores) < _TIE)
    best = np.sort(scores, axis=-1)
    ties = best[..., -1] - best[..., -2] < _TIE * np.maximum(1, np.abs(best[..., -1]))
    return np.asarray(ties if ties.ndim == 1 else ties.any(axis=-1))
