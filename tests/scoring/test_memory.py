"""The memory of scoring does not grow with the object."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: Scores a table in a directory, and prints the rows and by how many bytes the peak has grown.
PROGRAM = """
import sys
from pathlib import Path
from bench.session_worker import memory_bytes
from tests.scoring.models import matrix_scorer
from tests.scoring.places import Places

places = Places(Path(sys.argv[1]))
scorer = matrix_scorer()
places.put("small.csv", b"1.5,2.5,3.5\\n" * 1000)
places.score("small.csv", scorer, keep_columns=True)
before = memory_bytes("VmRSS")
outcome = places.score("large.csv", scorer, keep_columns=True, seconds_left=lambda: 600.0)
print(outcome.rows, memory_bytes("VmHWM") - before)
"""

ROWS = 8_000_000


@pytest.mark.slow
def test_a_hundred_megabytes_take_no_more_memory_than_the_parts_in_flight(tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    with (tmp_path / "in" / "large.csv").open("wb") as stream:
        for _ in range(ROWS // 100_000):
            stream.write(b"1.5,2.5,3.5\n" * 100_000)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows, grown = map(int, done.stdout.split())
    assert rows == ROWS
    # Source and output together have 224 MB.
    assert grown < 170_000_000
