"""Measure a bundle in a process of its own, loaded as a function loads it.

`python -m shearling_runtime.measure` is what a push starts. It writes what it has measured so far
to a file after each step, so that little is lost if it is stopped.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling_runtime.settings import MEMORY_PER_CORE, Settings
from shearling_runtime.telemetry import StartupTimings, peak_memory_mb, status_mb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling_runtime.serving.loaded_model import LoadedModel

    Tensors = Mapping[str, NDArray[Any]]

#: How long, and how often, each request is repeated.
_REPEAT_SECONDS, _LEAST_RUNS, _MOST_RUNS = 0.2, 3, 200


class _Measuring:
    """Loads a bundle and runs requests; keeps what was measured.

    Args:
        manifest: path of the bundle's manifest, in the directory of its blobs.
        seconds: time limit of all steps.
        output: file to write the results to.
    """

    def __init__(self, manifest: Path, seconds: float, output: Path) -> None:
        self._manifest = manifest
        self._end = time.monotonic() + seconds
        self._output = output
        self._settings = Settings.from_environment(os.environ)
        self._facts: dict[str, Any] = {"latencies": []}

    def run(self, largest: int) -> None:
        """Measure the start, one row and `largest` rows with one thread, then with two."""
        self._import()
        model = self._load()
        self._note_start()
        one, rows = _repeated(model, 1)
        p50 = self._measure(model, one, rows, threads=1)
        self._note_start()
        requests = [(one, rows)]
        # A request is rarely slower than its rows one by one.
        affordable = min(largest, int(self._seconds_left() / 4 / p50), _most_rows(one))
        if rows is not None and affordable > 1:
            many, rows = _repeated(model, affordable)
            self._measure(model, many, rows, threads=1)
            self._facts["peak_mb"] = peak_memory_mb()
            requests.append((many, rows))
        self._write()
        load_seconds = self._facts["load_ms"] / 1000
        # A pickle has threads of libraries that were told their number when they were imported.
        if model.manifest.format != "onnx" or 2 * load_seconds > self._seconds_left():
            return
        del model  # so that it is not in memory twice
        self._settings = replace(self._settings, memory_mb=2 * MEMORY_PER_CORE)
        model = self._load()
        for tensors, count in requests:
            self._measure(model, tensors, count, threads=2)
        self._write()

    def _import(self) -> None:
        """Import what a function imports before it loads a model."""
        self._settings.prepare(os.environ)
        gc.disable()  # as the function's handler does
        started = time.perf_counter()
        import shearling.registry.registry  # noqa: F401
        import shearling_runtime.events.dispatch
        import shearling_runtime.serving.loaded_model
        import shearling_runtime.serving.model_server  # noqa: F401

        if not self._settings.allow_pickle:
            import onnxruntime  # noqa: F401
        self._facts["import_ms"] = _milliseconds(time.perf_counter() - started)
        self._facts["imports_mb"] = peak_memory_mb()
        self._private_mb = status_mb("RssAnon")

    def _load(self) -> LoadedModel:
        """Load the bundle as a function does, which answers its example too."""
        from shearling.bundle.digests import digest_of
        from shearling.bundle.manifest import Manifest
        from shearling.refs import Pin
        from shearling_runtime.serving.loaded_model import load

        data, startup = self._manifest.read_bytes(), StartupTimings()
        manifest = Manifest.from_bytes(data)
        pin = Pin(manifest.model, 1, digest_of(data))
        model = load(self._settings, pin, manifest, self._manifest.parent, startup)
        gc.enable()
        timings = startup.timings()
        # Of the second load, which is with two threads, only the latencies count.
        self._facts = {"load_ms": timings["load"], "first_ms": timings["warm_up"]} | self._facts
        return model

    def _note_start(self) -> None:
        peak, mapped, imported = peak_memory_mb(), status_mb("RssFile"), self._private_mb
        model = None
        if mapped is not None and imported is not None:
            model = round(max(0.0, peak - mapped - imported), 1)
        self._facts |= {"start_mb": peak, "peak_mb": peak, "model_mb": model}
        self._write()

    def _measure(
        self, model: LoadedModel, tensors: Tensors, rows: int | None, *, threads: int
    ) -> float:
        """Note how long a request takes, and return the median in seconds."""
        import numpy as np

        names = model.manifest.signature.output_names
        times: list[float] = []
        enough = time.monotonic() + _REPEAT_SECONDS
        # The first run, which allocates memory, only counts if there is no time for another.
        while len(times) <= _MOST_RUNS:
            started = time.perf_counter()
            model.predictor.predict(tensors, names)
            times.append(time.perf_counter() - started)
            end = enough if len(times) > _LEAST_RUNS else self._end
            if time.monotonic() > min(end, self._end):
                break
        p50, p95 = np.percentile(times[1:] or times, [50, 95])
        self._facts["latencies"].append(
            {
                "rows": rows,
                "threads": threads,
                "p50_ms": _milliseconds(p50),
                "p95_ms": _milliseconds(p95),
            }
        )
        return max(float(p50), 1e-9)

    def _seconds_left(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def _write(self) -> None:
        part = self._output.with_suffix(".part")
        part.write_text(json.dumps(self._facts))
        part.replace(self._output)


def _repeated(model: LoadedModel, count: int) -> tuple[Tensors, int | None]:
    """Return the example's rows, repeated or cut to a number of rows; all if it has no rows."""
    import numpy as np

    from shearling.tensors.inputs import has_rows

    inputs = model.example.inputs
    if not has_rows(inputs, model.manifest.signature.inputs):
        return inputs, None
    available = len(next(iter(inputs.values())))
    places = np.arange(count) % available
    return {name: array[places] for name, array in inputs.items()}, count


def _most_rows(row: Tensors) -> int:
    """Return how many rows like the given one a request can carry."""
    from shearling.tensors.encoding import to_bytes
    from shearling_runtime.http.decompression import REQUEST_LIMIT

    return REQUEST_LIMIT // max(1, sum(len(to_bytes(array)) for array in row.values()))


def _milliseconds(seconds: float) -> float:
    return round(float(seconds) * 1000, 4)


def _be_ended_first() -> None:
    """Let Linux end this process, and not a notebook, if the machine has too little memory."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def main() -> int:
    """Measure the bundle that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shearling_runtime.measure")
    parser.add_argument("manifest", type=Path, help="manifest in the directory of the blobs")
    parser.add_argument("output", type=Path, help="file to write the results to")
    parser.add_argument("--largest", type=int, required=True, help="rows of the largest request")
    parser.add_argument("--seconds", type=float, required=True, help="time limit")
    arguments = parser.parse_args()
    _be_ended_first()
    measuring = _Measuring(arguments.manifest, arguments.seconds, arguments.output)
    try:
        measuring.run(arguments.largest)
    except Exception as error:  # noqa: BLE001 - a model can raise anything
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
