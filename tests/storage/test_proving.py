"""A push holds what is in the store to what it would put there; `shearling verify` reads it all."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shearling.bundle.digests import CHUNK_BYTES, describe
from shearling.cli import main
from shearling.errors import IntegrityError, StoreError
from shearling.registry.registry import Registry
from shearling.storage.blobs import blob_key
from shearling.storage.proving import prove_blob
from shearling.storage.store import Store, open_store
from tests.support.bundles import Bundle, scaling_bundle
from tests.support.schema_1 import in_schema_1

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shearling.registry.records import Published
    from tests.embedded_aws import EmbeddedAws


@pytest.fixture
def registry(registry_uri: str) -> Registry:
    return Registry(registry_uri)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle with a file of one chunk, and one of three."""
    bundle = scaling_bundle(tmp_path)
    path = bundle.files["weights"] = tmp_path / "weights"
    path.write_bytes(os.urandom(2 * CHUNK_BYTES + 3))
    with path.open("rb") as stream:
        weights = describe("weights", stream)
    manifest = replace(bundle.manifest, files=(*bundle.manifest.files, weights))
    return Bundle(manifest, bundle.files)


def keys_of(bundle: Bundle, registry: Registry) -> dict[str, str]:
    keys = {file.path: blob_key(file.hex) for file in bundle.manifest.files}
    return keys | {"manifest": blob_key(registry.resolve("fraud").hex)}


def push(bundle: Bundle, registry: Registry) -> Published:
    return registry.publish(bundle.manifest, bundle.files, {})


@pytest.mark.parametrize("name", ["model.onnx", "weights", "manifest"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: bytes(len(data)),
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data + b"more",
    ],
    ids=["zeros", "last-byte", "longer"],
)
def test_a_damaged_blob_is_repaired_by_pushing_the_same_model_again(
    registry: Registry, bundle: Bundle, name: str, damage: Callable[[bytes], bytes]
) -> None:
    version = push(bundle, registry).version
    key = keys_of(bundle, registry)[name]
    good = registry.store.read(key)
    assert good is not None
    registry.store.write(key, damage(good))
    again = push(bundle, registry)
    assert (again.version, again.is_new, again.sent_bytes) == (version, False, len(good))
    assert registry.store.read(key) == good
    assert push(bundle, registry).sent_bytes == 0


def test_a_blob_that_is_missing_is_put_by_pushing_the_same_model_again(
    tmp_path: Path, bundle: Bundle
) -> None:
    registry = Registry(tmp_path / "registry")
    push(bundle, registry)
    path = tmp_path / "registry" / keys_of(bundle, registry)["weights"]
    path.unlink()
    assert push(bundle, registry).sent_bytes == path.stat().st_size


# S3's checksums


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of which ranges are read."""
    read: list[str] = []
    read_range = Store.read_range

    def noting(self: Store, key: str, start: int, end: int) -> memoryview:
        read.append(key)
        return read_range(self, key, start, end)

    monkeypatch.setattr(Store, "read_range", noting)
    return read


def test_a_push_to_s3_reads_nothing_of_what_has_a_checksum(
    s3_uri: str, bundle: Bundle, reads: list[str]
) -> None:
    registry = Registry(s3_uri)
    push(bundle, registry)
    assert push(bundle, registry).sent_bytes == 0
    assert reads == []


def test_a_blob_that_version_0_1_put_has_no_checksum_and_is_read(
    s3_uri: str, embedded_aws: EmbeddedAws, bundle: Bundle, reads: list[str]
) -> None:
    registry = Registry(s3_uri)
    push(bundle, registry)
    key = keys_of(bundle, registry)["weights"]
    data = registry.store.read(key)
    _, _, name, prefix = s3_uri.split("/")
    embedded_aws.client("s3").put_object(Bucket=name, Key=f"{prefix}/{key}", Body=data)
    assert registry.store.checksum(key) == ""
    assert push(bundle, registry).sent_bytes == 0
    assert reads == [key] * 3


# A bucket that permits no overwriting


class WriteOnceStore(Store):
    """A store whose bucket refuses to replace blobs, as by the bucket policy."""

    def overwrite(self, *_: object, **__: object) -> None:
        """Refuse."""
        raise StoreError("cannot write: access denied", denied=True)


def test_where_nobody_overwrites_the_error_has_the_steps_of_the_owner_and_they_work(
    embedded_aws: EmbeddedAws, s3_uri: str, bundle: Bundle
) -> None:
    _, _, bucket, prefix = s3_uri.split("/")
    client = embedded_aws.client("s3")
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    opened = open_store(s3_uri)
    registry = Registry(store=WriteOnceStore(opened._backend, opened.uri, opened.objects))
    push(bundle, registry)
    key = keys_of(bundle, registry)["weights"]
    size = registry.store.size(key)
    assert size
    answer = client.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=bytes(size))
    with pytest.raises(IntegrityError) as caught:
        push(bundle, registry)
    version = answer["VersionId"]
    assert key in str(caught.value)
    command = f"--bucket {bucket} --key {prefix}/{key} --version-id {version}"
    assert f"`aws s3api delete-object {command}`" in str(caught.value)
    client.delete_object(Bucket=bucket, Key=f"{prefix}/{key}", VersionId=version)
    assert push(bundle, registry).sent_bytes == 0


# Verifying


def test_a_blob_of_schema_1_is_proven_as_a_whole(registry: Registry) -> None:
    good, evil = os.urandom(100), bytes(100)
    file = in_schema_1("weights", good, chunks_of=evil)
    registry.store.write(blob_key(file.hex), evil)
    with pytest.raises(IntegrityError):
        prove_blob(registry.store, file)
    registry.store.write(blob_key(file.hex), good)
    prove_blob(registry.store, file)


def test_verify_says_that_all_is_as_it_was_pushed(
    registry_uri: str, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    push(bundle, Registry(registry_uri))
    assert main(["verify", "fraud", "--registry", registry_uri]) == 0
    assert capsys.readouterr().out == "fraud:1: 3 files, 16.8 MB, all as they were pushed\n"


@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_verify_names_every_blob_that_is_wrong_and_fails(
    tmp_path: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str], harm: str
) -> None:
    registry = Registry(tmp_path / "registry")
    push(bundle, registry)
    keys = keys_of(bundle, registry)
    for name in ("weights", "model.onnx"):
        path = tmp_path / "registry" / keys[name]
        if harm == "missing":
            path.unlink()
        else:
            path.write_bytes(bytes(path.stat().st_size))
    arguments = ["verify", "fraud:1", "--registry", registry.store.uri]
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--json"])
    assert caught.value.code == 1
    said = capsys.readouterr()
    wrong = {row["path"] for row in json.loads(said.out)["files"] if row["problem"]}
    assert wrong == {"weights", "model.onnx"}
    assert all(keys[name] in said.err for name in wrong)
    assert keys["example.tensors"] not in said.err
