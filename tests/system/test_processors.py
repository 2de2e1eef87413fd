"""Quantised graphs answer their example on other processors, within the tolerance they publish."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shearling.bundle.processor import processor_flags
from shearling.models.push import push_model
from shearling.models.quantize import quantize
from tests.support.networks import blocks, digits, digits_network, perceptron, pictures

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from shearling.registry.registry import Registry

pytestmark = pytest.mark.slow

#: A processor with AVX2 and without AVX-512, for which ONNX Runtime has kernels of its own.
_OTHER = ("qemu-x86_64", "-cpu", "Haswell")

#: Answers the example of each bundle, as the check of a release does.
_PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
from shearling.bundle.example import Example
from shearling.bundle.manifest import Manifest
from shearling.formats.base import LoadSettings, load_bundle

differences = {}
for directory in map(Path, sys.argv[1:]):
    manifest = Manifest.from_bytes((directory / "manifest").read_bytes())
    file = manifest.file(manifest.example.path)
    example = Example.from_bytes((directory / file.hex).read_bytes())
    model = load_bundle(manifest, directory, LoadSettings(threads=1))
    given = model.predict(example.inputs, manifest.signature.output_names)
    differences[directory.name] = max(
        float(np.abs(given[name] - wanted).max()) for name, wanted in example.outputs.items()
    )
print(json.dumps(differences))
"""


@pytest.fixture(scope="module", autouse=True)
def _other_processor() -> None:
    if shutil.which(_OTHER[0]) is None:
        if "CI" in os.environ:
            pytest.fail(f"{_OTHER[0]} is missing: install Debian's qemu-user (`make emulator`)")
        pytest.skip(f"not compared: {_OTHER[0]} is missing")
    if "avx512_vnni" not in processor_flags():
        pytest.skip("not compared: this processor has no AVX512-VNNI, whose answers differ most")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure shortly, and let every latency pass."""
    monkeypatch.setattr("shearling.models.latency._SECONDS", 0.05)
    monkeypatch.setattr("shearling.models.interleaved._NOTHING_MS", 1e9)


def quantised(
    registry: Registry, name: str, graph: onnx.ModelProto, rows: NDArray[Any], recipe: str
) -> str:
    """Push a graph, quantise it, and return the ref of the result."""
    push_model(graph, name, example=rows[:8], registry=registry)
    report = quantize(f"{name}:1", rows, recipe=recipe, registry=registry)
    assert report.version is not None, str(report)
    return f"{name}:{report.version.version}"


def differences(registry: Registry, refs: Mapping[str, str], scratch: Path) -> dict[str, float]:
    """Return how far the answers to the examples are from those of this processor."""
    for name, ref in refs.items():
        manifest = registry.manifest(ref)
        registry.fetch(manifest, scratch / name)
        (scratch / name / "manifest").write_bytes(manifest.to_bytes())
    done = subprocess.run(
        [*_OTHER, sys.executable, "-c", _PROGRAM, *(str(scratch / name) for name in refs)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, float] = json.loads(done.stdout)
    return found


def test_every_recipe_answers_alike_without_avx512(registry: Registry, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(400, 128)).astype(np.float32)
    digit_rows = digits()[2]
    refs = {
        "convolutions": quantised(
            registry, "conv", digits_network(), pictures(digit_rows), "int8-convolutions"
        ),
        "perceptron": quantised(registry, "net", perceptron(512), digit_rows, "fp16-weights"),
        "deep": quantised(registry, "deep", blocks(), rows, "int8-weights"),
        "half": quantised(registry, "half", blocks(), rows, "fp16-weights"),
    }
    found = differences(registry, refs, tmp_path / "bundles")
    published = {name: registry.manifest(ref).example.atol for name, ref in refs.items()}
    assert all(found[name] <= published[name] for name in refs), (found, published)
    # The tolerance of a graph that rounds nothing is the one of its parent.
    assert published["half"] == registry.manifest("half:1").example.atol
    # What rounds gets no more than it needs.
    assert published["deep"] <= 20 * max(found["deep"], 1e-4), found


def test_weights_of_full_range_would_answer_otherwise(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison finds what the recipe avoids: sums that saturate without AVX512-VNNI."""
    from onnxruntime import quantization

    limited = quantization.quantize_static

    def full(*arguments: Any, **options: Any) -> None:
        limited(*arguments, **{**options, "reduce_range": False})

    monkeypatch.setattr(quantization, "quantize_static", full)
    ref = quantised(registry, "conv", digits_network(), pictures(digits()[2]), "int8-convolutions")
    found = differences(registry, {"full": ref}, tmp_path / "bundles")
    assert found["full"] > 10 * registry.manifest(ref).example.atol
