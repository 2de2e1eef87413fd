"""Pickles are loaded only if that is allowed and the environment matches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from shearling.bundle.manifest import Environment, Manifest
from shearling.errors import (
    EnvironmentMismatchError,
    FormatError,
)
from shearling.models.load import load_model
from shearling.models.push import push_model
from tests.support.bundles import ROWS
from tests.support.datasets import commit, load_pinned, pushed_pickle

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry


def test_a_pickle_is_refused_unless_it_is_allowed(registry: Registry) -> None:
    version = pushed_pickle(registry)
    with pytest.raises(FormatError, match="is a pickle, which runs code when it is loaded: allow"):
        load_model(str(version.pin), registry=registry)


@pytest.mark.parametrize("ref", ["echo", "echo:1", "echo:prod"])
def test_a_pickle_is_refused_unless_it_is_pinned(registry: Registry, ref: str) -> None:
    version = pushed_pickle(registry)
    registry.set_alias("echo", "prod", 1)
    with pytest.raises(FormatError) as caught:
        load_model(ref, allow_pickle=True, registry=registry)
    assert f"load_model({str(version.pin)!r}, allow_pickle=True)" in str(caught.value)


def test_a_refused_pickle_has_run_no_code(registry: Registry, tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    class Loud:
        def __reduce__(self) -> Any:
            return (lambda path: path.touch() or (lambda rows: rows)), (trace,)

        def __call__(self, rows: Any) -> Any:
            return rows

    version = push_model(Loud(), "loud", example=ROWS, format="cloudpickle", registry=registry)
    assert trace.exists()  # the push proves it by loading it
    trace.unlink()
    with pytest.raises(FormatError):
        load_model(str(version.pin), registry=registry)
    assert not trace.exists()
    load_pinned(version, registry)
    assert trace.exists()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (Environment(python="3.7", requirements=()), r"needs Python 3\.7 \(this is 3\.\d+\)"),
        (
            Environment(python="", requirements=("numpy==1.0.0",)),
            r"numpy==1\.0\.0 \(installed: \d.*\): install .* `shearling package runtime --for",
        ),
        (
            Environment(python="", requirements=("no-such-package==1",)),
            r"no-such-package==1 \(installed: none\)",
        ),
    ],
)
def test_a_pickle_of_another_environment_is_refused_with_the_difference(
    registry: Registry, environment: Environment, message: str
) -> None:
    version = pushed_pickle(registry)
    was = registry.manifest(version.pin)
    assert was.environment is not None
    python = environment.python or was.environment.python
    wanted = Environment(python=python, requirements=environment.requirements)
    pin = recommit(registry, was, wanted)
    with pytest.raises(EnvironmentMismatchError, match=message):
        load_model(pin, allow_pickle=True, registry=registry)


def recommit(registry: Registry, manifest: Manifest, environment: Environment) -> str:
    data = replace(manifest, environment=environment).to_bytes()
    return commit(registry, manifest.model, data)
