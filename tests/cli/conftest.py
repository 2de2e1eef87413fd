"""Fixtures of the command's tests: a registry, models in it, and a function that serves one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from shearling.models.push import push_model
from shearling.registry.registry import Registry
from tests.support.bundles import ROWS, scaling_graph
from tests.support.cli import TARGET
from tests.support.lambda_server import LocalLambda, served

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty registry in a directory; SHEARLING_REGISTRY names it."""
    uri = str(tmp_path / "registry")
    monkeypatch.setenv("SHEARLING_REGISTRY", uri)
    monkeypatch.delenv("SHEARLING_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    return Registry(uri)


@pytest.fixture
def models(registry: Registry) -> Registry:
    """Three versions of one model; `prod` names the first."""
    for factor in (2.0, 3.0, 4.0):
        push_model(scaling_graph(factor), "fraud", example=ROWS, registry=registry)
    registry.set_alias("fraud", "prod", 1)
    return registry


@pytest.fixture
def local_lambda(models: Registry, tmp_path: Path) -> LocalLambda:
    """`acme-fraud:prod`, which serves version 1."""
    pin = str(models.resolve("fraud:prod"))
    return LocalLambda({TARGET: served(str(tmp_path / "registry"), pin, tmp_path / "scratch")})


@pytest.fixture
def graph(tmp_path: Path) -> str:
    path = tmp_path / "fraud.onnx"
    onnx.save(scaling_graph(), str(path))
    return str(path)
