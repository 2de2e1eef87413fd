"""PyTorch modules of every usual kind answer as the module itself."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import shearling as sdk
from shearling.storage.blobs import blob_key
from tests.torch.modules import (
    IDS,
    STEPS,
    LastStep,
    Two,
    Written,
    X,
    answered,
    convolutions,
    encoder,
    inputs_of,
    outputs_of,
    perceptron,
    pushed,
)

if TYPE_CHECKING:
    from shearling.registry.registry import Registry

PICTURES = np.random.default_rng(1).normal(size=(12, 1, 8, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("make", "rows"),
    [
        (perceptron, X),
        (convolutions, PICTURES),
        (encoder, STEPS),
        (lambda: nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2)), IDS),
        (lambda: nn.Sequential(nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2)), X),
    ],
    ids=["perceptron", "convolutions", "encoder", "embedding", "norm"],
)
def test_a_module_answers_any_number_of_rows_as_itself(
    make: Any, rows: Any, registry: Registry
) -> None:
    module = make()
    model = pushed(module, rows[:8], registry)
    for count in (1, 2, len(rows)):
        answer = model.predict(rows[:count])["output"]
        np.testing.assert_allclose(answer, answered(module, rows[:count]), atol=1e-5, rtol=1e-4)
    assert model.manifest.signature.independent_rows


@pytest.mark.filterwarnings("ignore:if a value of 'x' is missing")  # ONNX Runtime clips it
@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU])
def test_recurrent_layers_answer_as_themselves(cell: Any, registry: Registry) -> None:
    module = LastStep(cell)
    answer = pushed(module, STEPS, registry).predict(STEPS)["output"]
    np.testing.assert_allclose(answer, answered(module, STEPS), atol=1e-5)


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_weights_of_other_floats_keep_their_type(kind: Any, registry: Registry) -> None:
    module = perceptron().to(getattr(torch, np.dtype(kind).name))
    model = pushed(module, X, registry)
    answer = model.predict(X)["output"]
    assert answer.dtype == kind
    np.testing.assert_allclose(answer, answered(module, X.astype(kind)), atol=1e-2)


def test_a_classifier_of_digits_is_pushed_with_its_metrics(registry: Registry) -> None:
    torch.manual_seed(0)
    rows, digits = load_digits(return_X_y=True)
    module = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(
            module(torch.tensor(rows[:1200]).float()), torch.tensor(digits[:1200])
        )
        loss.backward()
        optimizer.step()
    version = sdk.push_model(
        nn.Sequential(module, nn.Softmax(dim=-1)),
        "digits",
        example=rows[:100],
        evaluate=(rows[1200:], digits[1200:]),
        registry=registry,
    )
    assert version.evaluation is not None
    assert version.evaluation.metrics["accuracy"] > 0.85


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel])
def test_a_wrapped_module_is_pushed_without_its_wrapper(wrap: Any, registry: Registry) -> None:
    plain = sdk.push_model(perceptron(), "net", example=X, registry=registry)
    wrapped = sdk.push_model(wrap(perceptron()), "net", example=X, registry=registry)
    assert wrapped.pin == plain.pin
    assert not wrapped.is_new


def test_the_graph_says_nothing_of_the_source_code(registry: Registry) -> None:
    model = pushed(Written(lambda self, x: self.linear(x)), X, registry)
    (graph,) = [file for file in model.manifest.files if file.path == "model.onnx"]
    data = registry.store.read(blob_key(graph.hex)) or b""
    assert b"Gemm" in data or b"MatMul" in data
    assert b"modules.py" not in data
    assert b"Written" not in data


Moments = namedtuple("Moments", "mean deviation")  # noqa: PYI024 - as users write it


@dataclass
class Scores:
    logits: torch.Tensor
    loss: torch.Tensor | None = None


@pytest.mark.parametrize(
    ("forward", "outputs"),
    [
        (lambda self, x: self.linear(x), ["output FP32[-1, 3]"]),
        (lambda self, x: (self.linear(x),), ["output FP32[-1, 3]"]),
        (
            lambda self, x: (self.linear(x), x > 0, x.argmax(1).to(torch.int32)),
            ["output_0 FP32[-1, 3]", "output_1 BOOL[-1, 4]", "output_2 INT32[-1]"],
        ),
        (
            lambda self, x: {"logits": self.linear(x), "loss": None, "total": x.sum()},
            ["logits FP32[-1, 3]", "total FP32[]"],
        ),
        (lambda _, x: Moments(x.mean(1), x.std(1)), ["mean FP32[-1]", "deviation FP32[-1]"]),
        (lambda self, x: Scores(self.linear(x)), ["logits FP32[-1, 3]"]),
        (
            lambda self, x: {"x": x, "w": self.linear.bias.detach()},
            ["x_output FP32[-1, 4]", "w FP32[3]"],
        ),
        (lambda _, x: (x, x), ["output_0 FP32[-1, 4]", "output_1 FP32[-1, 4]"]),
        (lambda self, x: self.linear(x).T, ["output FP32[3, -1]"]),
    ],
    ids=["tensor", "one", "tuple", "dict", "named tuple", "dataclass", "input", "twice", "across"],
)
@pytest.mark.filterwarnings("ignore:if a value of 'x' is missing")  # ONNX's argmax
def test_outputs_have_the_names_that_forward_gives_them(
    forward: Any, outputs: list[str], registry: Registry
) -> None:
    module = Written(forward)
    model = pushed(module, X, registry)
    assert outputs_of(model) == outputs
    wanted = answered(module, X)
    values = {"tensor": wanted} if isinstance(wanted, torch.Tensor) else wanted
    values = values.values() if isinstance(values, dict) else values
    if not isinstance(values, Scores):
        kept = [value for value in values if value is not None]
        for answer, value in zip(model.predict(X).values(), kept, strict=True):
            np.testing.assert_allclose(answer, value, atol=1e-5)


def test_several_inputs_have_the_names_of_the_parameters(registry: Registry) -> None:
    model = pushed(Two(), (X, X[:, :2]), registry)
    assert inputs_of(model) == ["left FP32[-1, 4]", "right FP32[-1, 2]"]
    assert outputs_of(model) == ["sum FP32[-1, 3]", "difference FP32[-1, 3]"]


def test_large_weights_go_into_a_file_of_their_own(registry: Registry) -> None:
    module = nn.Linear(1024, 512)
    rows = np.random.default_rng(0).normal(size=(4, 1024)).astype(np.float32)
    model = pushed(module, rows, registry)
    assert len(model.manifest.files) == 3  # the graph, the weights and the example
    np.testing.assert_allclose(model.predict(rows)["output"], answered(module, rows), atol=1e-4)


def test_layers_may_share_their_weights(registry: Registry) -> None:
    module = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10, bias=False))
    module[1].weight = module[0].weight
    answer = pushed(module, IDS, registry).predict(IDS)["output"]
    np.testing.assert_allclose(answer, answered(module, IDS), atol=1e-5)


def test_an_embedding_refuses_negative_numbers_as_pytorch_does(registry: Registry) -> None:
    module = nn.Sequential(nn.Embedding(10, 4), nn.Flatten())
    model = pushed(module, IDS, registry)
    with pytest.raises(Exception, match="out of data bounds"):
        model.predict(np.array([[-1, 2, 3]]))


@pytest.mark.parametrize(
    "divide",
    [
        lambda x: x // 0.1,
        lambda x: x % 0.1,
        lambda x: x % -0.1,
        lambda x: 5.0 // x,
        lambda x: torch.div(x, 0.1, rounding_mode="trunc"),
    ],
    ids=["floor", "remainder", "negative", "of a number", "trunc"],
)
def test_quotients_of_floats_are_cut_as_pytorch_cuts_them(divide: Any, registry: Registry) -> None:
    module = Written(lambda _, x: divide(x))
    model = pushed(module, np.array([[0.25, 0.26, 1.3, 2.7]], np.float32), registry)
    tenths = np.arange(-40, 40, dtype=np.float32).reshape(-1, 4) / np.float32(10)
    np.testing.assert_allclose(model.predict(tenths)["output"], answered(module, tenths), atol=1e-6)


@pytest.mark.parametrize("mode", ["trunc", "floor"])
@pytest.mark.parametrize("divisor", [86400, -7])
def test_large_integers_are_divided_exactly(divisor: int, mode: str, registry: Registry) -> None:
    module = Written(lambda _, x: torch.div(x, divisor, rounding_mode=mode))
    model = pushed(module, np.array([[1, 2, 3, 4]]), registry)
    numbers = np.array([[2**53 + 3, -(2**62) + 1, 1_700_000_000, -86_399]])
    assert (model.predict(numbers)["output"] == answered(module, numbers).numpy()).all()


def test_sums_of_large_exponentials_are_finite(registry: Registry) -> None:
    module = Written(lambda _, x: torch.logaddexp(x[:, :2], x[:, 2:]))
    model = pushed(module, X, registry)
    numbers = np.array([[1000, -1000, 999, -1000]], np.float32)
    np.testing.assert_allclose(model.predict(numbers)["output"], answered(module, numbers))


def test_an_exported_program_keeps_the_sizes_that_vary(registry: Registry) -> None:
    module = perceptron().eval()
    rows = torch.export.Dim("rows")
    program = torch.export.export(module, (torch.tensor(X),), dynamic_shapes=({0: rows},))
    model = pushed(program, X, registry)
    assert inputs_of(model) == ["input FP32[-1, 4]"]
    np.testing.assert_allclose(model.predict(X[:1])["output"], answered(module, X[:1]), atol=1e-5)


def test_an_exported_program_of_fixed_rows_is_served_with_so_many(registry: Registry) -> None:
    program = torch.export.export(perceptron().eval(), (torch.tensor(X[:3]),))
    assert inputs_of(pushed(program, X[:3], registry)) == ["input FP32[3, 4]"]


def test_a_version_of_a_module_can_be_quantized(registry: Registry) -> None:
    module = nn.Sequential(
        nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    rows = np.random.default_rng(0).normal(size=(600, 64)).astype(np.float32)
    pushed(module, rows[:50], registry)
    report = sdk.quantize("net", data=rows, registry=registry)
    assert report.version is not None
