"""Objects under conditions: in a directory, and in a bucket of the embedded AWS."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from shearling.errors import StoreError
from shearling.storage.conditional import ConditionFailedError
from shearling.storage.directory_objects import DirectoryObjects
from shearling.storage.s3_bucket import S3Bucket
from tests.support.faulty_s3 import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shearling.storage.conditional import ConditionalObjects, ListedObjects
    from tests.embedded_aws import EmbeddedAws

#: S3's minimum for a part that is not the last.
PART = 5 * 2**20

KEYS = [
    "a.csv",
    "a b+c%20.csv",
    "ü/ö ä.csv",
    "a//b.csv",
    "/a.csv",
    "a/../b.csv",
    "a?b#c&d=e.csv",
    "a~b*c'(d)!.csv",
    "tab\tnew.csv",
]


@pytest.fixture(params=["directory", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ListedObjects:
    if request.param == "directory":
        return DirectoryObjects(tmp_path)
    request.getfixturevalue("aws_environment")
    return S3Bucket(request.getfixturevalue("bucket"))


@pytest.fixture
def key() -> str:
    return f"{uuid.uuid4().hex}/a.csv"


@pytest.fixture
def faulty(
    embedded_aws: EmbeddedAws,
    bucket: str,
    aws_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[FaultyS3, S3Bucket]]:
    """A bucket whose S3 fails on demand."""
    del aws_environment
    monkeypatch.setattr("shearling.storage.s3_requests._PAUSE", 0.01)
    with FaultyS3(embedded_aws.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy, S3Bucket(bucket)


def test_what_was_put_is_read_back_in_parts(objects: ConditionalObjects, key: str) -> None:
    etag = objects.put(key, b"0123456789", replaces=None)

    state = objects.state(key)
    assert state is not None
    assert (state.etag, state.size) == (etag, 10)
    assert abs((datetime.now(UTC) - state.modified).total_seconds()) < 60
    assert objects.read(key, 2, 5, etag=etag) == b"234"
    assert objects.read(key, 8, 10, etag=etag) == b"89"


def test_a_key_that_does_not_exist_has_no_state(objects: ConditionalObjects, key: str) -> None:
    assert objects.state(key) is None


def test_a_put_of_a_new_object_fails_where_one_is(objects: ConditionalObjects, key: str) -> None:
    etag = objects.put(key, b"first", replaces=None)

    with pytest.raises(ConditionFailedError):
        objects.put(key, b"second", replaces=None)

    assert objects.read(key, 0, 5, etag=etag) == b"first"


def test_a_put_replaces_only_the_object_that_it_names(
    objects: ConditionalObjects, key: str
) -> None:
    first = objects.put(key, b"first", replaces=None)
    second = objects.put(key, b"second", replaces=first)

    with pytest.raises(ConditionFailedError):
        objects.put(key, b"third", replaces=first)

    assert second != first
    assert objects.read(key, 0, 6, etag=second) == b"second"


def test_a_put_fails_if_the_object_that_it_names_is_gone(
    objects: ConditionalObjects, key: str
) -> None:
    etag = objects.put(key, b"first", replaces=None)
    objects.delete(key, etag=etag)

    with pytest.raises(ConditionFailedError):
        objects.put(key, b"second", replaces=etag)


def test_an_object_that_was_replaced_is_not_read(objects: ConditionalObjects, key: str) -> None:
    first = objects.put(key, b"first", replaces=None)
    objects.put(key, b"other", replaces=first)

    with pytest.raises(ConditionFailedError):
        objects.read(key, 0, 2, etag=first)


def test_an_object_that_is_gone_is_not_read(objects: ConditionalObjects, key: str) -> None:
    with pytest.raises(ConditionFailedError):
        objects.read(key, 0, 2, etag="x")


def test_parts_are_an_object_when_they_are_complete(objects: ConditionalObjects, key: str) -> None:
    upload = objects.upload(key)
    upload.send(2, b"end")
    upload.send(1, b"x" * PART)
    assert objects.state(key) is None

    etag = upload.complete(None)

    state = objects.state(key)
    assert state is not None
    assert (state.etag, state.size) == (etag, PART + 3)
    assert objects.read(key, PART - 1, PART + 3, etag=etag) == b"xend"


def test_parts_are_not_completed_over_another_object(objects: ConditionalObjects, key: str) -> None:
    upload = objects.upload(key)
    upload.send(1, b"mine")
    etag = objects.put(key, b"other", replaces=None)

    with pytest.raises(ConditionFailedError):
        upload.complete(None)

    assert objects.read(key, 0, 5, etag=etag) == b"other"


def test_parts_that_are_aborted_leave_nothing(objects: ConditionalObjects, key: str) -> None:
    upload = objects.upload(key)
    upload.send(1, b"mine")
    upload.abort()

    assert objects.state(key) is None


@pytest.mark.parametrize("name", KEYS)
def test_any_key_of_s3_is_written_and_read(
    bucket: str, embedded_aws: EmbeddedAws, aws_environment: dict[str, str], name: str
) -> None:
    del aws_environment
    objects = S3Bucket(bucket)
    etag = objects.put(name, name.encode(), replaces=None)

    assert objects.read(name, 0, 99, etag=etag) == name.encode()
    client = embedded_aws.client("s3")
    assert client.get_object(Bucket=bucket, Key=name)["Body"].read() == name.encode()
    objects.delete(name, etag=etag)
    assert objects.state(name) is None


def test_one_of_many_writers_wins(objects: ConditionalObjects, key: str) -> None:
    def write(number: int) -> int:
        try:
            objects.put(key, b"%d" % number, replaces=None)
        except ConditionFailedError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 1


@pytest.mark.parametrize("fault", [500, 503, "reset"])
@pytest.mark.parametrize("landed", [True, False])
def test_a_put_whose_answer_was_lost_succeeds(
    faulty: tuple[FaultyS3, S3Bucket], key: str, fault: Fault, *, landed: bool
) -> None:
    proxy, objects = faulty
    proxy.fail(fault, landed=landed)

    etag = objects.put(key, b"mine", replaces=None)

    assert objects.read(key, 0, 4, etag=etag) == b"mine"


@pytest.mark.parametrize("fault", [500, 503, "reset"])
@pytest.mark.parametrize("landed", [True, False])
def test_a_completion_whose_answer_was_lost_succeeds(
    faulty: tuple[FaultyS3, S3Bucket], key: str, fault: Fault, *, landed: bool
) -> None:
    proxy, objects = faulty
    upload = objects.upload(key)
    upload.send(1, b"mine")
    proxy.fail(fault, landed=landed)

    etag = upload.complete(None)

    assert objects.read(key, 0, 4, etag=etag) == b"mine"


def test_a_store_that_always_fails_is_an_error_with_the_reason(
    faulty: tuple[FaultyS3, S3Bucket], key: str
) -> None:
    proxy, objects = faulty
    proxy.fail(503, 503, 503, 503, 503, landed=False)

    with pytest.raises(StoreError, match=r"cannot write s3://.*: status 503"):
        objects.put(key, b"mine", replaces=None)


def test_a_bucket_that_does_not_exist_is_an_error_that_names_it(
    aws_environment: dict[str, str],
) -> None:
    del aws_environment
    with pytest.raises(StoreError, match="cannot write s3://no-such-bucket/a: NoSuchBucket"):
        S3Bucket("no-such-bucket").put("a", b"", replaces=None)


def test_a_key_outside_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not in"):
        DirectoryObjects(tmp_path).put("../a", b"", replaces=None)


def test_objects_are_listed_below_a_prefix_in_order_with_their_state(
    objects: ListedObjects, key: str
) -> None:
    folder = key.removesuffix("a.csv")
    names = ["a.csv", "a b+c%20.csv", "ü/ö ä.csv", "a&<b>.csv", "b/c.csv"]
    etags = {folder + name: objects.put(folder + name, b"x", replaces=None) for name in names}
    objects.put(f"{key[:-6]}-other/a.csv", b"y", replaces=None)

    found = dict(objects.list(folder))

    assert {name: state.etag for name, state in found.items()} == etags
    assert {state.size for state in found.values()} == {1}
    assert [*found] == sorted(found)
    assert [*dict(objects.list(f"{folder}a"))] == sorted(
        folder + name for name in names if name.startswith("a")
    )


def test_nothing_is_listed_below_a_prefix_without_objects(objects: ListedObjects, key: str) -> None:
    objects.put(key, b"x", replaces=None)

    assert [*objects.list(f"{key}/")] == []
    assert [*objects.list("none/")] == []


def test_a_long_listing_is_read_to_its_end(
    aws_environment: dict[str, str], bucket: str, key: str
) -> None:
    del aws_environment
    objects = S3Bucket(bucket)
    names = [f"{key}/{i:04}" for i in range(1003)]
    with ThreadPoolExecutor(8) as pool:
        [*pool.map(lambda name: objects.put(name, b"", replaces=None), names)]

    assert [name for name, _ in objects.list(f"{key}/")] == names


def test_a_file_that_is_being_written_is_not_listed(tmp_path: Path) -> None:
    upload = DirectoryObjects(tmp_path).upload("a.csv")
    upload.send(1, b"x")

    assert [*DirectoryObjects(tmp_path).list("")] == []
