"""Distillation: which student is pushed, what is refused, and what the report says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from shearling.errors import BundleError, FormatError, InvalidRefError, InvalidRequestError
from shearling.models.distil import distil
from shearling.models.load import load_model
from shearling.models.push import push_model
from tests.support.datasets import load_pinned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.models.distillation import Distillation
    from shearling.registry.registry import Registry

RANDOM = np.random.default_rng(3)

#: Rows whose class depends on a sum, which a linear model learns.
X = RANDOM.normal(size=(600, 5))
LIKELY = 1 / (1 + np.exp(-4 * X.sum(axis=1)))
WORDS = np.where(LIKELY > 0.5, "yes", "no").astype(object)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of histogram boosting wait for each other on a busy machine."""
    with threadpool_limits(1):
        yield


def probabilities(rows: Any) -> Any:
    likely = 1 / (1 + np.exp(-4 * np.asarray(rows, float).sum(axis=1)))
    return np.column_stack([1 - likely, likely])


def words(rows: Any) -> Any:
    return np.where(np.asarray(rows, float).sum(axis=1) > 0, "yes", "no")


def numbers(rows: Any) -> Any:
    return 3 * np.asarray(rows, float).sum(axis=1) + 1


def linear() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression())


def small(registry: Registry, teacher: Any = probabilities, **options: Any) -> Distillation:
    options = {"student": linear(), "name": "small"} | options
    return distil(teacher, options.pop("X", X), registry=registry, **options)


# What is pushed


def test_the_smallest_student_that_agrees_is_pushed(registry: Registry) -> None:
    students = [
        make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=1)),
        DecisionTreeClassifier(max_leaf_nodes=200, random_state=0),
        linear(),
        RandomForestClassifier(5, random_state=0),
    ]
    report = small(registry, student=students, min_agreement=0.95)
    verdicts = {one.name: one.verdict.partition(":")[0] for one in report.students}
    assert verdicts["LogisticRegression"] == "pushed"
    assert verdicts["DecisionTreeClassifier"] == "fails"
    sizes = [one.size_bytes for one in report.students]
    assert sizes == sorted(sizes, key=lambda size: size or 0)
    assert report.version is not None
    assert load_model("small", registry=registry).pin == report.version.pin


def test_the_student_answers_in_the_teachers_classes(registry: Registry) -> None:
    small(registry, classes=["no", "yes"])
    model = load_model("small", registry=registry)
    assert model.signature.classes == {"probabilities": ("no", "yes")}
    answers = model.predict(X[:20].astype(np.float32))
    assert set(answers["label"]) == {"no", "yes"}
    np.testing.assert_allclose(answers["probabilities"], probabilities(X[:20]), atol=0.2)


def test_a_student_learns_probabilities_and_not_only_labels(registry: Registry) -> None:
    """The teacher is never sure: fitted on its labels, a student would be."""

    def unsure(rows: Any) -> Any:
        return 0.5 + (probabilities(rows) - 0.5) / 5

    small(registry, unsure, min_agreement=0.9)
    answers = load_model("small", registry=registry).predict(X.astype(np.float32))
    assert answers["probabilities"].max() < 0.75


def test_probabilities_of_the_second_class_have_shape_rows(registry: Registry) -> None:
    small(registry, lambda rows: probabilities(rows)[:, 1], classes=["no", "yes"])
    answers = load_model("small", registry=registry).predict(X[:20].astype(np.float32))
    np.testing.assert_allclose(answers["probabilities"], probabilities(X[:20]), atol=0.2)


def test_a_classifier_of_floats_without_probabilities_gives_classes(registry: Registry) -> None:
    small(registry, LinearSVC().fit(X, (WORDS == "yes").astype(float)), min_agreement=0.9)
    answers = load_model("small", registry=registry).predict(X[:20].astype(np.float32))
    assert set(answers["label"].tolist()) <= {0, 1}


def test_a_student_must_agree_in_each_target_whatever_their_scales(registry: Registry) -> None:
    def teacher(rows: Any) -> Any:
        return np.column_stack([1e6 * rows[:, 0], np.sin(9 * rows[:, 1])])

    with pytest.raises(FormatError, match="no student agrees enough"):
        small(registry, teacher, student=Ridge())


def test_perceptrons_learn_several_targets(registry: Registry) -> None:
    report = small(registry, lambda rows: rows[:, :2] @ [[1.0, 2.0], [3.0, 4.0]], student="auto")
    agreements = {one.name: one.agreement or 0 for one in report.students}
    assert agreements["perceptron of 64"] > 0.9


def test_a_class_that_is_never_likely_stays_a_class(registry: Registry) -> None:
    def teacher(rows: Any) -> Any:
        return np.column_stack([0.999 * probabilities(rows), np.full(len(rows), 0.001)])

    small(registry, teacher)
    assert load_model("small", registry=registry).signature.classes["probabilities"] == (0, 1, 2)


def test_a_teacher_may_give_labels_alone(registry: Registry) -> None:
    report = small(registry, words, min_agreement=0.95)
    assert report.version is not None
    assert registry.manifest(report.version.pin).metadata["recipe"]["learnt"] == "labels"
    assert load_model("small", registry=registry).signature.classes["probabilities"] == (
        "no",
        "yes",
    )


def test_a_teacher_may_give_numbers(registry: Registry) -> None:
    report = small(registry, numbers, student=[DecisionTreeRegressor(max_depth=2), Ridge(0.01)])
    assert [one.verdict.partition(":")[0] for one in report.students] == ["pushed", "fails"]
    answers = load_model("small", registry=registry).predict(X[:9].astype(np.float32))
    np.testing.assert_allclose(answers["prediction"], numbers(X[:9]), atol=0.05)


def test_a_teacher_may_give_several_numbers(registry: Registry) -> None:
    small(registry, lambda rows: np.column_stack([numbers(rows), rows[:, 0]]), student=Ridge(0.01))
    assert load_model("small", registry=registry).predict(X[:2])["prediction"].shape == (2, 2)


def test_a_classifier_without_probabilities_teaches_its_labels(registry: Registry) -> None:
    teacher = LinearSVC().fit(X, WORDS)
    report = small(registry, teacher, min_agreement=0.95)
    assert report.teacher.name == "LinearSVC"


def test_the_teachers_own_labels_count_where_its_probabilities_say_otherwise(
    registry: Registry,
) -> None:
    class Careful:
        classes_ = np.array(["no", "yes"])

        def predict_proba(self, rows: Any) -> Any:
            return probabilities(rows)

        def predict(self, rows: Any) -> Any:
            return np.where(probabilities(rows)[:, 1] > 0.9, "yes", "no")

    with pytest.raises(FormatError, match="no student agrees enough"):
        small(registry, Careful(), min_agreement=0.95)


@pytest.mark.parametrize("missing", [False, True])
def test_the_automatic_students_read_categories_and_missing_values(
    registry: Registry, *, missing: bool
) -> None:
    frame = pd.DataFrame({"amount": X[:, 0], "count": np.arange(600), "land": WORDS})
    if missing:
        frame.loc[::7, "amount"] = np.nan

    def teacher(rows: pd.DataFrame) -> Any:
        likely = np.where(rows["land"] == "yes", 0.9, 0.2)
        return np.column_stack([1 - likely, likely])

    report = small(registry, teacher, X=frame, student="auto")
    assert [one for one in report.students if one.verdict.startswith("impossible")] == []
    model = load_model("small", registry=registry)
    assert model.predict(frame.head(3))["label"].shape == (3,)


def test_automatic_students_learn_from_a_forest(registry: Registry) -> None:
    rows, labels = load_breast_cancer(return_X_y=True)
    forest = RandomForestClassifier(60, random_state=0).fit(rows[:200], labels[:200])
    report = distil(forest, rows[200:], name="cancer", min_agreement=0.9, registry=registry)
    taken = next(one for one in report.students if one.verdict == "pushed")
    assert len(report.students) == 6
    assert taken.size_bytes is not None
    assert report.teacher.size_bytes is not None
    assert taken.size_bytes < report.teacher.size_bytes / 10
    assert "scikit" not in taken.package
    assert "packages" in report.teacher.package


def test_automatic_students_learn_numbers(registry: Registry) -> None:
    rows, targets = load_diabetes(return_X_y=True)
    forest = RandomForestRegressor(20, random_state=0).fit(rows[:200], targets[:200])
    report = distil(forest, rows, targets, name="sugar", min_agreement=0.5, registry=registry)
    assert report.version is not None
    assert report.teacher.quality is not None
    assert [one for one in report.students if one.verdict.startswith("impossible")] == []


# Where it comes from


def test_a_version_names_its_teacher_by_digest_and_records_the_measurements(
    registry: Registry,
) -> None:
    teacher = push_model(linear().fit(X, WORDS), "large", example=X[:9], registry=registry)
    report = small(registry, "large", metadata={"team": "risk"})
    assert report.version is not None
    metadata = registry.manifest(report.version.pin).metadata
    assert metadata["parent"] == str(teacher.pin)
    assert metadata["team"] == "risk"
    assert metadata["recipe"]["student"] == "LogisticRegression"
    measured = registry.version(report.version.pin).details["optimisation"]
    assert [row["verdict"] for row in measured["rows"]] == ["teacher", "pushed"]
    assert (measured["fitted_rows"], measured["judged_rows"]) == (450, 150)
    assert measured["processor"]


def test_distilling_again_gives_the_same_version(registry: Registry) -> None:
    first, again = (small(registry).version for _ in range(2))
    assert first is not None
    assert again is not None
    assert (again.version, again.is_new) == (first.version, False)


def test_a_pickle_teaches_where_it_is_allowed(registry: Registry) -> None:
    forest = RandomForestClassifier(20, random_state=0).fit(X, WORDS)
    pickled = push_model(forest, "forest", example=X[:9], format="cloudpickle", registry=registry)
    with pytest.raises(FormatError, match="is a pickle"):
        small(registry, str(pickled.pin))
    report = small(registry, str(pickled.pin), allow_pickle=True, min_agreement=0.9)
    assert report.teacher.package.endswith("MB")
    assert load_model("small", registry=registry).signature.classes["probabilities"] == (
        "no",
        "yes",
    )
    assert load_pinned(pickled, registry).pin == pickled.pin


def test_metadata_of_the_same_name_is_refused(registry: Registry) -> None:
    with pytest.raises(BundleError, match=r"use another name in 'metadata\.parent'"):
        small(registry, metadata={"parent": "mine"})


# The gate


def test_where_no_student_agrees_nothing_is_published_and_the_report_is_in_the_error(
    registry: Registry,
) -> None:
    with pytest.raises(FormatError, match=r"the best is DecisionTreeClassifier with 0\.") as caught:
        small(registry, student=DecisionTreeClassifier(max_depth=1))
    assert registry.models() == []
    assert "VERDICT" in caught.value.__notes__[0]


def test_a_student_that_only_knows_the_common_class_fails(registry: Registry) -> None:
    def rarely(rows: Any) -> Any:
        return np.where(np.asarray(rows)[:, 0] > 2.3, "fraud", "fine")

    with pytest.raises(FormatError, match="the answer 'fine' to all of them"):
        small(
            registry,
            rarely,
            student=DecisionTreeClassifier(max_depth=1, max_features=1, min_samples_leaf=60),
        )


def test_students_never_see_a_held_out_row_nor_its_copy(registry: Registry) -> None:
    class Seen(DecisionTreeClassifier):  # type: ignore[misc]
        rows: Any = None

        def fit(self, rows: Any, y: Any, sample_weight: Any = None) -> Any:
            Seen.rows = rows
            return super().fit(rows, y, sample_weight=sample_weight)

    asked = []

    def teacher(rows: Any) -> Any:
        asked.append(rows)
        return probabilities(rows)

    doubled = np.concatenate([X, X])
    with pytest.raises(FormatError):  # it is no estimator that converts
        small(registry, teacher, X=doubled, student=Seen(max_depth=1), min_agreement=1.0)
    seen = {row.tobytes() for row in Seen.rows}
    given = {row.tobytes() for row in doubled.astype(np.float32)}
    assert len(given - seen) == 150


def test_the_latency_of_64_rows_is_of_64_rows_where_fewer_are_held_out(registry: Registry) -> None:
    asked = []

    def teacher(rows: Any) -> Any:
        asked.append(len(rows))
        return probabilities(rows)

    report = small(registry, teacher, X=X[:200])
    assert report.judged_rows == 50
    assert set(asked) == {200, 1, 64}


def test_a_student_that_does_not_convert_is_a_row_of_the_report(registry: Registry) -> None:
    def metric(a: Any, b: Any) -> float:
        return float(np.abs(a - b).sum())

    odd = KNeighborsClassifier(3, metric=metric, algorithm="brute")
    report = small(registry, student=[odd, linear()])
    assert report.students[-1].verdict.startswith("impossible: ")
    assert report.students[0].verdict == "pushed"


# Labels


def test_labels_show_that_the_teacher_is_not_needed(registry: Registry) -> None:
    def wrong(rows: Any) -> Any:
        flipped = np.asarray(rows)[:, 0] > 0.8
        return np.where(flipped, "yes", words(rows))

    report = small(registry, wrong, y=WORDS, min_agreement=0.7)
    assert report.conclusion.endswith("you do not need the teacher")
    assert report.students[-1].verdict == "for comparison"
    assert report.labelled_rows == 150


def test_labels_show_that_the_teacher_is_needed(registry: Registry) -> None:
    some = WORDS.copy()
    noisy = RANDOM.random(600) < 0.45
    some[noisy] = np.where(some[noisy] == "yes", "no", "yes")
    some[150:] = None
    judged_by = some.copy()
    # Few noisy labels to learn from; the held-out rows have their right ones.
    from shearling.models.row_split import hold_out

    _, judged = hold_out(X.astype(np.float32), 150, least=1)
    judged_by[judged] = WORDS[judged]
    report = small(registry, words, y=judged_by, min_agreement=0.9)
    assert report.conclusion.startswith("The student is better than the same one fitted on")


def test_rows_without_labels_are_welcome(registry: Registry) -> None:
    labels = np.where(np.arange(600) % 3 == 0, np.nan, (WORDS == "yes").astype(float))
    report = small(registry, y=labels)
    assert 0 < report.labelled_rows < 150
    assert report.conclusion


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_labels_may_be_missing_among_integers(registry: Registry, missing: Any) -> None:
    labels = [missing if row % 3 == 0 else int(WORDS[row] == "yes") for row in range(600)]
    report = small(registry, y=np.array(labels, object))
    assert report.students[-1].verdict == "for comparison"
    assert report.conclusion


def test_labels_of_another_kind_are_refused(registry: Registry) -> None:
    with pytest.raises(InvalidRequestError, match=r"y has 1, and the teacher 'no': pass y in"):
        small(registry, words, y=np.ones(600, int))
    with pytest.raises(InvalidRequestError, match="but X has 600 rows"):
        small(registry, y=[1, 2, 3])


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"X": X[:100]}, r"X has 100 rows.*at least 200 different rows"),
        ({"X": np.repeat(X[:60], 10, axis=0)}, r"X has 600 rows, of which 60 are different"),
        ({"min_agreement": 98}, r"min_agreement 98: expected a number above 0, and at most 1"),
        ({"min_agreement": True}, r"min_agreement True"),
        ({"student": "tiny"}, r"student 'tiny': expected 'auto'"),
        ({"student": []}, r"student is an empty list"),
        ({"student": LogisticRegression}, r"expected a scikit-learn estimator"),
        ({"student": LinearRegression()}, r"LinearRegression is not a classifier"),
        ({"teacher": 7}, r"teacher 7: expected a ref"),
        ({"teacher": LogisticRegression}, r"teacher <class .*expected a ref"),
        ({"classes": ["no"]}, r"classes: .* pass 2 different classes"),
        ({"min_agreement": "0.9"}, r"min_agreement '0.9'"),
        ({"min_agreement": None}, r"min_agreement None"),
        ({"X": {"a": X[:, 0]}}, r"X is a dict"),
        ({"X": "rows.csv"}, r"X 'rows.csv': expected rows, as an array or a DataFrame"),
        ({"teacher": words, "classes": [0, 1]}, r"'yes'|'no'.*: leave out classes"),
        (
            {"teacher": numbers, "classes": ["no", "yes"]},
            r"numbers of shape \[600\] that are no probabilities of 2 classes",
        ),
        ({"teacher": numbers}, r"pass a regressor. If they are classes, return integers"),
        ({"X": np.array(["a text"] * 600), "student": "auto"}, r"of which 1 are different"),
    ],
)
def test_arguments_that_are_not_allowed_are_named(
    registry: Registry, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        small(registry, **options)


def test_texts_need_a_student_that_reads_them(registry: Registry) -> None:
    frame = pd.DataFrame({"text": [f"word {i}" for i in range(600)]})

    def teacher(rows: Any) -> Any:
        return np.where(rows["text"].str.len() > 7, "long", "short")

    with pytest.raises(InvalidRequestError, match=r"column 'text' of X has 600 different values"):
        small(registry, teacher, X=frame, student="auto")


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (lambda rows: rows.nothing, "fails on the rows: AttributeError"),
        (lambda rows: np.ones((len(rows), 2, 2)), r"returns shape \[600, 2, 2\]"),
        (lambda _: np.ones(3), r"returns shape \[3\] for 600 rows"),
        (lambda rows: np.full(len(rows), np.nan), "the answer to row 0 is not finite"),
        (lambda rows: np.arange(len(rows)) * 10**6, "600 different labels"),
        (lambda rows: np.full(len(rows), "same"), "only one class"),
        (lambda rows: np.zeros(len(rows), int), "only one class, 0, for"),
        (lambda rows: np.zeros(len(rows), "M8[D]"), r"type datetime64\[D\]: expected strings"),
        (lambda rows: np.zeros(len(rows), complex), "type complex128: expected strings"),
        (lambda rows: np.full(len(rows), b"a"), r"type \|S1: expected strings"),
    ],
)
def test_answers_that_cannot_be_learnt_are_shown(
    registry: Registry, teacher: Any, message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        small(registry, teacher)


def test_a_name_is_checked_before_the_teacher_is_asked(registry: Registry) -> None:
    for name in ("No Name", None, 3):
        with pytest.raises(InvalidRefError):
            small(registry, lambda rows: pytest.fail(f"asked {rows}"), name=name)


# The report


def test_a_report_is_a_table_in_a_notebook_and_json_for_programs(registry: Registry) -> None:
    report = small(registry, y=(WORDS == "yes").astype(int))
    assert "AGREEMENT" in str(report)
    assert "<table>" in report._repr_html_()
    document = json.loads(json.dumps(report.to_dict()))
    assert document["students"][0]["latency_ms"][0] > 0
    assert document["teacher"]["agreement"] == 1.0
