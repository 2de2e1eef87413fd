"""Run a function package under AWS's runtime interface emulator, with its start-up and errors."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.embedded_aws import install
from tests.embedded_aws.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_START_SECONDS = 20.0


class FunctionError(RuntimeError):
    """The invocation failed: the function raised, its start-up failed, it timed out or died."""

    def __init__(self, payload: Mapping[str, Any]) -> None:
        super().__init__(str(payload.get("errorMessage")))
        self.payload = dict(payload)
        self.error_type = str(payload.get("errorType"))


class RuntimeEmulator:
    """One execution environment of a function; as on Lambda it starts with the first invoke.

    `environment` is what the function's configuration says; nothing of ours is inherited. It is a
    published version, since `$LATEST` answers no inference.
    """

    def __init__(
        self,
        package: Path,
        handler: str,
        environment: Mapping[str, str] | None = None,
        *,
        python: Path | None = None,
        timeout_seconds: int = 30,
        memory_mb: int = 1024,
        tmp_mb: int = 512,
        mounts: Mapping[str, Path] | None = None,
        function_name: str = "function",
        version: str = "1",
        log_level: str = "warn",
    ) -> None:
        self._python = python or install.function_python()
        self._package = package.resolve()
        self._handler = handler
        self._timeout_seconds = timeout_seconds
        self._mounts = dict(mounts or {})
        self._tmp_mb = tmp_mb
        self._log_level = log_level
        self._variables = {
            "AWS_LAMBDA_FUNCTION_NAME": function_name,
            "AWS_LAMBDA_FUNCTION_VERSION": version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_seconds),
            **(environment or {}),
        }
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._log = ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the emulator; the function itself starts with the first invocation."""
        self._directory = tempfile.TemporaryDirectory(prefix="shearling-rie-")
        self._port, api_port = _free_ports()
        rie = (
            str(install.rie_binary()),
            *("--log-level", self._log_level),
            *("--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
            *("--runtime-api-address", f"127.0.0.1:{api_port}"),
        )
        sandbox = self._sandbox()
        with self._log_file().open("wb") as log:
            self._process = subprocess.Popen(
                [*rie, *sandbox.command("-m", "awslambdaric", self._handler)],
                cwd=self._directory.name,
                env={**sandbox.environment(), **self._aws_variables(), **self._variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.stop()
            raise
        return self

    def invoke(self, event: object, *, timeout_seconds: float | None = None) -> Any:
        """The function's answer to one event; one at a time, as in one execution environment."""
        # The emulator enforces the function's timeout; this longer one is a safety net.
        patience = timeout_seconds or self._timeout_seconds + 30
        answer = self._post(json.dumps(event).encode(), patience)
        if isinstance(answer, dict) and {"errorMessage", "errorType"} <= answer.keys():
            raise FunctionError(answer)
        return answer

    def logs(self) -> str:
        """Return the output of the function and the emulator so far."""
        if self._directory is None:
            return self._log
        return self._log_file().read_text(errors="replace")

    def stop(self) -> None:
        """End the emulator and the function, which shares its process group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._directory is not None:
            self._log = self.logs()
            self._directory.cleanup()
            self._directory = None

    def _sandbox(self) -> Sandbox:
        assert self._directory is not None
        scratch = Path(self._directory.name) / "scratch"
        scratch.mkdir()
        return Sandbox(
            python=self._python,
            task=self._package,
            scratch=scratch,
            mounts=self._mounts,
            tmp_mb=self._tmp_mb,
        )

    def _aws_variables(self) -> dict[str, str]:
        version = self._python.parent.parent.name.removeprefix("function-")
        return {
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/function",
            "AWS_LAMBDA_LOG_STREAM_NAME": "runtime-emulator",
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }

    def _log_file(self) -> Path:
        assert self._directory is not None
        return Path(self._directory.name) / "log"

    def _wait_until_it_listens(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
                return
            time.sleep(0.01)
        raise RuntimeError(f"the runtime interface emulator does not start:\n{self.logs()}")

    def _post(self, body: bytes, patience: float) -> Any:
        url = f"http://127.0.0.1:{self._port}/2015-03-31/functions/function/invocations"
        request = urllib.request.Request(url, data=body, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=patience) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                raise FunctionError(_not_json(error.read().decode())) from error
        except (OSError, urllib.error.URLError) as error:
            raise FunctionError(_not_json(f"no answer: {error}\n{self.logs()}")) from error
        try:
            return json.loads(text)
        except ValueError:
            raise FunctionError(_not_json(text)) from None


def _not_json(text: str) -> dict[str, str]:
    """Return the error for a plain-text reply: a time-out, or a runtime that exited."""
    with contextlib.suppress(ValueError):
        parsed = json.loads(text)
        if isinstance(parsed, dict):
            return parsed
    kind = "Sandbox.Timedout" if "timed out" in text else "Runtime.ExitError"
    return {"errorMessage": text, "errorType": kind}


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
