"""Make a base image of this machine's own files: its C library, shell and an interpreter."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.package import find_python
from tests.support.packages import function_python

if TYPE_CHECKING:
    from collections.abc import Iterable

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"

#: The setting of an image that says where its Python is.
_PATH: dict[str, Any] = {"Env": ["PATH=/usr/local/bin:/usr/bin"]}

#: Parts of the standard library that no server imports.
_LEFT_OUT = {"__pycache__", "ensurepip", "idlelib", "lib2to3", "site-packages", "test", "tkinter"}

_SHELL = Path("/bin/sh")
_SETTINGS = [Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/passwd"), Path("/etc/group")]

#: Libraries of the system that wheels are linked with.
_FOR_WHEELS = (
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
    "libutil.so.1",
)


class Layout:
    """A directory in OCI's layout that is written blob by blob."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._blobs = path / "blobs" / "sha256"
        self._blobs.mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def add(self, media_type: str, content: bytes | dict[str, Any]) -> dict[str, Any]:
        """Write a blob and return its descriptor."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        name = hashlib.sha256(data).hexdigest()
        (self._blobs / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    def index(self, manifests: Iterable[dict[str, Any]]) -> Path:
        """Write the layout's index and return its directory."""
        (self.path / "index.json").write_text(json.dumps(self.index_of(manifests)))
        return self.path

    def index_of(self, manifests: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Return the document of an index."""
        return {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}

    def image(
        self,
        layers: Iterable[bytes],
        *,
        architecture: str = "amd64",
        layer_type: str = _LAYER,
        config: dict[str, Any] | None = _PATH,
    ) -> dict[str, Any]:
        """Write an image of uncompressed layers, and return its descriptor for the index."""
        plain = list(layers)
        packed = [each if layer_type.endswith("tar") else _gzip(each) for each in plain]
        ids = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in plain]
        document = {
            "architecture": architecture,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": ids},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.add(_CONFIG, document),
            "layers": [self.add(layer_type, each) for each in packed],
        }
        platform = {"os": "linux", "architecture": architecture}
        return self.add(MANIFEST, manifest) | {"platform": platform}


def machine_base(path: Path) -> Path:
    """Write an image of this machine's files, in a layout with an index of both architectures.

    Only the image of this machine's architecture can run; the other has the same files.
    """
    python = function_python()
    interpreter = find_python(python)
    assert interpreter is not None
    layout = Layout(path)
    layers = [_tar(_system_files(interpreter.resolve())), _tar(_python_files(interpreter, python))]
    images = [layout.image(layers, architecture=each) for each in ("amd64", "arm64")]
    # As `skopeo copy --all` writes it: an index within the layout's own.
    return layout.index([layout.add(INDEX, layout.index_of(images))])


def tar_of(names: Iterable[str]) -> bytes:
    """Return a layer of empty files."""
    return _tar((name, None) for name in names)


def _tar(files: Iterable[tuple[str, Path | None]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(mode="w", fileobj=buffer) as archive:
        for name, path in files:
            if path is None:
                archive.addfile(tarfile.TarInfo(name))
            else:
                archive.add(path, name, recursive=False)
    return buffer.getvalue()


@cache  # both architectures have the same layers
def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def _libraries(binary: Path) -> set[Path]:
    """Return the shared libraries that a binary is linked with."""
    done = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False)
    words = (word for line in done.stdout.splitlines() for word in line.split())
    return {Path(word) for word in words if word.startswith("/")}


def _system_files(interpreter: Path) -> list[tuple[str, Path | None]]:
    """Return the shell, the C library and what Python's own modules are linked with."""
    binaries = [_SHELL, interpreter, *interpreter.parents[1].glob("lib/python3.*/lib-dynload/*.so")]
    libraries = set().union(*map(_libraries, binaries))
    libraries |= {
        library
        for directory in {path.parent for path in libraries}
        for name in _FOR_WHEELS
        if (library := directory / name).exists()
    }
    settings = [path for path in _SETTINGS if path.exists()]
    # The files themselves: where links such as /lib lead to differs between machines.
    files = [_SHELL, *libraries, *settings]
    return [(str(path).lstrip("/"), path.resolve()) for path in sorted(files)]


def _python_files(interpreter: Path, python: str) -> list[tuple[str, Path | None]]:
    prefix = interpreter.resolve().parent.parent
    library = prefix / "lib" / f"python{python}"
    shared = sorted(prefix.glob(f"lib/libpython{python}*.so*"))
    files: list[tuple[str, Path | None]] = [
        (f"usr/local/bin/python{python}", interpreter.resolve()),
        *((f"usr/local/lib/{path.name}", path.resolve()) for path in shared),
    ]
    for path in sorted(library.rglob("*")):
        name = path.relative_to(library)
        is_left_out = _LEFT_OUT.intersection(name.parts) or name.parts[0].startswith("config-")
        if path.is_file() and not is_left_out:
            files.append((f"usr/local/lib/python{python}/{name}", path))
    return files
