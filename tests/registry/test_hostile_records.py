"""Records that others wrote: what is none is passed over, and never stops anybody else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from shearling.aliases.rollback import rollback
from shearling.aliases.status import status
from shearling.bundle.canonical_json import canonical_json
from shearling.bundle.digests import digest_of
from shearling.cli import main
from shearling.errors import BundleError, InvalidRefError, RegistryError, ReleaseError
from shearling.registry.record_reader import (
    RECORD_BYTES,
    InvalidRecordError,
    parse_record,
    read_alias_entry,
    read_deployment,
    read_indexed_version,
    read_release,
    read_version,
)
from shearling.registry.registry import Registry
from shearling.release.trigger import Trigger
from shearling.storage.store import Store
from tests.support.bundles import scaling_bundle
from tests.support.logs import append, plain_log
from tests.support.releases import DIGESTS, Stage, deploy, memory_registry, record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shearling.bundle.json_reader import Field

CREATED = "2026-01-01T00:00:00+00:00"
ENTRY = {"created": CREATED, "version": 1, "canary": None, "reason": "", "by": "", "before": None}
RELEASE = {"created": CREATED, "entry": 1, "version": 1, "outcome": "released"}
DEPLOYMENT = {
    "account": "000000000000",
    "aliases": ["prod"],
    "api_url": None,
    "function": "acme-fraud",
    "model": "fraud",
    "region": "eu-west-1",
    "releaser": "acme_releaser",
    "runtime": "python3.13",
    "sagemaker": {
        "endpoint_prefix": "acme-fraud",
        "role_arn": "arn:aws:iam::000000000000:role/acme-fraud-endpoint",
        "image_uri": "000000000000.dkr.ecr.eu-west-1.amazonaws.com/acme:1",
        "instance_type": "ml.m5.large",
        "instances": {"min": 1, "max": 2, "target": 5},
        "environment": {"LEVEL": "1"},
    },
}
VERSION = {"created": CREATED, "digest": DIGESTS[1]}

#: A valid record of each kind, and what reads it under number 7.
KINDS: dict[str, tuple[dict[str, Any], Callable[[Field], object]]] = {
    "version": (VERSION, lambda root: read_version("fraud", 7, root)),
    "index": ({"version": 1}, read_indexed_version),
    "entry": (ENTRY, lambda root: read_alias_entry("fraud", "prod", 7, root)),
    "release": (RELEASE, lambda root: read_release(7, root)),
    "deployment": (DEPLOYMENT, lambda root: read_deployment("key", root)),
}

#: What is no record of any kind.
NO_RECORDS = {
    "not JSON": b"{",
    "not UTF-8": b'{"version":"\xff"}',
    "UTF-16": '{"version":1}'.encode("utf-16"),
    "a list": b"[]",
    "nothing": b"",
    "null": b"null",
    "no fields": b"{}",
    "100,000 brackets": b"[" * 100_000,
    "60,000 brackets": b"[" * 60_000,
    "deep": b'{"version":1,"digest":"%s","x":' % DIGESTS[1].encode() + b"[" * 40 + b"]" * 41 + b"}",
    "large": b'{"version":1,"x":"' + b"x" * RECORD_BYTES + b'"}',
    "NaN": b'{"version":NaN}',
    "infinite": b'{"version":1e999}',
    "5,000 digits": b'{"version":' + b"9" * 5000 + b"}",
    "half a character": b'{"version":1,"x":"\\ud800"}',
}

#: Values that one field of a record may have been given.
VALUES = [
    None,
    True,
    -1,
    0,
    10**10,
    2**53,
    10**30,
    1.5,
    "",
    "latest",
    "staging",
    f"77@sha256:{'a' * 64}",
    "x" * 1000,
    [],
    {},
    ["latest"],
    [["x"]],
    {"version": 1},
    {"version": 1, "percent": 10**9},
    {"version": "latest", "percent": 10},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", NO_RECORDS.values(), ids=NO_RECORDS)
def test_what_is_no_record_is_refused_by_every_reader(kind: str, data: bytes) -> None:
    with pytest.raises(BundleError):
        parse_record(data, KINDS[kind][1])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(kind=st.sampled_from(sorted(KINDS)), data=st.data())
def test_a_reader_takes_a_record_or_says_which_field_is_wrong(
    kind: str, data: st.DataObject
) -> None:
    valid, parse = KINDS[kind]
    changed: dict[str, Any] = dict(valid)
    for name in data.draw(st.sets(st.sampled_from(sorted(valid)), max_size=2)):
        if data.draw(st.booleans()):
            del changed[name]
        else:
            changed[name] = data.draw(st.sampled_from(VALUES) | _JSON)
    assert len(complaint(json.dumps(changed).encode(), parse)) < 300


def complaint(data: bytes, parse: Callable[[Field], object]) -> str:
    """Return what a reader says of a record; empty if it takes it."""
    try:
        parse_record(data, parse)
    except (BundleError, InvalidRefError) as error:
        return str(error)
    return ""


@given(kind=st.sampled_from(sorted(KINDS)), data=st.binary(max_size=200))
def test_a_reader_raises_nothing_else_whatever_the_bytes(kind: str, data: bytes) -> None:
    with pytest.raises((BundleError, InvalidRefError)):
        parse_record(data, KINDS[kind][1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_ignores_fields_that_it_does_not_know(kind: str) -> None:
    valid, parse = KINDS[kind]
    if kind != "version":  # there they are what the pusher measured
        extended = canonical_json({**valid, "of a later version": [{"x": 1}]})
        assert parse_record(extended, parse) == parse_record(canonical_json(valid), parse)


@pytest.mark.parametrize(
    "fields",
    [
        {"version": "latest"},
        {"version": "staging"},
        {"version": f"77@sha256:{'a' * 64}"},
        {"version": 0},
        {"version": 10**10},
        {"version": True},
        {"canary": {"version": 2, "percent": 10**9}},
        {"canary": {"version": 2, "percent": 100}},
        {"canary": {"version": "latest", "percent": 10}},
        {"canary": {"percent": 10}},
        {"canary": []},
        {"reason": None},
        {"by": 7},
        {"before": 7},
        {"before": 8},
        {"before": -1},
        {"rolled_back": 3},
        {"rolled_back": {"3": 3}},
        {"rolled_back": ["3"]},
        {"rolled_back": [0]},
        {"force": 1},
        {"force": "yes"},
        {"force": None},
        {"created": "yesterday"},
        {"created": "2026-01-01T00:00:00"},
        {"created": "0001-01-01T00:00:00+23:00"},
    ],
    ids=str,
)
def test_an_alias_entry_of_another_shape_is_none(fields: dict[str, Any]) -> None:
    data = json.dumps({**ENTRY, **fields}).encode()
    with pytest.raises(BundleError) as caught:
        parse_record(data, KINDS["entry"][1])
    assert re.split(r"[.\[]", caught.value.field)[0] in fields


def test_an_entry_of_the_first_release_has_fewer_fields() -> None:
    data = canonical_json({"id": "x", "created": CREATED, "version": 3})
    entry = parse_record(data, lambda root: read_alias_entry("fraud", "prod", 1, root))
    assert (entry.version, entry.canary, entry.reason, entry.by) == (3, None, "", "")
    assert (entry.before, entry.rolled_back) == (None, None)


# Logs


def write(registry: Registry, key: str, data: bytes) -> None:
    registry.store.write(key, data)


@pytest.mark.parametrize("data", NO_RECORDS.values(), ids=NO_RECORDS)
def test_an_invalid_version_stops_no_push(tmp_path: Path, data: bytes) -> None:
    registry = Registry(store=Store(MemoryStore(), "memory://test"))
    first = scaling_bundle(tmp_path).publish(registry)
    write(registry, "models/fraud/versions/0000000002.json", data)
    assert registry.resolve("fraud") == first.pin
    third = scaling_bundle(tmp_path, factor=3.0).publish(registry)
    assert third.pin.version == 3
    assert scaling_bundle(tmp_path).publish(registry) == first
    assert [one.pin.version for one in registry.versions("fraud")] == [1, 3]
    with pytest.raises(InvalidRecordError, match=r"versions/0000000002\.json in memory://test"):
        registry.version("fraud:2")


@pytest.mark.parametrize("data", NO_RECORDS.values(), ids=NO_RECORDS)
def test_an_invalid_index_stops_no_push(tmp_path: Path, data: bytes) -> None:
    registry = Registry(store=Store(MemoryStore(), "memory://test"))
    bundle = scaling_bundle(tmp_path)
    digest = digest_of(bundle.manifest.to_bytes()).removeprefix("sha256:")
    write(registry, f"models/fraud/digests/{digest}.json", data)
    assert bundle.publish(registry).pin.version == 1
    assert scaling_bundle(tmp_path, factor=3.0).publish(registry).pin.version == 2


@pytest.mark.parametrize("data", NO_RECORDS.values(), ids=NO_RECORDS)
def test_an_invalid_entry_stops_no_alias(data: bytes) -> None:
    registry = memory_registry(3)
    deployment = deploy(registry)
    for version in (1, 2):
        entry = registry.set_alias("fraud", "prod", version)
        record(registry, deployment, "prod", entry.number, version)
    write(registry, "models/fraud/aliases/prod/0000000003.json", data)
    assert registry.resolve("fraud:prod").version == 2
    assert [entry.number for entry in registry.history("fraud", "prod")] == [1, 2]
    back = rollback("fraud", "prod", registry=registry)
    assert (back.number, back.version) == (4, 1)
    assert registry.set_alias("fraud", "prod", 3).number == 5
    assert next(row.version for row in status("fraud", registry)) == 3


def test_a_record_with_a_huge_number_uses_nothing_up(tmp_path: Path) -> None:
    registry = Registry(store=Store(MemoryStore(), "memory://test"))
    scaling_bundle(tmp_path).publish(registry)
    other = scaling_bundle(tmp_path, factor=3.0)
    digest = digest_of(other.manifest.to_bytes())
    last = 9_999_999_999
    data = canonical_json({**VERSION, "digest": digest})
    write(registry, f"models/fraud/versions/{last}.json", data)
    index = f"models/fraud/digests/{digest.removeprefix('sha256:')}.json"
    write(registry, index, canonical_json({"version": last}))
    assert other.publish(registry).pin.version == 2
    write(registry, f"models/fraud/aliases/prod/{last}.json", canonical_json({**ENTRY}))
    for version in (1, 2):
        entry = registry.set_alias("fraud", "prod", version)
        assert registry.alias_entry("fraud", "prod") == entry
        assert entry.number == version
    assert rollback("fraud", "prod", registry=registry).version == 1


def test_a_release_of_an_entry_after_a_gap_is_no_endless_loop() -> None:
    registry = memory_registry(2)
    deployment = deploy(registry)
    entry = canonical_json({**ENTRY, "version": 2, "before": 98})
    write(registry, "models/fraud/aliases/prod/0000000099.json", entry)
    record(registry, deployment, "prod", 99, 2)
    assert registry.set_alias("fraud", "prod", 1).before == 0
    with pytest.raises((RegistryError, ReleaseError)):
        rollback("fraud", "prod", registry=registry)


@given(st.sets(st.integers(0, 12), max_size=8))
def test_a_log_is_its_unbroken_sequence_from_one(numbers: set[int]) -> None:
    store = Store(MemoryStore(), "memory://test")
    log = plain_log(store, "log")
    for number in numbers:
        store.write(f"log/{number:010d}.json", b"{}")
    last = next(number for number in range(14) if number + 1 not in numbers)
    assert (log.last(), list(log.numbers())) == (last, list(range(1, last + 1)))
    written = append(log, {"mine": True})
    assert written == log.last() or written + 1 in numbers
    assert log.read(written)


def test_nobody_writes_a_record_that_no_reader_takes() -> None:
    registry = memory_registry(1)
    with pytest.raises(RegistryError, match=r"it has 65,536 characters, but 1,000 are allowed"):
        registry.set_alias("fraud", "prod", 1, reason="x" * RECORD_BYTES)
    with pytest.raises(RegistryError, match=r"canary\.percent"):
        registry.set_alias("fraud", "prod", 1, canary={"version": 1, "percent": 10**9})
    assert registry.history("fraud", "prod") == []


@pytest.mark.parametrize("name", sorted(set(DEPLOYMENT) - {"runtime", "api_url", "sagemaker"}))
def test_a_deployment_that_lacks_a_field_is_ignored(name: str) -> None:
    registry = memory_registry(1)
    one = deploy(registry)
    broken = {key: value for key, value in DEPLOYMENT.items() if key != name}
    write(registry, "deployments/0-broken.json", canonical_json(broken))
    assert registry.release_log.deployments() == [one]
    assert len(status(registry=registry)) == 2


def test_a_large_record_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(MemoryStore(), "memory://test")
    store.write("log/0000000001.json", b"x" * 10_000_000)
    monkeypatch.setattr("shearling.storage.store.bytes", pytest.fail, raising=False)
    with pytest.raises(InvalidRecordError, match=r"10,000,000 bytes, but 65,536 are allowed"):
        plain_log(store, "log").read(1)


# Releases


@pytest.mark.parametrize("data", NO_RECORDS.values(), ids=NO_RECORDS)
def test_invalid_records_stop_no_release(data: bytes) -> None:
    stage = Stage()
    stage.name(1)
    stage.release()
    stage.registry.store.write("models/fraud/aliases/prod/0000000002.json", data)
    log = f"releases/{stage.deployment.key}/prod"
    stage.registry.store.write(f"{log}/0000000002.json", data)
    stage.registry.store.write("deployments/0-broken.json", data)
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "unchanged"
    stage.name(2)
    assert stage.release().outcome == "released"
    assert [it.number for it in stage.records()] == [1, 3]
    assert rollback("fraud", "prod", registry=stage.registry).version == 1
    assert stage.release().outcome == "released"


@pytest.mark.parametrize("version", ["latest", "staging", f"2@{DIGESTS[2]}"])
def test_an_alias_never_follows_a_push_or_another_alias(version: str) -> None:
    stage = Stage()
    stage.name(1)
    stage.name(2, "staging")
    stage.release()
    entry = json.dumps({**ENTRY, "version": version}).encode()
    stage.registry.store.write("models/fraud/aliases/prod/0000000002.json", entry)
    assert stage.release().outcome == "unchanged"
    assert stage.registry.resolve("fraud:prod").version == 1


def test_an_entry_that_ends_the_alias_leaves_no_model_there() -> None:
    stage = Stage()
    stage.name(1)
    stage.release()
    end = canonical_json({**ENTRY, "version": None, "before": 1})
    stage.registry.store.write("models/fraud/aliases/prod/0000000002.json", end)
    assert stage.release().outcome == "released"
    assert stage.fake.shown("prod") == ""
    assert (stage.records()[-1].version, stage.records()[-1].entry) == (None, 2)


# Keys


HOSTILE_NAMES = [
    "versions//x",
    "/x",
    "../x/y",
    "./x",
    "a\x01b",
    "a\nb",
    "0000000001.json//x",
    "0000000009.json/x",
    "0000000009.json/",
    "versions/0000000009.json",
    "\uff10000000009.json",
    "é%2F\\\"'<&>.json",
    " ",
    "0000000009.json.bak",
]


def test_keys_that_cannot_be_records_stop_nobody_in_s3(s3_uri: str, embedded_aws: Any) -> None:
    registry = Registry(s3_uri)
    bucket, _, prefix = s3_uri.removeprefix("s3://").partition("/")
    for number in (1, 2):
        data = canonical_json({"id": str(number), "created": CREATED, "digest": DIGESTS[number]})
        assert registry.store.create(f"models/fraud/versions/{number:010d}.json", data)
    deployment = deploy(registry)
    entry = registry.set_alias("fraud", "prod", 1)
    record(registry, deployment, "prod", entry.number, 1)
    client = embedded_aws.client("s3")
    folders = ["models/fraud/versions", "models/fraud/aliases/prod", "models/fraud/aliases"]
    folders += ["models/fraud", "models", "deployments", f"releases/{deployment.key}/prod"]
    for i, name in enumerate(HOSTILE_NAMES):
        for folder in folders:
            client.put_object(Bucket=bucket, Key=f"{prefix}/{folder}/{name}", Body=b"{}")
        version = 1 + i % 2
        assert registry.models() == ["fraud"]
        assert registry.set_alias("fraud", "prod", version).number == i + 2
        assert registry.resolve("fraud:prod").version == version
        assert list(registry.aliases("fraud")) == ["prod"]
        assert [one.pin.version for one in registry.versions("fraud")] == [1, 2]
        assert registry.release_log.deployments() == [deployment]
        assert next(registry.release_log.successes(deployment, "prod")).version == 1
        assert len(status(registry=registry)) == 2
    client.close()
    assert rollback("fraud", "prod", registry=registry).version == 1
    assert main(["status", "--registry", s3_uri]) == 0


# Work that grows with history


def test_a_failed_release_reads_as_much_after_hundreds_of_moves_as_after_three(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = []
    for moves in (30, 300):
        stage = Stage()
        for i in range(moves):
            number = stage.name(1 + i % 2)
            fields = {"lambda_version": "1" if i < moves - 2 else "9"}
            record(stage.registry, stage.deployment, "prod", number, 1 + i % 2, **fields)
        stage.fake.check = lambda _: {"shearling": "check", "passed": False}
        stage.name(3)
        counts.append(_reads(monkeypatch, stage.release))
        assert stage.records()[-1].outcome == "failed"
        counts.append(_reads(monkeypatch, lambda: stage.release(trigger=Trigger.SCHEDULE)))  # noqa: B023
    assert counts[:2] == counts[2:]
    assert max(counts) < 100


def _reads(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> int:
    read, keys = Store.read, list[str]()

    def counted(store: Store, key: str, *, limit: int | None = None) -> bytes | None:
        keys.append(key)
        return read(store, key, limit=limit)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "read", counted)
        action()
    return len(keys)


def test_what_succeeded_before_failures_is_found_without_reading_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    stage.name(1)
    stage.release()
    stage.fake.check = lambda _: {"shearling": "check", "passed": False}
    for _ in range(5):
        stage.name(2)
        stage.release()
    log = stage.registry.release_log
    assert [it.success for it in stage.records()] == [0, 1, 1, 1, 1, 1]
    assert _reads(monkeypatch, lambda: list(log.successes(stage.deployment, "prod"))) == 2


def test_a_canary_that_is_the_version_itself_is_read_as_no_canary() -> None:
    record = {**ENTRY, "canary": {"version": 1, "percent": 10}}
    data = canonical_json(record)
    entry = parse_record(data, lambda root: read_alias_entry("fraud", "prod", 7, root))
    assert (entry.version, entry.canary, entry.named) == (1, None, "1")
