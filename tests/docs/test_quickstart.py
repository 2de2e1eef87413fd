"""The commands of the README, the local quickstart and the jobs example, run as a newcomer does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.markdown import DOCS, REPOSITORY, blocks, section

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

README = (REPOSITORY / "README.md").read_text()

#: The environment that runs the tests has what these install.
INSTALLATION = ["python3 -m venv .venv && . .venv/bin/activate", "pip install '.[sklearn]'"]
ACTIVATION = ". .venv/bin/activate"

#: A port that is free, instead of the one that a newcomer gets.
SERVE = "shearling serve iris"
ADDRESS = "http://127.0.0.1:8080"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A directory with what the commands name."""
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    return tmp_path


@pytest.fixture
def environment(clone: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SHEARLING_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return ours | {"PATH": path, "XDG_CACHE_HOME": str(clone / "cache")}


class Terminal:
    """A shell in a directory, whose variables last from one block of commands to the next."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._directory = directory
        self._environment = environment
        self._exports = ""
        self._server: subprocess.Popen[str] | None = None
        self._address = ADDRESS

    def run(self, block: str) -> str:
        """Run the commands of a block; the server goes on in the background."""
        lines = [line for line in block.splitlines() if line not in (*INSTALLATION, ACTIVATION)]
        serves = SERVE in lines
        self._exports += "".join(f"{line}\n" for line in lines if line.startswith("export "))
        commands = "\n".join(line for line in lines if line != SERVE)
        commands = commands.replace(ADDRESS, self._address)
        printed = self._bash(commands)
        if serves:
            self._serve()
        return printed

    def close(self) -> None:
        """End the server."""
        if self._server:
            os.killpg(self._server.pid, signal.SIGTERM)
            self._server.communicate(timeout=20)

    def _bash(self, commands: str) -> str:
        done = subprocess.run(
            ["bash", "-ec", self._exports + commands],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _serve(self) -> None:
        self._server = subprocess.Popen(
            ["bash", "-ec", f"{self._exports}exec {SERVE} --port 0"],
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._server.stderr is not None
        for line in self._server.stderr:
            if found := re.match(r"(http://127\.0\.0\.1:\d+)/v2/models/iris$", line.strip()):
                self._address = found[1]
                return
        pytest.fail("the server has ended")


@pytest.fixture
def terminal(clone: Path, environment: dict[str, str]) -> Iterator[Terminal]:
    opened = Terminal(clone, environment)
    yield opened
    opened.close()


def test_readme_serves_a_model_with_five_commands(terminal: Terminal) -> None:
    first, call, demo = blocks(section(README, "Try it on your machine"), "sh")
    commands = first.splitlines()
    assert commands[:2] == INSTALLATION
    assert len(commands) <= 5

    assert "pushed iris:1" in terminal.run(first)
    (prediction,) = json.loads(terminal.run(call))["predictions"]
    assert prediction["label"] == 0
    assert demo.strip() == "make demo"


def test_local_quickstart_runs_from_beginning_to_end(terminal: Terminal) -> None:
    page = (DOCS / "quickstart-local.md").read_text()
    *steps, demo = blocks(page, "sh")
    printed = [terminal.run(step) for step in steps]
    assert "pushed iris:1" in printed[0]
    assert '"label":0' in printed[1]
    assert printed[2].splitlines()[0].startswith("label,")
    assert "iris:staging -> 1" in printed[3]
    for program in blocks(page, "python"):
        terminal.run(f"python - <<'END'\n{program}END\n")
    assert demo.strip() == "make demo"


def test_the_example_of_a_job_is_submitted_and_read_by_another_process(terminal: Terminal) -> None:
    page = (REPOSITORY / "examples" / "jobs" / "README.md").read_text()
    start, later = blocks(page, "sh")
    terminal.run(start)
    shown, printed = (
        [re.match(r"label (\d): ([\d,]+) flowers", line) for line in text.splitlines()]
        for text in (blocks(page, "text")[0], terminal.run(later))
    )
    assert [line and line[1] for line in printed] == [line and line[1] for line in shown]
    assert sum(int(line[2].replace(",", "")) for line in printed if line) == 300_000


def test_the_example_of_a_job_ends_with_a_sentence_where_it_cannot_go_on(
    terminal: Terminal,
) -> None:
    page = (REPOSITORY / "examples" / "jobs" / "README.md").read_text()
    terminal.run(blocks(page, "sh")[0])
    script = f"python examples/jobs/later.py read {ADDRESS} {'0' * 32} --model iris"
    printed = terminal.run(f"! {script} 2>&1")
    assert "is not known here" in printed
    assert "Traceback" not in printed
