"""Scoring a CSV object in S3: the engine against the same rows by `infer_many`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from statistics import median
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np

from bench.installation import HOME
from bench.measurement import Findings, Row
from bench.models import SMALL
from bench.object_store import BUCKET
from bench.processes import run
from bench.progress import say
from bench.registries import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    from bench.registries import Registries

_SECTION = "Scoring an S3 object"

#: Bytes of the large object, and of the one that both ways score.
_LARGE, _EQUAL = 1_000_000_000, 100_000_000
_QUICK = 20_000_000

_PART_BYTES = 16 * 2**20
_ROUNDS = 3

#: Maximum memory of the function's process, in bytes.
_MEMORY = 400_000_000


def measure(registries: Registries, *, quick: bool) -> Findings:
    """Measure rows per second, and the memory that a large object takes."""
    findings = Findings(notes=[_NOTE])
    pin = registries.pushed(SMALL).pin
    equal, large = (_QUICK, 3 * _QUICK) if quick else (_EQUAL, _LARGE)
    keys = [_put(f"in/{size}.csv", size) for size in (equal, large)]
    found: dict[str, list[float]] = {"engine": [], "infer_many": []}
    for number in range(1 if quick else _ROUNDS):
        for way, rates in found.items():
            say(f"scoring {equal / 1e6:.0f} MB by {way}")
            answer = _score(way, pin, keys[0], number)
            rates.append(answer["rows"] / answer["seconds"])
    engine, many = median(found["engine"]), median(found["infer_many"])
    findings.rows.append(
        Row(
            section=_SECTION,
            what="scoring an S3 object, rows a second",
            ours=f"{engine:,.0f}",
            against=f"{many:,.0f} by `infer_many`, read and written with pandas",
            ratio=engine / many,
            bound="at least",
            target=1.0,
        )
    )
    say(f"scoring {large / 1e6:.0f} MB")
    answer = _score("engine", pin, keys[1], 0)
    rate = large / answer["seconds"] / 1e6
    findings.rows.append(
        Row(
            section=_SECTION,
            what=f"memory of scoring {large / 1e9:.2g} GB",
            ours=f"{answer['peak'] / 1e6:.0f} MB, at {rate:.0f} MB/s",
            against=f"{_MEMORY / 1e6:.0f} MB, of the whole process",
            ratio=answer["peak"] / _MEMORY,
            bound="at most",
            target=1.0,
        )
    )
    return findings


def _score(way: str, pin: str, key: str, number: int) -> dict[str, Any]:
    """Score an object in a process of its own."""
    client = boto3.client("s3")
    for name in (f"scored/{key}", f"scored/{key}.manifest.json"):
        client.delete_object(Bucket=BUCKET, Key=name)
    scratch = HOME / f"scoring-{way}-{number}"
    environment = {**os.environ, "SHEARLING_REGISTRY": REGISTRY}
    command = [sys.executable, "-m", "bench.scoring_worker", way, pin, key, str(scratch)]
    try:
        answer: dict[str, Any] = json.loads(run(command, environment).splitlines()[-1])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return answer


def _put(key: str, size: int) -> str:
    """Upload a table of about a size, in parts, and return its key."""
    say(f"uploading {size / 1e6:.0f} MB")
    client = boto3.client("s3")
    place: dict[str, Any] = {"Bucket": BUCKET, "Key": key}
    upload = client.create_multipart_upload(**place)["UploadId"]
    parts: list[CompletedPartTypeDef] = []
    for number, part in enumerate(_parts(size), 1):
        answer = client.upload_part(**place, UploadId=upload, PartNumber=number, Body=part)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    return key


def _parts(size: int) -> Iterator[bytes]:
    rows = SMALL.rows(1000)
    body = "\n".join(",".join(map(str, row)) for row in np.asarray(rows)).encode() + b"\n"
    header = ",".join(f"c{i}" for i in range(rows.shape[1])).encode() + b"\n"
    part = body * max(1, _PART_BYTES // len(body))
    yield header + part
    for _ in range(len(part), size, len(part)):
        yield part


_NOTE = (
    "Scoring an S3 object: both ways read the same CSV from the same S3 server, ask the same "
    "runtime in process, and write CSV to S3; `infer_many` has no network between caller and "
    "function here, which it has on Lambda."
)
