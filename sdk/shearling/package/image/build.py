"""Build an image: a base's layers, one layer of ours and a configuration; write it or push it."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from shearling.bundle.canonical_json import canonical_json
from shearling.bundle.digests import digest_of
from shearling.errors import PackageError
from shearling.package.build import collect_content
from shearling.package.build_target import Architecture, Target
from shearling.package.image.base_image import fetch_base
from shearling.package.image.documents import CONFIG, Descriptor, Manifest
from shearling.package.image.layer import write_layer
from shearling.package.image.layout import write_image_tar
from shearling.package.image.report import ImageReport
from shearling.package.image.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shearling.package.image.base_image import BaseImage
    from shearling.package.image.layer import Layer
    from shearling.package.image.reference import ImageReference

#: Docker's own images of Python, as Amazon ECR's public registry has them.
_DEFAULT_BASE = "public.ecr.aws/docker/library/python:{python}-slim"
_DEFAULT_PYTHON = "3.13"

#: Where Lambda's own images have the code, and what modules are compiled for.
_CODE = PurePosixPath("var/task")
#: Where every image has its Python, whose own place depends on the base: Terraform's module for
#: functions names it.
_PYTHON = PurePosixPath("python")
_PORT = "8080/tcp"

#: A time in an image would make each build another one.
_EPOCH = "1970-01-01T00:00:00Z"

#: Settings of a base's container that would be wrong for ours.
_DROPPED = frozenset({"ArgsEscaped", "Cmd", "Entrypoint", "Healthcheck", "OnBuild", "Shell"})


def build_image(
    *,
    base: str | None = None,
    python: str | None = None,
    architecture: Architecture = "x86_64",
    requirements: Sequence[str] = (),
    output: Path | None = None,
    push: ImageReference | None = None,
    progress: Callable[[str], None] = lambda _: None,
    open_repository: Callable[[ImageReference], Repository] = Repository,
) -> ImageReport:
    """Build the image of the server and of the Lambda handler, and write or push it.

    The image starts the server. A function of package type image starts the handler instead, as
    Shearling's Terraform module configures it. Equal arguments give the same digest on every
    machine that compiles with the same Python release.

    Args:
        base: image to build on: a name in a registry, or a directory in OCI's layout. It has
            Python, and glibc 2.34 or newer.
        python: major and minor version of Python, as in `3.13`; by default the base's.
        architecture: architecture of the image.
        requirements: packages of a pickled model, as in `scikit-learn==1.6.1`.
        output: path of a tar to write the image to.
        push: repository to push the image to.
        progress: called with a sentence before each step.
        open_repository: returns the repository of a reference.

    Raises:
        PackageError: the base cannot be used, a package has no wheel, or the registry refuses.
        IntegrityError: the base's bytes are not what its digests name.
    """
    if push and push.digest:
        raise PackageError(
            f"{push} has a digest; an image is pushed to a repository or a tag of it"
        )
    if base is None:
        python = python or _DEFAULT_PYTHON
        base = _DEFAULT_BASE.format(python=python)
    progress(f"Getting {base}")
    based_on = fetch_base(base, architecture, open_repository=open_repository)
    python, interpreter = based_on.python(python)
    target = Target(kind="image", python=python, architecture=architecture)
    with tempfile.TemporaryDirectory(prefix="shearling-image-") as directory:
        content = collect_content(target, requirements, Path(directory, "content"), progress)
        progress("Writing the layer")
        layer = write_layer(
            Path(directory, "layer.tar.gz"),
            content.root,
            content.files,
            prefix=_CODE,
            links={_PYTHON: interpreter},
        )
        image = _compose(based_on, layer)
        if output:
            progress(f"Writing {output.name}")
            image.write(output)
        sent = 0
        if push:
            progress(f"Pushing to {push}")
            sent = image.push(open_repository(push))
        return ImageReport(
            target=target,
            base=f"{base.partition('@')[0]}@{based_on.digest}",
            digest=image.digest,
            path=output,
            pushed=push.pinned(image.digest) if push else "",
            base_bytes=sum(each.size for each in based_on.manifest.layers),
            layer_bytes=layer.descriptor.size,
            unpacked_bytes=content.size,
            sent_bytes=sent,
            items=content.items(),
            notes=tuple(content.notes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """An image whose layers are in files.

    Attributes:
        base: image that it is built on.
        layer: layer of ours.
        config: its configuration.
        manifest: its manifest.
    """

    base: BaseImage
    layer: Layer
    config: bytes
    manifest: Manifest

    @property
    def document(self) -> bytes:
        return canonical_json(self.manifest.document())

    @property
    def digest(self) -> str:
        return digest_of(self.document)

    @property
    def files(self) -> dict[str, Path]:
        return {**self.base.layers, self.layer.descriptor.digest: self.layer.path}

    def write(self, output: Path) -> None:
        write_image_tar(
            output,
            self.document,
            {**self.files, self.manifest.config.digest: self.config},
            config=self.manifest.config.digest,
            layers=[layer.digest for layer in self.manifest.layers],
        )

    def push(self, repository: Repository) -> int:
        """Push the image, its manifest last; return the number of bytes that were sent."""
        target, origin = repository.reference, self.base.reference
        shared = origin.repository if origin and origin.host == target.host else ""
        sent = 0
        for layer in self.manifest.layers:
            source = shared if layer.digest in self.base.layers else ""
            path = self.files[layer.digest]
            sent += layer.size * repository.upload(layer, path, mount_from=source)
        with tempfile.NamedTemporaryFile() as config:
            config.write(self.config)
            config.flush()
            sent += len(self.config) * repository.upload(self.manifest.config, Path(config.name))
        repository.put_manifest(self.document, target.tag or self.digest)
        return sent


def _compose(base: BaseImage, layer: Layer) -> _Image:
    config = canonical_json(_config(base, layer))
    descriptor = Descriptor(media_type=CONFIG, digest=digest_of(config), size=len(config))
    layers = (*base.manifest.layers, layer.descriptor)
    return _Image(
        base=base,
        layer=layer,
        config=config,
        manifest=Manifest(config=descriptor, layers=layers),
    )


def _config(base: BaseImage, layer: Layer) -> dict[str, Any]:
    """Return the base's configuration with our layer, our environment and our entry."""
    history = {"created": _EPOCH, "created_by": "shearling package image"}
    settings = {
        name: value
        for name, value in (base.config.get("config") or {}).items()
        if name not in _DROPPED
    }
    labels = {"org.opencontainers.image.base.digest": base.digest}
    with suppress(
        metadata.PackageNotFoundError
    ):  # the sources are on the path without installation
        labels["org.opencontainers.image.version"] = metadata.version("shearling")
    code = f"/{_CODE}"
    variables = {"LAMBDA_TASK_ROOT": code, "PYTHONPATH": code}
    settings |= {
        "Env": _environment(settings.get("Env") or [], variables),
        "Entrypoint": [f"{code}/{_PYTHON}", "-m", "shearling_runtime.server"],
        "Cmd": ["serve"],
        "ExposedPorts": {_PORT: {}},
        "Labels": {**(settings.get("Labels") or {}), **labels},
        "StopSignal": "SIGTERM",
        "WorkingDir": code,
    }
    rootfs = {**base.config["rootfs"]}
    rootfs["diff_ids"] = [*rootfs["diff_ids"], layer.diff_id]
    return {
        "architecture": base.config["architecture"],
        "config": settings,
        "created": _EPOCH,
        "history": [*(base.config.get("history") or []), history],
        "os": "linux",
        "rootfs": rootfs,
        **({"variant": base.config["variant"]} if "variant" in base.config else {}),
    }


def _environment(base: Sequence[str], ours: dict[str, str]) -> list[str]:
    """Return a base's variables, each as `NAME=value`, and ours, which replace its own."""
    kept = [entry for entry in base if entry.partition("=")[0] not in ours]
    return [*kept, *(f"{name}={value}" for name, value in ours.items())]
