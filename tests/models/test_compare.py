"""`compare`: the versions of a model beside each other, and their answers to the same rows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from shearling.errors import (
    InvalidRefError,
    InvalidRequestError,
    ModelNotFoundError,
)
from shearling.models.answer_differences import AnswerDifferences, answer_differences
from shearling.models.compare import compare
from shearling.models.push import push_model
from shearling.models.version_facts import VersionFacts
from tests.support.bundles import MEASURED, ROWS, scaling_graph
from tests.support.datasets import BINARY, WORDS, X
from tests.support.releases import deploy, record

if TYPE_CHECKING:
    import onnx

    from shearling.models.model_version import ModelVersion
    from shearling.registry.registry import Registry


def renamed() -> onnx.ModelProto:
    graph = scaling_graph()
    graph.graph.node[0].output[0] = graph.graph.output[0].name = "<Z>"
    return graph


def pushed(registry: Registry, factor: float, **options: Any) -> ModelVersion:
    return push_model(scaling_graph(factor), "fraud", example=ROWS, registry=registry, **options)


@pytest.fixture
def versions(registry: Registry) -> Registry:
    """Versions 1 to 3 with a metric; `prod` is 2."""
    for factor in (1.0, 2.0, 3.0):
        pushed(registry, factor, metadata={"auc": 0.9 + factor / 100, "cv": {"mean": factor}})
    registry.set_alias("fraud", "prod", 2)
    return registry


# What the registry knows


def test_versions_are_listed_with_their_differences_to_what_prod_serves(
    versions: Registry,
) -> None:
    report = compare("fraud", registry=versions)
    assert [one.pin.version for one in report.versions] == [3, 2, 1]
    assert report.against == versions.resolve("fraud:2")
    lines = str(report).splitlines()
    assert lines[0] == "3 versions; differences are to fraud:2 (*)"
    assert lines[2].split()[:4] == ["VERSION", "ALIASES", "auc", "cv.mean"]
    assert "0.93 (+0.01)" in lines[3]
    assert lines[4].startswith("fraud:2 *  prod")
    assert report.is_good


def test_what_is_served_counts_where_the_newest_entry_failed(registry: Registry) -> None:
    for factor in (1.0, 2.0):
        pushed(registry, factor)
    deployment = deploy(registry)
    first = registry.set_alias("fraud", "prod", 1)
    record(registry, deployment, "prod", first.number, 1)
    second = registry.set_alias("fraud", "prod", 2)
    record(registry, deployment, "prod", second.number, 2, outcome="failed")
    assert compare("fraud", registry=registry).against == registry.resolve("fraud:1")


def test_one_version_is_compared_with_another_model(versions: Registry) -> None:
    push_model(scaling_graph(2.5), "small", example=ROWS, registry=versions)
    report = compare("small", against="fraud:2", data=ROWS, registry=versions)
    assert [str(one.pin).partition("@")[0] for one in report.versions] == ["small:1", "fraud:2"]
    assert report.versions[0].differences is not None
    assert report.versions[0].differences.largest == 3.0


@pytest.mark.parametrize("against", ["3", 3, "fraud:3"])
def test_a_version_may_be_compared_with_a_number_or_a_ref(versions: Registry, against: Any) -> None:
    report = compare("fraud:1", against=against, registry=versions)
    assert [one.pin.version for one in report.versions] == [1, 3]


def test_without_an_alias_nothing_is_compared_with(registry: Registry) -> None:
    version = pushed(registry, 1.0)
    report = compare(version, registry=registry)
    assert report.against is None
    assert report.is_good
    assert "no alias names a version to compare with" in str(report)


def test_latency_and_memory_are_those_that_the_push_measured(registry: Registry) -> None:
    version = pushed(registry, 1.0)
    assert compare("fraud", registry=registry).versions[0].facts.latency_ms is None
    manifest = registry.manifest(version.pin)
    details = {"measured": json.loads(json.dumps(MEASURED.to_record()))}
    facts = VersionFacts.of(replace(registry.version("fraud"), details=details), manifest, ())
    assert (facts.latency_ms, facts.memory_mb) == (1.0, 120.0)


def test_a_push_with_evaluate_is_shown_by_its_metrics(registry: Registry) -> None:
    model = LogisticRegression().fit(X, BINARY)
    push_model(model, "fraud", example=X, evaluate=(X, BINARY), registry=registry)
    (version,) = compare("fraud", registry=registry).versions
    assert version.all_metrics["test accuracy"] > 0.9


@pytest.mark.parametrize(
    "metrics", [7, "x", {"a": "b", "c": True, "d": [1]}, {"a": {"b": {"c": {"d": {"e": 1}}}}}]
)
def test_metrics_that_are_no_numbers_are_left_out(registry: Registry, metrics: Any) -> None:
    version = pushed(registry, 1.0)
    changed = replace(registry.version(version.pin), details={"metrics": metrics})
    assert VersionFacts.of(changed, registry.manifest(version.pin), ()).metrics == {}


# The answers to data


def test_the_answers_of_versions_are_compared_on_data(versions: Registry) -> None:
    report = compare("fraud:3", data=ROWS, registry=versions)
    found = report.versions[0].differences
    assert found is not None
    assert (found.rows, found.agreement, found.largest) == (3, 0.0, 6.0)
    worst = found.worst[0]
    assert (worst.row, worst.output, worst.before, worst.after) == (2, "Y[1]", 12.0, 18.0)
    assert report.versions[0].latency_ms is not None
    assert "answers most differently" in str(report)


def test_labels_decide_whether_classifiers_agree(registry: Registry) -> None:
    for strength in (0.01, 1.0):
        model = LogisticRegression(C=strength).fit(X, WORDS)
        push_model(model, "fraud", example=X, registry=registry)
    report = compare("fraud:2", against="1", data=X, y=WORDS, registry=registry)
    found, metrics = report.versions[0].differences, report.versions[0].metrics
    assert found is not None
    assert metrics is not None
    assert 0.5 < found.agreement < 1
    assert found.largest is not None
    assert metrics["accuracy"] > 0.9
    assert "data accuracy" in str(report)


def test_a_version_that_cannot_answer_the_data_has_a_problem(versions: Registry) -> None:
    push_model(LogisticRegression().fit(X, BINARY), "fraud", example=X, registry=versions)
    report = compare("fraud", data=ROWS, registry=versions)
    assert "does not fit [-1, 4]" in report.versions[0].problem
    assert not report.is_good


def test_labels_that_fit_only_the_judged_version_are_a_problem_of_the_other(
    registry: Registry,
) -> None:
    for labels in (BINARY, WORDS):
        push_model(LogisticRegression().fit(X, labels), "fraud", example=X, registry=registry)
    report = compare("fraud", data=X, y=WORDS, registry=registry)
    newest, older = report.versions
    assert newest.metrics is not None
    assert "no label is a class of the model" in older.problem
    assert report.is_good
    with pytest.raises(InvalidRequestError, match="no label is a class of the model"):
        compare("fraud", data=X, y=BINARY, registry=registry)


def test_a_pickle_is_loaded_only_if_it_is_pinned_and_allowed(registry: Registry) -> None:
    version = push_model(
        lambda rows: rows, "echo", example=ROWS, format="cloudpickle", registry=registry
    )
    (one,) = compare("echo", data=ROWS, allow_pickle=True, registry=registry).versions
    assert "is a pickle" in one.problem
    (one,) = compare(str(version.pin), data=ROWS, allow_pickle=True, registry=registry).versions
    assert one.problem == ""


# What speaks against a version


def test_a_contract_that_breaks_callers_speaks_against_a_version(versions: Registry) -> None:
    push_model(renamed(), "fraud", example=ROWS, registry=versions)
    report = compare("fraud", registry=versions)
    assert not report.is_good
    assert "fraud:4 breaks callers: output: 'Y' -> '<Z>' (renamed)" in report.problems[0]
    assert "1 breaking" in str(report)


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"min_agreement": 0.5}, "fraud:3 agrees in 0 of the 3 rows, and min_agreement is 0.5"),
        ({"max_difference": 1}, "fraud:3 differs by up to 6, and max_difference is 1"),
        ({"min_agreement": 0.0, "max_difference": 6}, ""),
    ],
)
def test_limits_speak_against_a_version(
    versions: Registry, limits: dict[str, Any], problem: str
) -> None:
    report = compare("fraud:3", data=ROWS, registry=versions, **limits)
    assert report.problems == ((problem,) if problem else ())


def test_a_limit_without_anything_to_compare_with_speaks_against_a_version(
    registry: Registry,
) -> None:
    pushed(registry, 1.0)
    report = compare("fraud", data=ROWS, min_agreement=0.9, registry=registry)
    assert report.problems == (
        "fraud:1 has no answers to compare with, so no limit can be checked",
    )


def test_the_version_itself_is_no_problem(versions: Registry) -> None:
    assert compare("fraud:2", data=ROWS, min_agreement=1.0, registry=versions).is_good


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"min_agreement": 0.9},
            "min_agreement needs rows to ask the versions about: pass data too",
        ),
        ({"y": [1]}, "y needs rows"),
        ({"data": ROWS, "min_agreement": 99}, "min_agreement 99: expected a number from 0 to 1"),
        (
            {"data": ROWS, "max_difference": -1},
            "max_difference -1: expected a number of at least 0",
        ),
        ({"data": ROWS, "y": [1]}, r"y has 1 values, but data has 3 rows"),
        ({"data": ROWS, "y": [1, None, 2]}, "y: row 1 is missing: leave out rows"),
        ({"data": ROWS, "min_agreement": "0.9"}, "min_agreement '0.9': expected a number"),
    ],
)
def test_arguments_that_are_not_allowed_are_named(
    versions: Registry, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        compare("fraud", registry=versions, **options)


def test_refs_that_name_nothing_are_refused(versions: Registry) -> None:
    with pytest.raises(ModelNotFoundError, match="staging"):
        compare("fraud", against="staging", registry=versions)
    with pytest.raises(InvalidRefError, match="expected a model such as 'fraud'"):
        compare(7, registry=versions)  # type: ignore[arg-type]


# How it is shown


def test_a_comparison_is_a_table_with_a_chart_in_a_notebook(versions: Registry) -> None:
    push_model(renamed(), "fraud", example=ROWS, registry=versions)
    page = compare("fraud", data=ROWS, registry=versions)._repr_html_()
    assert "<svg" in page
    assert "<Z>" not in page


def test_a_comparison_is_json_for_programs(versions: Registry) -> None:
    report = compare("fraud", data=np.array([[np.inf, 1.0]]), registry=versions)
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["is_good"] is True
    assert document["versions"][0]["metrics"]["auc"] == 0.93


# The differences of answers


@given(
    before=st.lists(st.floats(width=32), min_size=1, max_size=30),
    other=st.lists(st.floats(width=32), min_size=30, max_size=30),
)
def test_every_row_that_differs_is_counted_and_the_worst_comes_first(
    before: list[float], other: list[float]
) -> None:
    first, second = np.array(before), np.array(other[: len(before)])
    found = answer_differences({"Y": first}, {"Y": second}, rtol=0, atol=0)
    assert isinstance(found, AnswerDifferences)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    assert found.agreement == pytest.approx(same.mean())
    assert len(found.worst) == min(10, int((~same).sum()))
    distances = [row.difference or 0 for row in found.worst]
    assert distances == sorted(distances, reverse=True)


def test_outputs_of_other_shapes_cannot_be_compared() -> None:
    wide, narrow = {"Y": np.ones((2, 3))}, {"Y": np.ones((2, 2))}
    assert answer_differences(wide, narrow, rtol=0, atol=0) == (
        "output 'Y' has shape [2, 2] instead of [2, 3]"
    )
    assert answer_differences(wide, {"Z": np.ones(2)}, rtol=0, atol=0) == (
        "no output is in both: Y and Z"
    )
