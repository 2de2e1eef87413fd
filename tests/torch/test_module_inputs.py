"""Examples of PyTorch modules: tuples, dicts, tables, and sizes that vary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import shearling as sdk
from shearling.errors import FormatError, InvalidRequestError
from tests.torch.modules import (
    STEPS,
    Two,
    Written,
    X,
    answered,
    encoder,
    inputs_of,
    perceptron,
    pushed,
)

if TYPE_CHECKING:
    from shearling.registry.registry import Registry


class Search(nn.Module):
    """Rows compared with a table, whose entries are no rows."""

    def forward(self, x: torch.Tensor, table: torch.Tensor, scale: float = 2.0) -> torch.Tensor:
        return (x @ table.T * scale).softmax(1)


@pytest.mark.parametrize(
    "example",
    [
        X.astype(np.float64),
        torch.tensor(X),
        torch.tensor(X, requires_grad=True),
        X.tolist(),
        (X,),
        {"input": X},
    ],
    ids=["64 bits", "tensor", "with gradient", "lists", "tuple", "dict"],
)
def test_an_example_of_any_form_becomes_the_input_of_the_weights_type(
    example: Any, registry: Registry
) -> None:
    assert inputs_of(pushed(perceptron(), example, registry)) == ["input FP32[-1, 4]"]


def test_a_table_keeps_the_names_of_its_columns(registry: Registry) -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    module = perceptron()
    model = pushed(module, frame, registry)
    turned = model.predict(frame[["d", "c", "b", "a"]])["output"]
    np.testing.assert_allclose(turned, answered(module, X), atol=1e-5)


def test_a_dict_passes_the_parameters_by_name(registry: Registry) -> None:
    model = pushed(Two(), {"right": X[:, :2], "left": X}, registry)
    assert inputs_of(model) == ["right FP32[-1, 2]", "left FP32[-1, 4]"]


def test_an_example_of_one_row_answers_any_number(registry: Registry) -> None:
    module = perceptron()
    model = pushed(module, X[:1], registry)
    np.testing.assert_allclose(model.predict(X)["output"], answered(module, X), atol=1e-5)


def test_the_number_of_rows_may_be_read_by_len(registry: Registry) -> None:
    module = Written(lambda self, x: {"flat": self.linear(x).view(len(x), -1)})
    model = pushed(module, STEPS, registry)
    answer = model.predict(STEPS)["flat"]
    np.testing.assert_allclose(answer, answered(module, STEPS)["flat"], atol=1e-5)


def test_an_input_with_another_first_size_is_no_row(registry: Registry) -> None:
    model = pushed(Search(), (X, X[:7]), registry)
    assert inputs_of(model) == ["x FP32[-1, 4]", "table FP32[7, 4]"]


def test_dynamic_lets_further_sizes_vary(registry: Registry) -> None:
    module = encoder()
    model = pushed(module, STEPS, registry, dynamic={"src": {1: "steps"}})
    assert inputs_of(model) == ["src FP32[-1, -1, 4]"]
    for steps in (1, 3, 6):
        rows = np.ascontiguousarray(STEPS[:, :steps])
        np.testing.assert_allclose(model.predict(rows)["output"], answered(module, rows), atol=1e-5)


def test_padding_of_a_transformer_is_masked_as_in_training(registry: Registry) -> None:
    module = encoder()
    padding = np.arange(6) >= np.array([3, 6] * 6)[:, np.newaxis]
    example = {"src": STEPS, "src_key_padding_mask": padding}
    answer = pushed(module, example, registry).predict(example)["output"]
    expected = module.eval()(torch.tensor(STEPS), src_key_padding_mask=torch.tensor(padding))
    np.testing.assert_allclose(answer, expected.detach(), atol=1e-5)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_size_up_to_which_weights_reach_may_vary(registry: Registry) -> None:
    module = Written(
        lambda self, x: x + self.places[: x.shape[1]], places=nn.Parameter(torch.ones(8, 4))
    )
    model = pushed(module, STEPS, registry, dynamic={"x": {1: "steps"}})
    assert inputs_of(model) == ["x FP32[-1, -1, 4]"]


@pytest.mark.parametrize(
    ("module", "example", "message"),
    [
        (Two(), X, "example has no 'right', which Two.forward needs: pass a tuple"),
        (Two(), (X, X, X), "example has 3 inputs, and Two.forward takes left, right"),
        (Two(), {"left": X, "wrong": X}, "'wrong' is not a parameter of Two.forward, which takes"),
        (Two(), (X, "text"), "input 'right' is 'text', and modules are called with arrays of num"),
        (Two(), {"left": X, "right": None}, "input 'right' is None, and modules are called with"),
        (Search(), (X, X, 2.0), "input 'scale' is 2.0, and modules are called with arrays"),
        (perceptron(), np.zeros((0, 4)), "example has no rows: input 'input' has shape [0, 4]"),
    ],
)
def test_an_example_that_does_not_fit_forward_is_refused(
    module: Any, example: Any, message: str, registry: Registry
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        sdk.push_model(module, "net", example=example, registry=registry)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("dynamic", "message"),
    [
        ([1], "dynamic [1] is not a dict"),
        ({"x": {1: "steps"}}, "dynamic: 'x' is not an input of the model; it has src"),
        ({"src": {3: "steps"}}, "input 'src' has the axes 0 to 2: pass a name for each axis"),
        ({"src": {1: None}}, "dynamic['src'] has 1: None"),
        ({"src": [1]}, "dynamic['src'] has [1]: None"),
        ({"src": {1: "n", 2: "n"}}, "the size 'n' is 6 and 4 in the example"),
    ],
)
def test_sizes_that_do_not_exist_are_refused(
    dynamic: Any, message: str, registry: Registry
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        sdk.push_model(encoder(), "net", example=STEPS, dynamic=dynamic, registry=registry)
    assert message in str(caught.value)


def test_a_size_by_which_the_code_decides_is_refused(registry: Registry) -> None:
    module = Written(lambda _, x: x if x.shape[1] < 10 else x[:, :1])
    with pytest.raises(FormatError, match=r"not with 10 steps: .* treats some sizes otherwise"):
        pushed(module, STEPS, registry, dynamic={"x": {1: "steps"}})


@pytest.mark.parametrize(
    ("forward", "count"),
    [
        (lambda _, x: x if x.shape[0] > 1 else x * 2, 1),
        (lambda _, x: x if x.shape[0] < 30 else x * 2, 30),
    ],
)
def test_a_module_that_treats_some_numbers_of_rows_otherwise_is_refused(
    forward: Any, count: int, registry: Registry
) -> None:
    with pytest.raises(FormatError, match=f"not with {count} rows: .* Nothing was published"):
        pushed(Written(forward), X, registry)


def test_a_size_that_only_the_module_refuses_is_a_warning(registry: Registry) -> None:
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        torch._check(x.shape[1] < 10, lambda: "too many steps")
        return x * 2

    with pytest.warns(UserWarning, match="with 10 steps, the original raises .*too many steps"):
        pushed(Written(forward), STEPS, registry, dynamic={"x": {1: "steps"}})


def test_sizes_of_an_exported_program_are_its_own(registry: Registry) -> None:
    program = torch.export.export(perceptron().eval(), (torch.tensor(X),))
    with pytest.raises(InvalidRequestError, match="dynamic does not apply to an exp"):
        pushed(program, X, registry, dynamic={"input": {1: "width"}})
