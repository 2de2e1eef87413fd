"""Batches of the big models, with ONNX Runtime's pre-packing and without it."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.installation import function_package
from bench.measurement import DESIGN, Findings, Row, duration, megabytes
from bench.models import CONV, INT8, M500, M2000
from bench.processes import Worker
from bench.progress import say
from tests.embedded_aws import install

if TYPE_CHECKING:
    from bench.models import Model
    from bench.registries import Registries

_PACKED = "with pre-packing"
_PLAIN = "without"
_SWITCH = {_PACKED: "0", _PLAIN: "1"}
_BATCHES = (1, 64)
_THREADS = 2

#: What section 4 of the design says of leaving pre-packing out: at batch 1, at batch 64, and the
#: side of it that is meant.
_CLAIMS: dict[str, tuple[float, float]] = {"float": (1.1, 1.6)}


def measure(registries: Registries, python: str, *, quick: bool) -> Findings:
    """Measure each model, both ways in turn, in a process each."""
    findings = Findings(notes=list(_NOTES))
    findings.tables["Batches with and without pre-packing"] = [
        ["model", "session", "first load", "batch 1", "batch 64", "peak memory above the imports"]
    ]
    for model in (INT8, CONV, M500) if quick else (INT8, CONV, M500, M2000):
        say(f"batches of {model.description}")
        _measure_model(findings, registries, python, model, rounds=2 if quick else 4)
    return findings


def _measure_model(
    findings: Findings, registries: Registries, python: str, model: Model, rounds: int
) -> None:
    manifest = registries.pushed(model).manifest
    path = registries.blobs() / manifest.file(manifest.entry).hex
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    last: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(
                Worker(
                    install.function_python(python),
                    "bench.session_worker",
                    [str(path), switch, str(_THREADS)],
                    packages=[function_package("by_hand", python)],
                    environment={"PATH": "/usr/bin:/bin"},
                )
            )
            for name, switch in _SWITCH.items()
        }
        for worker in workers.values():
            worker.ask(shape=[64, *model.rows(1).shape[1:]], count=1)
        for i in range(rounds):
            for name in list(workers)[:: -1 if i % 2 else 1]:
                for batch in _BATCHES:
                    shape = [batch, *model.rows(1).shape[1:]]
                    last[name] = workers[name].ask(shape=shape, count=5 if batch == 1 else 2)
                    found[name][batch].append(last[name]["run"])
    _report(findings, model, found, last)


def _report(
    findings: Findings,
    model: Model,
    found: dict[str, dict[int, list[float]]],
    last: dict[str, dict[str, Any]],
) -> None:
    for name, batches in found.items():
        findings.tables["Batches with and without pre-packing"].append(
            [
                model.description,
                name,
                duration(last[name]["load"]),
                *(duration(median(batches[batch])) for batch in _BATCHES),
                megabytes(last[name]["peak"]),
            ]
        )
    for i, batch in enumerate(_BATCHES):
        packed, plain = (median(found[name][batch]) for name in (_PACKED, _PLAIN))
        is_float = model.kind == "float"
        row = Row(
            section="prepacking",
            what=f"batch {batch}, {model.description}: without pre-packing against with it",
            ours=duration(plain),
            against=f"{duration(packed)} (with)",
            ratio=plain / packed,
            bound="at most" if is_float else "at least",
            target=_CLAIMS["float"][i] if is_float else 1.0,
            source=DESIGN if is_float else f"{DESIGN}: pays here",
        )
        findings.rows.append(row)
        if not row.met:
            findings.reasons[row.what] = (
                f"Loading takes {duration(last[_PACKED]['load'])} with pre-packing and "
                f"{duration(last[_PLAIN]['load'])} without; the choice of section 4 is about that."
            )


_NOTES = (
    (
        "Pre-packing is ONNX Runtime's rearranging of weights at load. Both sessions load the "
        "bundle that push wrote, with two threads and the runtime's other options; load is with "
        "warm files. A row of a float model asks how much a request pays for the faster load, "
        "and is at most what the design claims; for int8 and convolutions the design keeps "
        "pre-packing, and the ratio says whether that is right."
    ),
)
