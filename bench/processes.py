"""Child processes: run to their end, measured, or spoken to over a socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

_START_SECONDS = 120.0
_REPOSITORY = Path(__file__).resolve().parents[1]


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a command to its end and return what it wrote.

    Raises:
        RuntimeError: it failed; the message has what it wrote.
    """
    if environment is None:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(  # noqa: S603 - our own commands
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


class Worker:
    """A process that answers questions: a module of ours, run in an environment of its own.

    Its standard output goes through a pipe to a reader, as a function's does on Lambda.

    Args:
        python: the interpreter.
        module: calls `answer_questions`.
        arguments: of the module; the address of the socket comes after them.
        packages: where its imports are found, before our own.
        environment: its variables; nothing is inherited.
    """

    def __init__(
        self,
        python: Path,
        module: str,
        arguments: Sequence[str],
        *,
        packages: Sequence[Path],
        environment: Mapping[str, str],
    ) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="shearling-bench-")
        address = str(Path(self._directory.name, "socket"))
        with Listener(address) as listener:
            self._reader = subprocess.Popen(
                ["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
            )
            self._process = subprocess.Popen(  # noqa: S603 - our own scripts
                [str(python), "-m", module, *arguments, address],
                env={**environment, "PYTHONPATH": ":".join(map(str, [*packages, _REPOSITORY]))},
                stdin=subprocess.DEVNULL,
                stdout=self._reader.stdin,
            )
            # A worker that dies before it connects must not be waited for.
            listener._listener._socket.settimeout(_START_SECONDS)  # type: ignore[attr-defined] # noqa: SLF001
            self._connection = listener.accept()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()
        if self._reader.stdin is not None:
            self._reader.stdin.close()
        self._process.kill()
        self._process.wait()
        self._reader.wait()
        self._directory.cleanup()

    def ask(self, **question: Any) -> Any:
        """Return the worker's answer."""
        self._connection.send_bytes(json.dumps(question).encode())
        return json.loads(self._connection.recv_bytes())


def answer_questions(answer: Callable[..., Any]) -> None:
    """Be a worker: answer until nobody asks any more."""
    with Client(sys.argv[-1]) as connection:
        while True:
            try:
                question = json.loads(connection.recv_bytes())
            except EOFError:
                return
            connection.send_bytes(json.dumps(answer(**question)).encode())
