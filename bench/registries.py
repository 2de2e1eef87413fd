"""The models where functions find them: in a registry, on a mounted directory, and as plain files.

`sdk.push_model` writes a model once, to a registry in a directory, which is laid out as a mounted
file system is: `blobs/sha256/<hex>`. The same bundle is published in S3 from there.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

import shearling as sdk
from bench.installation import HOME
from bench.object_store import BUCKET
from bench.progress import say

if TYPE_CHECKING:
    from pathlib import Path

    from bench.models import Model
    from bench.object_store import ObjectStore
    from shearling.bundle.manifest import Manifest

#: What a registry's path in the bucket is.
REGISTRY = f"s3://{BUCKET}/registry"


@dataclass(frozen=True, slots=True)
class Pushed:
    """A model in both registries."""

    pin: str
    manifest: Manifest


class Registries:
    """All that was pushed in this run; a model is pushed when it is first asked for."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.mount = HOME / "mount"
        shutil.rmtree(self.mount, ignore_errors=True)
        os.environ.update(store.environment())
        os.environ.pop("AWS_PROFILE", None)
        self._pushed: dict[str, Pushed] = {}
        self._plain: set[str] = set()

    def pushed(self, model: Model) -> Pushed:
        """Return a model's bundle, pushed to both registries."""
        if model.name not in self._pushed:
            model.build()
            self.push(model.name, model.path, model.rows(4))
        return self._pushed[model.name]

    def push(self, name: str, model: Any, example: Any, **options: Any) -> Pushed:
        """Push to the directory, and publish the same bundle in S3."""
        say(f"pushing {name}")
        local = sdk.Registry(self.mount)
        version = sdk.push_model(
            model, name, example=example, measure=False, registry=local, **options
        )
        manifest = local.manifest(version.pin)
        # Marks the files as verified, as the stager does: functions use no file without a mark.
        local.fetch(manifest, self.blobs())
        sdk.Registry(REGISTRY).publish(manifest, self._files(manifest), {})
        self._pushed[name] = Pushed(str(version.pin), manifest)
        settle()
        return self._pushed[name]

    def pushed_manifest(self, pin: str) -> Manifest:
        """Return the manifest of a pin that was pushed."""
        return next(each.manifest for each in self._pushed.values() if each.pin == pin)

    def plain(self, model: Model) -> list[Path]:
        """Upload a model's own files to `plain/<name>/`, once, and return them."""
        model.build()
        if model.name not in self._plain:
            say(f"uploading {model.name} as plain files")
            client = boto3.client("s3")
            for file in model.files:
                client.upload_file(str(file), BUCKET, f"plain/{model.name}/{file.name}")
            self._plain.add(model.name)
            settle()
        return model.files

    def blobs(self) -> Path:
        """Return the flat directory of blobs of the mount."""
        return self.mount / "blobs" / "sha256"

    def _files(self, manifest: Manifest) -> dict[str, Path]:
        return {file.path: self.blobs() / file.hex for file in manifest.files}


def settle() -> None:
    """Wait until what was written is on the disk: later measurements must not pay for it."""
    os.sync()


def read_once(directory: Path) -> None:
    """Read all files, so that they are in the page cache."""
    for file in sorted(directory.rglob("*")):
        if file.is_file():
            with file.open("rb", buffering=0) as stream:
                while stream.read(1 << 24):
                    pass
