"""Shearling puts machine-learning models on AWS Lambda: `import shearling as sdk`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shearling.client import connect
    from shearling.errors import (
        BundleError,
        DeadlineError,
        EnvironmentMismatchError,
        FormatError,
        InferenceError,
        IntegrityError,
        InvalidRefError,
        InvalidRequestError,
        ModelNotFoundError,
        ModelNotReadyError,
        PackageError,
        PayloadTooLargeError,
        PredictionError,
        RegistryError,
        ReleaseError,
        RowsFailedError,
        ShearlingError,
        StoreError,
        UnknownModelError,
        UnsupportedSchemaError,
    )
    from shearling.load import load_model
    from shearling.model_version import ModelVersion
    from shearling.push import push_model
    from shearling.registry import Registry
    from shearling.rollout import rollback, set_alias, status

_HOMES = {
    "ModelVersion": "model_version",
    "Registry": "registry",
    "connect": "client",
    "load_model": "load",
    "push_model": "push",
    "rollback": "rollout",
    "set_alias": "rollout",
    "status": "rollout",
}

__all__ = [
    "BundleError",
    "DeadlineError",
    "EnvironmentMismatchError",
    "FormatError",
    "InferenceError",
    "IntegrityError",
    "InvalidRefError",
    "InvalidRequestError",
    "ModelNotFoundError",
    "ModelNotReadyError",
    "ModelVersion",
    "PackageError",
    "PayloadTooLargeError",
    "PredictionError",
    "Registry",
    "RegistryError",
    "ReleaseError",
    "RowsFailedError",
    "ShearlingError",
    "StoreError",
    "UnknownModelError",
    "UnsupportedSchemaError",
    "connect",
    "load_model",
    "push_model",
    "rollback",
    "set_alias",
    "status",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: a function's start pays for nothing else."""
    if name == "__version__":
        from importlib.metadata import version

        return version("shearling")
    if name not in __all__:
        raise AttributeError(f"module 'shearling' has no attribute {name!r}")
    return getattr(import_module(f"shearling.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
