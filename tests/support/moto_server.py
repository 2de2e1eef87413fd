"""moto as a server on loopback, for the services that the embedded AWS does not have."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.embedded_aws import ACCOUNT, install

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The line that says where it listens, for port 0 the one that the system chose.
_RUNNING = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")


@contextmanager
def moto_server() -> Iterator[str]:
    """Run moto while the block runs, and yield its URL."""
    command = [str(install.moto_python()), "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    environment = {"PATH": os.environ["PATH"], "MOTO_ACCOUNT_ID": ACCOUNT}
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stderr
            lines = iter(process.stderr.readline, "")
            yield next(match[1] for line in lines if (match := _RUNNING.search(line)))
        finally:
            process.kill()
