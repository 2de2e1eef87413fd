"""An AWS on loopback for the demo and the tests: the emulator as a process that leaves nothing."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import json
import os
import shutil
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from botocore.config import Config

REGION = "eu-central-1"
ACCOUNT = "000000000000"

#: Variables of the caller's own AWS that must not be seen next to `environment()`.
FOREIGN = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_CA_BUNDLE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)

_STARTS = 3
_START_SECONDS = 60.0
_RECORD = "embedded-aws.json"


class EmbeddedAwsError(RuntimeError):
    """The embedded AWS does not start, or is not the one that was left running."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Process:
    """The emulator: the leader of a process group that its functions belong to, too."""

    pid: int
    born: str
    port: int


class EmbeddedAws:
    """The emulator in a process group of its own, with a directory for all that it writes.

    It dies with this process unless `detached`; then `attach(directory)` finds it again.
    """

    def __init__(
        self, *, auth: bool = False, directory: Path | None = None, detached: bool = False
    ) -> None:
        self._auth = auth
        self._given_directory = directory
        self._detached = detached
        self._directory: Path | None = None
        self._process: _Process | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @classmethod
    def attach(cls, directory: Path) -> Self:
        """The detached embedded AWS that was started with this directory."""
        try:
            process = _Process(**json.loads((directory / _RECORD).read_text()))
        except FileNotFoundError as error:
            raise EmbeddedAwsError(f"no embedded AWS was left running in {directory}") from error
        attached = cls(directory=directory, detached=True)
        attached._directory = directory
        attached._process = process
        return attached

    def start(self) -> Self:
        """Start it and wait until it answers."""
        self._prepare_directory()
        # Unhandled errors and interrupts of the interpreter end it as well.
        atexit.register(self._stop_unless_detached)
        try:
            self._start_on_a_free_port()
        except BaseException:
            self.stop()
            raise
        if self._detached:
            record = json.dumps(dataclasses.asdict(self._running()))
            (self.directory / _RECORD).write_text(record)
        return self

    def stop(self) -> None:
        """End every process that it started, and remove what it wrote unless given a directory."""
        atexit.unregister(self._stop_unless_detached)
        process, self._process = self._process, None
        if process is not None:
            _end_group(process)
        if self._child is not None:
            if self._child.stdin is not None:
                self._child.stdin.close()
            self._child.wait()
            self._child = None
        self._remove_state()

    @property
    def url(self) -> str:
        """The endpoint of every service."""
        return f"http://127.0.0.1:{self._running().port}"

    @property
    def directory(self) -> Path:
        """What the emulator and its functions write, with its log, is below."""
        if self._directory is None:
            raise EmbeddedAwsError("the embedded AWS has not been started")
        return self._directory

    @property
    def log_file(self) -> Path:
        """The emulator's log, with what the functions print."""
        return self.directory / "emulator.log"

    @property
    def pid(self) -> int:
        """The emulator's process, and the number of its process group."""
        return self._running().pid

    def environment(self) -> dict[str, str]:
        """The variables that make boto3, obstore, Terraform and the AWS CLI use it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def process_environment(self, **more: str) -> dict[str, str]:
        """The whole environment for a process: this one's, but for any other AWS in it."""
        ours = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        no_profiles = {
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        return {**ours, **no_profiles, **self.environment(), **more}

    @contextlib.contextmanager
    def function_variables(self, variables: Mapping[str, str]) -> Iterator[None]:
        """Set variables of functions that start within, such as the URL of a service elsewhere."""
        file = self.directory / "function-variables.json"
        file.write_text(json.dumps(dict(variables)))
        try:
            yield
        finally:
            file.unlink()

    def client(
        self,
        service: str,
        *,
        config: Config | None = None,
        access_key: str = "test",
        secret_key: str = "test",
        session_token: str | None = None,
    ) -> Any:
        """A boto3 client; as root unless given the keys of somebody else (see `auth`)."""
        import boto3

        session = boto3.session.Session(
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=session_token,
            region_name=REGION,
        )
        create: Callable[..., Any] = session.client
        return create(service, endpoint_url=self.url, config=config)

    def http_api_url(self, api_id: str) -> str:
        """Where an HTTP API's default stage answers, for clients that do not know `*.localhost`."""
        return self.rest_api_url(api_id, "$default")

    def rest_api_url(self, api_id: str, stage: str) -> str:
        """Where a stage of a REST API answers."""
        return f"{self.url}/_aws/execute-api/{api_id}/{stage}"

    def file_system_directory(self, file_system_id: str, path: str = "/") -> Path:
        """The directory that stands for a path of an EFS file system."""
        directory = self.directory / "file-systems" / file_system_id / path.strip("/")
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def log_tail(self, lines: int = 40) -> str:
        """The end of the log, for error messages."""
        text = self.log_file.read_text(errors="replace") if self.log_file.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _running(self) -> _Process:
        if self._process is None:
            raise EmbeddedAwsError("the embedded AWS is not running")
        return self._process

    def _prepare_directory(self) -> None:
        if self._process is not None:
            raise EmbeddedAwsError("the embedded AWS is running already")
        directory = self._given_directory
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix="shearling-aws-"))
        elif (directory / _RECORD).exists():
            # What an earlier run left behind must not go on running unnoticed.
            EmbeddedAws.attach(directory).stop()
        self._directory = directory
        for name in ("tmp", "home"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    def _remove_state(self) -> None:
        if self._directory is None:
            return
        if self._given_directory is None:
            shutil.rmtree(self._directory, ignore_errors=True)
        else:
            # The log stays: it is what one looks at after a failure.
            (self._directory / _RECORD).unlink(missing_ok=True)
            for name in ("tmp", "home", "scratch", "file-systems"):
                shutil.rmtree(self._directory / name, ignore_errors=True)

    def _stop_unless_detached(self) -> None:
        if not self._detached:
            self.stop()

    def _start_on_a_free_port(self) -> None:
        for attempt in range(1, _STARTS + 1):
            port = _free_port()
            self._spawn(port)
            if self._answers():
                return
            # Somebody else may have taken the port between our asking for it and its use.
            if attempt == _STARTS or "already in use" not in self.log_tail():
                raise EmbeddedAwsError(f"the emulator does not start:\n{self.log_tail()}")
            self._forget_child()

    def _spawn(self, port: int) -> None:
        arguments = [] if self._detached else ["--die-with-parent"]
        if self._given_directory is None:
            arguments.append("--remove-state")
        python = install.emulator_python()
        environment = self._emulator_environment(port)
        with self.log_file.open("wb") as log:
            self._child = subprocess.Popen(
                [str(python), "-m", "tests.embedded_aws.launcher", *arguments],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL if self._detached else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._process = _Process(self._child.pid, _birth(self._child.pid), port)

    def _emulator_environment(self, port: int) -> dict[str, str]:
        pythons = {each: str(install.function_python(each)) for each in install.function_versions()}
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(install.REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.directory / "home"),
            "TMPDIR": str(self.directory / "tmp"),
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            # Below it are the hosts of APIs, which curl and browsers find on loopback.
            "MINISTACK_HOST": "localhost",
            "MINISTACK_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AUTH": str(self._auth).lower(),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # Nobody waits for the retries of a state machine.
            "SFN_WAIT_SCALE": "0.02",
            "SHEARLING_EMULATOR_STATE": str(self.directory),
            "SHEARLING_FUNCTION_PYTHONS": json.dumps(pythons),
        }

    def _answers(self) -> bool:
        assert self._child is not None
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._child.poll() is None:
            with contextlib.suppress(OSError, urllib.error.URLError):
                request = f"{self.url}/_ministack/health"
                with urllib.request.urlopen(request, timeout=5) as answer:
                    answer.read()
                return True
            time.sleep(0.05)
        return False

    def _forget_child(self) -> None:
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()
        self._child = None
        self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _end_group(process: _Process) -> None:
    """End the emulator and its functions at once: nothing in it is worth a farewell."""
    # If it is gone, its number may by now be somebody else's.
    if _birth(process.pid) == process.born:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _birth(pid: int) -> str:
    """What tells a process from a later one of the same number; empty if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _birth_without_proc(pid)
    return fields[19]


def _birth_without_proc(pid: int) -> str:
    if Path("/proc/self").exists():
        return ""
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
