"""Run a container image without an engine: unpacked by umoci, in namespaces of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.production_server import Served

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# A root directory that only this process and its children see; it is gone with them.
_ENTER = r"""
set -eu
root=$1 directory=$2 path=$3
shift 3
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
for device in null zero random urandom; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  shift 2
done
shift
start='cd "$1"; PATH=$2; shift 2; unset OLDPWD; exec "$@"'
exec chroot "$root" /bin/sh -c "$start" sh "$directory" "$path" "$@"
"""

_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may unpack and run an image without an engine"
)


class Image:
    """An unpacked image.

    Attributes:
        root: its root directory.
        process: what its configuration runs: arguments, environment and directory.
    """

    def __init__(self, source: str, directory: Path) -> None:
        """Unpack an image with skopeo and umoci.

        Args:
            source: the image, as skopeo names it.
            directory: directory to create and unpack it in.
        """
        directory.mkdir()
        layout = f"oci:{directory / 'layout'}:image"
        _run("skopeo", "copy", "--quiet", "--src-tls-verify=false", source, layout)
        bundle = directory / "bundle"
        _run("umoci", "unpack", "--image", layout.removeprefix("oci:"), str(bundle))
        self.root = bundle / "rootfs"
        self.process: dict[str, Any] = json.loads((bundle / "config.json").read_text())["process"]
        for name in ("proc", "tmp", "dev"):
            (self.root / name).mkdir(exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the image's configuration sets."""
        return dict(entry.split("=", 1) for entry in self.process["env"])

    def command(self, arguments: list[str], mounts: Mapping[str, Path]) -> list[str]:
        """Return the command that runs a program in the image as process 1 of a namespace.

        Args:
            arguments: the program and its arguments.
            mounts: directories of this machine by path in the container.
        """
        bound = [word for target, source in mounts.items() for word in (str(source), target)]
        path = self.environment["PATH"]
        return [
            *("/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *("/bin/sh", "-c", _ENTER, "sh", str(self.root), self.process["cwd"], path),
            *(*bound, "--", *arguments),
        ]

    @contextmanager
    def running(
        self, port: int, variables: Mapping[str, str], mounts: Mapping[str, Path], log: Path
    ) -> Iterator[Container]:
        """Run the image as a container on a port of its own, and stop it.

        Args:
            port: port to listen on.
            variables: environment variables.
            mounts: directories of this machine by path in the container.
            log: file for its output.
        """
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command([*self.process["args"], "--port", str(port)], mounts),
                env={**self.environment, **variables, "PATH": _SYSTEM_PATH},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        container = Container(process, port, log)
        try:
            yield container
        finally:
            process.kill()  # and its child, which ends its namespace
            process.wait()


class Container(Served):
    """A running container."""

    def terminate(self) -> None:
        """Send SIGTERM to the first process of the container, as engines do."""
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(children) as stream:  # noqa: PTH123 - not a regular file
            os.kill(int(stream.read().split()[0]), signal.SIGTERM)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shutil.which(command[0])}: {done.stderr[-1000:]}"
