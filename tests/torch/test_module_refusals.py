"""PyTorch modules that cannot be served are refused with one sentence and what to do."""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

import shearling as sdk
from shearling.errors import FormatError
from tests.torch.modules import STEPS, LastStep, Written, X, encoder, perceptron

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.registry.registry import Registry


@torch.library.custom_op("tests::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@twice.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


def forward(written: Callable[[Any, torch.Tensor], Any], **parts: Any) -> Callable[[], Any]:
    return lambda: Written(written, **parts)


def quantised() -> Any:
    return torch.ao.quantization.quantize_dynamic(perceptron().eval())


def scripted_inside() -> Any:
    return nn.Sequential(torch.jit.script(nn.Linear(4, 3)))


REFUSED = {
    "branch": (forward(lambda _, x: x if x.sum() > 0 else -x), "decides by the values of a tensor"),
    "loop": (
        forward(lambda _, x: x * sum(range(int(x[0, 0].abs()) + 2))),
        "compute both sides and choose with torch.where",
    ),
    "numpy": (
        forward(lambda _, x: torch.from_numpy(np.sin(x.numpy()))),
        "Use operations of PyTorch only",
    ),
    "fixed rows": (
        forward(lambda self, x: self.linear(x).view(20, 3)),
        "take the number of rows from the input, as in x.reshape(x.shape[0], -1)",
    ),
    "steps first": (
        forward(lambda self, x: self.steps(x)[0], steps=nn.LSTM(4, 2)),
        "works for one number of rows",
    ),
    "own operator": (forward(lambda _, x: twice(x)), "uses the operator tests.twice, which PyTor"),
    "script": (lambda: torch.jit.script(nn.Linear(4, 3)), "push the module that it was made from"),
    "trace": (lambda: torch.jit.trace(nn.Linear(4, 3), torch.zeros(1, 4)), "is TorchScript"),
    "script inside": (scripted_inside, "layer '0' of Sequential is TorchScript"),
    "quantised": (quantised, "push the float module, and make its version smaller"),
    "meta": (lambda: nn.Linear(4, 3, device="meta"), "has no values, because it is on the device"),
    "lazy": (lambda: nn.LazyLinear(3), "call the module on a few rows, train it, and push it then"),
    "bfloat16": (lambda: nn.Linear(4, 3).bfloat16(), "weight 'weight' of Linear is bfloat16"),
    "dropout": (
        forward(lambda self, x: nn.functional.dropout(self.linear(x))),
        "dropout(x, training=self.training)",
    ),
    "noise": (
        forward(lambda self, x: self.linear(x) + torch.rand_like(x[:, :3])),
        "answers the same rows differently when it is asked again",
    ),
    "state": (
        forward(
            lambda self, x: (self.count.add_(1), x + self.count)[1],
            count=nn.Buffer(torch.zeros(())),
        ),
        "keep no state between calls",
    ),
    "batch statistics": (
        lambda: nn.BatchNorm1d(4, track_running_stats=False),
        "BatchNorm1d with track_running_stats=False",
    ),
    "nested": (
        forward(lambda _, x: {"a": x, "more": {"b": x}}),
        "output 'more' of Written is a dict, and a model's outputs are tensors",
    ),
    "list in a tuple": (forward(lambda _, x: (x, [x])), "output 'output_1' of Written is a list"),
    "text": (forward(lambda _, x: {"a": x, "b": "text"}), "output 'b' of Written is a str"),
    "nothing": (forward(lambda _, x: None), "Written returns no tensor"),  # noqa: ARG005
    "complex": (forward(lambda _, x: torch.fft.fft(x)), "has the type complex64"),
    "bfloat16 output": (forward(lambda _, x: x.bfloat16()), "return it as .float()"),
    "sparse output": (forward(lambda _, x: x.to_sparse()), "float32 (torch.sparse_coo)"),
    "lock": (forward(lambda _, x: x, lock=threading.Lock()), "cannot be copied"),
    "width": (lambda: nn.Linear(5, 3), "the model fails on the example: RuntimeError"),
    "state dict": (lambda: perceptron().state_dict(), "push the module, with its weights loaded"),
    "tensor": (lambda: torch.zeros(3), "Tensor is not a torch.nn.Module"),
    "class": (lambda: nn.Linear, "is a class"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # PyTorch's own
@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_served_is_refused_in_a_sentence(
    kind: str, registry: Registry, capfd: pytest.CaptureFixture[str]
) -> None:
    make, message = REFUSED[kind]
    module = make()
    capfd.readouterr()
    with pytest.raises(FormatError) as caught:
        sdk.push_model(module, "net", example=X, registry=registry)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def test_an_error_of_the_exporter_is_not_shown_under_its_own_pages(registry: Registry) -> None:
    module = Written(lambda _, x: x if x.sum() > 0 else -x)
    with pytest.raises(FormatError) as caught:
        sdk.push_model(module, "net", example=X, registry=registry)
    assert "torch/export" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is not None  # for who debugs it


def test_a_branch_is_refused_with_its_place(registry: Registry) -> None:
    with pytest.raises(FormatError, match=r"test_module_refusals.py, line \d+: .*x\.sum\(\) > 0"):
        sdk.push_model(REFUSED["branch"][0](), "net", example=X, registry=registry)


def test_integers_for_weights_of_floats_are_named(registry: Registry) -> None:
    with pytest.raises(FormatError, match=r"It was called with input INT64\[3, 4\]"):
        sdk.push_model(perceptron(), "net", example=np.ones((3, 4), int), registry=registry)


@pytest.mark.parametrize("module", [LastStep(nn.LSTM)])
def test_steps_that_pytorch_unrolls_do_not_vary(module: Any, registry: Registry) -> None:
    dynamic = {"x": {1: "steps"}}
    with pytest.raises(FormatError, match=r"one number of steps .* leave the axis out of dynamic"):
        sdk.push_model(module, "net", example=STEPS, dynamic=dynamic, registry=registry)


def test_a_push_leaves_the_module_and_random_numbers_as_they_were(registry: Registry) -> None:
    module = nn.Sequential(
        perceptron(),
        Written(lambda self, x: (self.calls.add_(1), x)[1], calls=nn.Buffer(torch.zeros(()))),
    )
    module[0][1].eval()  # one layer in evaluation mode, as when it is frozen
    module[0][0].weight.requires_grad_(requires_grad=False)
    module(torch.tensor(X)).sum().backward()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    gradients = [weight.grad is not None and weight.grad.clone() for weight in module.parameters()]
    weights = [weight.data_ptr() for weight in module.parameters()]
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    sdk.push_model(module, "net", example=X, registry=registry)
    assert torch.equal(torch.rand(2), expected)
    assert [part.training for part in module.modules()] == modes
    assert [weight.data_ptr() for weight in module.parameters()] == weights
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    for weight, gradient in zip(module.parameters(), gradients, strict=True):
        assert (weight.grad is None) is (gradient is False)
        assert gradient is False or torch.equal(weight.grad, gradient)


def test_an_example_is_not_changed_by_a_module_that_works_in_place(registry: Registry) -> None:
    rows = X.copy()
    sdk.push_model(Written(lambda _, x: x.add_(1)), "net", example=rows, registry=registry)
    assert np.array_equal(rows, X)
    answer = sdk.load_model("net", registry=registry).predict(rows)["output"]
    np.testing.assert_allclose(answer, X + 1, atol=1e-6)


def test_hooks_that_change_the_answer_are_part_of_the_model(registry: Registry) -> None:
    module = nn.Sequential(nn.Linear(4, 3))
    module[0].register_forward_hook(lambda _, __, answer: answer + 100)
    module[0].register_full_backward_hook(lambda *_: None)
    sdk.push_model(module, "net", example=X, registry=registry)
    assert sdk.load_model("net", registry=registry).predict(X)["output"].min() > 50


@pytest.mark.filterwarnings("ignore::FutureWarning")  # PyTorch deprecates the first of them
@pytest.mark.parametrize(
    "norm", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm, nn.utils.spectral_norm]
)
def test_layers_with_normalised_weights_convert(norm: Any, registry: Registry) -> None:
    module = nn.Sequential(norm(nn.Linear(4, 3)))
    module(torch.tensor(X))  # which computes the weight with a gradient
    sdk.push_model(module, "net", example=X, registry=registry)


def test_nothing_is_printed_by_a_push(
    registry: Registry, capfd: pytest.CaptureFixture[str]
) -> None:
    sdk.push_model(encoder(), "net", example=STEPS, registry=registry)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""
