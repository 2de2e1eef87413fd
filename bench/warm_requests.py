"""Requests to a function that has started, in process, each way of answering in its own process."""

from __future__ import annotations

import base64
import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.cold_start import infer_document
from bench.installation import function_package
from bench.measurement import DESIGN, Findings, Row, duration, faster, slower
from bench.models import SMALL, event_body
from bench.processes import Worker
from bench.progress import say
from shearling.protocol.binary import request_body
from tests.embedded_aws import install

if TYPE_CHECKING:
    from pathlib import Path

    from bench.registries import Registries

SHEARLING = "Shearling"
_FLOOR = "floor"
_FLOOR_LOGGED = "floor with a log line"
_POWERTOOLS = "Powertools"
_POWERTOOLS_LOGGED = "Powertools with its Metrics"
_FASTAPI = "Mangum + FastAPI"

#: The handler of each, in `functions`.
_OTHERS = {
    _FLOOR: "floor.handler",
    _FLOOR_LOGGED: "floor.logged_handler",
    _POWERTOOLS: "powertools.handler",
    _POWERTOOLS_LOGGED: "powertools.logged_handler",
    _FASTAPI: "fastapi_mangum.handler",
}

#: Duration of a request at most, as a multiple of that of the floor with the same log line, and the
#: source of the target; by what is measured.
_REQUEST_TARGETS = {
    "one row": (1.25, DESIGN),
    "one row, back to back": (1.4, DESIGN),
    "100 rows": (1.25, "as at one row"),
    "1,000 rows": (1.0, DESIGN),
}
_LABELS = {1: "one row", 100: "100 rows", 1000: "1,000 rows"}

#: By which factor the overhead of one row must at least be less, and the source of the target.
_LESS = {_POWERTOOLS_LOGGED: (3.5, DESIGN), _FASTAPI: (5.0, DESIGN)}

#: Rows of a request, and how many requests a round has.
_REQUESTS = {1: 300, 10: 200, 100: 80, 1000: 15, 10_000: 2}
_ROUNDS = 15
_BINARY_ROWS = 10_000
_PROFILE = "One row, by cProfile, which has `session.run` in `predict` and `run`"


@dataclass(slots=True)
class _Timings:
    """Seconds by candidate, one of each a round."""

    request: dict[str, list[float]] = field(default_factory=dict)
    overhead: dict[str, list[float]] = field(default_factory=dict)
    run: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, answer: dict[str, Any]) -> None:
        for kind in ("request", "overhead", "run"):
            getattr(self, kind).setdefault(name, []).append(answer[kind])

    def medians(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the medians of request and overhead by candidate."""
        return (
            {name: median(values) for name, values in self.request.items()},
            {name: median(values) for name, values in self.overhead.items()},
        )


def measure(registries: Registries, package: Path, python: str, *, quick: bool) -> Findings:
    """Measure requests of more and more rows."""
    findings = Findings(notes=list(_NOTES))
    findings.tables["Warm requests"] = [
        [
            "rows",
            *(
                f"{name}: {kind}"
                for name in (SHEARLING, *_OTHERS)
                for kind in ("request", "overhead")
            ),
        ]
    ]
    rounds = 4 if quick else _ROUNDS
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(worker)
            for name, worker in _workers(registries, package, python).items()
        }
        for rows, requests in _REQUESTS.items():
            say(f"warm requests of {rows} rows")
            timings = _measure_rows(workers, rows, requests, rounds)
            _report(findings, rows, timings)
        say("warm requests of 1 row, back to back")
        timings = _measure_rows(workers, 1, _REQUESTS[1], rounds, pause=False)
        _report_back_to_back(findings, timings)
        say("JSON against binary tensors")
        findings.rows.append(_json_against_binary(workers[SHEARLING], rounds))
        profile = workers[SHEARLING].ask(event=_event(1), count=2000, profile=True)["profile"]
    findings.tables[_PROFILE] = [
        ["function", "own", "with what it calls"],
        *([name, f"{own:.0%}", f"{whole:.0%}"] for name, own, whole in profile),
    ]
    # The model's own calls are not overhead.
    own = [each for each in profile[2:] if not each[0].endswith((" predict", " run"))]
    shares = "; ".join(f"`{name}` {whole:.0%}" for name, _, whole in own[:9])
    for row in findings.rows:
        if not row.met:
            findings.reasons[row.what] = _reason(row, findings.tables["Warm requests"], shares)
    return findings


def _workers(registries: Registries, package: Path, python: str) -> dict[str, Worker]:
    pushed = registries.pushed(SMALL)
    interpreter = install.function_python(python)
    common = {
        "PATH": "/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3538",
        "AWS_LAMBDA_FUNCTION_NAME": "acme-small",
    }
    ours = {
        "SHEARLING_REGISTRY": str(registries.mount),
        "SHEARLING_MOUNT": str(registries.mount),
        "SHEARLING_MODEL": pushed.pin,
    }
    workers = {
        SHEARLING: Worker(
            interpreter,
            "bench.warm_worker",
            ["shearling_runtime.handler.handler"],
            packages=[package],
            environment=common | ours,
        )
    }
    for name, handler in _OTHERS.items():
        workers[name] = Worker(
            interpreter,
            "bench.warm_worker",
            [handler],
            packages=[function_package(handler.partition(".")[0], python)],
            environment=common | {"MODEL_PATH": str(SMALL.path)},
        )
    return workers


def _event(rows: int) -> dict[str, Any]:
    return event_body(infer_document(SMALL.rows(rows)))


def _measure_rows(
    workers: dict[str, Worker], rows: int, requests: int, rounds: int, *, pause: bool = True
) -> _Timings:
    event = _event(rows)
    timings = _Timings()
    answers = {name: worker.ask(event=event, count=3)["answer"] for name, worker in workers.items()}
    for answer in answers.values():
        _check(answer, answers[_FLOOR])
    names = list(workers)
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            timings.add(name, workers[name].ask(event=event, count=requests, pause=pause))
    return timings


def _json_against_binary(worker: Worker, rounds: int) -> Row:
    """Compare a large request and its answer as JSON and as bytes, which HTTP carries as base64."""
    tensor = SMALL.rows(_BINARY_ROWS)
    body, length = request_body({"X": tensor})
    binary = event_body({})
    binary["headers"] = {
        **binary.get("headers", {}),
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(length),
    }
    binary |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    events = {"JSON": _event(_BINARY_ROWS), "binary": binary}
    seconds: dict[str, list[float]] = {}
    for name, event in events.items():
        status = worker.ask(event=event, count=1)["answer"]["statusCode"]
        if status != HTTPStatus.OK:
            raise RuntimeError(f"the {name} request is answered {status}")
    for _ in range(rounds):
        for name, event in events.items():
            seconds.setdefault(name, []).append(worker.ask(event=event, count=1)["request"])
    return faster(
        "warm",
        f"warm, {_BINARY_ROWS:,} x 30 floats: binary tensors",
        median(seconds["binary"]),
        ("JSON", median(seconds["JSON"])),
        at_least=1.0,
        source="no slower",
    )


def _check(answer: dict[str, Any], expected: dict[str, Any]) -> None:
    """Make sure that what is compared computes the same."""
    if answer["statusCode"] != expected["statusCode"]:
        raise RuntimeError(f"a candidate answers {answer}")
    one, other = (json.loads(each["body"])["outputs"][0]["data"] for each in (answer, expected))
    if not np.allclose(one, other, atol=1e-5):
        raise RuntimeError(f"a candidate answers {one}, and the floor {other}")


def _report(findings: Findings, rows: int, timings: _Timings) -> None:
    request, overhead = timings.medians()
    _add_line(findings, f"{rows:,}", request, overhead)
    growth = findings.series.setdefault("growth of a warm request", {})
    for name, seconds in request.items():
        growth.setdefault(name, []).append((rows, seconds))
    if rows in _LABELS:
        findings.rows += _rows(_LABELS[rows], request, overhead)


def _report_back_to_back(findings: Findings, timings: _Timings) -> None:
    """Report without the pause, too: which of both is measured must not decide what is met."""
    request, overhead = timings.medians()
    _add_line(findings, "1, back to back", request, overhead)
    findings.rows += _rows("one row, back to back", request, overhead)


def _add_line(
    findings: Findings, label: str, request: dict[str, float], overhead: dict[str, float]
) -> None:
    findings.tables["Warm requests"].append(
        [
            label,
            *(
                duration(kind[name])
                for name in (SHEARLING, *_OTHERS)
                for kind in (request, overhead)
            ),
        ]
    )


def _rows(label: str, request: dict[str, float], overhead: dict[str, float]) -> list[Row]:
    at_most, source = _REQUEST_TARGETS[label]
    whole = slower(
        "warm",
        f"warm, {label}: request",
        request[SHEARLING],
        (_FLOOR_LOGGED, request[_FLOOR_LOGGED]),
        at_most=at_most,
        source=source,
    )
    is_one_row = label.startswith("one row")
    targets = _LESS if is_one_row else dict.fromkeys(_LESS, (1.0, "no slower"))
    return [whole] + [
        faster(
            "warm",
            f"warm, {label}: overhead",
            overhead[SHEARLING],
            (name, overhead[name]),
            at_least=at_least,
            source=source,
        )
        for name, (at_least, source) in targets.items()
    ]


def _reason(row: Row, lines: list[list[str]], shares: str) -> str:
    at_one_row = dict(zip(lines[0], lines[1], strict=True))
    return (
        f"At one row the floor takes {at_one_row[f'{_FLOOR}: request']}, and "
        f"{at_one_row[f'{_FLOOR_LOGGED}: request']} with a log line by hand; of that "
        f"{at_one_row[f'{_FLOOR_LOGGED}: overhead']} are not the model's, and whoever writes such "
        f"a line cannot leave them out. Of Shearling's {row.ours}, by cProfile, with what each "
        f"calls: {shares}."
    )


_NOTES = (
    (
        "A warm request is one call of the handler, in process, with an HTTP API event (payload "
        "2.0) that is parsed already, as Lambda's runtime client does it; the 10 KB model, 30 "
        "features. Its overhead is what `session.run` does not take, measured in the same "
        "calls. Between two calls lies a millisecond, as a function waits for its next event: "
        "back to back everyone is faster, for caches are warm and the reader of the log is awake."
    ),
    (
        "Every way of answering has a process of its own on the same interpreter and the same "
        "wheels; what it logs goes through a pipe to a reader. Shearling checks the request "
        "against the signature and writes its log and metrics line; the floor does neither, and "
        "two of the others write such a line as well."
    ),
)
