"""Stager and inference function under AWS's runtime interface emulator, on a real directory."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from shearling.bundle.digests import CHUNK_BYTES, Descriptor, chunked_digest, describe, digest_of
from shearling.protocol.requests import request_document
from shearling.protocol.responses import read_answer
from shearling.registry.registry import Registry
from shearling.storage.blobs import BLOBS, blob_key
from shearling_runtime.control import stager
from shearling_runtime.serving import bundle_source as hydrate
from tests.support.bundles import ROWS, Bundle, scaling_bundle
from tests.support.packages import unzipped_package
from tests.support.runtime_emulator import RuntimeEmulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from shearling.package import Kind
    from shearling.refs import Pin
    from tests.embedded_aws import EmbeddedAws

MOUNT = "/mnt/models"
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    directory = tmp_path_factory.mktemp("packages")
    kinds: tuple[Kind, ...] = ("runtime", "control")
    return {kind: unzipped_package(kind, directory) for kind in kinds}


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    directory = tmp_path / "mount"
    directory.mkdir()
    return directory


@contextmanager
def running(
    package: Path, handler: str, mount: Path, uri: str, **options: Any
) -> Iterator[RuntimeEmulator]:
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "SHEARLING_REGISTRY": uri,
        "SHEARLING_MOUNT": MOUNT,
        **options.pop("environment", {}),
    }
    with RuntimeEmulator(
        package,
        f"shearling_runtime.{handler}.handler",
        environment,
        mounts={MOUNT: mount},
        timeout_seconds=options.pop("timeout_seconds", 120),
        **options,
    ) as emulator:
        yield emulator


def assert_answers(packages: dict[Kind, Path], mount: Path, pin: Pin, factor: float) -> str:
    """Assert that the model answers from the mount without S3; return the log."""
    environment = {**NOWHERE, "SHEARLING_MODEL": str(pin)}
    with running(
        packages["runtime"], "handler", mount, "s3://nowhere", environment=environment
    ) as function:
        answer = function.invoke(request_document({"X": ROWS}))
        log = function.logs()
    np.testing.assert_allclose(read_answer(answer)["Y"], ROWS * factor, rtol=1e-6)
    return log


def test_a_staged_bundle_is_served_from_the_mount_without_s3(
    packages: dict[Kind, Path],
    mount: Path,
    s3_uri: str,
    embedded_aws: EmbeddedAws,
    tmp_path: Path,
) -> None:
    pin = scaling_bundle(tmp_path, factor=3.0).publish(s3_uri).pin
    with running(
        packages["control"], "stager", mount, s3_uri, environment=embedded_aws.environment()
    ) as function:
        look = {"shearling": "look", "pin": str(pin)}
        assert function.invoke(look) == {"staged": False}
        assert function.invoke({**look, "shearling": "stage"}) == {"outcome": "staged"}
        assert function.invoke(look) == {"staged": True}
    assert f'"source":"{MOUNT}"' in assert_answers(packages, mount, pin, 3.0).replace(" ", "")


def test_two_concurrent_stager_functions_leave_one_complete_bundle(
    packages: dict[Kind, Path],
    mount: Path,
    s3_uri: str,
    embedded_aws: EmbeddedAws,
    tmp_path: Path,
) -> None:
    pin = scaling_bundle(tmp_path, factor=3.0).publish(s3_uri).pin

    def stage(_: int) -> Any:
        with running(
            packages["control"], "stager", mount, s3_uri, environment=embedded_aws.environment()
        ) as function:
            return function.invoke({"shearling": "stage", "pin": str(pin)})["outcome"]

    with ThreadPoolExecutor(2) as pool:
        outcomes = set(pool.map(stage, range(2)))
    assert "staged" in outcomes
    assert outcomes <= {"staged", "unfinished"}
    assert_answers(packages, mount, pin, 3.0)


@pytest.fixture
def read_only_disk() -> Iterator[Any]:
    """A file system for this test that can be made read-only for all users."""
    directory = Path(tempfile.mkdtemp(prefix="shearling-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "shearling-test", str(directory)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        directory.rmdir()
        pytest.skip("mounting a disk needs the rights of root")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)
    directory.rmdir()


def test_inference_needs_no_write_to_the_mount(
    packages: dict[Kind, Path], read_only_disk: Path, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "registry")
    pin = scaling_bundle(tmp_path, factor=3.0).publish(registry).pin
    stager.stage(registry, read_only_disk, pin, end=float("inf"))
    subprocess.run(["mount", "-o", "remount,ro", str(read_only_disk)], check=True)
    with pytest.raises(OSError, match="Read-only"):
        (read_only_disk / "file").touch()
    assert_answers(packages, read_only_disk, pin, 3.0)


@pytest.mark.parametrize("harm", ["missing", "short", "manifest"])
def test_an_incomplete_bundle_on_the_mount_is_fetched_instead(
    packages: dict[Kind, Path],
    mount: Path,
    s3_uri: str,
    embedded_aws: EmbeddedAws,
    harm: str,
) -> None:
    bundle = scaling_bundle(mount.parent, factor=3.0)
    pin = bundle.publish(s3_uri).pin
    stager.stage(Registry(s3_uri), mount, pin, end=float("inf"))
    entry = mount / "blobs/sha256" / bundle.manifest.file("model.onnx").hex
    match harm:
        case "missing":
            entry.unlink()
        case "short":
            entry.write_bytes(entry.read_bytes()[:-1])
        case "manifest":
            entry.with_name(pin.digest.removeprefix("sha256:")).write_bytes(b"{}")
    environment = {**embedded_aws.environment(), "SHEARLING_MODEL": str(pin)}
    with running(
        packages["runtime"], "handler", mount, s3_uri, environment=environment
    ) as function:
        answer = function.invoke(request_document({"X": ROWS}))
        log = function.logs().replace(" ", "")
    np.testing.assert_array_equal(read_answer(answer)["Y"], ROWS * 3)
    assert f'"source":"{s3_uri}"' in log


# Reading ahead


def test_reading_ahead_reads_all_of_a_bundle_that_fits_half_the_memory(
    mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(mount.parent / "registry")
    bundle = scaling_bundle(mount.parent)
    pin = bundle.publish(registry).pin
    stager.stage(registry, mount, pin, end=float("inf"))
    read: list[int] = []
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda *words: read.append(preadv(*words)))
    for thread in hydrate.read_ahead(mount / BLOBS, bundle.manifest, memory_mb=1):
        thread.join()
    assert sum(read) == bundle.manifest.size


def test_a_bundle_larger_than_half_the_memory_is_not_read_ahead(mount: Path) -> None:
    weights = Descriptor(path="weights", digest=digest_of(b""), size=2**20)
    bundle = scaling_bundle(mount.parent)
    manifest = dataclasses.replace(bundle.manifest, files=(weights,))
    assert len(hydrate.read_ahead(mount, manifest, memory_mb=2)) > 0
    assert hydrate.read_ahead(mount, manifest, memory_mb=1) == []


def test_a_small_bundle_is_read_ahead_by_one_thread(mount: Path) -> None:
    manifest = scaling_bundle(mount.parent).manifest
    assert len(hydrate.read_ahead(mount, manifest, memory_mb=512)) == 1


def test_an_error_of_reading_ahead_is_ignored(mount: Path) -> None:
    for thread in hydrate.read_ahead(mount, scaling_bundle(mount.parent).manifest, memory_mb=512):
        thread.join()


# Large

#: Larger than the /tmp and the memory of any function; nearly all zeros.
LARGE = 12_000_000_000


@pytest.mark.slow
def test_a_bundle_of_12_gb_is_published_staged_and_served(
    packages: dict[Kind, Path], mount: Path, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "registry")
    weights = sparse_weights(tmp_path / "weights", factor=3.0)
    # The blob in the registry is a sparse file too, so publishing finds it and uploads nothing.
    blob = tmp_path / "registry" / blob_key(weights.hex)
    blob.parent.mkdir(parents=True)
    (tmp_path / "weights").rename(blob)
    bundle = with_weights(tmp_path, weights, blob)
    pin = bundle.publish(registry).pin
    assert stager.stage(registry, mount, pin, end=float("inf")) == {"outcome": "staged"}
    blob.unlink()
    assert_answers(packages, mount, pin, 3.0)
    # Removes twelve gigabytes that pytest would keep for days.
    (mount / "blobs/sha256" / weights.hex).unlink()


def sparse_weights(path: Path, factor: float) -> Descriptor:
    """Write a file of zeros with a number at its end; return its descriptor without reading it."""
    value = np.float32(factor).tobytes()
    with path.open("wb") as stream:
        stream.truncate(LARGE)
        stream.seek(LARGE - len(value))
        stream.write(value)
    chunks = [digest_of(bytes(CHUNK_BYTES))] * (LARGE // CHUNK_BYTES)
    last = bytes(LARGE % CHUNK_BYTES - len(value)) + value
    digest = chunked_digest(LARGE, CHUNK_BYTES, [*chunks, digest_of(last)])
    return Descriptor(
        path=digest.removeprefix("sha256:"),
        digest=digest,
        size=LARGE,
        chunk_bytes=CHUNK_BYTES,
        chunks=(*chunks, digest_of(last)),
    )


def with_weights(directory: Path, weights: Descriptor, path: Path) -> Bundle:
    """The bundle of `scaling_bundle` with its one factor at the end of a file of weights."""
    bundle = scaling_bundle(directory, factor=3.0)
    graph = directory / "external.onnx"
    graph.write_bytes(external_graph(weights).SerializeToString(deterministic=True))
    with graph.open("rb") as stream:
        entry = describe("model.onnx", stream)
    manifest = dataclasses.replace(
        bundle.manifest,
        files=(entry, bundle.manifest.file("example.tensors"), weights),
        options={**bundle.manifest.options, "prepack": False},
    )
    files = {**bundle.files, "model.onnx": graph, weights.path: path}
    return Bundle(manifest, files)


def external_graph(weights: Descriptor) -> onnx.ModelProto:
    factor = TensorProto(name="factor", data_type=TensorProto.FLOAT, dims=[1])
    factor.data_location = TensorProto.EXTERNAL
    place = {"location": weights.path, "offset": str(weights.size - 4), "length": "4"}
    for key, value in place.items():
        factor.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["X", "factor"], ["Y"])],
        "scaling",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", 2])],
        [factor],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
