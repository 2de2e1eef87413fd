"""A version is made smaller if that pays and its answers stay good enough."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from shearling.bundle.evaluation import Evaluation
from shearling.bundle.example import Example
from shearling.converters.quantization import RECIPES, Recipe
from shearling.errors import FormatError, InvalidRequestError, ModelNotFoundError
from shearling.models import quantize as quantize_module
from shearling.models.candidates import Candidate
from shearling.models.load import load_model
from shearling.models.push import push_model
from shearling.models.quantize import quantize
from tests.support.networks import digits, digits_network, embedding, perceptron, pictures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shearling.models.optimisation_report import OptimisationReport, ReportRow
    from shearling.registry.registry import Registry

ROWS, LABELS = digits()[2:]
IDS = np.random.default_rng(0).integers(0, 2000, (500, 5))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure, and draw rows, only a few times."""
    monkeypatch.setattr("shearling.models.latency._SECONDS", 0.05)
    monkeypatch.setattr("shearling.models.metric_gate._DRAWS", 60)


@pytest.fixture
def any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every latency pass: a test must not depend on how busy the machine is."""
    monkeypatch.setattr("shearling.models.interleaved._NOTHING_MS", 1e9)


@pytest.fixture
def network(registry: Registry) -> Registry:
    """A registry with the network of the digits, version 1 of `digits`."""
    example = pictures(ROWS[:4])
    metadata = {"owner": "team"}
    push_model(digits_network(), "digits", example=example, metadata=metadata, registry=registry)
    return registry


def row(report: OptimisationReport, recipe: str) -> ReportRow:
    return next(each for each in report.rows if each.recipe == recipe)


@pytest.mark.usefixtures("any_time")
def test_the_first_recipe_that_passes_and_pays_becomes_a_version(network: Registry) -> None:
    report = quantize("digits", pictures(ROWS), y=LABELS, registry=network)
    assert [each.recipe for each in report.rows] == ["original", "int8-convolutions"]
    assert report.taken is not None
    assert report.version is not None
    assert str(report.version).startswith("digits:2@")
    assert network.manifest("digits:2").size < 0.4 * network.manifest("digits:1").size
    answers = load_model("digits:2", registry=network).predict(pictures(ROWS))["probabilities"]
    assert (answers.argmax(axis=1) == LABELS).mean() > 0.97


@pytest.mark.usefixtures("any_time")
def test_the_version_names_its_parent_by_digest_and_its_recipe(network: Registry) -> None:
    parent = network.resolve("digits:1")
    report = quantize("digits", pictures(ROWS), registry=network)
    manifest, record = network.manifest("digits:2"), network.version("digits:2")
    assert manifest.metadata["owner"] == "team"
    assert manifest.metadata["parent"] == str(parent)
    assert manifest.metadata["recipe"] == {"method": "quantize", "name": "int8-convolutions"}
    measured = record.details["optimisation"]
    assert measured["processor"]
    assert measured["flags"]
    assert [each["recipe"] for each in measured["rows"]] == ["original", "int8-convolutions"]
    assert measured["rows"][1]["latency_ms"].keys() == {"1", "64"}
    assert json.loads(json.dumps(report.to_dict()))["version"] == str(record.pin)


@pytest.mark.usefixtures("any_time")
def test_the_contract_and_the_example_are_the_parent_s(network: Registry, cache: Path) -> None:
    quantize("digits", pictures(ROWS), registry=network)
    before, after = (network.manifest(f"digits:{number}") for number in (1, 2))
    assert after.signature.outputs == before.signature.outputs
    assert after.signature.independent_rows
    examples = []
    for manifest in (before, after):
        network.fetch(manifest, cache / "files")
        data = (cache / "files" / manifest.file(manifest.example.path).hex).read_bytes()
        examples.append(Example.from_bytes(data))
    assert np.array_equal(examples[0].inputs["image"], examples[1].inputs["image"])
    given = load_model("digits:2", registry=network).predict(examples[1].inputs)
    assert np.allclose(given["probabilities"], examples[1].outputs["probabilities"], atol=1e-4)


@pytest.mark.usefixtures("any_time")
def test_the_same_rows_make_the_same_version(network: Registry) -> None:
    first, again = (quantize("digits:1", pictures(ROWS), registry=network) for _ in range(2))
    assert first.version is not None
    assert first.version == again.version
    assert (first.is_new, again.is_new) == (True, False)


@pytest.mark.usefixtures("any_time")
def test_a_recipe_that_hurts_is_refused_and_the_next_one_is_tried(
    network: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ruin(graph: onnx.ModelProto, _: object) -> None:
        for tensor in graph.graph.initializer:
            if tensor.dims == [32, 1, 3, 3]:
                tensor.raw_data = bytes(len(tensor.raw_data))

    ruinous = Recipe(name="ruinous", operators=frozenset(), apply=ruin)
    monkeypatch.setattr(quantize_module, "RECIPES", (ruinous, *RECIPES))
    report = quantize("digits", pictures(ROWS), y=LABELS, registry=network)
    refused = row(report, "ruinous")
    assert refused.verdict == "refused"
    assert "max_loss is 0.01" in refused.reason
    assert report.taken is not None
    assert report.taken.recipe == "int8-convolutions"
    assert report.taken.quality is not None
    assert report.taken.quality.interval is not None
    assert report.taken.quality.interval[1] <= 0.01


def test_nothing_is_published_if_no_recipe_passes(network: Registry) -> None:
    report = quantize(
        "digits", pictures(ROWS), y=LABELS, metric="log_loss", max_loss=0, registry=network
    )
    assert report.version is None
    assert {each.verdict for each in report.rows[1:]} == {"refused"}
    assert "digits:1 stays" in str(report)
    assert [version.pin.version for version in network.versions("digits")] == [1]


def test_a_recipe_that_gains_nothing_is_not_taken(
    network: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Recipe(name="copy", operators=frozenset(), apply=lambda _, __: None)
    monkeypatch.setattr(quantize_module, "RECIPES", (copy,))
    report = quantize("digits", pictures(ROWS), recipe="copy", registry=network)
    assert report.version is None
    assert row(report, "copy").verdict == "no gain"


def test_a_recipe_that_fails_is_no_reason_to_stop(
    network: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such operator")

    broken = replace(RECIPES[0], apply=fail)
    monkeypatch.setattr(quantize_module, "RECIPES", (broken, *RECIPES[1:]))
    report = quantize("digits", pictures(ROWS), registry=network)
    assert row(report, "int8-convolutions").verdict == "failed"
    assert "no such operator" in row(report, "int8-convolutions").reason
    assert len(report.rows) > 2


def test_a_row_that_depends_on_its_batch_is_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What `quantize_dynamic` makes: the range of all rows of a request rounds each of them."""

    def dynamic(graph: onnx.ModelProto, _: object) -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        onnx.save(graph, tmp_path / "float.onnx")
        quantize_dynamic(
            tmp_path / "float.onnx",
            tmp_path / "int8.onnx",
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        graph.CopyFrom(onnx.load(tmp_path / "int8.onnx"))

    recipe = Recipe(name="dynamic", operators=frozenset({"MatMul", "Gemm"}), apply=dynamic)
    monkeypatch.setattr(quantize_module, "RECIPES", (recipe,))
    push_model(perceptron(512), "net", example=ROWS[:4], registry=registry)
    report = quantize("net", ROWS, y=LABELS, max_loss=1, recipe="dynamic", registry=registry)
    assert report.version is None
    assert "depends on the other rows of its request" in row(report, "dynamic").reason


@pytest.mark.usefixtures("any_time")
def test_a_table_of_rows_and_a_matrix_become_blocks(registry: Registry) -> None:
    push_model(embedding(), "embed", example={"ids": IDS[:4]}, registry=registry)
    report = quantize("embed", {"ids": IDS}, registry=registry)
    assert report.taken is not None
    assert report.taken.recipe == "int8-weights"
    assert report.taken.quality is not None
    assert report.taken.quality.measure.startswith("cosine")
    manifest = registry.manifest("embed:2")
    assert manifest.options["opset"]["com.microsoft"] == 1


@pytest.mark.usefixtures("any_time")
def test_large_weights_go_to_a_file_of_their_own(registry: Registry) -> None:
    push_model(perceptron(20_000), "wide", example=ROWS[:4], registry=registry)
    for recipe in ("int8", "fp16"):
        report = quantize("wide:1", ROWS, y=LABELS, max_loss=1, recipe=recipe, registry=registry)
        assert report.version is not None
        manifest = registry.manifest(report.version)
        weights = [file for file in manifest.files if file.path == file.hex]
        assert weights[0].size > 0.9 * manifest.size
        assert manifest.file("model.onnx").size < 10_000


@pytest.mark.usefixtures("any_time")
def test_the_classes_of_an_estimator_are_judged_by_its_own_labels(registry: Registry) -> None:
    words = np.array([f"digit {i}" for i in range(10)], object)
    model = MLPClassifier((256,), max_iter=12, random_state=0)
    with pytest.warns(UserWarning, match="converge"):
        model.fit(digits()[0], words[digits()[1]])
    push_model(model, "words", example=ROWS[:4], registry=registry)
    for metric in (None, "roc_auc_ovr", "f1_macro"):
        report = quantize(
            "words:1", ROWS, y=words[LABELS], metric=metric, max_loss=0.02, registry=registry
        )
        assert report.version is not None
        assert report.version.version == 2
    assert (
        registry.manifest("words:2").signature.classes
        == registry.manifest("words:1").signature.classes
    )


@pytest.mark.usefixtures("any_time")
def test_another_name_gets_the_version(network: Registry) -> None:
    report = quantize("digits", pictures(ROWS), name="digits-small", registry=network)
    assert report.version is not None
    assert (report.version.model, report.version.version) == ("digits-small", 1)
    assert network.manifest("digits-small").model == "digits-small"


@pytest.mark.usefixtures("any_time")
def test_a_quantised_version_is_not_quantised_again(network: Registry) -> None:
    quantize("digits", pictures(ROWS), registry=network)
    with pytest.raises(FormatError, match="quantised already"):
        quantize("digits:2", pictures(ROWS), registry=network)


def _texts() -> Any:
    texts = ["good film", "bad film", "good book", "bad book"]
    model = make_pipeline(TfidfVectorizer(), MLPClassifier((64,), max_iter=5, random_state=0))
    with pytest.warns(UserWarning, match="converge"):
        return model.fit(texts, [1, 0, 1, 0])


def _fixed() -> onnx.ModelProto:
    graph = perceptron()
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    graph.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 4
    return graph


@pytest.mark.parametrize(
    ("model", "example", "sentence"),
    [
        (lambda: RandomForestClassifier(3).fit(ROWS, LABELS), ROWS[:4], "decision trees have"),
        (
            lambda: Ridge().fit(ROWS, LABELS),
            ROWS[:4],
            "a linear model has",
        ),
        (_texts, np.array(["good film", "a bad book"], object), "is text"),
        (lambda: perceptron(4, columns=8), ROWS[:4, :8], "nothing to gain"),
        (_fixed, ROWS[:4], "dynamic batch dimension"),
    ],
    ids=["trees", "linear", "text", "small", "fixed"],
)
def test_what_cannot_gain_is_refused_with_a_sentence(
    registry: Registry, model: Callable[[], Any], example: Any, sentence: str
) -> None:
    push_model(model(), "model", example=example, registry=registry)
    with pytest.raises(FormatError, match=sentence):
        quantize("model", example, registry=registry)


def test_a_pickle_is_refused(registry: Registry) -> None:
    model = RandomForestClassifier(3).fit(ROWS, LABELS)
    push_model(model, "pickle", example=ROWS[:4], format="cloudpickle", registry=registry)
    with pytest.raises(FormatError, match="stored as cloudpickle"):
        quantize("pickle", ROWS, registry=registry)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": "int4"}, "recipe 'int4': expected one of auto, int8, fp16"),
        ({"metric": "accuracy"}, "metric needs the true values"),
        ({"max_loss": -1}, "max_loss -1 is not a finite number of at least 0"),
        ({"max_loss": float("nan")}, "max_loss nan"),
        ({"max_loss": "1 %"}, "max_loss '1 %'"),
        ({"min_rows": 0}, "min_rows 0 is not a finite number of at least 1"),
        ({"y": LABELS[:5]}, "y has 5 values, but data has 897 rows"),
        ({"y": np.where(LABELS == 3, np.nan, LABELS)}, "is missing: leave out rows"),
        ({"data": pictures(ROWS)[:0]}, "0 rows are too few: 400 different rows"),
        ({"data": pictures(ROWS)[:100]}, "100 rows are too few: 400 different rows"),
        ({"data": ROWS}, "input 'image'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    network: Registry, arguments: dict[str, Any], message: str
) -> None:
    data = arguments.pop("data", pictures(ROWS))
    with pytest.raises(InvalidRequestError, match=message):
        quantize("digits", data, registry=network, **arguments)


def test_a_recipe_for_other_operators_is_refused(registry: Registry) -> None:
    push_model(perceptron(), "net", example=ROWS[:4], registry=registry)
    with pytest.raises(FormatError, match="no large weights that int8-convolutions is for"):
        quantize("net", ROWS, recipe="int8-convolutions", registry=registry)


def test_a_model_that_is_not_there_is_named(registry: Registry) -> None:
    with pytest.raises(ModelNotFoundError):
        quantize("digits", pictures(ROWS), registry=registry)


def test_few_rows_judge_if_that_is_asked_for(network: Registry) -> None:
    report = quantize("digits", pictures(ROWS)[:40], min_rows=20, registry=network)
    assert (report.calibration_rows, report.judged_rows) == (20, 20)


def test_the_rows_that_judge_calibrated_nothing(
    network: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[bytes]] = {"calibrated": set(), "judged": set()}
    recipe = Recipe(
        name="spy",
        operators=frozenset(),
        apply=lambda _, batches: seen["calibrated"].update(
            picture.tobytes() for batch in batches for picture in batch["image"]
        ),
    )
    monkeypatch.setattr(quantize_module, "RECIPES", (recipe,))
    answers = Candidate.answers

    def judged(self: Candidate, rows: Any, *batch: int, **options: int) -> Any:
        seen["judged"].update(picture.tobytes() for picture in rows["image"])
        return answers(self, rows, *batch, **options)

    monkeypatch.setattr(Candidate, "answers", judged)
    twice = np.concatenate([pictures(ROWS), pictures(ROWS)])
    quantize("digits", twice, recipe="spy", registry=network)
    assert seen["calibrated"]
    assert seen["judged"]
    assert not seen["calibrated"] & seen["judged"]


def test_missing_values_that_a_quantised_operator_would_hide_are_refused(
    network: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shearling.models.interleaved._NOTHING_MS", 1e9)
    assert network.manifest("digits:1").signature.inputs[0].nullable
    quantize("digits", pictures(ROWS), registry=network)
    model = load_model("digits:2", registry=network)
    missing = pictures(ROWS[:1]).copy()
    missing[0, 0, 4, 4] = np.nan
    answer = model._predictor.predict({"image": missing}, ["probabilities"])
    hides = bool(np.isfinite(answer["probabilities"]).all())
    assert model.signature.inputs[0].nullable is not hides


def test_the_report_shows_in_terminals_notebooks_and_json(network: Registry) -> None:
    report = quantize("digits", pictures(ROWS), y=LABELS, registry=network)
    text, page = str(report), report._repr_html_()
    for word in ("RECIPE", "SIZE", "64 ROWS", "int8-convolutions", "accuracy", "87.5 kB"):
        assert word in text
    assert "<td>int8-convolutions</td>" in page
    assert report.to_dict()["rows"][0]["verdict"] == "original"


@pytest.mark.usefixtures("any_time")
def test_the_smaller_version_of_a_push_is_evaluated_and_measured_and_gets_the_alias(
    registry: Registry,
) -> None:
    pushed = push_model(
        digits_network(),
        "digits",
        example=pictures(ROWS[:4]),
        quantize="int8",
        data=pictures(ROWS),
        y=LABELS,
        alias="prod",
        evaluate=(pictures(ROWS), LABELS),
        measure=True,
        largest=7,
        registry=registry,
    )
    assert pushed.version == 2
    assert pushed.quantization is not None
    assert pushed.quantization.parent.version == 1
    assert registry.resolve("digits:prod") == pushed.pin
    details = registry.version(pushed.pin).details
    assert pushed.evaluation == Evaluation.from_details(details)
    assert pushed.evaluation is not None
    assert pushed.evaluation.metrics["accuracy"] > 0.9
    assert {latency["rows"] for latency in details["measured"]["latencies"]} == {1, 7}


def test_a_push_of_what_cannot_be_quantised_warns_and_stays(registry: Registry) -> None:
    model = RandomForestClassifier(3, random_state=0).fit(ROWS, LABELS)
    with pytest.warns(UserWarning, match="forest:1 is published as it was pushed: .*trees"):
        pushed = push_model(
            model, "forest", example=ROWS[:4], quantize="auto", data=ROWS, registry=registry
        )
    assert (pushed.version, pushed.quantization) == (1, None)


def test_a_push_whose_recipes_hurt_warns_and_stays(registry: Registry) -> None:
    with pytest.warns(UserWarning, match="digits:1 is published as it was pushed. int8-conv"):
        pushed = push_model(
            digits_network(),
            "digits",
            example=pictures(ROWS[:4]),
            quantize="auto",
            data=pictures(ROWS),
            y=LABELS,
            metric="log_loss",
            max_loss=0,
            registry=registry,
        )
    assert pushed.version == 1
    assert pushed.quantization is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantize": "int8"}, "go together"),
        ({"data": ROWS}, "go together"),
        ({"y": LABELS}, r"y and metric go with quantize: .* evaluate=\(X, y\)"),
        ({"metric": "r2"}, "y and metric go with quantize"),
        ({"quantize": "int2", "data": ROWS}, "recipe 'int2'"),
        ({"quantize": "int8", "data": ROWS[:9]}, "net:1 is published, but not quantised: data: 9"),
    ],
)
def test_a_push_names_arguments_of_quantization_that_do_not_fit(
    registry: Registry, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        push_model(perceptron(), "net", example=ROWS[:4], registry=registry, **arguments)
