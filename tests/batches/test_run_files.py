"""Documents of a run that are read while the run begins again, and replaces them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shearling.batches.places import Places
from shearling.batches.run_files import RunFiles
from shearling.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.storage.conditional import ObjectState
    from tests.batches.runs import Runs


def replace_after_looks(files: RunFiles, times: int) -> None:
    """Replace the document after each of some looks at its state."""
    attempts = iter(range(2, 2 + times))
    look: Any = files.objects.state

    def state(key: str) -> ObjectState | None:
        found: ObjectState | None = look(key)
        if attempt := next(attempts, 0):
            files.objects.state = look  # type: ignore[method-assign]
            files.write("run.json", {"attempt": "x" * attempt})
            files.objects.state = state  # type: ignore[method-assign]
        return found

    files.objects.state = state  # type: ignore[method-assign]


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    files = RunFiles(f"{tmp_path}/out/", Places())
    files.write("run.json", {"attempt": "x"})
    return files


def test_a_document_that_is_replaced_meanwhile_is_read_again(files: RunFiles) -> None:
    replace_after_looks(files, 1)
    assert files.document("run.json") == {"attempt": "xx"}


def test_a_document_that_is_replaced_each_time_is_an_error(files: RunFiles) -> None:
    replace_after_looks(files, 100)
    with pytest.raises(StoreError, match="was replaced 4 times while it was read"):
        files.document("run.json")


def test_a_plan_without_its_last_line_end_has_its_last_part(runs: Runs) -> None:
    runs.put("in/a.csv")
    runs.put("in/b.csv")
    runs.plan(run := runs.run())
    lines = runs.root / "out/_run/plan.jsonl"
    lines.write_bytes(lines.read_bytes().rstrip())

    assert len([*RunFiles.of(run, runs.places).requests()]) == 2


@pytest.mark.parametrize("damaged", [b'{"source":\n', b"{}\n", b'{"source"'])
def test_a_plan_that_was_changed_is_named(runs: Runs, damaged: bytes) -> None:
    runs.put("in/a.csv")
    runs.plan(run := runs.run())
    (runs.root / "out/_run/plan.jsonl").write_bytes(damaged)

    with pytest.raises(StoreError, match=r"/_run/plan\.jsonl was changed since the run began: "):
        [*RunFiles.of(run, runs.places).requests()]
