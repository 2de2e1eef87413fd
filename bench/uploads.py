"""500 MB into S3: the first push, the second, and one with a tenth of the bytes changed."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import numpy as np

import shearling as sdk
from bench.installation import command
from bench.measurement import (
    Findings,
    Row,
    duration,
    faster,
    interleaved,
    medians,
    megabytes,
    spread,
)
from bench.models import M500
from bench.object_store import BUCKET
from bench.processes import run
from bench.progress import say
from shearling.bundle.digests import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.registries import Registries
    from shearling.bundle.manifest import Manifest

_OURS = "Registry.publish"
_CLI = "aws s3 cp"
_BOTO3 = "boto3 upload_file"
_FILES = 10
_FILE_BYTES = 50_000_000


def measure(registries: Registries, *, quick: bool) -> Findings:
    """Measure the sending alone, then `push_model` twice, then a change in one of ten files."""
    findings = Findings(notes=list(_NOTES))
    _measure_sending(findings, registries, repetitions=1 if quick else 5)
    _measure_second_push(findings)
    _measure_change(findings, registries)
    return findings


def _measure_sending(findings: Findings, registries: Registries, repetitions: int) -> None:
    manifest = registries.pushed(M500).manifest
    files = {file.path: registries.blobs() / file.hex for file in manifest.files}
    weights = max(files.values(), key=lambda path: path.stat().st_size)
    client = boto3.client("s3")
    counter = iter(range(1000))

    def publish() -> object:
        fresh = sdk.Registry(f"s3://{BUCKET}/push-{next(counter)}")
        return fresh.publish(manifest, files, {})

    def copy() -> object:
        target = f"s3://{BUCKET}/copy-{next(counter)}"
        return run([str(command("aws")), "s3", "cp", "--quiet", str(weights), target])

    def upload() -> None:
        client.upload_file(str(weights), BUCKET, f"upload-{next(counter)}")

    say(f"uploads of {megabytes(manifest.size)}, {repetitions} times")
    ways = {_OURS: _timed(publish), _CLI: _timed(copy), _BOTO3: _timed(upload)}
    found = interleaved(repetitions, ways)
    middle = medians(found)
    findings.tables["Uploads of 500 MB"] = [
        ["way", "time", "rate"],
        *(
            [
                way,
                f"{duration(middle[way])} ({spread(found[way])})",
                f"{manifest.size / middle[way] / 1e6:,.0f} MB/s",
            ]
            for way in found
        ),
    ]
    for way in (_CLI, _BOTO3):
        row = faster(
            "push",
            "push of 500 MB, the sending alone,",
            middle[_OURS],
            (way, middle[way]),
            at_least=1,
            source="no slower",
        )
        findings.rows.append(row)
        if not row.met:
            findings.reasons[row.what] = _sending_reason(weights)


def _sending_reason(weights: Path) -> str:
    import hashlib

    started = time.perf_counter()
    with weights.open("rb") as stream:
        hashlib.file_digest(stream, "sha256")
    hashing = time.perf_counter() - started
    return (
        f"Reading and hashing the file takes {duration(hashing)} by itself on one processor, and "
        "`Store.upload` reads and hashes one part after the other in the thread that feeds the "
        "upload."
    )


def _timed(act: Callable[[], object]) -> Callable[[], float]:
    def measure_once() -> float:
        started = time.perf_counter()
        act()
        seconds = time.perf_counter() - started
        os.sync()  # what the server has yet to write must not slow the next one
        return seconds

    return measure_once


def _measure_second_push(findings: Findings) -> None:
    say("push_model of 500 MB, twice")
    registry = sdk.Registry(f"s3://{BUCKET}/twice")
    seconds, versions = [], []
    for _ in range(2):
        started = time.perf_counter()
        version = sdk.push_model(M500.path, "m500", example=M500.rows(4), registry=registry)
        seconds.append(time.perf_counter() - started)
        versions.append(version)
    findings.tables["push_model of 500 MB: convert, prove, send"] = [
        ["push", "time", "uploaded", "version"],
        *(
            [name, duration(took), f"{version.uploaded_bytes:,} bytes", str(version.version)]
            for name, took, version in zip(("first", "second"), seconds, versions, strict=True)
        ),
    ]
    findings.rows.append(
        Row(
            section="push",
            what="second push of the same model: bytes uploaded against its size",
            ours=f"{versions[1].uploaded_bytes:,} bytes",
            against=megabytes(versions[1].size_bytes),
            ratio=versions[1].uploaded_bytes / versions[1].size_bytes,
            bound="at most",
            target=0.0,
        )
    )


def _measure_change(findings: Findings, registries: Registries) -> None:
    say("a change in one of ten files")
    manifest = registries.pushed(M500).manifest
    registry = sdk.Registry(f"s3://{BUCKET}/ten")
    random = np.random.default_rng(10)
    with tempfile.TemporaryDirectory(prefix="shearling-bench-") as directory:
        files = {f"part-{i}": Path(directory, f"part-{i}") for i in range(_FILES)}
        for path in files.values():
            path.write_bytes(random.bytes(_FILE_BYTES))
        small = [file for file in manifest.files if file.size < _FILE_BYTES]
        files |= {file.path: registries.blobs() / file.hex for file in small}
        first, sent = _publish(registry, manifest, files)
        files["part-3"].write_bytes(random.bytes(_FILE_BYTES))
        second, changed = _publish(registry, manifest, files)
    findings.tables["Publishing ten files of 50 MB, and again with one of them changed"] = [
        ["push", "time", "uploaded"],
        ["first", duration(first), f"{sent:,} bytes"],
        ["one file changed", duration(second), f"{changed:,} bytes"],
    ]
    findings.rows.append(
        Row(
            section="push",
            what="push with one of ten files changed: bytes uploaded against all",
            ours=megabytes(changed),
            against=megabytes(sent),
            ratio=changed / sent,
            bound="at most",
            target=0.101,
            source="the file and the manifest",
        )
    )


def _publish(
    registry: sdk.Registry, manifest: Manifest, files: dict[str, Path]
) -> tuple[float, int]:
    described = []
    for path, file in files.items():
        with file.open("rb") as stream:
            described.append(describe(path, stream))
    changed = replace(manifest, files=tuple(described))
    started = time.perf_counter()
    published = registry.publish(changed, files, {})
    return time.perf_counter() - started, published.sent_bytes


_NOTES = (
    (
        "Uploads are into a registry or under a key that is empty. Ours hashes while it sends "
        "and refuses a file that changed; the AWS CLI's time has its start in it."
    ),
)
