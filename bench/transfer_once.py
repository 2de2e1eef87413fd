"""Runs in a process of its own: one download of one object, one way, timed and weighed."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.session_worker import forget_peak, memory_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from obstore.store import S3Store


def shearling(key: str, digest: str, directory: Path) -> Callable[[], object]:
    """Prepare `Registry.fetch` of a bundle's manifest: every byte proven, synced, renamed."""
    import shearling as sdk

    registry = sdk.Registry(f"s3://{key}")
    manifest = registry.manifest(digest)
    return lambda: registry.fetch(manifest, directory)


def boto3_transfer(bucket: str, key: str, directory: Path) -> Callable[[], object]:
    """Prepare boto3's `download_file`, which is its TransferManager's parallel ranges."""
    import boto3

    client = boto3.client("s3")
    return lambda: client.download_file(bucket, key, str(directory / "object"))


def ranges(
    bucket: str, key: str, directory: Path, *, chunk: int, threads: int
) -> Callable[[], object]:
    """Prepare parallel ranged reads into a preallocated file, by threads."""
    import obstore

    store = _store(bucket)

    def download() -> None:
        size = obstore.head(store, key)["size"]
        target = _preallocated(directory, size)

        def bring(start: int) -> None:
            end = min(start + chunk, size)
            data = obstore.get_range(store, key, start=start, end=end)
            os.pwrite(target, memoryview(data), start)

        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(bring, range(0, size, chunk)):
                pass
        os.close(target)

    return download


def tasks(
    bucket: str, key: str, directory: Path, *, chunk: int, parallel: int
) -> Callable[[], object]:
    """Prepare parallel ranged reads into a preallocated file, by asyncio."""
    import obstore

    store = _store(bucket)

    async def download() -> None:
        size = (await obstore.head_async(store, key))["size"]
        target = _preallocated(directory, size)
        gate = asyncio.Semaphore(parallel)

        async def bring(start: int) -> None:
            async with gate:
                end = min(start + chunk, size)
                data = await obstore.get_range_async(store, key, start=start, end=end)
                os.pwrite(target, memoryview(data), start)

        await asyncio.gather(*map(bring, range(0, size, chunk)))
        os.close(target)

    return lambda: asyncio.run(download())


def stream(bucket: str, key: str, directory: Path) -> Callable[[], object]:
    """Prepare one request, written as it comes."""
    import obstore

    store = _store(bucket)

    def download() -> None:
        answer = obstore.get(store, key)
        target = _preallocated(directory, answer.meta["size"])
        position = 0
        for part in answer.stream(min_chunk_size=1 << 20):
            position += os.pwrite(target, memoryview(part), position)
        os.close(target)

    return download


def command_line(bucket: str, key: str, directory: Path) -> Callable[[], object]:
    """Prepare the AWS CLI, whose path is the last argument."""
    command = [sys.argv[5], "s3", "cp", "--quiet", f"s3://{bucket}/{key}", str(directory / "o")]
    return lambda: subprocess.run(command, check=True)  # noqa: S603 - our own command


_MIB = 1 << 20
COMMAND_LINE = "aws s3 cp"
WAYS: dict[str, Callable[..., Callable[[], object]]] = {
    "shearling, verified": shearling,
    "8 MiB ranges, 8 threads": lambda *a: ranges(*a, chunk=8 * _MIB, threads=8),
    "16 MiB ranges, 4 threads": lambda *a: ranges(*a, chunk=16 * _MIB, threads=4),
    "8 MiB ranges, asyncio": lambda *a: tasks(*a, chunk=8 * _MIB, parallel=8),
    "one stream": stream,
    "boto3 download_file": boto3_transfer,
    COMMAND_LINE: command_line,
}


def _store(bucket: str) -> S3Store:
    from obstore.store import S3Store

    return S3Store(
        bucket,
        config={
            "endpoint": os.environ["AWS_ENDPOINT_URL_S3"],
            "region": os.environ["AWS_REGION"],
            "access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
            "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
            "virtual_hosted_style_request": False,
        },
        client_options={"allow_http": True, "timeout": "120s"},
    )


def _preallocated(directory: Path, size: int) -> int:
    target = os.open(directory / "object", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.posix_fallocate(target, 0, size)
    return target


def main() -> None:
    """Run one way: its name, two words for where the object is, an empty directory, the CLI."""
    way, where, what, directory = sys.argv[1:5]
    download = WAYS[way](where, what, Path(directory))
    before = memory_bytes("VmRSS")
    forget_peak()
    processor = time.process_time()
    started = time.perf_counter()
    download()
    found: dict[str, Any] = {
        "seconds": time.perf_counter() - started,
        "processor": time.process_time() - processor,
        "peak": memory_bytes("VmHWM"),
        "above": memory_bytes("VmHWM") - before,
    }
    if way == COMMAND_LINE:
        # From this small process: a child's peak begins with that of whoever started it.
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak = usage.ru_maxrss * 1024
        found |= {"peak": peak, "above": peak, "processor": usage.ru_utime + usage.ru_stime}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
