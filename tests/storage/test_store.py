"""The operations of a store in memory, in a directory and in S3, and faults of S3."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shearling.bundle.digests import CHUNK_BYTES, Descriptor, describe
from shearling.errors import IntegrityError, RegistryError, StoreError
from shearling.registry.append_log import create
from shearling.registry.registry import Registry
from shearling.storage.blobs import blob_key
from shearling.storage.proving import put_blob
from shearling.storage.store import Store, open_store
from shearling.storage.uris import DirectoryPlace, parse_uri
from tests.embedded_aws import EmbeddedAws
from tests.support.attack import attack
from tests.support.bundles import scaling_bundle
from tests.support.faulty_s3 import Fault, FaultyS3
from tests.support.logs import append, plain_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALL_FAULTS: tuple[Fault, ...] = (500, 503, 409, "reset")


@pytest.fixture
def store(registry_uri: str) -> Store:
    return open_store(registry_uri)


@pytest.fixture
def faulty(
    embedded_aws: EmbeddedAws, s3_uri: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[FaultyS3, Store]]:
    """A store whose S3 fails on demand."""
    with FaultyS3(embedded_aws.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy, open_store(s3_uri)


# Verbs


def test_a_written_key_is_read_back_and_has_its_size(store: Store) -> None:
    store.write("a/b.bin", b"\0\xff")
    assert store.read("a/b.bin") == b"\0\xff"
    assert store.size("a/b.bin") == 2


def test_a_key_that_does_not_exist_has_no_bytes_and_no_size(store: Store) -> None:
    assert store.read("nothing") is None
    assert store.size("nothing") is None


def test_an_empty_object_exists(store: Store) -> None:
    store.write("empty", b"")
    assert store.read("empty") == b""
    assert store.size("empty") == 0


def test_a_write_replaces_an_existing_object(store: Store) -> None:
    store.write("a", b"first")
    store.write("a", b"second")
    assert store.read("a") == b"second"


def test_a_create_of_an_existing_key_is_refused_and_changes_nothing(store: Store) -> None:
    assert store.create("a", b"first")
    assert not store.create("a", b"second")
    assert store.read("a") == b"first"


def test_one_of_many_concurrent_creates_succeeds(store: Store) -> None:
    barrier = threading.Barrier(8)
    won: list[bytes] = []

    def create(data: bytes) -> None:
        barrier.wait()
        if store.create("a", data):
            won.append(data)

    threads = [threading.Thread(target=create, args=(b"%d" % i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.read("a")] == won


def test_a_range_has_the_bytes_from_start_to_before_end(store: Store) -> None:
    store.write("a", bytes(range(100)))
    assert bytes(store.read_range("a", 10, 13)) == bytes([10, 11, 12])


def test_a_range_of_a_missing_key_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match=r"cannot read nothing in .*: it does not exist$"):
        store.read_range("nothing", 0, 1)


def test_keys_come_in_order_and_after_a_key(store: Store) -> None:
    for key in ("p/3", "p/1", "q/9", "p/2/y", "p/2/x"):
        store.write(key, b"")
    assert list(store.keys("p")) == ["p/1", "p/2/x", "p/2/y", "p/3"]
    assert list(store.keys("p", after="p/1")) == ["p/2/x", "p/2/y", "p/3"]
    assert list(store.keys("p", after="p/3")) == []
    assert list(store.keys("nowhere")) == []


def test_a_prefix_is_a_whole_folder(store: Store) -> None:
    store.write("models/fraud/1", b"")
    store.write("models/fraud-2/1", b"")
    assert list(store.keys("models/fraud")) == ["models/fraud/1"]


def test_folders_are_the_names_directly_below_a_prefix(store: Store) -> None:
    for key in ("models/b/versions/1", "models/a/versions/1", "models/a/aliases/1", "models/x"):
        store.write(key, b"")
    assert store.folders("models") == ["a", "b"]
    assert store.folders("nowhere") == []


def test_more_keys_than_a_page_has_are_all_listed(s3_uri: str) -> None:
    store = open_store(s3_uri)
    for i in range(1005):
        store.write(f"log/{i:010d}", b"")
    assert len(list(store.keys("log"))) == 1005


def test_two_prefixes_of_one_bucket_are_two_registries(bucket: str, s3_uri: str) -> None:
    open_store(f"s3://{bucket}/{uuid.uuid4().hex}").write("a", b"theirs")
    assert open_store(s3_uri).read("a") is None


# Uploads


@pytest.mark.parametrize("size", [10, CHUNK_BYTES + 3])
def test_an_upload_replaces_nothing_in_s3(s3_uri: str, tmp_path: Path, size: int) -> None:
    store, file = open_store(s3_uri), tmp_path / "file"
    store.write("blob", b"theirs")
    file.write_bytes(os.urandom(size))
    assert not store.upload("blob", file, described(file))
    assert store.read("blob") == b"theirs"
    store.overwrite("blob", file, described(file))
    assert store.read("blob") == file.read_bytes()


def test_of_uploads_in_parts_at_once_one_wins_and_none_is_left_over(
    s3_uri: str, embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    store, file = open_store(s3_uri), tmp_path / "file"
    file.write_bytes(os.urandom(CHUNK_BYTES + 3))
    barrier = threading.Barrier(3)

    def upload(_: int) -> bool:
        barrier.wait()
        return store.upload("blob", file, described(file))

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(upload, range(3))) == [False, False, True]
    assert store.read("blob") == file.read_bytes()
    bucket = s3_uri.split("/")[2]
    left = embedded_aws.client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    assert left == []


@pytest.mark.parametrize("size", [0, 10, CHUNK_BYTES, 2 * CHUNK_BYTES + 3])
def test_an_uploaded_file_is_read_back(store: Store, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    file = tmp_path / "file"
    file.write_bytes(data)
    told: list[int] = []
    store.upload("blob", file, described(file), told.append)
    assert store.read("blob") == data
    assert sum(told) == size


@pytest.mark.parametrize("size", [10, 2 * CHUNK_BYTES + 3])
def test_a_file_that_changed_since_it_was_described_stores_nothing(
    store: Store, tmp_path: Path, size: int
) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(size))
    before = described(file)
    file.write_bytes(bytes(size - 1) + b"x")
    with pytest.raises(IntegrityError) as caught:
        store.upload("blob", file, before)
    after = described(file)
    assert (caught.value.expected, caught.value.actual) == (before.digest, after.digest)
    assert store.read("blob") is None


def test_a_file_that_changes_while_it_is_uploaded_stores_nothing(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(3 * CHUNK_BYTES))

    def change_the_end(_: int) -> None:
        with file.open("r+b") as stream:
            stream.seek(-1, os.SEEK_END)
            stream.write(b"x")

    with pytest.raises(IntegrityError):
        store.upload("blob", file, described(file), change_the_end)
    assert store.read("blob") is None


def described(file: Path) -> Descriptor:
    with file.open("rb") as stream:
        return describe("file", stream)


# S3 that answers wrongly


@pytest.mark.parametrize("landed", [True, False], ids=["landed", "not-landed"])
@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_a_record_whose_put_met_a_fault_is_ours_and_exists_once(
    faulty: tuple[FaultyS3, Store], fault: Fault, *, landed: bool
) -> None:
    proxy, store = faulty
    log = plain_log(store, "log")
    proxy.fail(fault, landed=landed)
    assert append(log, {"who": "me"}) == 1
    assert list(log.numbers()) == [1]


@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_repeated_faults_do_not_make_two_records(
    faulty: tuple[FaultyS3, Store], fault: Fault
) -> None:
    proxy, store = faulty
    log = plain_log(store, "log")
    proxy.fail(fault, fault, fault, landed=False)
    assert [append(log, {}), append(log, {})] == [1, 2]
    assert list(log.numbers()) == [1, 2]


@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_a_fault_on_a_number_of_another_writer_does_not_make_it_ours(
    faulty: tuple[FaultyS3, Store], fault: Fault
) -> None:
    proxy, store = faulty
    log = plain_log(store, "log")
    append(log, {"who": "other"})
    proxy.fail(fault, landed=True)
    assert not log.create(1, {"who": "me"})
    taken = log.read(1)
    assert taken
    assert taken["who"] == "other"


def test_a_store_that_always_refuses_is_an_error(faulty: tuple[FaultyS3, Store]) -> None:
    proxy, store = faulty
    conflicts: list[Fault] = [409] * 1000
    proxy.fail(*conflicts, landed=False)
    with pytest.raises(StoreError, match=r"0000000001\.json in s3://.* refused 20 attempts"):
        append(plain_log(store, "log"), {})


def test_a_connection_that_always_breaks_is_an_error(
    faulty: tuple[FaultyS3, Store],
) -> None:
    proxy, store = faulty
    resets: list[Fault] = ["reset"] * 1000
    proxy.fail(*resets, landed=False)
    with pytest.raises(StoreError, match=r"cannot write log/0000000001\.json in s3://"):
        append(plain_log(store, "log"), {})
    assert len(proxy.writes) < 10


@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_a_record_without_an_id_is_returned_as_stored(
    faulty: tuple[FaultyS3, Store], fault: Fault
) -> None:
    proxy, store = faulty
    proxy.fail(fault, landed=False)
    assert create(store, "index", b'{"version":7}')
    assert store.read("index") == b'{"version":7}'


@pytest.mark.parametrize("landed", [True, False], ids=["landed", "not-landed"])
@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_a_publish_makes_one_version_whichever_of_its_writes_meets_a_fault(
    faulty: tuple[FaultyS3, Store], tmp_path: Path, fault: Fault, *, landed: bool
) -> None:
    proxy, store = faulty
    registry = Registry(store=store)
    # Two files, the manifest, the version, its digest.
    for place in range(5):
        model = f"m{place}"
        first = scaling_bundle(tmp_path, model=model, factor=10.0 + place)
        proxy.writes.clear()
        proxy.fail(fault, after=place, landed=landed)
        version = first.publish(registry)
        assert len(proxy.writes) >= 5 + (not landed)
        second = scaling_bundle(tmp_path, model=model, factor=20.0 + place).publish(registry)
        assert first.publish(registry).pin == version.pin
        assert [each.pin for each in registry.versions(model)] == [version.pin, second.pin]


@pytest.mark.parametrize("landed", [True, False], ids=["landed", "not-landed"])
@pytest.mark.parametrize(
    ("fault", "place"),
    # A part meets no conflict.
    [(fault, place) for fault in ALL_FAULTS for place in (0, 2, 3) if fault != 409 or place == 3],
)
def test_an_upload_in_parts_is_there_once_whichever_of_its_writes_meets_a_fault(
    faulty: tuple[FaultyS3, Store], tmp_path: Path, fault: Fault, place: int, *, landed: bool
) -> None:
    proxy, store = faulty
    data = os.urandom(2 * CHUNK_BYTES + 3)
    file = tmp_path / "file"
    file.write_bytes(data)
    # Three parts, and the completion.
    proxy.fail(fault, after=place, landed=landed)
    put_blob(store, described(file), file)
    assert store.read(blob_key(described(file).hex)) == data
    assert proxy.unconditional == []


def test_every_write_of_a_publish_is_conditional(
    faulty: tuple[FaultyS3, Store], tmp_path: Path
) -> None:
    proxy, store = faulty
    bundle = scaling_bundle(tmp_path)
    bundle.files["weights"] = tmp_path / "weights"
    bundle.files["weights"].write_bytes(os.urandom(CHUNK_BYTES + 1))
    weights = replace(described(tmp_path / "weights"), path="weights")
    manifest = replace(bundle.manifest, files=(*bundle.manifest.files, weights))
    registry = Registry(store=store)
    registry.publish(manifest, bundle.files, {})
    registry.set_alias("fraud", "prod", 1)
    # Three files and the manifest, one of them in two parts, and three records.
    assert len(proxy.writes) == 3 + 1 + 2 + 3
    assert proxy.unconditional == []


# What cannot be reached or used


@pytest.fixture
def no_other_aws(aws_environment: dict[str, str]) -> None:
    assert aws_environment


@pytest.mark.usefixtures("no_other_aws")
def test_an_unreachable_endpoint_fails_quickly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        started = time.monotonic()
        with pytest.raises(StoreError) as caught:
            open_store("s3://some-bucket/prefix").folders("models")
    assert time.monotonic() - started < 10
    assert "cannot list models in s3://some-bucket/prefix" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_other_aws")
@pytest.mark.parametrize(
    "attempt",
    [
        lambda store: store.create("a", b""),
        lambda store: store.write("a", b""),
        lambda store: list(store.keys("a")),
        lambda store: store.folders("models"),
    ],
    ids=["create", "write", "keys", "folders"],
)
def test_a_bucket_that_does_not_exist_is_named(attempt: Callable[[Store], object]) -> None:
    store = open_store("s3://no-such-bucket/prefix")
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/prefix: the bucket does not exist$"):
        attempt(store)


def test_an_error_message_of_s3_is_passed_on_in_one_line(faulty: tuple[FaultyS3, Store]) -> None:
    proxy, store = faulty
    proxy.fail(409, landed=False)
    with pytest.raises(StoreError, match=r"cannot write a in .*: Wrong: asked for by a test$"):
        store.write("a", b"")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "s3://",
        "s3:///prefix",
        "s3:bucket",
        "gs://bucket",
        "https://bucket.s3.amazonaws.com",
        "file://",
        "file:",
        "memory:name",
        "\ud800",
        "./x\ud800/y",
        "file:///x\ud800",
        "s3://bucket/\ud800",
        "memory://\ud800",
    ],
    ids=ascii,
)
def test_an_invalid_uri_lists_the_valid_forms(uri: str) -> None:
    with pytest.raises(StoreError, match="expected s3://bucket/prefix, a directory, or memory://"):
        open_store(uri)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("./client\n", "has a line break"),
        ("./cli\nent", "has a line break"),
        ("s3://bucket/a\tb", "has a line break"),
        ("memory://a\0", "has a line break"),
        ("s3://[x", r"'\[x' is not the name of a bucket"),
        ("s3://me@bucket/x", "'me@bucket' is not the name of a bucket"),
        ("s3://bucket:443/x", "'bucket:443' is not the name of a bucket"),
        ("s3://bucket?region=x/y", r"'bucket\?region=x' is not the name of a bucket"),
        ("s3://bucket#1", "'bucket#1' is not the name of a bucket"),
        ("s3://bucket/a//b", "a part of the prefix is empty"),
        ("s3://bucket/a/../b", "a part of the prefix is empty"),
        ("file://client/1", "'client' is read as a host"),
        ("~nobody-has-this-name/x", "cannot use '~nobody"),
    ],
)
def test_a_uri_of_which_a_part_would_be_dropped_is_refused(uri: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        open_store(uri)


@pytest.mark.parametrize(
    "names", [("client#1", "client#2", "client"), ("a?1", "a?2"), ("a%41", "aA")]
)
@pytest.mark.parametrize("form", ["relative", "absolute", "file"])
def test_names_that_are_not_the_same_are_not_the_same_directory(
    names: tuple[str, ...], form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    starts = {"relative": "./", "absolute": f"{tmp_path}/", "file": f"file://{tmp_path}/"}
    for name in names:
        told = name.replace("%", "%25") if form == "file" else name
        store = open_store(starts[form] + told)
        assert store.create("who", name.encode())
        assert (tmp_path / name / "who").read_text() == name
        assert open_store(store.uri).read("who") == name.encode()


@pytest.mark.parametrize("form", ["memory://{}", "s3://bucket/{}"])
def test_names_that_are_not_the_same_are_not_the_same_store(form: str) -> None:
    places = {str(parse_uri(form.format(name))) for name in ("a#1", "a#2", "a?1", "a/b", "a[", "a")}
    assert len(places) == 6


def test_what_is_no_path_is_no_registry() -> None:
    for value in (b"registry", 7, ["registry"]):
        with pytest.raises(RegistryError, match="expected s3://bucket/prefix, a directory"):
            Registry(value)  # type: ignore[arg-type]


@settings(max_examples=attack(100))
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1))
def test_the_uri_of_a_directory_is_read_back_as_that_directory(name: str) -> None:
    place = parse_uri(f"/registries/{name}")
    assert place == DirectoryPlace(Path("/registries", name))
    assert parse_uri(str(place)) == place


def test_a_directory_that_cannot_be_created_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot use .*/file/registry as a registry") as caught:
        open_store(str(tmp_path / "file" / "registry"))
    assert "\n" not in str(caught.value)


def test_missing_credentials_name_the_places_to_set_them(
    monkeypatch: pytest.MonkeyPatch, aws_environment: dict[str, str]
) -> None:
    for variable in aws_environment:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreError, match=r"no AWS credentials found: set AWS_PROFILE"):
        open_store("s3://some-bucket")


def test_a_memory_store_is_found_again_by_its_name() -> None:
    name = uuid.uuid4().hex
    open_store(f"memory://{name}").write("a", b"kept")
    assert open_store(f"memory://{name}").read("a") == b"kept"
    assert open_store(f"memory://{name}-other").read("a") is None


def test_a_user_without_permissions_gets_access_denied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with EmbeddedAws(auth=True) as aws:
        iam = aws.client("iam")
        iam.create_user(UserName="nobody")
        key = iam.create_access_key(UserName="nobody")["AccessKey"]
        iam.close()
        s3 = aws.client("s3")
        location = {"LocationConstraint": s3.meta.region_name}
        s3.create_bucket(Bucket="guarded", CreateBucketConfiguration=location)
        s3.close()
        for variable, value in aws.environment().items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        store = open_store("s3://guarded/registry")
        started = time.monotonic()
        for attempt in (
            lambda: store.write("a", b""),
            lambda: store.folders("models"),
            lambda: append(plain_log(store, "log"), {}),
        ):
            with pytest.raises(StoreError, match="s3://guarded/registry: access denied") as caught:
                attempt()
            assert "\n" not in str(caught.value)
            assert caught.value.denied
        # Only the releaser, whose role may be fresh, asks again.
        assert time.monotonic() - started < 10
