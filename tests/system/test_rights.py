"""What push and promotion rights can do to a deployed stack, on an AWS that enforces permissions.

Old versions come first: what version 0.1 sends and left behind meets the new stack. Then users with
the stack's own policies and no other permissions try to stop or change `prod`. The tests run in
order, and `prod` answers before and after each of them.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import urllib3
from botocore.exceptions import ClientError
from obstore.exceptions import PermissionDeniedError
from obstore.store import MemoryStore

import shearling as sdk
from shearling.bundle.digests import CHUNK_BYTES, digest_of
from shearling.registry.registry import Registry
from shearling.storage.blobs import BLOBS, blob_key
from shearling.storage.store import Store
from tests.embedded_aws import EmbeddedAws
from tests.support import version_0_1
from tests.support.bundles import ROWS, scaling_bundle, scaling_graph
from tests.support.registry_keys import HEX, HOSTILE, PROMOTED, PUSHED
from tests.support.rights_stack import RightsStack
from tests.support.schema_1 import in_schema_1, publish
from tests.support.users import client_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


pytestmark = pytest.mark.slow

NEW = {"IfNoneMatch": "*"}
MIB = 2**20


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RightsStack]:
    with EmbeddedAws(auth=True) as aws:
        directory = tmp_path_factory.mktemp("rights")
        rights = RightsStack(aws, directory)
        with pytest.MonkeyPatch.context() as patch:
            rights.act_as(rights.pusher, patch)
            for factor in (2.0, 3.0):
                scaling_bundle(directory, factor=factor).publish(rights.uri)
            rights.act_as(rights.promoter, patch)
            sdk.set_alias("fraud", "prod", 1, wait=True, timeout_seconds=120)
        yield rights


@pytest.fixture(autouse=True)
def prod_answers(stack: RightsStack) -> Iterator[None]:
    """Whatever a test tries, `prod` answers right before and after."""
    stack.assert_prod_answers()
    yield
    stack.assert_prod_answers()


def release(stack: RightsStack, target: str, version: int, patch: pytest.MonkeyPatch) -> None:
    model, _, alias = target.partition(":")
    stack.act_as(stack.owner, patch)
    sdk.set_alias(model, alias, version, wait=True, timeout_seconds=120)


# Version 0.1


def test_the_requests_of_0_1_are_a_push_where_no_policy_refuses_them(tmp_path: Path) -> None:
    store = MemoryStore()
    bundle = scaling_bundle(tmp_path)
    version_0_1.push(store, bundle, 1)
    version_0_1.set_alias(store, "fraud", "prod", 1, 1)
    registry = Registry(store=Store(store, "memory://0.1"))
    assert registry.manifest("fraud:prod") == bundle.manifest
    assert registry.history("fraud", "prod")[0].by == ""


@pytest.mark.parametrize("size", [100, CHUNK_BYTES + 1], ids=["in one put", "in parts"])
def test_a_blob_that_0_1_uploads_is_refused(stack: RightsStack, size: int) -> None:
    data = os.urandom(size)
    name = digest_of(data).removeprefix("sha256:")
    with pytest.raises(PermissionDeniedError):
        version_0_1.upload(stack.object_store(stack.pusher), name, data)
    assert stack.key(blob_key(name)) not in stack.objects()


def test_a_push_of_0_1_is_refused_and_publishes_nothing(
    stack: RightsStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stack.objects()
    with pytest.raises(PermissionDeniedError):
        version_0_1.push(stack.object_store(stack.pusher), scaling_bundle(tmp_path, factor=0.1), 3)
    assert stack.objects() == before
    registry = stack.act_as(stack.pusher, monkeypatch)
    assert [version.pin.version for version in registry.versions("fraud")] == [1, 2]


def test_an_alias_that_0_1_moves_is_released(
    stack: RightsStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = stack.act_as(stack.promoter, monkeypatch)
    entry = registry.alias_entry("fraud", "prod")
    assert entry
    version_0_1.set_alias(stack.object_store(stack.promoter), "fraud", "prod", entry.number + 1, 1)
    # Waits for the release of the entry after it.
    assert sdk.set_alias("fraud", "prod", 1, wait=True).number == entry.number + 2


def test_a_registry_and_a_mount_of_0_1_are_served_without_copying_anything_again(
    stack: RightsStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = stack.mount()
    staged = version_0_1.stage(mount)
    before = {path.name: path.stat() for path in staged}
    for path in sorted(version_0_1.REGISTRY.rglob("*.json")):
        if "aliases" not in path.parts:
            key = stack.key(str(path.relative_to(version_0_1.REGISTRY)))
            stack.root.put_object(Bucket=stack.bucket, Key=key, Body=path.read_bytes())
    # The bucket has the manifest alone, so that nothing else can be fetched.
    manifest = min(staged, key=lambda path: path.read_bytes()[:1] != b"{")
    stack.root.put_object(
        Bucket=stack.bucket, Key=stack.key(blob_key(manifest.name)), Body=manifest.read_bytes()
    )
    release(stack, "golden:prod", 1, monkeypatch)
    amount = np.array([[1.5]], np.float32)
    answer = stack.answer(
        "golden:prod", stack.owner, amount=amount, country=np.array([["de"]], object)
    )
    np.testing.assert_array_equal(answer["doubled"], 2 * amount)
    after = {path.name: path.stat() for path in staged}
    assert [(one.st_ino, one.st_mtime_ns) for one in after.values()] == [
        (one.st_ino, one.st_mtime_ns) for one in before.values()
    ]
    marked = {path.name.partition(".")[0] for path in (mount / f"{BLOBS}-proven").iterdir()}
    assert set(before) - {manifest.name} <= marked


def test_a_file_on_a_mount_that_0_1_believed_by_its_chunks_is_fetched_again(
    stack: RightsStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = stack.act_as(stack.owner, monkeypatch)
    bundle = scaling_bundle(tmp_path, model="golden", factor=5.0)
    entry = in_schema_1("model.onnx", bundle.files["model.onnx"].read_bytes())
    version = publish(registry, bundle, entry).version
    evil = scaling_bundle(tmp_path, model="golden", factor=-5.0).files["model.onnx"].read_bytes()
    path = stack.mount() / BLOBS / entry.hex
    path.write_bytes(evil)
    with path.open("rb") as mapped:
        release(stack, "golden:staging", version, monkeypatch)
        answer = stack.answer("golden:staging", stack.owner, X=ROWS)
        np.testing.assert_array_equal(answer["Y"], ROWS * 5)
        # What a running function has mapped does not change under it.
        assert mapped.read() == evil
    assert digest_of(path.read_bytes()) == entry.digest


# Rights to push


@pytest.fixture
def attacker(stack: RightsStack) -> Any:
    """An S3 client with the policy to push, and nothing else."""
    return client_of(stack.aws, stack.pusher, "s3")


def outcome(request: Callable[..., object], **options: Any) -> str:
    """Return the code with which a request is refused; empty if it is not."""
    try:
        request(**options)
    except ClientError as error:
        # The body of a refusal that names a control character is not XML, so it has no code.
        is_denied = error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        return "AccessDenied" if is_denied else str(error.response["Error"]["Code"])
    return ""


def outcomes(stack: RightsStack, request: Callable[..., object], **options: Any) -> set[str]:
    """Return how a request to every object in the registry ends."""
    return {outcome(request, Bucket=stack.bucket, Key=key, **options) for key in stack.objects()}


DENIED = {"AccessDenied"}


def test_a_pusher_cannot_promote_and_a_promoter_of_prod_can_do_nothing_else(
    stack: RightsStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.act_as(stack.pusher, monkeypatch)
    with pytest.raises(sdk.StoreError, match="access denied"):
        sdk.set_alias("fraud", "prod", 2)
    registry = stack.act_as(stack.promoter, monkeypatch)
    with pytest.raises(sdk.StoreError, match="access denied"):
        sdk.set_alias("fraud", "staging", 1)
    with pytest.raises(sdk.StoreError, match="access denied"):
        scaling_bundle(tmp_path, factor=0.2).publish(registry)


@pytest.mark.parametrize("options", [NEW, {}], ids=["new key", "any key"])
def test_a_pusher_cannot_write_a_hostile_key(
    stack: RightsStack, attacker: Any, options: dict[str, str]
) -> None:
    before = stack.objects()
    place = {"Bucket": stack.bucket, "Body": b"{}", **options}
    for key in (*HOSTILE, *PROMOTED, "models/other/aliases/prod/0000000001.json"):
        for write in (attacker.put_object, copies(stack, attacker)):
            assert outcome(write, Key=stack.key(key), **place) in DENIED, key
        begun = outcome(attacker.create_multipart_upload, Bucket=stack.bucket, Key=stack.key(key))
        assert begun in DENIED, key
    assert stack.objects() == before


def copies(stack: RightsStack, client: Any) -> Callable[..., object]:
    """Return what copies a blob of the registry to a key, in place of a put."""
    blob = next(key for key in stack.objects() if f"/{BLOBS}/" in key)

    def copy(**options: Any) -> None:
        options.pop("Body", None)
        client.copy_object(CopySource=f"{stack.bucket}/{blob}", **options)

    return copy


def test_a_pusher_cannot_overwrite_what_is_there(stack: RightsStack, attacker: Any) -> None:
    before = stack.objects()
    copy, upload = copies(stack, attacker), uploads(attacker)
    for write in (attacker.put_object, copy, upload):
        assert outcomes(stack, write, Body=b"evil") == DENIED
        # What it may write at all exists already.
        assert outcomes(stack, write, Body=b"evil", **NEW) == {*DENIED, "PreconditionFailed"}
        if write is not upload:
            assert outcomes(stack, write, Body=b"evil", IfMatch="*") == DENIED
    for key in before:
        form = attacker.generate_presigned_post(stack.bucket, key)
        fields = {**form["fields"], "file": "evil"}
        assert urllib3.request("POST", form["url"], fields=fields).status == 403
    assert stack.objects() == before


def uploads(client: Any) -> Callable[..., object]:
    """Return what uploads bytes in parts, in place of a put."""

    def upload(*, Bucket: str, Key: str, Body: bytes, **options: Any) -> None:  # noqa: N803
        place = {"Bucket": Bucket, "Key": Key}
        begun = client.create_multipart_upload(**place)
        place["UploadId"] = begun["UploadId"]
        part = client.upload_part(**place, PartNumber=1, Body=Body)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        client.complete_multipart_upload(**place, MultipartUpload=parts, **options)

    return upload


def test_a_pusher_cannot_delete_or_change_objects(stack: RightsStack, attacker: Any) -> None:
    before = stack.objects()
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    assert outcomes(stack, attacker.delete_object) == DENIED
    assert outcomes(stack, attacker.put_object_tagging, Tagging=tags) == DENIED
    assert outcomes(stack, attacker.put_object_acl, ACL="private") <= DENIED
    for key, version in before.items():
        place = {"Bucket": stack.bucket, "Key": key, "VersionId": version}
        assert outcome(attacker.delete_object, **place) in DENIED
    keys = [{"Key": key} for key in before]
    with contextlib.suppress(ClientError):
        attacker.delete_objects(Bucket=stack.bucket, Delete={"Objects": keys})
    assert stack.objects() == before


def test_a_pusher_can_change_neither_the_bucket_nor_functions_nor_events(
    stack: RightsStack, attacker: Any
) -> None:
    functions = client_of(stack.aws, stack.pusher, "lambda")
    events = client_of(stack.aws, stack.pusher, "events")
    function = stack.outputs["function_names"]["fraud"]
    bucket, alias = {"Bucket": stack.bucket}, {"FunctionName": function, "Name": "prod"}
    entry = {"Source": "aws.s3", "DetailType": "Object Created", "Detail": "{}"}
    requests = [
        (attacker.put_bucket_policy, bucket | {"Policy": "{}"}),
        (attacker.delete_bucket_policy, bucket),
        (attacker.delete_bucket, bucket),
        (
            attacker.put_bucket_notification_configuration,
            bucket | {"NotificationConfiguration": {}},
        ),
        (attacker.put_bucket_versioning, bucket | {"VersioningConfiguration": {}}),
        (functions.invoke, {"FunctionName": stack.outputs["releaser_name"]}),
        (functions.invoke, {"FunctionName": "rights_stager"}),
        (functions.invoke, {"FunctionName": f"{function}:prod"}),
        (functions.update_alias, alias | {"FunctionVersion": "1"}),
        (functions.delete_alias, alias),
        (functions.update_function_configuration, {"FunctionName": function, "Timeout": 1}),
        (
            functions.put_function_concurrency,
            {"FunctionName": function, "ReservedConcurrentExecutions": 0},
        ),
        (events.put_events, {"Entries": [entry]}),
    ]
    for request, options in requests:
        assert outcome(request, **options).startswith("AccessDenied"), request.__name__


@pytest.mark.parametrize(
    "options",
    [
        {"StorageClass": "DEEP_ARCHIVE"},
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
        {
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": "arn:aws:kms:eu-central-1:111122223333:key/theirs",
        },
    ],
    ids=["archived", "customer key", "foreign key"],
)
def test_a_pusher_cannot_create_a_record_or_blob_that_others_cannot_read(
    stack: RightsStack, attacker: Any, options: dict[str, str]
) -> None:
    for key in ("models/fraud/versions/0000000003.json", f"blobs/sha256/{HEX}"):
        place = {"Bucket": stack.bucket, "Key": stack.key(key), **options}
        assert outcome(attacker.put_object, Body=b"{}", **NEW, **place) in DENIED
        assert outcome(attacker.create_multipart_upload, **place) in DENIED


#: Keys that fit the policy and are no records; `?` of IAM matches every character.
ODD = [
    *(
        f"models/fraud/versions/{name:*<10.10}.json"
        for name in ("..//", "/", "\x01", "é", "{}", "%2f")
    ),
    f"models/fraud/digests/{'/' * 64}.json",
    f"blobs/sha256/{'../' * 21}x",
    *(f"models/fraud/versions/{number:010d}.json" for number in (0, 9, 999, 10**10 - 1)),
    f"models/churn/versions/{'junk':*<10}.json",
]

#: Contents of the next version records.
RECORDS = [
    b"",
    b"not JSON",
    b"[" * 60_000,
    b"{}",
    b'{"digest": 7}',
    b'{"digest": "sha256:x", "created": "2026-01-01T00:00:00+00:00"}',
    b'{"digest": "sha256:' + b"a" * 64 + b'", "created": "now"}',
    b"x" * MIB,
]


def test_what_a_pusher_may_write_stops_neither_pushes_nor_promotions(
    stack: RightsStack, attacker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {"Bucket": stack.bucket, **NEW}
    for key in ODD:
        attacker.put_object(Key=stack.key(key), Body=b"{}", **place)
    for number, record in enumerate(RECORDS, 3):
        key = f"models/fraud/versions/{number:010d}.json"
        outcome(attacker.put_object, Key=stack.key(key), Body=record, **place)
    stack.assert_prod_answers()
    registry = stack.act_as(stack.pusher, monkeypatch)
    # An index that lies about the bundle that is pushed next.
    bundle = scaling_bundle(tmp_path, factor=6.0)
    index = f"models/fraud/digests/{digest_of(bundle.manifest.to_bytes())[7:]}.json"
    attacker.put_object(Key=stack.key(index), Body=b'{"version": 1}', **place)
    first = len(RECORDS) + 3
    assert bundle.publish(registry).pin.version == first
    assert sdk.push_model(scaling_graph(7.0), "fraud", example=ROWS).version == first + 1
    assert registry.models() == ["fraud", "golden"]
    versions = registry.versions("fraud")
    assert [one.pin.version for one in versions] == [1, 2, first, first + 1]
    assert versions[-1].details["pushed_by"] == stack.arn(stack.pusher)
    assert_promotions_work(stack, first + 1, 7.0, monkeypatch)


def assert_promotions_work(
    stack: RightsStack, version: int, factor: float, patch: pytest.MonkeyPatch
) -> None:
    """Assert that `prod` moves to a version and back, and that its status says so."""
    stack.act_as(stack.promoter, patch)
    sdk.set_alias("fraud", "prod", version, wait=True, timeout_seconds=120)
    stack.assert_prod_answers(factor)
    entry = sdk.rollback("fraud", "prod", wait=True, timeout_seconds=120)
    assert entry.by == stack.arn(stack.promoter)
    rows = sdk.status("fraud").to_dict()["aliases"]
    (row,) = [row for row in rows if row["alias"] == "prod"]
    assert (row["version"], row["serves"], row["outcome"]) == (1, 1, "released")


# Rights to promote `fraud:prod`


def test_a_promoter_writes_entries_of_one_alias_only(stack: RightsStack) -> None:
    promoter = client_of(stack.aws, stack.promoter, "s3")
    before = stack.objects()
    keys = {*HOSTILE, *PUSHED, "models/golden/aliases/prod/0000000009.json"}
    for key in map(stack.key, keys):
        place = {"Bucket": stack.bucket, "Key": key}
        assert outcome(promoter.put_object, Body=b"{}", **NEW, **place) in DENIED, key
        assert outcome(promoter.create_multipart_upload, **place) in DENIED, key
    # The entries of its alias exist already.
    overwritten = outcomes(stack, promoter.put_object, Body=b"{}", **NEW)
    assert overwritten == {*DENIED, "PreconditionFailed"}
    assert outcomes(stack, promoter.put_object, Body=b"{}") == DENIED
    assert outcomes(stack, promoter.delete_object) == DENIED
    assert stack.objects() == before


def test_what_a_promoter_may_write_does_not_freeze_the_alias(
    stack: RightsStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoter = client_of(stack.aws, stack.promoter, "s3")
    registry = stack.act_as(stack.promoter, monkeypatch)
    entry = registry.alias_entry("fraud", "prod")
    assert entry
    folder = "models/fraud/aliases/prod"
    contents = [b"", b"[" * 60_000, b'{"version": "latest"}', b'{"version": 1, "canary": 7}']
    names = [*(f"{entry.number + i:010d}" for i in range(1, 5)), "9999999999", "/..//..//x"]
    for name, body in zip(names, [*contents, b'{"version": 2}', b"{}"], strict=True):
        key = stack.key(f"{folder}/{name}.json")
        promoter.put_object(Bucket=stack.bucket, Key=key, Body=body, **NEW)
    stack.assert_prod_answers()
    assert_promotions_work(stack, 2, 3.0, monkeypatch)
    history = registry.history("fraud", "prod")
    assert [one.number for one in history if one.number > entry.number][:2] == [
        entry.number + len(contents) + 1,
        entry.number + len(contents) + 2,
    ]
