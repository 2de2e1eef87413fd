"""`make bench`: measures all of it and writes `bench/results/latest.md`."""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import (
    cold_start,
    containers,
    downloads,
    growth,
    images,
    optimisation,
    pickles,
    prepacking,
    proxies,
    scoring,
    sizes,
    text,
    uploads,
    warm_requests,
)
from bench.installation import HOME, REPOSITORY
from bench.machine import machine
from bench.object_store import ObjectStore
from bench.progress import say
from bench.registries import Registries
from bench.report import write_report
from tests.support.packages import function_python, unzipped_package

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.measurement import Findings

#: In the order of the report: the quick ones that suffer from others' writes come first.
PARTS = (
    *("cold", "pickle", "warm", "prepacking", "fetch", "push", "sizes", "scoring"),
    *("containers", "proxies", "optimisation", "text", "images", "growth"),
)


def main() -> None:
    """Measure what the arguments ask for, and say where the report is."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="few repetitions, no 2 GB model")
    arguments = parser.parse_args()
    names = arguments.only or PARTS
    started = time.monotonic()
    python = function_python()
    facts = machine(python)
    found = _measure(names, python, quick=arguments.quick)
    whole = not arguments.only and not arguments.quick
    # What is committed is always of a whole run.
    directory = REPOSITORY / "bench" / "results" if whole else HOME / "results" / "partial"
    today = dt.datetime.now(dt.UTC).date()
    report = write_report(
        directory,
        found,
        facts,
        title=f"Shearling, measured on {today}" + ("" if whole else " (a part, or quickly)"),
        minutes=(time.monotonic() - started) / 60,
    )
    say(f"wrote {report.relative_to(REPOSITORY)}")


def _measure(names: Sequence[str], python: str, *, quick: bool) -> list[Findings]:
    with (
        tempfile.TemporaryDirectory(prefix="shearling-bench-") as directory,
        ObjectStore() as store,
    ):
        package = unzipped_package("runtime", Path(directory), python)
        models = Registries(store)
        parts: dict[str, Callable[[], Findings]] = {
            "cold": lambda: cold_start.measure(models, package, python, quick=quick),
            "pickle": lambda: pickles.measure(models, quick=quick),
            "warm": lambda: warm_requests.measure(models, package, python, quick=quick),
            "prepacking": lambda: prepacking.measure(models, python, quick=quick),
            "fetch": lambda: downloads.measure(models, quick=quick),
            "push": lambda: uploads.measure(models, quick=quick),
            "sizes": lambda: sizes.measure(models, package, python, quick=quick),
            "containers": lambda: containers.measure(models, python, quick=quick),
            "proxies": lambda: proxies.measure(package, python, quick=quick),
            "scoring": lambda: scoring.measure(models, quick=quick),
            "optimisation": lambda: optimisation.measure(quick=quick),
            "text": lambda: text.measure(models, package, python, quick=quick),
            "images": lambda: images.measure(models, python, quick=quick),
        }
        found = [parts[name]() for name in PARTS if name in names and name in parts]
    series = {title: lines for each in found for title, lines in each.series.items()}
    return [*found, growth.findings_of(series)]


if __name__ == "__main__":
    main()
