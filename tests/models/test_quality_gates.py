"""A gate refuses answers that are worse than allowed, and says by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn import metrics

from shearling.errors import InvalidRequestError
from shearling.models.agreement_gate import AgreementGate
from shearling.models.metric_gate import MetricGate
from shearling.tensors.spec import Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from shearling.models.agreement_gate import Quality

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 3, 400)
PROBABILITIES = np.eye(3)[LABELS] * 0.8 + 0.2 / 3


def signature(**shapes: tuple[int, ...]) -> Signature:
    outputs = tuple(
        TensorSpec(name=name, datatype="FP32", shape=shape) for name, shape in shapes.items()
    )
    return Signature(inputs=(), outputs=outputs)


def agreement(expected: NDArray[Any], given: NDArray[Any]) -> Quality:
    gate = AgreementGate(signature(out=(-1,)), {"out": expected})
    return gate.judge({"out": given})


def swapped(share: float) -> NDArray[Any]:
    """The probabilities, with the classes of some rows rolled on."""
    count = int(share * len(LABELS))
    return np.concatenate([np.roll(PROBABILITIES[:count], 1, axis=1), PROBABILITIES[count:]])


def metric_gate(metric: Any = None, max_loss: float = 0.01) -> MetricGate:
    answers = {"probabilities": PROBABILITIES}
    return MetricGate.of(metric, LABELS, signature(probabilities=(-1, 3)), answers, max_loss)


@pytest.mark.parametrize(("share", "passes"), [(0.0, True), (0.0075, True), (0.02, False)])
def test_classes_must_agree_in_99_of_100_rows(share: float, *, passes: bool) -> None:
    quality = agreement(PROBABILITIES, swapped(share))
    assert quality.measure == "class agreement"
    assert quality.value == pytest.approx(1 - share)
    assert (quality.problem == "") is passes


@pytest.mark.parametrize(("noise", "passes"), [(0.05, True), (0.5, False)])
def test_vectors_must_keep_their_direction(noise: float, *, passes: bool) -> None:
    vectors = RANDOM.normal(size=(400, 64))
    quality = agreement(vectors, vectors + RANDOM.normal(size=vectors.shape) * noise)
    assert quality.measure.startswith("cosine")
    assert (quality.problem == "") is passes


@pytest.mark.parametrize(("noise", "passes"), [(0.01, True), (0.2, False)])
def test_numbers_must_explain_the_variance(noise: float, *, passes: bool) -> None:
    numbers = RANDOM.normal(size=(400, 1))
    quality = agreement(numbers, numbers + RANDOM.normal(size=numbers.shape) * noise)
    assert quality.measure.startswith("R2")
    assert (quality.problem == "") is passes


@pytest.mark.parametrize(("noise", "passes"), [(0.01, True), (0.2, False)])
def test_each_target_of_an_estimator_must_be_explained(noise: float, *, passes: bool) -> None:
    """The direction of such a row says only how its largest target is answered."""
    targets = RANDOM.normal(size=(400, 2)) * [1e4, 1]
    given = targets + RANDOM.normal(size=targets.shape) * [0, noise]
    gate = AgreementGate(signature(prediction=(-1, 2)), {"prediction": targets})
    quality = gate.judge({"prediction": given})
    assert quality.measure.startswith("R2")
    assert (quality.problem == "") is passes


def test_labels_must_agree() -> None:
    words = np.array(["no", "yes"], object)[LABELS % 2]
    assert not agreement(words, words).problem
    assert "is 0.95" in agreement(words, np.where(np.arange(400) < 20, "other", words)).problem


def test_the_worst_output_decides() -> None:
    gate = AgreementGate(
        signature(scores=(-1, 3), number=(-1,)),
        {"scores": PROBABILITIES, "number": np.arange(400.0)},
    )
    quality = gate.judge({"scores": PROBABILITIES, "number": np.arange(400.0)[::-1]})
    assert "'number'" in quality.problem


def test_a_constant_and_zeros_are_kept() -> None:
    assert not agreement(np.ones(400), np.ones(400)).problem
    assert agreement(np.ones(400), np.zeros(400)).problem
    assert not agreement(np.zeros((400, 8)), np.zeros((400, 8))).problem


def test_a_value_that_is_no_longer_finite_is_refused() -> None:
    expected = np.ones((400, 8))
    given = expected.copy()
    given[3, 1] = np.nan
    assert "finite" in agreement(expected, given).problem


def test_the_upper_end_of_the_loss_is_held_against_the_limit() -> None:
    quality = metric_gate(max_loss=0.01).judge({"probabilities": swapped(0.0075)})
    assert quality.loss == pytest.approx(0.0075)
    assert quality.interval is not None
    assert quality.interval[0] <= 0.0075 <= quality.interval[1]
    assert quality.interval[1] > 0.01
    assert "with 95 % confidence" in quality.problem
    assert not metric_gate(max_loss=0.05).judge({"probabilities": swapped(0.0075)}).problem


def test_equal_answers_have_no_loss() -> None:
    quality = metric_gate(max_loss=0).judge({"probabilities": PROBABILITIES})
    assert (quality.loss, quality.interval, quality.problem) == (0, (0, 0), "")


@pytest.mark.parametrize(
    "metric",
    [
        None,
        "accuracy",
        "f1_macro",
        "roc_auc_ovr",
        "log_loss",
        "neg_log_loss",
        "accuracy_score",
        "cohen_kappa_score",
        metrics.balanced_accuracy_score,
        metrics.zero_one_loss,
        metrics.make_scorer(metrics.f1_score, average="micro"),
        lambda y, predicted: float(np.mean(y == predicted)),
    ],
)
def test_any_metric_shows_that_swapped_classes_are_worse(metric: Any) -> None:
    quality = metric_gate(metric).judge({"probabilities": swapped(0.2)})
    assert quality.loss is not None
    assert quality.loss > 0.05
    assert quality.problem


@pytest.mark.parametrize(
    "metric", [None, "r2", "neg_mean_absolute_error", "mean_squared_error", metrics.max_error]
)
def test_metrics_of_numbers_are_read_from_vectors_and_columns(
    metric: str | Callable[..., float] | None,
) -> None:
    truth = RANDOM.normal(size=400)
    for shape in ((400,), (400, 1)):
        expected = {"out": truth.reshape(shape)}
        gate = MetricGate.of(metric, truth, signature(out=(-1,)), expected, 0.01)
        assert not gate.judge(expected).problem
        assert gate.judge({"out": -truth.reshape(shape)}).problem


def test_one_probability_is_that_of_the_second_class() -> None:
    truth = LABELS % 2
    expected = {"out": truth * 0.8 + 0.1}
    for metric in (None, "roc_auc", "average_precision"):
        gate = MetricGate.of(metric, truth, signature(out=(-1,)), expected, 0.01)
        assert gate.judge(expected).value == 1


def test_one_probability_is_a_class_for_labels_that_are_floats() -> None:
    truth = (LABELS % 2).astype(np.float32)
    expected = {"out": truth * 0.8 + 0.1}
    gate = MetricGate.of(None, truth, signature(out=(-1,)), expected, 0.01)
    assert gate.judge(expected).measure == "accuracy"


def test_answers_that_are_no_floats_are_classes() -> None:
    expected = {"out": LABELS}
    gate = MetricGate.of(None, LABELS, signature(out=(-1,)), expected, 0.01)
    assert gate.judge(expected).measure == "accuracy"


def test_a_function_gets_vectors_as_the_model_answers_them() -> None:
    vectors = RANDOM.normal(size=(400, 8))

    def spread(groups: NDArray[Any], given: NDArray[Any]) -> float:
        assert given.shape == (len(groups), 8)
        return float(given.std())

    gate = MetricGate.of(spread, LABELS, signature(out=(-1, 8)), {"out": vectors}, 0.01)
    assert gate.judge({"out": vectors / 2}).problem


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("acuracy", "'acuracy' is not a metric of scikit-learn"),
        (7, "neither the name of a metric nor a function"),
        ("r2_score", "cannot be computed"),
        (lambda y, _: y[10_000], "cannot be computed"),
    ],
)
def test_a_metric_that_cannot_be_computed_is_named(metric: Any, message: str) -> None:
    words = np.array(["a", "b", "c"], object)[LABELS]
    answers = {"label": words}
    label = TensorSpec(name="label", datatype="BYTES", shape=(-1,))
    with pytest.raises(InvalidRequestError, match=message):
        MetricGate.of(metric, words, Signature(inputs=(), outputs=(label,)), answers, 0.01)


@pytest.mark.parametrize("labels", [LABELS + 100, np.array(["0", "1", "2"])[LABELS]])
def test_labels_that_no_answer_equals_are_no_proof(labels: Any) -> None:
    answers = {"label": LABELS}
    label = TensorSpec(name="label", datatype="INT64", shape=(-1,))
    with pytest.raises(InvalidRequestError, match="y: no label is a class that the model answers"):
        MetricGate.of(None, labels, Signature(inputs=(), outputs=(label,)), answers, 0.01)


def test_a_metric_that_most_draws_do_not_define_is_no_proof() -> None:
    truth = np.zeros(400, int)
    truth[0] = 1
    expected = {"out": np.linspace(1, 0, 400)}

    def both_classes(y: NDArray[Any], _: object) -> float:
        if y.sum() < 3:
            raise ValueError("too few")
        return 1.0

    truth[:3] = 1
    gate = MetricGate.of(both_classes, truth, signature(out=(-1,)), expected, 0.01)
    assert "not defined" in gate.judge(expected).problem or gate.judge(expected).interval
