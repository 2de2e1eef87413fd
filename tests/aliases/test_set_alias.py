from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import obstore
import pytest

from shearling.aliases import rollback as rollback_module
from shearling.aliases import set_alias as set_alias_module
from shearling.aliases import waiting
from shearling.aliases.rollback import rollback
from shearling.aliases.set_alias import compare_with_current, set_alias
from shearling.aliases.status import status
from shearling.aliases.waiting import wait_for_release
from shearling.errors import ModelNotFoundError, RegistryError, ReleaseError
from shearling.models.model_version import ModelVersion
from shearling.refs import Pin
from shearling.storage.store import Store
from tests.support.releases import DIGESTS, deploy, memory_registry, record

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.registry.records import AliasEntry
    from shearling.registry.registry import Registry


@dataclass
class Waiting:
    """Clock for `wait_for_release` that runs one action at each poll."""

    happenings: list[Callable[[], object]]
    seconds: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.happenings:
            self.happenings.pop(0)()

    def wait(self, registry: Registry, entry: AliasEntry, **options: Any) -> None:
        wait_for_release(registry, entry, sleep=self.sleep, now=lambda: self.seconds, **options)


@pytest.fixture
def registry() -> Registry:
    return memory_registry(5)


def serve(registry: Registry, *versions: int, function: str = "acme-fraud", **more: Any) -> None:
    """Deploy a function, and set and release versions one after the other."""
    deployment = deploy(registry, function)
    for version in versions:
        entry = registry.set_alias("fraud", "prod", version, **more)
        record(registry, deployment, "prod", entry.number, version)


# Setting an alias


def test_an_alias_is_set_without_waiting_whether_or_not_a_function_serves_it(
    registry: Registry,
) -> None:
    entry = set_alias("fraud", "prod", 2, reason="ticket 7", registry=registry)
    assert (entry.number, entry.version, entry.reason) == (1, 2, "ticket 7")
    assert registry.alias_entry("fraud", "prod") == entry


def test_the_registry_may_be_given_by_its_uri(registry: Registry) -> None:
    set_alias("fraud", "prod", 2, registry=registry.store.uri)
    assert registry.resolve("fraud:prod").version == 2


def test_waiting_for_an_alias_that_no_function_serves_is_refused_and_sets_nothing(
    registry: Registry,
) -> None:
    deploy(registry, aliases=["staging"])
    for move in (set_alias, rollback):
        arguments = (2,) if move is set_alias else ()
        with pytest.raises(ReleaseError, match=r"no function serves fraud:prod.*terraform apply"):
            move("fraud", "prod", *arguments, wait=True, registry=registry)
    assert registry.alias_entry("fraud", "prod") is None


def test_a_version_that_does_not_exist_is_refused(registry: Registry) -> None:
    with pytest.raises(ModelNotFoundError, match="no version 9"):
        set_alias("fraud", "prod", 9, registry=registry)
    with pytest.raises(ModelNotFoundError, match="no version 9"):
        set_alias("fraud", "prod", 1, canary={"version": 9, "percent": 5}, registry=registry)


@pytest.mark.parametrize(
    "canary",
    [
        {"version": 2},
        {"version": 2, "percent": 0},
        {"version": 2, "percent": 100},
        {"version": 2, "percent": 12.5},
        {"version": 2, "percent": 10.0},
        {"version": 2, "percent": True},
        {"version": 2, "percent": "10"},
        {"version": 2, "percent": 5, "precent": 5},
        "2:10",
        [2, 10],
        {},
    ],
    ids=str,
)
def test_a_malformed_canary_is_refused(registry: Registry, canary: Any) -> None:
    with pytest.raises(RegistryError, match="1 to 99"):
        set_alias("fraud", "prod", 1, canary=canary, registry=registry)
    assert registry.alias_entry("fraud", "prod") is None


@pytest.mark.parametrize("ref", ["fraud:4", f"fraud:4@{DIGESTS[4]}", "fraud:staging"])
@pytest.mark.parametrize("move", [set_alias, compare_with_current])
def test_a_version_may_be_given_by_a_ref(
    registry: Registry, move: Callable[..., object], ref: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(set_alias_module, "compare", lambda *_: [])
    registry.set_alias("fraud", "staging", 4)
    move("fraud", "prod", ref, new=True, registry=registry)
    if move is set_alias:
        assert registry.resolve("fraud:prod").version == 4


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("embed:1", "is not a version of model 'fraud'"),
        ("fraud:9", "no version 9"),
        ("fraud:-1", "a version is a number from 1"),
        (f"fraud:4@{DIGESTS[3]}", "is not a version of model 'fraud'"),
        ("fraud:", "a name has 1 to 48 characters"),
    ],
)
def test_a_ref_of_no_version_of_the_model_is_refused(
    registry: Registry, ref: str, expected: str
) -> None:
    with pytest.raises(RegistryError, match=expected):
        set_alias("fraud", "prod", ref, registry=registry)
    assert registry.alias_entry("fraud", "prod") is None


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("x" * 1001, "1,001 characters, but 1,000 are allowed"),
        ("red \x1b[31m", r"remove the control character '\\x1b'"),
        ("a\x00b", r"remove the control character '\\x00'"),
        ("\x9b31m", r"remove the control character '\\x9b'"),
        ("\u202egnp", r"remove the control character '\\u202e'"),
        (7, "reason 7: expected a text"),
    ],
)
def test_a_reason_that_is_too_long_or_has_control_characters_is_refused(
    registry: Registry, reason: Any, expected: str
) -> None:
    for version in (1, 2):
        set_alias("fraud", "prod", version, registry=registry)
    with pytest.raises(RegistryError, match=expected):
        set_alias("fraud", "prod", 3, reason=reason, registry=registry)
    with pytest.raises(RegistryError, match=expected):
        rollback("fraud", "prod", reason=reason, registry=registry)
    assert registry.resolve("fraud:prod").version == 2


@pytest.mark.parametrize("reason", ["é" * 1000, "two\r\nlines\tand a tab", "👩‍🔬"])
def test_a_reason_is_any_other_text(registry: Registry, reason: str) -> None:
    assert set_alias("fraud", "prod", 1, reason=reason, registry=registry).reason == reason


@pytest.mark.parametrize("move", [set_alias, compare_with_current])
def test_a_canary_that_is_the_version_itself_is_refused(
    registry: Registry, move: Callable[..., object]
) -> None:
    registry.set_alias("fraud", "staging", 2)
    for version in (2, "staging"):
        canary = {"version": 2, "percent": 10}
        with pytest.raises(RegistryError, match=r"fraud:2 .* must be another version"):
            move("fraud", "prod", version, canary=canary, new=True, registry=registry)
    assert registry.alias_entry("fraud", "prod") is None


@pytest.mark.parametrize("version", ["2", 2.0, True, None, np.True_, np.float64(2)], ids=repr)
def test_a_version_that_is_not_a_whole_number_is_refused(registry: Registry, version: Any) -> None:
    for arguments in ({"version": version}, {"version": 1, "canary": _share_of(version)}):
        with pytest.raises(RegistryError, match=r"^version .*: expected a number"):
            set_alias("fraud", "prod", registry=registry, **arguments)
    assert registry.alias_entry("fraud", "prod") is None


def test_numpy_integers_and_results_of_a_push_are_versions(registry: Registry) -> None:
    pushed = _pushed("fraud", 3)
    share = {"version": pushed, "percent": np.int8(10)}
    entry = set_alias("fraud", "prod", np.int64(2), canary=share, registry=registry)  # type: ignore[arg-type]
    assert (entry.version, entry.canary) == (2, {"version": 3, "percent": 10})
    assert set_alias("fraud", "prod", pushed, registry=registry).version == 3


def test_another_model_s_version_is_refused(registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"^churn:3 .*is not a version of model 'fraud'"):
        set_alias("fraud", "prod", _pushed("churn", 3), registry=registry)
    assert registry.alias_entry("fraud", "prod") is None


def _share_of(version: Any) -> dict[str, Any]:
    return {"version": version, "percent": 10}


def _pushed(model: str, version: int) -> ModelVersion:
    return ModelVersion(
        pin=Pin(model, version, DIGESTS[version]),
        is_new=True,
        uploaded_bytes=1,
        size_bytes=1,
        format="onnx",
        alias=None,
        registry="memory://x",
    )


def test_a_canary_is_kept_with_the_entry(registry: Registry) -> None:
    canary = {"version": 2, "percent": 10}
    assert set_alias("fraud", "prod", 1, canary=canary, registry=registry).canary == canary


# Waiting


def test_waiting_ends_when_every_function_that_serves_the_alias_has_released(
    registry: Registry,
) -> None:
    one, two = deploy(registry), deploy(registry, "eu-fraud")
    deploy(registry, "other-fraud", aliases=["staging"])
    deploy(registry, "churn", model="churn")
    entry = registry.set_alias("fraud", "prod", 2)
    time = Waiting(
        [
            lambda: record(registry, one, "prod", entry.number, 2),
            lambda: record(registry, two, "prod", entry.number, 2),
        ]
    )
    time.wait(registry, entry)
    assert time.seconds == 2


def test_an_entry_that_is_released_already_needs_no_waiting(registry: Registry) -> None:
    serve(registry, 2)
    entry = registry.alias_entry("fraud", "prod")
    assert entry
    time = Waiting([])
    time.wait(registry, entry)
    assert time.seconds == 0


def test_a_failed_release_raises_its_reason_at_once(registry: Registry) -> None:
    one, _ = deploy(registry), deploy(registry, "eu-fraud")
    entry = registry.set_alias("fraud", "prod", 2)
    failed = {"outcome": "failed", "reason": "raise memory_mb"}
    time = Waiting([lambda: record(registry, one, "prod", entry.number, 2, **failed)])
    with pytest.raises(ReleaseError, match=r"failed on acme-fraud.*raise memory_mb") as caught:
        time.wait(registry, entry)
    assert caught.value.reason == "raise memory_mb"


def test_the_failure_of_an_older_entry_does_not_count(registry: Registry) -> None:
    one = deploy(registry)
    old = registry.set_alias("fraud", "prod", 1)
    record(registry, one, "prod", old.number, 1, outcome="failed")
    entry = registry.set_alias("fraud", "prod", 2)
    Waiting([lambda: record(registry, one, "prod", entry.number, 2)]).wait(registry, entry)


def test_a_newer_entry_supersedes_the_one_waited_for(registry: Registry) -> None:
    deploy(registry)
    entry = registry.set_alias("fraud", "prod", 2)
    time = Waiting([lambda: registry.set_alias("fraud", "prod", 3)])
    with pytest.raises(ReleaseError, match="superseded: fraud:prod now names version 3"):
        time.wait(registry, entry)


def test_a_release_of_a_newer_entry_supersedes_too(registry: Registry) -> None:
    serve(registry, 2, 3)
    with pytest.raises(ReleaseError, match="superseded"):
        Waiting([]).wait(registry, registry.history("fraud", "prod")[0])


def test_a_timeout_says_what_a_release_is_waiting_for(registry: Registry) -> None:
    deployment = deploy(registry)
    entry = registry.set_alias("fraud", "prod", 2)
    reason = "endpoint acme-fraud-0a1b2c3d is Creating"
    record(registry, deployment, "prod", entry.number, 2, outcome="staging", reason=reason)
    with pytest.raises(ReleaseError, match=f"still staging after 60 s: {reason}.*shearling status"):
        Waiting([]).wait(registry, entry, timeout_seconds=60)


def test_a_timeout_names_the_log_to_check(registry: Registry) -> None:
    deploy(registry)
    entry = registry.set_alias("fraud", "prod", 2)
    with pytest.raises(
        ReleaseError, match=r"from acme-fraud .*after 60 s.*/aws/lambda/acme_releaser"
    ):
        Waiting([]).wait(registry, entry, timeout_seconds=60)


def test_set_alias_and_rollback_wait_on_request(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(registry, 1, 2)
    waited: list[tuple[int | None, float]] = []

    def wait(_: Registry, entry: AliasEntry, *, timeout_seconds: float) -> None:
        waited.append((entry.version, timeout_seconds))

    for module in (set_alias_module, rollback_module):
        monkeypatch.setattr(module, "wait_for_release", wait)
    set_alias("fraud", "prod", 3, wait=True, timeout_seconds=5, registry=registry)
    rollback("fraud", "prod", wait=True, timeout_seconds=6, registry=registry)
    assert waited == [(3, 5), (2, 6)]


def test_progress_is_shown_only_on_a_terminal_or_in_a_notebook(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = deploy(registry)
    for is_watched in (False, True):
        monkeypatch.setattr(waiting, "is_watched", lambda is_watched=is_watched: is_watched)
        entry = registry.set_alias("fraud", "prod", 2)
        time = Waiting([int, lambda entry=entry: record(registry, one, "prod", entry.number, 2)])  # type: ignore[misc]
        time.wait(registry, entry)
        shown = capsys.readouterr()
        assert shown.out == ""
        assert ("waiting for acme-fraud (1 s)" in shown.err) == is_watched


# Rolling back


def test_rollback_returns_to_the_previously_served_version(registry: Registry) -> None:
    serve(registry, 1, 2, 3)
    entry = rollback("fraud", "prod", registry=registry)
    assert (entry.version, entry.reason, entry.number) == (2, "rollback", 4)


def test_rollback_skips_versions_that_failed(registry: Registry) -> None:
    serve(registry, 1)
    failed = registry.set_alias("fraud", "prod", 2)
    deployment = registry.release_log.deployments("fraud")[0]
    record(registry, deployment, "prod", failed.number, 2, outcome="failed")
    serve(registry, 3)
    assert rollback("fraud", "prod", registry=registry).version == 1


@pytest.mark.parametrize("served", [(1,), (2, 1)])
@pytest.mark.parametrize("outcome", ["failed", "staging", None])
@pytest.mark.parametrize(
    "named", [{"version": 3}, {"version": 1, "canary": {"version": 3, "percent": 10}}]
)
def test_rollback_from_an_unreleased_entry_returns_to_the_served_version(
    registry: Registry, served: tuple[int, ...], outcome: str | None, named: dict[str, Any]
) -> None:
    serve(registry, *served)
    entry = registry.set_alias("fraud", "prod", **named)
    if outcome:
        deployment = registry.release_log.deployments("fraud")[0]
        record(registry, deployment, "prod", entry.number, entry.version, outcome=outcome)
    back = rollback("fraud", "prod", registry=registry)
    assert (back.version, back.canary, back.number) == (1, None, entry.number + 1)
    assert rollback("fraud", "prod", registry=registry) == back


def test_rollback_skips_releases_of_the_served_version(registry: Registry) -> None:
    serve(registry, 1, 2, 2, 2)
    assert rollback("fraud", "prod", registry=registry).version == 1


def release(registry: Registry, entry: AliasEntry) -> None:
    deployment = registry.release_log.deployments("fraud")[0]
    record(registry, deployment, "prod", entry.number, entry.version)


def test_rolling_back_again_goes_further_back(registry: Registry) -> None:
    serve(registry, 1, 2, 3)
    for version in (2, 1):
        entry = rollback("fraud", "prod", registry=registry)
        assert entry.version == version
        release(registry, entry)
    with pytest.raises(ReleaseError, match="no version to roll fraud:prod back to"):
        rollback("fraud", "prod", registry=registry)


def test_a_version_that_was_rolled_back_from_is_named_again_by_set_alias_alone(
    registry: Registry,
) -> None:
    serve(registry, 1, 2, 3)
    release(registry, rollback("fraud", "prod", registry=registry))
    serve(registry, 4)
    assert rollback("fraud", "prod", registry=registry).version == 2
    release(registry, registry.set_alias("fraud", "prod", 3))
    serve(registry, 5)
    assert rollback("fraud", "prod", registry=registry).version == 3


def test_a_rollback_never_returns_to_a_version_that_an_earlier_one_left(
    registry: Registry,
) -> None:
    serve(registry, 3, 1, 2, 3)
    for version in (2, 1):
        entry = rollback("fraud", "prod", registry=registry)
        assert entry.version == version
        release(registry, entry)
    with pytest.raises(ReleaseError, match=r"all were rolled back from. Choose a version"):
        rollback("fraud", "prod", registry=registry)
    assert entry.rolled_back == (3, 2)


def test_a_version_that_is_set_again_may_be_rolled_back_to_again(registry: Registry) -> None:
    serve(registry, 1, 2)
    release(registry, rollback("fraud", "prod", registry=registry))
    serve(registry, 2, 3)
    assert rollback("fraud", "prod", registry=registry).version == 2


def test_a_move_during_a_rollback_does_not_lead_back_to_the_version_that_was_left(
    registry: Registry,
) -> None:
    serve(registry, 1, 2)
    rollback("fraud", "prod", registry=registry)  # not released yet: 2 is served
    registry.set_alias("fraud", "prod", 5)
    assert rollback("fraud", "prod", registry=registry).version == 1


@pytest.mark.parametrize("is_deployed", [True, False])
def test_a_second_rollback_in_a_log_of_0_1_goes_further_back(
    registry: Registry, *, is_deployed: bool
) -> None:
    log = [(1, ""), (2, ""), (3, ""), (2, "rollback"), (2, "again")]
    for number, (version, reason) in enumerate(log, start=1):
        write_entry(registry, number, version=version, canary=None, reason=reason)
        if is_deployed:
            record(registry, deploy(registry), "prod", number, version)
    assert rollback("fraud", "prod", registry=registry).version == 1


def test_each_entry_records_what_served_before_it(registry: Registry) -> None:
    serve(registry, 1, 2)
    registry.set_alias("fraud", "prod", 3)  # on its way
    serve(registry, 2, 4)
    entries = registry.history("fraud", "prod")
    assert [(entry.version, entry.before) for entry in entries] == [
        (1, 0),
        (2, 1),
        (3, 2),
        (2, 1),
        (4, 4),
    ]


@pytest.mark.parametrize("is_deployed", [True, False])
def test_entries_that_do_not_record_what_was_before_are_searched(
    registry: Registry, *, is_deployed: bool
) -> None:
    for number, version in enumerate((1, 2, 2, 3, 3), start=1):
        write_entry(registry, number, version=version, canary=None, reason="")
        if is_deployed:
            deployment = deploy(registry)
            fields = {"entry": number, "version": version, "outcome": "released"}
            assert registry.release_log.record(deployment, "prod", number, fields)
    assert rollback("fraud", "prod", registry=registry).version == 2


def test_the_end_of_an_alias_serves_no_model_and_can_be_rolled_back(registry: Registry) -> None:
    serve(registry, 1)
    write_entry(registry, 2, version=None, canary=None, reason="", by="", before=1)
    assert registry.aliases("fraud") == {}
    with pytest.raises(ModelNotFoundError, match="fraud:prod names no version"):
        registry.resolve("fraud:prod")
    assert next(iter(status("fraud", registry))).outcome == "not set"
    entry = registry.alias_entry("fraud", "prod")
    assert entry
    release(registry, entry)
    assert rollback("fraud", "prod", registry=registry).version == 1


def write_entry(registry: Registry, number: int, **fields: Any) -> None:
    document = {"id": "x", "created": "2026-01-01T00:00:00+00:00", **fields}
    key = f"models/fraud/aliases/prod/{number:010d}.json"
    registry.store.write(key, json.dumps(document).encode())


@pytest.mark.parametrize("is_deployed", [True, False])
def test_a_rollback_reads_as_much_after_hundreds_of_moves_as_after_three(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, *, is_deployed: bool
) -> None:
    def move(times: int) -> None:
        for i in range(times):
            version = 1 + i % 2
            if is_deployed:
                serve(registry, version)
            else:
                registry.set_alias("fraud", "prod", version)

    move(4)
    few = reads_of(monkeypatch, lambda: rollback("fraud", "prod", registry=registry))
    move(300)
    many = reads_of(monkeypatch, lambda: rollback("fraud", "prod", registry=registry))
    assert many <= few + 1 < 20


def reads_of(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> int:
    """Return how many objects an action reads."""
    read, keys = Store.read, list[str]()

    def counted(store: Store, key: str, *, limit: int | None = None) -> bytes | None:
        keys.append(key)
        return read(store, key, limit=limit)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "read", counted)
        action()
    return len(keys)


def test_two_concurrent_rollbacks_go_back_one_step(registry: Registry) -> None:
    serve(registry, 1, 2, 3)
    first = rollback("fraud", "prod", registry=registry)
    second = rollback("fraud", "prod", registry=registry)
    assert first == second
    assert len(registry.history("fraud", "prod")) == 4


def test_a_rollback_that_is_under_way_can_be_forced_once(registry: Registry) -> None:
    serve(registry, 1, 2)
    under_way = rollback("fraud", "prod", registry=registry)
    forced = rollback("fraud", "prod", registry=registry, force=True)
    assert (under_way.force, forced.force, forced.version) == (False, True, 1)
    assert rollback("fraud", "prod", registry=registry, force=True) == forced
    assert rollback("fraud", "prod", registry=registry) == forced


def test_a_lost_create_decides_again(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(registry, 1, 2)
    replace = registry.replace_entry

    def overtaken(current: AliasEntry, version: int, reason: str, **more: Any) -> AliasEntry | None:
        monkeypatch.undo()
        serve(registry, 3)
        return replace(current, version, reason, **more)

    monkeypatch.setattr(registry, "replace_entry", overtaken)
    # Version 3 is served now, so the previous version is 2 instead of 1.
    assert rollback("fraud", "prod", registry=registry).version == 2


def test_rolling_back_to_a_version_that_is_named_but_failed_retries_it(
    registry: Registry,
) -> None:
    serve(registry, 1, 2)
    entry = rollback("fraud", "prod", registry=registry)
    deployment = registry.release_log.deployments("fraud")[0]
    record(registry, deployment, "prod", entry.number, 1, outcome="failed")
    again = rollback("fraud", "prod", registry=registry)
    assert (again.version, again.number) == (1, entry.number + 1)


def test_rolling_back_a_canary_removes_it(registry: Registry) -> None:
    serve(registry, 1, 2)
    serve(registry, 2, canary={"version": 3, "percent": 10})
    entry = rollback("fraud", "prod", registry=registry)
    assert (entry.version, entry.canary) == (2, None)


def test_without_a_deployment_the_alias_s_history_decides(registry: Registry) -> None:
    for version in (1, 2, 2, 3):
        registry.set_alias("fraud", "prod", version)
    assert rollback("fraud", "prod", registry=registry).version == 2
    registry.set_alias("fraud", "prod", 2, canary={"version": 3, "percent": 10})
    assert rollback("fraud", "prod", registry=registry).version == 2


def test_without_a_deployment_a_lost_create_goes_back_one_step_too(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (1, 2):
        registry.set_alias("fraud", "prod", version)
    replace = registry.replace_entry

    def overtaken(current: AliasEntry, version: int, reason: str, **more: Any) -> AliasEntry | None:
        monkeypatch.undo()
        rollback("fraud", "prod", registry=registry)
        return replace(current, version, reason, **more)

    monkeypatch.setattr(registry, "replace_entry", overtaken)
    entry = rollback("fraud", "prod", registry=registry)
    assert (entry.version, entry.number) == (1, 3)


def test_rollback_without_an_earlier_version_is_refused(registry: Registry) -> None:
    with pytest.raises(
        ModelNotFoundError, match=r"no alias 'prod' of model 'fraud' in .*; its aliases: none"
    ):
        rollback("fraud", "prod", registry=registry)
    registry.set_alias("fraud", "prod", 2)
    with pytest.raises(ReleaseError, match="no version to roll fraud:prod back to"):
        rollback("fraud", "prod", registry=registry)
    deploy(registry)
    with pytest.raises(ReleaseError, match="no version to roll"):
        rollback("fraud", "prod", registry=registry)
    serve(registry, 2)
    with pytest.raises(ReleaseError, match="no version to roll"):
        rollback("fraud", "prod", registry=registry)


# Status


@pytest.fixture
def busy(registry: Registry) -> Registry:
    serve(registry, 1)
    deployment = registry.release_log.deployments("fraud")[0]
    entry = registry.set_alias("fraud", "prod", 2, canary={"version": 3, "percent": 10})
    reason = "<b>0.5</b>\noff"
    record(registry, deployment, "prod", entry.number, 2, outcome="failed", reason=reason)
    registry.set_alias("fraud", "beta", 3)
    return registry


def test_status_shows_for_each_alias_the_named_and_served_versions_and_the_reason(
    busy: Registry,
) -> None:
    told = {
        (row.alias, row.function): (row.version, row.serves, row.outcome)
        for row in status("fraud", busy)
    }
    assert told == {
        ("beta", ""): (3, None, "not deployed"),
        ("prod", "acme-fraud"): (2, 1, "failed"),
        ("staging", "acme-fraud"): (None, None, "not set"),
    }


def test_an_entry_without_a_record_is_pending(registry: Registry) -> None:
    serve(registry, 1)
    registry.set_alias("fraud", "prod", 2)
    row = next(iter(status("fraud", registry)))
    assert (row.version, row.serves, row.outcome) == (2, 1, "pending")


def test_releases_of_a_destroyed_function_do_not_count_for_its_successor(
    registry: Registry,
) -> None:
    serve(registry, 2)
    old = registry.release_log.deployments("fraud")[0]
    deployed = registry.store.read(f"deployments/{old.key}.json")
    assert deployed
    # Like Terraform, which ends the name in an id that is new for each deployment.
    obstore.delete(registry.store._backend, f"deployments/{old.key}.json")
    registry.store.write(f"deployments/{old.key}-0a1b2c3d.json", deployed)
    [prod] = [row for row in status("fraud", registry) if row.alias == "prod"]
    assert (prod.version, prod.serves, prod.outcome) == (2, None, "pending")
    entry = registry.alias_entry("fraud", "prod")
    assert entry
    with pytest.raises(ReleaseError, match="no result from acme-fraud"):
        Waiting([]).wait(registry, entry, timeout_seconds=5)


def test_status_prints_as_an_aligned_table(busy: Registry) -> None:
    table = str(status("fraud", busy))
    expected = """\
ALIAS          VERSION      SINCE             FUNCTION    SERVES  OUTCOME       REASON
fraud:beta     3            2026-01-01 00:00  -           -       not deployed  -
fraud:prod     2 (10 %: 3)  2026-01-01 00:00  acme-fraud  1       failed        <b>0.5</b> off
fraud:staging  -            -                 acme-fraud  -       not set       -"""
    assert re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "2026-01-01 00:00", table) == expected


@pytest.mark.parametrize(("columns", "shown"), [("80", 100), ("400", 300), ("", 300)])
def test_status_cuts_a_reason_only_where_the_terminal_is_too_narrow(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, columns: str, shown: int
) -> None:
    deploy(registry)
    entry = registry.set_alias("fraud", "prod", 2)
    (deployment,) = registry.release_log.deployments("fraud")
    record(registry, deployment, "prod", entry.number, 2, outcome="failed", reason="x" * 300)
    monkeypatch.setenv("COLUMNS", columns)
    line = next(line for line in str(status("fraud", registry)).splitlines() if "failed" in line)
    assert line.count("x") + line.count("…") == shown


def test_status_has_the_url_of_each_alias_behind_an_api(registry: Registry) -> None:
    deploy(registry, api_url="https://a1.example.com/live/")
    url = "https://a1.example.com/live/v2/models/fraud/versions/prod"
    [prod, _] = status("fraud", registry)
    assert prod.url == prod.to_dict()["url"] == url
    assert f"fraud:prod     {url}" in str(status("fraud", registry))


def test_status_is_an_escaped_table_in_a_notebook(busy: Registry) -> None:
    html = status("fraud", busy)._repr_html_()
    assert html.count("<tr>") == 4
    assert "&lt;b&gt;0.5&lt;/b&gt;" in html
    assert "<b>" not in html


def test_status_is_json_for_programs(busy: Registry) -> None:
    [_, prod, _] = json.loads(json.dumps(status("fraud", busy).to_dict()))["aliases"]
    assert (prod["model"], prod["alias"], prod["outcome"]) == ("fraud", "prod", "failed")
    assert prod["canary"] == {"version": 3, "percent": 10}
    assert prod["since"].endswith("+00:00")


def test_status_of_all_models_has_those_that_are_deployed_only(busy: Registry) -> None:
    deploy(busy, "churn", model="churn", aliases=["prod"])
    rows = status(registry=busy)
    assert [(row.model, row.alias) for row in rows][:1] == [("churn", "prod")]
    assert len(rows) == 4
    assert len(status("churn", busy)) == 1


def test_status_without_aliases_is_empty_and_an_unknown_model_is_refused(
    registry: Registry,
) -> None:
    assert str(status(registry=registry)) == "no aliases"
    with pytest.raises(ModelNotFoundError, match="no model 'ghost'"):
        status("ghost", registry)
