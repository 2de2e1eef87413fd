"""Functions in front of a SageMaker endpoint: their start, and a request when they are warm."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import shearling as sdk
from bench.cold_start import EMPTY, Function, Starts, emulator, infer_document
from bench.installation import function_package
from bench.measurement import Findings, duration, faster, interleaved, medians, slower, spread
from bench.models import SMALL, event_body
from bench.progress import say
from tests.support.sagemaker_runtime import KEYS, sagemaker_runtime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.runtime_emulator import RuntimeEmulator

_STAGED = "Shearling, our container"
_FOREIGN = "Shearling, another container"
_BOTO3 = "boto3 by hand"

_MOUNT = "/mnt/registry"
_ENDPOINT = "doubler"
_ROUNDS, _REQUESTS = 9, 40
_PART, _GOAL = "proxies", "own goal"
_TITLE = "Functions in front of a SageMaker endpoint"


def measure(package: Path, python: str, *, quick: bool) -> Findings:
    """Measure the start of each, and one row in each direction."""
    findings = Findings(notes=[_NOTE])
    findings.tables[_TITLE] = [["function", "cold start", "warm, one row"]]
    rounds = 2 if quick else _ROUNDS
    with (
        tempfile.TemporaryDirectory(prefix="shearling-bench-") as directory,
        sagemaker_runtime() as url,
    ):
        functions = _functions(Path(directory), package, python, url)
        say(f"cold start of functions in front of an endpoint, {rounds} times")
        starts = Starts()
        timed = {name: starts.timed(name, function) for name, function in functions.items()}
        interleaved(1, timed)  # every package's files are warm from now on
        cold = interleaved(rounds, timed)
        for name in (_STAGED, _FOREIGN):
            starts.agree(name, _BOTO3)
        say("their warm requests")
        warm = _warm(functions, rounds)
    _report(findings, cold, warm)
    return findings


def _functions(directory: Path, package: Path, python: str, url: str) -> dict[str, Function]:
    example = SMALL.rows(4)
    contract = sdk.Remote({"Y": 2 * example})
    pin = sdk.push_model(contract, "small", example=example, registry=str(directory)).pin
    event = event_body(infer_document(SMALL.rows(1)))
    common = {**KEYS, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url}
    ours = {**common, "SHEARLING_REGISTRY": _MOUNT, "SHEARLING_MODEL": str(pin)}

    def function(package: Path, handler: str, environment: dict[str, str]) -> Function:
        return Function(
            package=package,
            handler=handler,
            event=event,
            python=python,
            environment=environment,
            mounts={_MOUNT: directory},
        )

    handler = "shearling_runtime.handler.handler"
    return {
        _STAGED: function(package, handler, {**ours, "SHEARLING_STAGED_ENDPOINT": _ENDPOINT}),
        _FOREIGN: function(package, handler, {**ours, "SHEARLING_ENDPOINT": _ENDPOINT}),
        _BOTO3: function(
            function_package("boto3_proxy", python),
            "boto3_proxy.handler",
            {**common, "ENDPOINT_NAME": _ENDPOINT},
        ),
        EMPTY: function(function_package("empty", python), "empty.handler", {}),
    }


def _warm(functions: Mapping[str, Function], rounds: int) -> dict[str, float]:
    """Return the medians of requests one after another, with what the emulator adds."""
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(emulator(function)) for name, function in functions.items()
        }
        timed = {
            name: partial(_request_seconds, each, functions[name].event)
            for name, each in running.items()
        }
        interleaved(1, timed)
        return medians(interleaved(rounds, timed))


def _request_seconds(function: RuntimeEmulator, event: Mapping[str, Any]) -> float:
    seconds: list[float] = []
    for _ in range(_REQUESTS):
        started = time.perf_counter()
        function.invoke(event)
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def _report(findings: Findings, cold: Mapping[str, list[float]], warm: Mapping[str, float]) -> None:
    start = medians(cold)
    findings.tables[_TITLE] += [
        [name, f"{duration(start[name])} ({spread(cold[name])})", duration(warm[name])]
        for name in cold
    ]
    what = "function in front of our container: cold start"
    request = {name: seconds - warm[EMPTY] for name, seconds in warm.items()}
    findings.rows += [
        slower(_PART, what, start[_STAGED], (EMPTY, start[EMPTY]), at_most=1.6, source=_GOAL),
        faster(_PART, what, start[_STAGED], (_BOTO3, start[_BOTO3]), at_least=1.75, source=_GOAL),
        faster(
            _PART,
            "function in front of our container: warm request above an empty function",
            request[_STAGED],
            (_BOTO3, request[_BOTO3]),
            at_least=1.25,
            source=_GOAL,
        ),
    ]
    for row in findings.rows:
        if not row.met:
            findings.reasons[row.what] = _REASON


_REASON = (
    "What an empty function does not need: the modules of Python that orjson and every dataclass "
    "import, 8 ms on a quiet machine, and our own, another 10 ms."
)

_NOTE = (
    "The endpoint of the functions in front of one is a process on loopback that doubles a row "
    "and checks the signature with botocore; its time, the same for all, is in theirs. The "
    "function by hand passes bodies on and checks nothing. Ours in front of our container leaves "
    "the contract to the container; in front of another one it checks it, for which it needs "
    "numpy and the bundle's contract."
)
