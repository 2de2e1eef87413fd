"""Push every estimator, ask what is served, and write the table of the outcomes."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.sweep.cases import all_cases
from tests.sweep.run import run_by_name
from tests.sweep.table import read_table, write_table

if TYPE_CHECKING:
    from collections.abc import Iterator

_RESULTS = Path("build/sweep/results.jsonl")

#: Outcomes with an answer.
_ANSWERED = ("right", "contract")


def main() -> int:
    """Run the cases that have no result yet, and write the page when all have one."""
    parser = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="stop after this time")
    parser.add_argument("--workers", type=int, default=2, help="number of processes")
    parser.add_argument("--only", default="", help="part of the names of the cases to run")
    parser.add_argument("--again", action="store_true", help="forget the results of earlier runs")
    options = parser.parse_args()
    _RESULTS.parent.mkdir(parents=True, exist_ok=True)
    if options.again:
        _RESULTS.unlink(missing_ok=True)
    done = {result["name"] for result in _results()}
    cases = [case for case in all_cases() if options.only in case.name]
    pending = [case.name for case in cases if case.name not in done]
    if not _run(pending, options.workers, time.monotonic() + 60 * options.minutes):
        sys.stdout.write("the time is up: run the same command again to continue\n")
        return 1
    return _report(full=not options.only)


def _run(names: list[str], workers: int, deadline: float) -> bool:
    """Run cases and append their results to the file; return whether all ran in time."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool, _RESULTS.open("a") as file:
        for future in as_completed([pool.submit(run_by_name, name) for name in names]):
            result = future.result()
            file.write(json.dumps(result) + "\n")
            file.flush()
            sys.stdout.write(f"{result['word']} {result['name']} {result['reason']:.150}\n")
            if time.monotonic() > deadline:
                pool.shutdown(cancel_futures=True)
                return False
    return True


def _report(*, full: bool) -> int:
    """Write the page if all cases ran, and list what is wrong and what is no longer answered."""
    results = {result["name"]: result for result in _results()}
    before = read_table()
    wrong = [result for result in results.values() if result["word"] == "WRONG"]
    lost = [
        result
        for name, result in results.items()
        if before.get(name) in _ANSWERED and result["word"] not in _ANSWERED
    ]
    for title, listed in (("WRONG", wrong), ("right before, not any more", lost)):
        for result in listed:
            sys.stdout.write(f"{title}: {result['name']}: {result['reason']:.300}\n")
    if full and not wrong:
        write_table(all_cases(), {name: result["word"] for name, result in results.items()})
    return 1 if wrong else 0


def _results() -> Iterator[dict[str, Any]]:
    if _RESULTS.exists():
        yield from map(json.loads, _RESULTS.read_text().splitlines())


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("SHEARLING_MEASURE", "0")
    sys.exit(main())
