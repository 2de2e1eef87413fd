"""Messages of commands name options, not the parameters of Python functions."""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import shearling
from shearling.cli import _parser
from shearling.cli.option_names import FIELDS, PARAMETERS, PHRASES, with_option_names
from shearling.models.push import push_model
from tests.support.bundles import ROWS, scaling_graph
from tests.support.cli import error, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.registry.registry import Registry


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the options of a parser and of the commands below it."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from options(command)


def messages() -> Iterator[str]:
    """Yield the texts in the library's code, without its docstrings and the commands' own."""
    root = Path(shearling.__file__).parent
    for path in root.rglob("*.py"):
        if path.parent.name == "cli":
            continue
        tree = ast.parse(path.read_text())
        documentation = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "x"
                    for part in node.values
                )
            elif (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and node not in documentation
            ):
                yield node.value


ALL_OPTIONS = set(options(_parser()))
MESSAGES = list(messages())


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_each_option_that_a_message_is_given_exists(parameter: str) -> None:
    assert with_option_names(f"pass {parameter}=True") in {f"pass {it}" for it in ALL_OPTIONS}


def test_each_field_that_a_message_names_is_an_option() -> None:
    assert set(FIELDS.values()) <= ALL_OPTIONS


@pytest.mark.parametrize("phrase", PHRASES)
def test_each_phrase_that_is_replaced_is_one_of_the_library(phrase: str) -> None:
    assert any(phrase in message for message in MESSAGES)
    named = set(re.findall(r"--[a-z-]+", PHRASES[phrase]))
    assert named <= ALL_OPTIONS


def test_no_message_names_a_parameter_that_is_an_option() -> None:
    # Converters name the parameter of the same name of scikit-learn's neighbours.
    long = (option[2:] for option in ALL_OPTIONS - {"--metric"} if option.startswith("--"))
    names = "|".join(name.replace("-", "_") for name in long)
    parameter = re.compile(rf"(?<![\w-])({names})=(?!\w+\))")
    said = map(with_option_names, MESSAGES)
    assert [text for text in said if parameter.search(text)] == []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("pass allow_breaking=True", "pass --allow-breaking"),
        ("wait=True waits: pass alias=... too", "--wait waits: pass --alias too"),
        (", or raise rtol= or atol=. Push", ", or raise --rtol or --atol. Push"),
        ('push it with load="latency", which', "push it with --load latency, which"),
        ("a URL; pass the name as model=", "a URL; pass the name as --model"),
        ("p95_ms -5.0 is not a number above 0", "--p95 -5.0 is not a number above 0"),
        ("per_month nan is not a number", "--per-month nan is not a number"),
        ("largest 0 is not a number of rows", "--largest 0 is not a number of rows"),
        ("recipe 'x': expected one of", "--recipe 'x': expected one of"),
        ("0.9 of the rows, and min_agreement is 1", "0.9 of the rows, and --min-agreement is 1"),
        ("at most 0.2, but max_loss is 0.1", "at most 0.2, but --max-loss is 0.1"),
        ("y has 3 values, but data has 9 rows", "the labels have 3 values, but data has 9 rows"),
        ("y: row 3 is missing", "row 3 is missing"),
        (
            "y has shape [3], but X has 9 rows",
            "the labels have shape [3], but the data have 9 rows",
        ),
        ("X has 60 rows: at least 200", "the data have 60 rows: at least 200"),
    ],
)
def test_a_parameter_becomes_its_option(message: str, expected: str) -> None:
    assert with_option_names(message) == expected


@pytest.mark.parametrize(
    "message",
    [
        "PCA with new=3 cannot be converted",
        "KNeighborsClassifier with metric=True",
        "renew=True",
        "name='a b'",
        "alias=[1]",
        "alias == 3",
        "and the largest is 3; metric by metric",
        "the largest 3 rows",
        "the model fails: X has 3 features",
        "--force=True",
    ],
)
def test_other_text_stays(message: str) -> None:
    assert with_option_names(message) == message


@pytest.mark.parametrize("load", ["latency", "throughput"])
def test_a_push_takes_the_way_to_load_that_messages_recommend(
    registry: Registry, graph: str, tmp_path: Path, load: str
) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    example = str(tmp_path / "rows.npy")
    assert run("push", graph, "--name", "fraud", "--example", example, "--load", load) == 0
    assert registry.manifest("fraud").options["prepack"] is (load == "throughput")


def test_a_breaking_alias_names_the_option(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = scaling_graph(5.0)
    graph.graph.input[0].name = graph.graph.node[0].input[0] = "Z"
    push_model(graph, "fraud", example=ROWS, registry=models)
    assert run("alias", "set", "fraud", "prod", "4") == 1
    said = error(capsys)
    assert "anyway, pass --allow-breaking\n" in said
    assert "=True" not in said
