"""A real S3 server on loopback: SeaweedFS, one process with an empty directory of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Self

from bench.installation import HOME, command

if TYPE_CHECKING:
    from types import TracebackType

_START_SECONDS = 60.0

#: gRPC of each part listens this much above its port.
_GRPC_OFFSET = 10_000
BUCKET = "models"


class ObjectStore:
    """The server while the block runs."""

    def __init__(self) -> None:
        self._directory = HOME / "s3"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        master, volume, filer, s3 = _free_ports(4)
        self.url = f"http://127.0.0.1:{s3}"
        options = {
            "dir": str(self._directory),
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.port": master,
            "master.volumeSizeLimitMB": 1024,
            "volume.port": volume,
            "volume.max": 0,
            "filer": "true",
            "filer.port": filer,
            "s3": "true",
            "s3.port": s3,
            "s3.port.iceberg": 0,
        }
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [str(command("weed")), "server", *(f"-{k}={v}" for k, v in options.items())],
                cwd=self._directory,
                env={"PATH": "/usr/bin:/bin", "HOME": str(self._directory)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._make_bucket()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def environment(self) -> dict[str, str]:
        """Return the variables with which boto3, the AWS CLI and Shearling find it."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }

    def _make_bucket(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        request = urllib.request.Request(f"{self.url}/{BUCKET}", method="PUT")  # noqa: S310
        while True:
            try:
                with urllib.request.urlopen(request, timeout=5):  # noqa: S310 - on loopback
                    break
            except OSError as error:
                if time.monotonic() > deadline:
                    log = (self._directory / "log").read_text(errors="replace")[-4000:]
                    raise RuntimeError(f"the S3 server does not start: {error}\n{log}") from error
                time.sleep(0.2)

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        shutil.rmtree(self._directory, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    port = 20_000 + time.time_ns() % 5_000
    while len(found) < count:
        port += 1
        if _is_free(port) and _is_free(port + _GRPC_OFFSET):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
