"""A blob gets its name, and is believed by it, only where exactly that name was proven."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shearling.bundle.digests import CHUNK_BYTES, describe
from shearling.cli import main
from shearling.errors import IntegrityError
from shearling.models.load import cache_directory, load_model
from shearling.registry.registry import Registry
from shearling.storage import blobs
from shearling.storage.blobs import BLOBS, blob_key, fetch_blobs, staged_manifest
from tests.support.bundles import ROWS
from tests.support.schema_1 import Attack, in_schema_1

if TYPE_CHECKING:
    from shearling.bundle.digests import Descriptor


@pytest.fixture(params=[True, False], ids=["chunked", "whole"])
def attack(registry: Registry, tmp_path: Path, request: pytest.FixtureRequest) -> Attack:
    return Attack.on(registry, tmp_path, chunked=request.param)


def answer(pin: object, registry: Registry) -> list[list[float]]:
    answers: list[list[float]] = load_model(str(pin), registry=registry).predict(ROWS)["Y"].tolist()
    return answers


RIGHT = (ROWS * 2).tolist()


# Chunks of other bytes


def test_chunks_of_other_bytes_give_no_file_a_name(attack: Attack) -> None:
    with pytest.raises(IntegrityError, match=r"model\.onnx .*is corrupt or was changed") as caught:
        load_model(str(attack.pushed), registry=attack.registry)
    assert caught.value.expected == attack.entry.digest
    assert not (cache_directory() / attack.entry.hex).exists()
    attack.put(attack.good)
    assert answer(attack.approved, attack.registry) == RIGHT


def test_chunks_of_other_bytes_are_not_pulled(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not cache.exists()
    attack = Attack.on(Registry(tmp_path / "registry"), tmp_path, chunked=True)
    arguments = ["pull", str(attack.pushed), str(tmp_path / "copy"), "--registry"]
    assert main([*arguments, attack.registry.store.uri]) == 1
    assert "is corrupt or was changed" in capsys.readouterr().err
    assert list((tmp_path / "copy").iterdir()) == []


@pytest.mark.parametrize("size", [1, 2, CHUNK_BYTES, 2 * CHUNK_BYTES + 7])
def test_no_size_and_no_number_of_chunks_lets_other_bytes_through(
    registry: Registry, tmp_path: Path, size: int
) -> None:
    good, evil = bytes(size), b"\1" * size
    file = in_schema_1("weights", good, chunks_of=evil)
    registry.store.write(blob_key(file.hex), evil)
    with pytest.raises(IntegrityError):
        fetch_blobs(registry.store, [file], tmp_path / "shared")
    assert [path for path in (tmp_path / "shared").iterdir() if path.name == file.hex] == []


def test_a_directory_of_one_manifest_is_proven_by_its_chunks(
    registry: Registry, tmp_path: Path
) -> None:
    data = os.urandom(100)
    file = in_schema_1("weights", data)
    registry.store.write(blob_key(file.hex), data)
    fetch_blobs(registry.store, [file], tmp_path / "one", shared=False)
    assert (tmp_path / "one" / file.hex).read_bytes() == data
    assert {path.name for path in tmp_path.iterdir()} == {"one"}


# What version 0.1 left in a directory


def test_a_cache_that_version_0_1_filled_is_not_believed(attack: Attack) -> None:
    attack.as_version_0_1(cache_directory())
    attack.put(attack.good)
    assert answer(attack.approved, attack.registry) == RIGHT


def test_a_proven_file_that_version_0_1_replaces_is_not_believed(attack: Attack) -> None:
    attack.put(attack.good)
    assert answer(attack.approved, attack.registry) == RIGHT
    path = cache_directory() / attack.entry.hex
    path.unlink()
    attack.as_version_0_1(cache_directory())
    assert answer(attack.approved, attack.registry) == RIGHT
    assert path.read_bytes() == attack.good


def described(data: bytes, directory: Path) -> Descriptor:
    path = directory / "data"
    path.write_bytes(data)
    with path.open("rb") as stream:
        return describe("weights", stream)


@pytest.mark.parametrize("schema", [1, 2])
def test_a_file_of_version_0_1_is_proven_once_where_it_lies_and_not_moved(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema: int
) -> None:
    data = os.urandom(CHUNK_BYTES + 5)
    file = described(data, tmp_path) if schema == 2 else in_schema_1("weights", data)
    directory = tmp_path / "shared"
    directory.mkdir()
    (directory / file.hex).write_bytes(data)
    before = (directory / file.hex).stat()
    proven: list[str] = []
    digest_as = blobs._digest_as

    def counting(file: Descriptor, *arguments: object) -> str:
        proven.append(file.path)
        return digest_as(file, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(blobs, "_digest_as", counting)
    for _ in range(3):
        assert fetch_blobs(registry.store, [file], directory).size_bytes == 0
    assert proven == ["weights"]
    after = (directory / file.hex).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_that_is_marked_and_changed_is_fetched_again(
    registry: Registry, tmp_path: Path
) -> None:
    data = os.urandom(100)
    file = described(data, tmp_path)
    registry.store.write(blob_key(file.hex), data)
    fetch_blobs(registry.store, [file], tmp_path / "shared")
    (tmp_path / "shared" / file.hex).write_bytes(bytes(100))
    fetch_blobs(registry.store, [file], tmp_path / "shared")
    assert (tmp_path / "shared" / file.hex).read_bytes() == data


def test_a_read_only_cache_is_proven_each_time(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(100)
    file = described(data, tmp_path)
    directory = tmp_path / "shared"
    directory.mkdir()
    (directory / file.hex).write_bytes(data)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "read-only for the test, since root may write anywhere")

    monkeypatch.setattr(Path, "touch", refuse)
    assert fetch_blobs(registry.store, [file], directory).size_bytes == 0
    assert list((tmp_path / "shared-proven").iterdir()) == []


# Bundles that lie whole in a directory


def test_a_staged_bundle_without_marks_is_not_there_unless_it_is_proven_now(
    attack: Attack, tmp_path: Path
) -> None:
    attack.put(attack.good)
    registry, pin, directory = attack.registry, attack.approved, tmp_path / "package" / BLOBS
    manifest = registry.manifest(pin)
    registry.fetch(manifest, directory, shared=False)
    (directory / pin.hex).write_bytes(manifest.to_bytes())
    assert staged_manifest(directory, pin) is None
    attack.as_version_0_1(directory)
    assert staged_manifest(directory, pin, verify=True) is None
    (directory / attack.entry.hex).write_bytes(attack.good)
    assert staged_manifest(directory, pin, verify=True) == manifest
    assert staged_manifest(directory, pin) == manifest


def test_where_a_bundle_is_alone_its_own_chunks_decide(attack: Attack, tmp_path: Path) -> None:
    # So the two versions do differ as the tests above take for granted.
    manifest = attack.registry.manifest(attack.pushed)
    attack.registry.fetch(manifest, tmp_path / "alone", shared=False)
    assert (tmp_path / "alone" / attack.entry.hex).read_bytes() == attack.evil
