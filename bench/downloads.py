"""500 MB out of S3: verified by us, and as fast as others bring the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.installation import command
from bench.measurement import (
    DESIGN,
    Findings,
    Row,
    duration,
    faster,
    interleaved,
    medians,
    megabytes,
    slower,
    spread,
)
from bench.models import M500
from bench.object_store import BUCKET
from bench.processes import run
from bench.progress import say
from bench.registries import REGISTRY
from bench.transfer_once import COMMAND_LINE, WAYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.registries import Registries

_OURS = "shearling, verified"
_BOTO3 = "boto3 download_file"
_CLI = COMMAND_LINE
_NOT_PLAIN = {_OURS, _BOTO3, _CLI}

#: Memory, as a function's `/tmp` is under the emulator.
_MEMORY = Path("/dev/shm")  # noqa: S108 - each download has an unpredictable directory in it


def measure(registries: Registries, *, quick: bool) -> Findings:
    """Measure each way in turn, in a process each, to memory; ours and the fastest to a disk."""
    findings = Findings(notes=list(_NOTES))
    pushed = registries.pushed(M500)
    weights = max(pushed.manifest.files, key=lambda file: file.size)
    key = f"registry/blobs/sha256/{weights.hex}"
    places = dict.fromkeys(WAYS, (BUCKET, key))
    places[_OURS] = (REGISTRY.removeprefix("s3://"), pushed.pin)
    details: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def timed(way: str, parent: Path) -> Callable[[], float]:
        def measure_once() -> float:
            found = _download(way, *places[way], parent)
            details[way].append(found)
            return float(found["seconds"])

        return measure_once

    memory = _MEMORY if _MEMORY.is_dir() else Path(tempfile.gettempdir())
    repetitions = 2 if quick else 7
    say(f"downloads of {megabytes(weights.size)}, {repetitions} times")
    found = interleaved(repetitions, {way: timed(way, memory) for way in places})
    _report(findings, found, details, weights.size)
    fastest = min(_plain(medians(found)), key=medians(found).__getitem__)
    disk = Path(tempfile.gettempdir())
    say("the same to a disk")
    slow = interleaved(1 if quick else 3, {way: timed(way, disk) for way in (_OURS, fastest)})
    _report_disk(findings, slow, fastest)
    return findings


def _plain(found: dict[str, float]) -> list[str]:
    return [way for way in found if way not in _NOT_PLAIN]


def _download(way: str, where: str, what: str, parent: Path) -> dict[str, Any]:
    directory = Path(tempfile.mkdtemp(prefix="shearling-bench-", dir=parent))
    try:
        arguments = [way, where, what, str(directory), str(command("aws"))]
        output = run([sys.executable, "-m", "bench.transfer_once", *arguments])
        found: dict[str, Any] = json.loads(output)
        return found
    finally:
        shutil.rmtree(directory)
        os.sync()


def _report(
    findings: Findings,
    found: dict[str, list[float]],
    details: dict[str, list[dict[str, Any]]],
    size: int,
) -> None:
    middle = medians(found)

    def of(way: str, what: str) -> float:
        return median(float(each[what]) for each in details[way])

    findings.tables["Downloads of 500 MB to memory"] = [
        ["way", "time", "rate", "processor time", "peak memory", "above its imports"],
        *(
            [
                way,
                f"{duration(middle[way])} ({spread(found[way])})",
                f"{size / middle[way] / 1e6:,.0f} MB/s",
                duration(of(way, "processor")),
                megabytes(of(way, "peak")),
                megabytes(of(way, "above")) if way != _CLI else "-",
            ]
            for way in sorted(found, key=middle.__getitem__)
        ),
    ]
    fastest = min(_plain(middle), key=middle.__getitem__)
    what = "fetch of 500 MB, verified,"
    findings.rows = [
        slower(
            "fetch", what, middle[_OURS], (fastest, middle[fastest]), at_most=1.15, source=DESIGN
        ),
        *(
            faster("fetch", what, middle[_OURS], (way, middle[way]), at_least=1, source="no slower")
            for way in (_BOTO3, _CLI)
        ),
    ]
    findings.rows.append(
        Row(
            section="fetch",
            what="memory of the fetch above its imports, against the file",
            ours=megabytes(of(_OURS, "above")),
            against=f"{megabytes(size)} (the file)",
            ratio=of(_OURS, "above") / size,
            bound="at most",
            target=0.3,
            source="issue 3: no whole file",
        )
    )
    reason = (
        f"Processor time: ours {duration(of(_OURS, 'processor'))}, {fastest} "
        f"{duration(of(fastest, 'processor'))}; the difference is hashing {megabytes(size)} "
        f"({_hash_rate()} on one processor here), on the processors that the server uses too."
    )
    findings.reasons |= {row.what: reason for row in findings.rows if not row.met}
    findings.series["downloads of 500 MB"] = {
        "seconds": [(way, middle[way]) for way in sorted(found, key=middle.__getitem__)]
    }


def _report_disk(findings: Findings, found: dict[str, list[float]], fastest: str) -> None:
    middle = medians(found)
    findings.tables["Downloads of 500 MB to this machine's disk"] = [
        ["way", "time"],
        *([way, f"{duration(middle[way])} ({spread(found[way])})"] for way in found),
    ]
    findings.notes.append(
        "To a disk ours waits until the bytes are on it (fsync), so that a name is a promise after "
        f"a power cut too; {fastest} leaves them in the page cache."
    )


def _hash_rate() -> str:
    import hashlib
    import time

    data = bytes(64_000_000)
    started = time.perf_counter()
    hashlib.sha256(data)
    return f"{len(data) / (time.perf_counter() - started) / 1e6:,.0f} MB/s of SHA-256"


_NOTES = (
    (
        "Downloads are timed within their process, from a client that exists to the file that "
        "is whole; only the AWS CLI's time is its process's. 'Plain' ways verify nothing; the "
        "fastest of them in this run is the reference."
    ),
)
