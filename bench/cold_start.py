"""From the first invocation to its answer, under AWS's runtime interface emulator."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.installation import function_package
from bench.measurement import (
    DESIGN,
    Findings,
    Row,
    duration,
    faster,
    interleaved,
    medians,
    slower,
    spread,
)
from bench.models import CONV, INT8, M50, M500, M2000, SMALL, event_body
from bench.object_store import BUCKET
from bench.progress import say
from bench.registries import REGISTRY, read_once
from tests.support.runtime_emulator import RuntimeEmulator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bench.models import Model
    from bench.registries import Registries

#: Two processors' worth, as this machine may have; ONNX Runtime's default is all that it sees.
_MEMORY_MB = 3538
_MOUNT = "/mnt/models"
_TIMEOUT_SECONDS = 300

#: Repetitions in a full run, and in a quick one.
_PLAN: tuple[tuple[Model, int, int], ...] = (
    (SMALL, 9, 3),
    (M50, 7, 2),
    (INT8, 5, 2),
    (CONV, 5, 2),
    (M500, 5, 1),
    (M2000, 3, 0),
)

EMPTY = "empty function"
SHEARLING = "Shearling"
MOUNTED = "Shearling, mounted"
USUAL = "usual handler"
FLOOR = "floor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function to start: its package, its configuration, and how its answer is read."""

    package: Path
    handler: str
    event: Mapping[str, Any]
    python: str
    environment: dict[str, str] = field(default_factory=dict)
    mounts: Mapping[str, Path] = field(default_factory=dict)
    tmp_mb: int = 512


@dataclass(slots=True)
class Starts:
    """What was seen while functions started: answers, and the ledgers of the runtime's log."""

    answers: dict[str, Any] = field(default_factory=dict)
    ledgers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def timed(self, name: str, function: Function) -> Callable[[], float]:
        """Return what starts a function in a sandbox of its own and measures it."""

        def start() -> float:
            seconds, answer, log = _start(function)
            self.answers[name] = answer
            ledgers = [line for line in _events(log) if line["event"] == "start"]
            self.ledgers.setdefault(name, []).extend(ledgers)
            return seconds

        return start

    def agree(self, one: str, other: str, *, tolerance: float = 2e-3) -> None:
        """Make sure that what is compared computes the same."""
        first, second = np.ravel(self.answers[one]), np.ravel(self.answers[other])
        if first.shape != second.shape or not np.allclose(first, second, rtol=0, atol=tolerance):
            raise RuntimeError(f"{one} answers {first}, and {other} answers {second}")

    def shares(self, name: str) -> dict[str, float]:
        """Return the median seconds of each step in the ledgers, `total` among them."""
        ledgers = self.ledgers[name]
        steps = {step for startup in ledgers for step in startup["steps"]}
        found = {
            step: median(startup["steps"].get(step, {}).get("ms", 0.0) for startup in ledgers) / 1e3
            for step in steps
        }
        return found | {"total": median(startup["total_ms"] for startup in ledgers) / 1e3}


def measure(registries: Registries, package: Path, python: str, *, quick: bool) -> Findings:
    """Measure every model, each way of serving it in turn."""
    findings = Findings(notes=list(_NOTES))
    findings.tables["Cold start, seconds"] = [_COLUMNS]
    findings.tables["Steps of Shearling's start (they overlap)"] = [_STEP_COLUMNS]
    for model, full, few in _PLAN:
        if repetitions := few if quick else full:
            functions = _functions(registries, package, python, model)
            _measure_model(findings, model, functions, repetitions)
    return findings


def shearling_function(
    registries: Registries, package: Path, python: str, pin: str, document: dict[str, Any]
) -> Function:
    """Return our function for a pin: the built package, unzipped, and the registry in S3."""
    model = pin.split(":", maxsplit=1)[0]
    event = event_body(document)
    event["rawPath"] = event["requestContext"]["http"]["path"] = f"/v2/models/{model}/infer"
    size = sum(file.size for file in registries.pushed_manifest(pin).files)
    return Function(
        package=package,
        handler="shearling_runtime.handler.handler",
        event=event,
        python=python,
        environment={
            **registries.store.environment(),
            "SHEARLING_REGISTRY": REGISTRY,
            "SHEARLING_MODEL": pin,
        },
        tmp_mb=512 + size // 1_000_000,
    )


def _measure_model(
    findings: Findings, model: Model, functions: Mapping[str, Function], repetitions: int
) -> None:
    for directory in {model.directory, *(each.package for each in functions.values())}:
        read_once(directory)
    say(f"cold start of {model.description}, {repetitions} times")
    starts = Starts()
    timed = {name: starts.timed(name, function) for name, function in functions.items()}
    if model is SMALL:
        interleaved(1, timed)  # every package's files are warm from now on
        starts.ledgers.clear()
    found = interleaved(repetitions, timed)
    for name in (SHEARLING, MOUNTED, USUAL):
        starts.agree(name, FLOOR)
    _report(findings, model, found, starts)


def _functions(
    registries: Registries, package: Path, python: str, model: Model
) -> dict[str, Function]:
    pushed = registries.pushed(model)
    files = registries.plain(model)
    rows = model.rows(1)
    instances = event_body({"instances": rows.astype(float).round(4).tolist()})
    ours = shearling_function(registries, package, python, pushed.pin, infer_document(rows))
    mounted = Function(
        package=package,
        handler=ours.handler,
        event=ours.event,
        python=python,
        environment={**ours.environment, "SHEARLING_MOUNT": _MOUNT},
        mounts={_MOUNT: registries.mount},
    )
    usual = Function(
        package=function_package("usual", python),
        handler="usual.handler",
        event=instances,
        python=python,
        environment={
            **registries.store.environment(),
            "MODEL_BUCKET": BUCKET,
            "MODEL_PREFIX": f"plain/{model.name}",
            "MODEL_FILES": ",".join(file.name for file in files),
        },
        tmp_mb=512 + model.size // 1_000_000,
    )
    floor = Function(
        package=function_package("by_hand", python),
        handler="by_hand.handler",
        event=instances,
        python=python,
        environment={"MODEL_PATH": f"{_MOUNT}/model.onnx"},
        mounts={_MOUNT: model.directory},
    )
    empty = Function(
        package=function_package("empty", python),
        handler="empty.handler",
        event=instances,
        python=python,
    )
    return {SHEARLING: ours, MOUNTED: mounted, USUAL: usual, FLOOR: floor, EMPTY: empty}


def infer_document(rows: np.ndarray[Any, np.dtype[np.float32]]) -> dict[str, Any]:
    """Return the document of a request of the Open Inference Protocol."""
    data = rows.astype(float).round(4).ravel().tolist()
    return {"inputs": [{"name": "X", "datatype": "FP32", "shape": list(rows.shape), "data": data}]}


def emulator(function: Function) -> RuntimeEmulator:
    """Return the runtime interface emulator with a function, not started."""
    return RuntimeEmulator(
        function.package,
        function.handler,
        function.environment,
        python=_interpreter(function.python),
        timeout_seconds=_TIMEOUT_SECONDS,
        memory_mb=_MEMORY_MB,
        tmp_mb=function.tmp_mb,
        mounts=function.mounts,
    )


def _start(function: Function) -> tuple[float, Any, str]:
    with emulator(function) as running:
        started = time.perf_counter()
        answer = running.invoke(function.event)
        seconds = time.perf_counter() - started
        log = running.logs()
    if answer.get("statusCode") != 200:  # noqa: PLR2004 - OK
        raise RuntimeError(f"{function.handler} answers {answer}\n{log}")
    document = json.loads(answer["body"])
    numbers = document["outputs"][-1]["data"] if "outputs" in document else document["predictions"]
    return seconds, numbers, log


def _interpreter(python: str) -> Path:
    from tests.embedded_aws import install

    return install.function_python(python)


def _events(log: str) -> list[dict[str, Any]]:
    """Return the log's lines that are events of the runtime."""
    found = []
    for line in log.splitlines():
        start = line.find('{"event"')
        if start >= 0:
            found.append(json.loads(line[start:]))
    return found


_COLUMNS = ["model", SHEARLING, MOUNTED, USUAL, FLOOR, EMPTY]

#: Cold start of the small model at most, as a multiple of the floor's.
_FLOORS = 1.15

#: By which factor a cold start must at least be shorter than the usual handler's.
_LESS_THAN_USUAL = {SMALL: 1.7, M500: 2.0, M2000: 2.5}

_STEPS = ("resolve", "fetch", "import", "load", "warm_up")
_STEP_COLUMNS = ["model", *_STEPS, "startup's total", "before and after", "fetch, MB/s"]

_NOTES = (
    (
        "Cold start is the time from sending the first invocation to having its answer: the "
        "emulator makes the sandbox (namespaces, a fresh `/tmp` in memory) and starts the "
        "interpreter, the handler is imported, the model fetched and loaded, one row answered. "
        "The empty function's time is in all of them."
    ),
    (
        "Warm: packages, model files, the mounted directory and the bytes of the S3 server are "
        "in the page cache, and S3 is on loopback: there is no network to wait for. Cold: the "
        "process, `/tmp`, every session. On Lambda the package, too, comes over the network at "
        "first."
    ),
    (
        "The S3 server computes on the same processors as the functions: whoever moves more "
        "bytes in parallel competes with it."
    ),
    (
        "Two processors' worth of memory is said to the functions (3,538 MB); the emulator does "
        "not enforce it."
    ),
)


def _report(
    findings: Findings, model: Model, found: dict[str, list[float]], starts: Starts
) -> None:
    middle = medians(found)
    cells = [f"{duration(middle[name])} ({spread(found[name])})" for name in found]
    findings.tables["Cold start, seconds"].append([f"{model.description}", *cells])
    shares = starts.shares(SHEARLING)
    for name in (SHEARLING, MOUNTED):
        _report_steps(findings, model, name, starts, middle[name])
    findings.rows += _rows(model, middle)
    for row in findings.rows:
        if not row.met and row.what not in findings.reasons:
            who = MOUNTED if "mounted" in row.what else SHEARLING
            findings.reasons[row.what] = _reason(who, middle, starts.shares(who))
    for name in (SHEARLING, MOUNTED, USUAL, FLOOR):
        if model not in (INT8, CONV):
            line = findings.series.setdefault("growth of the cold start", {}).setdefault(name, [])
            line.append((model.size, middle[name]))
    bars = findings.series.setdefault("cold start by model", {})
    for name in found:
        bars.setdefault(name, []).append((model.description, middle[name]))
    steps = findings.series.setdefault("steps of the start", {})
    for step in _STEPS:
        steps.setdefault(step, []).append((model.description, shares.get(step, 0.0)))


def _report_steps(
    findings: Findings, model: Model, name: str, starts: Starts, whole: float
) -> None:
    shares = starts.shares(name)
    rates = [
        startup["steps"].get("fetch", {}).get("mb_per_second") for startup in starts.ledgers[name]
    ]
    rate = f"{median(rates):,.0f}" if rates and rates[0] else "-"
    findings.tables["Steps of Shearling's start (they overlap)"].append(
        [
            model.description + (", mounted" if name == MOUNTED else ""),
            *(duration(shares[step]) if step in shares else "-" for step in _STEPS),
            duration(shares["total"]),
            duration(whole - shares["total"]),
            rate,
        ]
    )


def _rows(model: Model, middle: Mapping[str, float]) -> list[Row]:
    ours, mounted = middle[SHEARLING], middle[MOUNTED]
    floor, usual, empty = middle[FLOOR], middle[USUAL], middle[EMPTY]
    what = f"cold start, {model.description},"
    at_least = _LESS_THAN_USUAL.get(model)
    rows = [
        faster(
            "cold",
            what,
            ours,
            (USUAL, usual),
            at_least=at_least or 1.0,
            source=DESIGN if at_least else "no slower",
        ),
        slower(
            "cold",
            f"{what} mounted,",
            mounted,
            (FLOOR, floor),
            at_most=_FLOORS,
            source="as the small one's",
        ),
    ]
    if model is SMALL:
        rows += [
            slower("cold", what, ours, (FLOOR, floor), at_most=_FLOORS, source=DESIGN),
            slower(
                "cold",
                f"{what} above an empty function,",
                ours - empty,
                (FLOOR, floor - empty),
                at_most=1.25,
                source=f"stricter than the {DESIGN}",
            ),
        ]
    return rows


def _reason(who: str, middle: Mapping[str, float], shares: Mapping[str, float]) -> str:
    steps = ", ".join(f"{step} {duration(shares[step])}" for step in _STEPS if step in shares)
    rest = middle[who] - shares["total"]
    return (
        f"The {duration(middle[who])} of {who} are: {steps}, in all "
        f"{duration(shares['total'])} by its startup, and {duration(rest)} before and after "
        f"(an empty function: {duration(middle[EMPTY])}). The floor takes "
        f"{duration(middle[FLOOR])}, the usual handler {duration(middle[USUAL])}: the floor "
        f"itself is {middle[USUAL] / middle[FLOOR]:.2f} x less than that."
    )
