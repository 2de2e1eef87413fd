"""Format `remote`: the contract and the example of a model that another endpoint serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from shearling.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.bundle.manifest import Manifest
    from shearling.formats.base import LoadSettings


def load(manifest: Manifest, directory: Path, settings: LoadSettings) -> NoReturn:
    """Refuse to load: the bundle has no model.

    Raises:
        FormatError: always.
    """
    del directory, settings
    raise FormatError(
        f"the bundle of model {manifest.model!r} has only the contract of a model that an endpoint "
        "serves: set the model's `endpoint_name` in Terraform, and call its alias"
    )
