"""No version is lost, duplicated or broken by processes that push at once or are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import onnx
import pytest

from shearling.bundle.example import Example
from shearling.formats.base import LoadSettings, load_bundle
from shearling.registry.registry import Registry
from shearling.tensors.comparison import compare
from tests.support.bundles import ROWS, scaling_graph

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

ROUNDS = 20

#: Imports first. Then pushes the file that each input line names, and prints its version.
PUSHER = """
import sys
import numpy as np
import onnxruntime
from shearling.models.push import push_model

name, registry, example = sys.argv[1], sys.argv[2], np.array(eval(sys.argv[3]), np.float32)
print("ready", flush=True)
for line in sys.stdin:
    print(push_model(line.strip(), name, example=example, registry=registry).version, flush=True)
"""


class Pusher:
    """A process that pushes files on request."""

    def __init__(self, registry: str, name: str = "fraud") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PUSHER, name, registry, str(ROWS.tolist())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self._line() == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def push(self, file: Path) -> None:
        """Start pushing a file."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{file}\n")
        self._process.stdin.flush()

    def version(self) -> int:
        """Wait until the file is pushed, and return its version."""
        return int(self._line())

    def kill(self) -> None:
        """Kill the process."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture(params=["directory", "s3"])
def shared_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A registry that processes share."""
    if request.param == "directory":
        return str(tmp_path / "registry")
    uri: str = request.getfixturevalue("s3_uri")
    return uri


def graph_file(directory: Path, factor: float) -> Path:
    file = directory / f"{factor}.onnx"
    onnx.save(scaling_graph(factor), file)
    return file


@pytest.mark.parametrize("models", ["different", "same"])
def test_two_processes_that_push_a_name_at_once_lose_and_duplicate_nothing(
    shared_uri: str, tmp_path: Path, models: Literal["different", "same"]
) -> None:
    numbers: list[tuple[int, int]] = []
    with ExitStack() as stack:
        pushers = [stack.enter_context(Pusher(shared_uri)) for _ in range(2)]
        for round_ in range(ROUNDS):
            factors = (round_, round_ + 0.5) if models == "different" else (round_, round_)
            for pusher, factor in zip(pushers, factors, strict=True):
                pusher.push(graph_file(tmp_path, factor))
            first, second = (pusher.version() for pusher in pushers)
            numbers.append((first, second))
    versions = Registry(shared_uri).versions("fraud")
    wanted = 2 * ROUNDS if models == "different" else ROUNDS
    assert [version.pin.version for version in versions] == list(range(1, wanted + 1))
    assert len({version.pin.digest for version in versions}) == wanted
    assert {number for pair in numbers for number in pair} == set(range(1, wanted + 1))
    if models == "same":
        assert all(first == second for first, second in numbers)
    else:
        assert len({number for pair in numbers for number in pair}) == 2 * len(numbers)


def test_a_push_that_is_killed_never_leaves_a_version_that_does_not_load(
    shared_uri: str, tmp_path: Path
) -> None:
    rounds = ROUNDS
    moment = random.Random(3)
    with Pusher(shared_uri) as pusher:
        pusher.push(graph_file(tmp_path, 1000.0))
        assert pusher.version() == 1
        started = time.monotonic()
        pusher.push(graph_file(tmp_path, 1001.0))
        assert pusher.version() == 2
        usual_seconds = time.monotonic() - started
    for round_ in range(rounds):
        with Pusher(shared_uri) as pusher:
            # The first push of a process takes longer, because of its imports.
            pusher.push(graph_file(tmp_path, 1000.0))
            assert pusher.version() == 1
            pusher.push(graph_file(tmp_path, float(round_)))
            time.sleep(moment.uniform(0.0, 1.2) * usual_seconds)
            pusher.kill()
    registry = Registry(shared_uri)
    versions = registry.versions("fraud")
    assert [version.pin.version for version in versions] == list(range(1, len(versions) + 1))
    for version in versions:
        assert answers(registry, str(version.pin), tmp_path / "cache")
    # The remains of interrupted pushes do not affect later pushes.
    with Pusher(shared_uri) as pusher:
        pusher.push(graph_file(tmp_path, 0.0))
        assert 1 <= pusher.version() <= len(versions) + 1


def answers(registry: Registry, ref: str, cache: Path) -> bool:
    """Load a version from the registry alone, and return whether it answers its example."""
    manifest = registry.manifest(ref)
    registry.fetch(manifest, cache)
    predictor = load_bundle(manifest, cache, LoadSettings())
    example = Example.from_bytes((cache / manifest.file(manifest.example.path).hex).read_bytes())
    np.testing.assert_array_equal(example.inputs["X"], ROWS)
    found = compare(example.outputs, predictor.predict(example.inputs, ["Y"]), rtol=1e-3, atol=1e-4)
    return not found.problem


def test_the_same_model_pushed_by_different_processes_is_the_same_version(tmp_path: Path) -> None:
    program = """
import sys
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
import shearling as sdk
texts = ["a good day", "a bad day"] * 9
model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0] * 9)
print(sdk.push_model(model, "mood", example=texts, registry=sys.argv[1]).version)
"""
    versions = [
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout.strip()
        for seed in (0, 1, 4)  # seeds that give three orders of the imported opsets
    ]
    assert versions == ["1"] * 3
