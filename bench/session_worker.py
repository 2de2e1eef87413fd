"""Runs in the function's interpreter: loads one graph, and times its batches and its memory."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.processes import answer_questions


def memory_bytes(field: str) -> int:
    """Return a figure of this process: VmRSS is what it holds, VmHWM the most it held."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this system does not say {field}")


def forget_peak() -> None:
    """Let VmHWM start again from what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    """Load the graph of the arguments as the runtime does, and answer questions."""
    import numpy as np
    import onnxruntime

    path, prepacking, threads = sys.argv[1:4]
    before = memory_bytes("VmRSS")
    forget_peak()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.disable_prepacking", prepacking)
    started = time.perf_counter()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    load = time.perf_counter() - started

    def answer(shape: list[int], count: int) -> dict[str, Any]:
        name = session.get_inputs()[0].name
        rows = np.random.default_rng(1).standard_normal(shape, np.float32)
        seconds = []
        for _ in range(count):
            started = time.perf_counter()
            session.run(None, {name: rows})
            seconds.append(time.perf_counter() - started)
        peak = memory_bytes("VmHWM") - before
        return {"run": median(seconds), "load": load, "peak": peak}

    answer_questions(answer)


if __name__ == "__main__":
    main()
