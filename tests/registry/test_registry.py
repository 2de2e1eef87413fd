"""The registry: versions, aliases and refs, concurrent writers, and damaged objects."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from shearling.bundle.digests import CHUNK_BYTES, Descriptor, describe, digest_of
from shearling.errors import (
    BundleError,
    IntegrityError,
    InvalidRefError,
    ModelNotFoundError,
    RegistryError,
    StoreError,
)
from shearling.refs import Pin, Ref
from shearling.registry.registry import REGISTRY_VARIABLE, Registry
from shearling.storage.blobs import blob_key, fetch_blobs
from shearling.storage.store import Store
from tests.support.attack import attack
from tests.support.bundles import Bundle, scaling_bundle
from tests.support.logs import append, plain_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def registry(registry_uri: str) -> Registry:
    return Registry(registry_uri)


@pytest.fixture
def memory() -> Registry:
    return Registry(store=Store(MemoryStore(), "memory://test"))


# Publishing


def test_versions_are_numbered_from_one_and_have_the_details_of_the_push(
    registry: Registry, tmp_path: Path
) -> None:
    first = scaling_bundle(tmp_path).publish(registry)
    second = scaling_bundle(tmp_path, factor=3.0).publish(registry)
    assert (first.pin.version, second.pin.version) == (1, 2)
    assert registry.versions("fraud") == [first, second]
    assert first.details == {"pushed_by": "test"}
    assert first.created.tzinfo is not None
    assert registry.models() == ["fraud"]


def test_the_same_bundle_again_is_the_same_version_and_sends_nothing(
    registry: Registry, tmp_path: Path
) -> None:
    bundle = scaling_bundle(tmp_path)
    first = registry.publish(bundle.manifest, bundle.files, {})
    scaling_bundle(tmp_path, factor=3.0).publish(registry)
    before = sorted(registry.store.keys(""))
    again = registry.publish(bundle.manifest, bundle.files, {"other": "details"})
    assert again.version == first.version
    assert (first.is_new, again.is_new) == (True, False)
    assert first.sent_bytes == bundle.manifest.size + len(bundle.manifest.to_bytes())
    assert again.sent_bytes == 0
    assert sorted(registry.store.keys("")) == before


def test_a_file_that_another_bundle_has_is_not_sent_again(
    registry: Registry, tmp_path: Path
) -> None:
    ours = scaling_bundle(tmp_path, model="ours")
    theirs = scaling_bundle(tmp_path, model="theirs")
    ours.publish(registry)
    told: list[int] = []
    published = registry.publish(theirs.manifest, theirs.files, {}, told.append)
    assert published.sent_bytes == len(theirs.manifest.to_bytes())
    assert sum(told) == theirs.manifest.size


def test_a_file_that_changed_before_it_was_sent_publishes_nothing(
    registry: Registry, tmp_path: Path
) -> None:
    bundle = scaling_bundle(tmp_path)
    file = bundle.files["model.onnx"]
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(IntegrityError):
        bundle.publish(registry)
    assert registry.models() == []


def test_the_manifest_is_read_as_it_was_published(registry: Registry, tmp_path: Path) -> None:
    bundle = scaling_bundle(tmp_path)
    version = bundle.publish(registry)
    for ref in ("fraud", "fraud:1", str(version.pin), version.pin, Ref("fraud", 1)):
        assert registry.manifest(ref) == bundle.manifest
        assert registry.version(ref) == version


# Aliases and refs


def test_an_alias_names_what_it_was_set_to_last_and_keeps_its_history(
    registry: Registry, tmp_path: Path
) -> None:
    first = scaling_bundle(tmp_path).publish(registry)
    second = scaling_bundle(tmp_path, factor=3.0).publish(registry)
    registry.set_alias("fraud", "prod", 1)
    registry.set_alias("fraud", "prod", 2, reason="better", canary={"version": 1, "percent": 10})
    registry.set_alias("fraud", "staging", 2)
    assert registry.resolve("fraud:prod") == second.pin
    registry.set_alias("fraud", "prod", 1)
    assert registry.resolve("fraud:prod") == first.pin
    history = registry.history("fraud", "prod")
    assert [(entry.number, entry.version, entry.reason) for entry in history] == [
        (1, 1, ""),
        (2, 2, "better"),
        (3, 1, ""),
    ]
    assert history[1].canary == {"version": 1, "percent": 10}
    current = registry.aliases("fraud")
    assert {name: entry.version for name, entry in current.items()} == {"prod": 1, "staging": 2}
    assert current["prod"] == history[-1] == registry.alias_entry("fraud", "prod")


def test_an_entry_is_replaced_only_while_it_is_current(registry: Registry, tmp_path: Path) -> None:
    scaling_bundle(tmp_path).publish(registry)
    scaling_bundle(tmp_path, factor=3.0).publish(registry)
    old = registry.set_alias("fraud", "prod", 1)
    new = registry.replace_entry(old, 2, "ours")
    assert new is not None
    assert (new.number, new.version, new.reason) == (2, 2, "ours")
    assert registry.replace_entry(old, 1, "late") is None
    assert registry.alias_entry("fraud", "prod") == new


def test_a_model_alone_is_its_newest_version(registry: Registry, tmp_path: Path) -> None:
    first = scaling_bundle(tmp_path).publish(registry)
    assert registry.resolve("fraud") == first.pin
    second = scaling_bundle(tmp_path, factor=3.0).publish(registry)
    assert registry.resolve("fraud") == second.pin
    assert registry.resolve("fraud:latest") == second.pin
    assert registry.resolve("fraud:1") == first.pin


def test_the_tenth_version_is_newer_than_the_ninth(memory: Registry) -> None:
    for number in range(1, 12):
        assert memory.version_log("fraud").commit(digest_of(b"%d" % number), {}) == (number, True)
    assert memory.resolve("fraud").version == 11
    assert [version.pin.version for version in memory.versions("fraud")] == list(range(1, 12))


def test_a_pin_resolves_without_reading_the_registry(memory: Registry) -> None:
    assert memory.resolve(f"fraud:7@{DIGEST}") == Pin("fraud", 7, DIGEST)


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "Fraud",
        "-fraud",
        "a" * 49,
        "fraud:",
        "fraud:0",
        "fraud:01",
        "fraud:-1",
        "fraud:latest@" + DIGEST,
        "fraud:Prod",
        "fraud:prod@" + DIGEST,
        "fraud@" + DIGEST,
        "fraud:7@sha256:abc",
        "fraud:7@",
        "fraud:7@" + DIGEST.upper(),
        "../fraud",
        "fraud\n",
        None,
        7,
    ],
)
def test_a_malformed_ref_is_refused(memory: Registry, ref: Any) -> None:
    with pytest.raises(InvalidRefError) as caught:
        memory.resolve(ref)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("text", ["fraud", "fraud:7", "fraud:prod"])
def test_a_ref_without_version_and_digest_is_not_a_pin(text: str) -> None:
    with pytest.raises(InvalidRefError, match="is not pinned"):
        Pin.parse(text)


def test_a_pin_reads_back_as_it_is_shown() -> None:
    pin = Pin("fraud", 7, DIGEST)
    assert str(pin) == f"fraud:7@{DIGEST}"
    assert Pin.parse(str(pin)) == pin


@pytest.mark.parametrize("alias", ["latest", "1", "Prod", "", "a" * 49, "a/b", "-a"])
def test_an_invalid_alias_is_refused_before_anything_is_written(
    memory: Registry, alias: str
) -> None:
    with pytest.raises(InvalidRefError, match="alias"):
        memory.set_alias("fraud", alias, 1)
    assert not list(memory.store.keys(""))


# What is not there


def test_an_unknown_model_lists_the_most_similar_names_first(
    registry: Registry, tmp_path: Path
) -> None:
    for name in (*"abcdefghijkl", "fraud-eu"):
        scaling_bundle(tmp_path, model=name).publish(registry)
    with pytest.raises(ModelNotFoundError, match=r"its models: fraud-eu, a, .*, i and 3 more$"):
        registry.resolve("fraud-us")


def test_an_unknown_model_version_or_alias_lists_the_existing_ones(
    registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no model 'fraud' in .*; its models: none"):
        registry.resolve("fraud")
    scaling_bundle(tmp_path).publish(registry)
    scaling_bundle(tmp_path, factor=3.0).publish(registry)
    registry.set_alias("fraud", "prod", 1)
    for wrong, message in (
        ("froud", r"no model 'froud' in .*; its models: fraud"),
        ("fraud:3", r"no version 3 of model 'fraud' in .*; the newest is 2"),
        ("fraud:stage", r"no alias 'stage' of model 'fraud' in .*; its aliases: prod"),
        ("froud:3", r"no model 'froud' in .*; its models: fraud"),
    ):
        with pytest.raises(ModelNotFoundError, match=message) as caught:
            registry.version(wrong)
        assert isinstance(caught.value, LookupError)
    with pytest.raises(ModelNotFoundError, match="no model 'froud'"):
        registry.versions("froud")
    with pytest.raises(ModelNotFoundError, match="no version 3"):
        registry.set_alias("fraud", "prod", 3)
    with pytest.raises(ModelNotFoundError, match="no version 9"):
        registry.set_alias("fraud", "prod", 1, canary={"version": 9, "percent": 10})
    assert len(registry.history("fraud", "prod")) == 1
    assert registry.history("fraud", "stage") == []


def test_a_missing_registry_names_the_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)
    with pytest.raises(RegistryError, match=r"pass registry=..., or set SHEARLING_REGISTRY"):
        Registry()


def test_the_environment_names_the_registry(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(REGISTRY_VARIABLE, str(tmp_path))
    assert repr(Registry()) == f"Registry('file://{tmp_path}')"
    assert Registry.at(None).store.uri == Registry(tmp_path).store.uri


# A damaged registry


def test_a_manifest_that_was_tampered_with_is_refused(registry: Registry, tmp_path: Path) -> None:
    pin = scaling_bundle(tmp_path).publish(registry).pin
    key = blob_key(pin.digest.removeprefix("sha256:"))
    data = registry.store.read(key)
    assert data is not None
    tampered = data.replace(b'"atol":"0.0001"', b'"atol":"1000.0"')
    registry.store.write(key, tampered)
    with pytest.raises(IntegrityError) as caught:
        registry.manifest("fraud")
    assert (caught.value.expected, caught.value.actual) == (pin.digest, digest_of(tampered))


def test_a_manifest_of_another_model_is_refused(memory: Registry, tmp_path: Path) -> None:
    pin = scaling_bundle(tmp_path, model="theirs").publish(memory).pin
    with pytest.raises(BundleError, match="belongs to model 'theirs'"):
        memory.manifest(Pin("fraud", 1, pin.digest))


def test_a_missing_manifest_is_named(memory: Registry) -> None:
    with pytest.raises(ModelNotFoundError, match=r"the manifest of fraud:7@sha256:a+ is not in"):
        memory.manifest(f"fraud:7@{DIGEST}")


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"created":7}'])
def test_an_invalid_record_is_named(memory: Registry, content: bytes) -> None:
    memory.store.write("models/fraud/versions/0000000001.json", content)
    with pytest.raises(RegistryError, match=r"models/fraud/versions/0000000001\.json in memory://"):
        memory.versions("fraud")


# Fetching


def put_blob(store: Store, data: bytes, tmp_path: Path, path: str = "weights") -> Descriptor:
    file = tmp_path / "blob"
    file.write_bytes(data)
    with file.open("rb") as stream:
        described = describe(path, stream)
    store.upload(blob_key(described.hex), file, described)
    return described


def names(directory: Path) -> set[str]:
    return {file.name for file in directory.iterdir() if not file.name.endswith(".partial")}


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 7])
def test_a_blob_arrives_as_it_was_and_only_once(
    registry: Registry, tmp_path: Path, size: int
) -> None:
    data = bytes(i % 251 for i in range(997)) * (size // 997 + 1)
    file = put_blob(registry.store, data[:size], tmp_path)
    told: list[int] = []
    directory = tmp_path / "cache"
    assert fetch_blobs(registry.store, [file], directory, told.append).size_bytes == size
    assert (directory / file.hex).read_bytes() == data[:size]
    assert sum(told) == size
    assert fetch_blobs(registry.store, [file], directory).size_bytes == 0


@pytest.mark.parametrize("place", [0, CHUNK_BYTES, -1])
def test_a_blob_that_was_tampered_with_in_any_chunk_never_gets_its_name(
    registry: Registry, tmp_path: Path, place: int
) -> None:
    data = bytearray(2 * CHUNK_BYTES + 7)
    file = put_blob(registry.store, bytes(data), tmp_path)
    data[place] = 1
    registry.store.write(blob_key(file.hex), bytes(data))
    directory = tmp_path / "cache"
    with pytest.raises(IntegrityError, match="weights") as caught:
        fetch_blobs(registry.store, [file], directory)
    assert caught.value.expected in file.chunks
    assert caught.value.actual not in file.chunks
    assert names(directory) == set()


@pytest.mark.parametrize("length", [5, 15])
def test_a_blob_of_another_size_is_refused(registry: Registry, tmp_path: Path, length: int) -> None:
    file = put_blob(registry.store, bytes(10), tmp_path)
    claimed = Descriptor(path=file.path, digest=file.digest, size=length)
    with pytest.raises((IntegrityError, StoreError), match=r"weights|blobs/sha256"):
        fetch_blobs(registry.store, [claimed], tmp_path / "cache")
    assert names(tmp_path / "cache") == set()


def test_a_missing_blob_is_named(registry: Registry, tmp_path: Path) -> None:
    file = Descriptor(path="weights", digest=DIGEST, size=10)
    with pytest.raises(StoreError, match=r"blobs/sha256/a+ in .*: it does not exist"):
        fetch_blobs(registry.store, [file], tmp_path / "cache")
    assert names(tmp_path / "cache") == set()


def test_a_file_of_another_size_under_the_name_of_a_blob_is_replaced(
    memory: Registry, tmp_path: Path
) -> None:
    file = put_blob(memory.store, b"0123456789", tmp_path)
    directory = tmp_path / "cache"
    directory.mkdir()
    (directory / file.hex).write_bytes(b"0123")
    fetch_blobs(memory.store, [file], directory)
    assert (directory / file.hex).read_bytes() == b"0123456789"


def test_missing_disk_space_is_reported_before_anything_is_fetched(
    memory: Registry, tmp_path: Path
) -> None:
    file = Descriptor(path="weights", digest=DIGEST, size=10**17)
    with pytest.raises(StoreError, match=r"MB free, but .* needs 100,000,000,000 MB"):
        fetch_blobs(memory.store, [file], tmp_path / "cache")


# Two publishers, stepped at every call of the store


class Steps:
    """Lets one thread at a time make one call to a store, in a random order."""

    def __init__(self, order: Iterator[int], count: int) -> None:
        self._order = order
        self._turn = threading.Condition()
        self._running = count
        self._waiting: set[int] = set()
        self._chosen: int | None = None

    def step(self, who: int) -> None:
        """Wait until it is this thread's turn."""
        with self._turn:
            self._waiting.add(who)
            self._choose()
            self._turn.wait_for(lambda: self._chosen == who, timeout=60)
            self._chosen = None
            self._waiting.discard(who)

    def leave(self) -> None:
        """Declare that this thread makes no more calls."""
        with self._turn:
            self._running -= 1
            self._choose()

    def _choose(self) -> None:
        # Only when all stand still is the next one chosen: so nothing else decides.
        if self._waiting and len(self._waiting) == self._running and self._chosen is None:
            waiting = sorted(self._waiting)
            self._chosen = waiting[next(self._order, 0) % len(waiting)]
            self._turn.notify_all()


class SteppedStore(Store):
    """A store whose calls wait for their turn, and that may refuse a create of a missing key."""

    def __init__(self, backend: MemoryStore, who: int, steps: Steps, conflicts: set[int]) -> None:
        super().__init__(backend, "memory://stepped")
        self._who = who
        self._steps = steps
        self._conflicts = conflicts
        self._creates = 0

    def read(self, key: str, *, limit: int | None = None) -> bytes | None:
        self._steps.step(self._who)
        return super().read(key, limit=limit)

    def names(self, prefix: str) -> list[str]:
        self._steps.step(self._who)
        return super().names(prefix)

    def create(self, key: str, data: bytes) -> bool:
        self._steps.step(self._who)
        self._creates += 1
        if self._creates in self._conflicts:
            return False  # S3 says 409: nothing is decided
        return super().create(key, data)


def commit_together(
    digests: list[list[str]], order: list[int], conflicts: list[set[int]]
) -> tuple[Registry, list[list[tuple[int, bool]]]]:
    """Let publishers commit their digests concurrently, with interleaved calls to the store."""
    backend = MemoryStore()
    steps = Steps(iter(order), len(digests))
    results: list[list[tuple[int, bool]]] = [[] for _ in digests]

    def publish(who: int) -> None:
        registry = Registry(store=SteppedStore(backend, who, steps, conflicts[who]))
        try:
            for digest in digests[who]:
                number, is_new = registry.version_log("fraud").commit(digest, {"by": str(who)})
                results[who].append((number, is_new))
        finally:
            steps.leave()

    threads = [threading.Thread(target=publish, args=(who,)) for who in range(len(digests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Registry(store=Store(backend, "memory://stepped")), results


@settings(max_examples=attack(150), suppress_health_check=list(HealthCheck))
@given(
    plans=st.lists(
        st.lists(st.sampled_from("abc"), min_size=1, max_size=3), min_size=2, max_size=3
    ),
    order=st.lists(st.integers(0, 2), max_size=60),
    conflicts=st.lists(st.sets(st.integers(1, 6), max_size=2), min_size=3, max_size=3),
)
def test_concurrent_publishers_make_one_version_per_digest_and_no_gap(
    plans: list[list[str]], order: list[int], conflicts: list[set[int]]
) -> None:
    digests = [[digest_of(name.encode()) for name in plan] for plan in plans]
    registry, results = commit_together(digests, order, conflicts)
    versions = {version.pin.version: version.pin.digest for version in registry.versions("fraud")}
    assert sorted(versions) == list(range(1, len(versions) + 1))
    assert max(Counter(versions.values()).values()) == 1
    assert set(versions.values()) == {digest for plan in digests for digest in plan}
    for plan, result in zip(digests, results, strict=True):
        assert [versions[number] for number, _ in result] == plan
    assert sum(is_new for result in results for _, is_new in result) == len(versions)
    assert all(registry.version_log("fraud").find(digest) for digest in versions.values())


@pytest.mark.parametrize("same", [True, False], ids=["same", "different"])
def test_concurrent_publishers_in_every_kind_of_store(
    registry: Registry, tmp_path: Path, *, same: bool
) -> None:
    bundles = [scaling_bundle(tmp_path, factor=1.0 + i * (not same)) for i in range(4)]
    numbers = at_once([_publisher(bundle, registry) for bundle in bundles])
    assert sorted(numbers) == ([1] * 4 if same else [1, 2, 3, 4])
    assert len(registry.versions("fraud")) == len(set(numbers))


def _publisher(bundle: Bundle, registry: Registry) -> Callable[[], int]:
    return lambda: bundle.publish(registry).pin.version


def at_once(calls: list[Callable[[], int]]) -> list[int]:
    barrier = threading.Barrier(len(calls))
    results: list[Any] = []

    def run(call: Callable[[], int]) -> None:
        barrier.wait()
        results.append(call())

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_an_entry_of_an_alias_is_never_lost_however_many_set_it(
    registry: Registry, tmp_path: Path
) -> None:
    scaling_bundle(tmp_path).publish(registry)
    entries = at_once([lambda: registry.set_alias("fraud", "prod", 1).number] * 8)
    assert sorted(entries) == list(range(1, 9))


def test_a_push_that_died_before_its_version_is_indexed_is_found_by_the_next(
    memory: Registry,
) -> None:
    digest, other = digest_of(b"a"), digest_of(b"b")
    plain_log(memory.store, "models/fraud/versions").create(1, {"digest": digest})  # and dies
    assert memory.version_log("fraud").commit(other, {}) == (2, True)
    assert memory.version_log("fraud").commit(digest, {}) == (1, False)


class Overtaken(Store):
    """A store in which another writer takes the first number just before ours, and dies."""

    def create(self, key: str, data: bytes) -> bool:
        if key.endswith("versions/0000000001.json"):
            plain_log(Store(self._backend, self.uri), "models/fraud/versions").create(
                1, {"digest": DIGEST}
            )
        return super().create(key, data)


def test_a_version_whose_publisher_died_is_indexed_by_the_next_publisher() -> None:
    registry = Registry(store=Overtaken(MemoryStore(), "memory://overtaken"))
    assert registry.version_log("fraud").commit(digest_of(b"ours"), {}) == (2, True)
    assert registry.version_log("fraud").commit(DIGEST, {}) == (1, False)


def test_a_push_that_died_before_its_version_is_new_when_it_is_repeated(
    memory: Registry, tmp_path: Path
) -> None:
    bundle = scaling_bundle(tmp_path)
    for file in bundle.manifest.files:
        memory.store.upload(blob_key(file.hex), bundle.files[file.path], file)
    data = bundle.manifest.to_bytes()
    memory.store.write(blob_key(digest_of(data).removeprefix("sha256:")), data)  # and dies
    published = memory.publish(bundle.manifest, bundle.files, {})
    assert (published.is_new, published.sent_bytes) == (True, 0)


# What others may put beside it


@given(st.lists(st.text("abc0123456789/.json", min_size=1, max_size=24), max_size=6))
def test_other_keys_below_a_log_are_ignored(names: list[str]) -> None:
    store = Store(MemoryStore(), "memory://test")
    log = plain_log(store, "models/fraud/aliases/prod")
    assert append(log, {"version": 1}) == 1
    for name in (*names, "versions/0000000009.json", "0000000009.json.bak"):
        clean = "/".join(part for part in name.split("/") if part.strip("."))
        if clean and not (len(clean) == 15 and clean.endswith(".json")):
            store.write(f"models/fraud/aliases/prod/{clean}", b"{}")
    assert log.last() == 1


def test_a_pusher_cannot_make_an_alias_entry(memory: Registry, tmp_path: Path) -> None:
    scaling_bundle(tmp_path).publish(memory)
    memory.set_alias("fraud", "prod", 1)
    memory.store.write("models/fraud/aliases/prod/versions/0000000009.json", b"{}")
    assert memory.resolve("fraud:prod").version == 1
    assert memory.set_alias("fraud", "prod", 1).number == 2


def test_an_index_that_names_another_bundle_is_ignored(memory: Registry, tmp_path: Path) -> None:
    first = scaling_bundle(tmp_path).publish(memory)
    other = scaling_bundle(tmp_path, factor=3.0)
    digest = digest_of(other.manifest.to_bytes()).removeprefix("sha256:")
    memory.store.write(f"models/fraud/digests/{digest}.json", b'{"version":1}')
    assert other.publish(memory).pin.version == 2
    assert memory.resolve("fraud:1") == first.pin


def test_an_alias_of_an_unknown_model_reports_the_model(memory: Registry) -> None:
    with pytest.raises(ModelNotFoundError, match="no model 'fraud'"):
        memory.resolve("fraud:prod")


def test_other_keys_beside_the_deployments_are_ignored(memory: Registry) -> None:
    memory.store.write("deployments/.DS_Store", b"junk")
    memory.store.write("deployments/nested/0-eu-acme.json", b"junk")
    assert memory.release_log.deployments() == []
