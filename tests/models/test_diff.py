from __future__ import annotations

import json
from typing import TYPE_CHECKING

import onnx
import pytest

from shearling.errors import BreakingChangeError, InvalidRefError, ModelNotFoundError, ReleaseError
from shearling.models.diff import diff
from shearling.models.push import push_model
from tests.support.bundles import ROWS, scaling_graph
from tests.support.releases import deploy

if TYPE_CHECKING:
    from shearling.registry.registry import Registry


def renamed() -> onnx.ModelProto:
    graph = scaling_graph()
    graph.graph.node[0].output[0] = graph.graph.output[0].name = "<Z>"
    return graph


@pytest.fixture
def pushed(registry: Registry) -> Registry:
    """Versions 1 and 2 answer with `Y`, and version 3 with `<Z>`."""
    for factor in (2.0, 3.0):
        metadata = {"auc": factor / 4, "team": "risk"}
        push_model(
            scaling_graph(factor), "fraud", example=ROWS, metadata=metadata, registry=registry
        )
    push_model(renamed(), "fraud", example=ROWS, registry=registry)
    registry.set_alias("fraud", "prod", 1)
    return registry


def test_metrics_that_differ_are_shown_and_equal_facts_are_not(pushed: Registry) -> None:
    compared = diff("fraud:prod", "fraud:2", registry=pushed)
    assert str(compared).startswith("fraud:1 -> fraud:2: the contract is the same\n")
    facts = {fact.name: (fact.before, fact.after) for fact in compared.facts}
    assert tuple(map(float, facts["metadata auc"])) == (0.5, 0.75)
    assert not {"metadata team", "format", "contract", "python"} & set(facts)


def test_what_breaks_callers_is_counted_and_shown_first(pushed: Registry) -> None:
    compared = diff("fraud:1", "fraud:3", registry=pushed)
    assert [change.effect for change in compared.breaking] == ["breaking"]
    lines = str(compared).splitlines()
    assert lines[0] == "fraud:1 -> fraud:3: 1 change would break callers"
    assert lines[3].split() == ["breaking", "output", "'Y'", "'<Z>'", "renamed"]


def test_a_diff_is_an_escaped_table_in_a_notebook_and_json_for_programs(pushed: Registry) -> None:
    compared = diff("fraud:1", "fraud:3", registry=pushed)
    assert "&lt;Z&gt;" in compared._repr_html_()
    assert "<Z>" not in compared._repr_html_()
    document = json.loads(json.dumps(compared.to_dict()))
    assert document["changes"][0]["after"] == "'<Z>'"
    assert document["is_breaking"] is True


def test_a_version_does_not_differ_from_itself(pushed: Registry) -> None:
    compared = diff("fraud:1", "fraud:prod", registry=pushed)
    assert str(compared) == "fraud:1 and fraud:1 are the same version"


def test_the_result_of_a_push_names_its_version(pushed: Registry) -> None:
    new = push_model(scaling_graph(5.0), "fraud", example=ROWS, registry=pushed)
    assert diff("fraud:prod", new, registry=pushed).after == new.pin
    with pytest.raises(InvalidRefError, match="7: expected a ref such as 'fraud:7'"):
        diff("fraud:prod", 7, registry=pushed)  # type: ignore[arg-type]


def test_a_version_that_does_not_exist_is_refused(pushed: Registry) -> None:
    with pytest.raises(ModelNotFoundError, match="no version 9"):
        diff("fraud:1", "fraud:9", registry=pushed)


# A push that sets an alias


def test_a_push_that_would_break_callers_is_published_and_does_not_move_the_alias(
    pushed: Registry,
) -> None:
    graph = renamed()
    graph.graph.initializer[0].CopyFrom(onnx.helper.make_tensor("factor", 1, [1], [9.0]))
    with pytest.raises(BreakingChangeError, match=r"^fraud:4 is published, but fraud:prod is not"):
        push_model(graph, "fraud", example=ROWS, alias="prod", registry=pushed)
    assert pushed.resolve("fraud").version == 4
    assert pushed.resolve("fraud:prod").version == 1
    push_model(graph, "fraud", example=ROWS, alias="prod", allow_breaking=True, registry=pushed)
    assert pushed.resolve("fraud:prod").version == 4


def test_a_push_to_an_unknown_alias_is_refused_before_anything_is_published(
    pushed: Registry,
) -> None:
    deploy(pushed)
    with pytest.raises(ReleaseError, match="fraud:porduction was never set"):
        push_model(scaling_graph(9.0), "fraud", example=ROWS, alias="porduction", registry=pushed)
    assert pushed.resolve("fraud").version == 3


@pytest.mark.parametrize("ref", ["fraud:-1", "fraud:+1", "fraud:0", "fraud:1.5", "fraud:.5"])
def test_a_wrong_version_number_is_told_as_one(pushed: Registry, ref: str) -> None:
    with pytest.raises(InvalidRefError, match="a version is a number from 1, as in fraud:1"):
        diff(ref, "fraud:1", registry=pushed)
