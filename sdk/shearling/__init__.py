"""Deploy machine-learning models to AWS Lambda: `import shearling as sdk`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shearling.aliases.rollback import rollback as rollback
    from shearling.aliases.set_alias import set_alias as set_alias
    from shearling.aliases.status import status as status
    from shearling.batches.batch import batch as batch
    from shearling.batches.batch import batch_run as batch_run
    from shearling.batches.batch import batch_runs as batch_runs
    from shearling.batches.run import BatchRun as BatchRun
    from shearling.client.connect import connect as connect
    from shearling.client.jobs import Job as Job
    from shearling.converters.image_settings import Image as Image
    from shearling.converters.remote import Remote as Remote
    from shearling.errors import BatchFailedError as BatchFailedError
    from shearling.errors import BreakingChangeError as BreakingChangeError
    from shearling.errors import BundleError as BundleError
    from shearling.errors import DeadlineError as DeadlineError
    from shearling.errors import EnvironmentMismatchError as EnvironmentMismatchError
    from shearling.errors import FormatError as FormatError
    from shearling.errors import InferenceError as InferenceError
    from shearling.errors import IntegrityError as IntegrityError
    from shearling.errors import InvalidRefError as InvalidRefError
    from shearling.errors import InvalidRequestError as InvalidRequestError
    from shearling.errors import JobTimeoutError as JobTimeoutError
    from shearling.errors import ModelNotFoundError as ModelNotFoundError
    from shearling.errors import ModelNotReadyError as ModelNotReadyError
    from shearling.errors import PackageError as PackageError
    from shearling.errors import PayloadTooLargeError as PayloadTooLargeError
    from shearling.errors import PredictionError as PredictionError
    from shearling.errors import RegistryError as RegistryError
    from shearling.errors import ReleaseError as ReleaseError
    from shearling.errors import RowsFailedError as RowsFailedError
    from shearling.errors import ShearlingError as ShearlingError
    from shearling.errors import StoreError as StoreError
    from shearling.errors import UnknownModelError as UnknownModelError
    from shearling.errors import UnsupportedSchemaError as UnsupportedSchemaError
    from shearling.models.compare import compare as compare
    from shearling.models.diff import diff as diff
    from shearling.models.distil import distil as distil
    from shearling.models.import_model import import_model as import_model
    from shearling.models.load import load_model as load_model
    from shearling.models.model_version import ModelVersion as ModelVersion
    from shearling.models.plan import plan as plan
    from shearling.models.push import push_model as push_model
    from shearling.models.quantize import quantize as quantize
    from shearling.models.training_job import push_training_job as push_training_job
    from shearling.registry.registry import Registry as Registry

#: Module -> the public names that it defines. `__getattr__` imports a module on first use.
_PUBLIC = {
    "aliases.rollback": ("rollback",),
    "aliases.set_alias": ("set_alias",),
    "aliases.status": ("status",),
    "batches.batch": ("batch", "batch_run", "batch_runs"),
    "batches.run": ("BatchRun",),
    "client.connect": ("connect",),
    "client.jobs": ("Job",),
    "converters.image_settings": ("Image",),
    "converters.remote": ("Remote",),
    "errors": (
        "BatchFailedError",
        "BreakingChangeError",
        "BundleError",
        "DeadlineError",
        "EnvironmentMismatchError",
        "FormatError",
        "InferenceError",
        "IntegrityError",
        "InvalidRefError",
        "InvalidRequestError",
        "JobTimeoutError",
        "ModelNotFoundError",
        "ModelNotReadyError",
        "PackageError",
        "PayloadTooLargeError",
        "PredictionError",
        "RegistryError",
        "ReleaseError",
        "RowsFailedError",
        "ShearlingError",
        "StoreError",
        "UnknownModelError",
        "UnsupportedSchemaError",
    ),
    "models.compare": ("compare",),
    "models.diff": ("diff",),
    "models.distil": ("distil",),
    "models.import_model": ("import_model",),
    "models.load": ("load_model",),
    "models.model_version": ("ModelVersion",),
    "models.plan": ("plan",),
    "models.push": ("push_model",),
    "models.quantize": ("quantize",),
    "models.training_job": ("push_training_job",),
    "registry.registry": ("Registry",),
}
_MODULES = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_MODULES)  # noqa: PLE0605 - type checkers read the imports above


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that a cold start imports only what it needs."""
    if name == "__version__":
        from importlib.metadata import version

        return version("shearling")
    if name not in _MODULES:
        raise AttributeError(f"module 'shearling' has no attribute {name!r}")
    return getattr(import_module(f"shearling.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
