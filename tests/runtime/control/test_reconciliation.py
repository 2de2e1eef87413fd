"""What a scheduled reconciliation costs, and that it still finds every change."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore

from shearling.bundle.canonical_json import canonical_json
from shearling.errors import ReleaseError, StoreError
from shearling.release.clock import Clock
from shearling.storage.store import Store
from shearling_runtime.control import releaser
from shearling_runtime.control.schedule import Schedule
from tests.runtime.control.test_releaser import Context, s3_event
from tests.support.fake_lambda import FakeLambda, FakeTime, passing, refusal
from tests.support.releases import deploy, memory_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shearling.registry.registry import Registry

_SWEEP_SECONDS = 300

#: What a request takes, as measured on AWS or slower.
_S3_SECONDS, _LAMBDA_SECONDS = 0.03, 0.1

_LISTED = 1000


class CountingStore(Store):
    """A store in memory that counts the requests that S3 would get; each takes some time."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__(MemoryStore(), "memory://counted")
        self.requests: Counter[str] = Counter()
        self._time = time

    def read(self, key: str, *, limit: int | None = None) -> bytes | None:
        self._count("GET")
        return super().read(key, limit=limit)

    def size(self, key: str) -> int | None:
        self._count("HEAD")
        return super().size(key)

    def names(self, prefix: str) -> list[str]:
        names = super().names(prefix)
        self._count("LIST", 1 + len(names) // _LISTED)
        return names

    def keys(self, prefix: str, *, after: str = "") -> Iterator[str]:
        self._count("LIST")
        yield from super().keys(prefix, after=after)

    def folders(self, prefix: str) -> list[str]:
        self._count("LIST")
        return super().folders(prefix)

    def _count(self, kind: str, requests: int = 1) -> None:
        self.requests[kind] += requests
        self._time.seconds += requests * _S3_SECONDS


@dataclass
class Account:
    """Functions with two aliases each, whose releaser is invoked by its schedule."""

    functions: int
    time: FakeTime = field(default_factory=FakeTime)

    def __post_init__(self) -> None:
        self.store = CountingStore(self.time)
        self.registry: Registry = memory_registry(store=self.store)
        #: The time and name of each call to Lambda.
        self.calls: list[tuple[float, str]] = []
        self.fakes = {}
        for number in range(self.functions):
            fake = FakeLambda(name=f"acme-{number}", time=self.time, before=self._called)
            fake.publish_version()
            fake.create_alias("prod", "1")
            fake.create_alias("staging", "1")
            self.fakes[fake.name] = fake
            deploy(self.registry, fake.name, model=f"fraud-{number}")
            for version in (1, 2, 3):
                record = self.store.read(f"models/fraud/versions/{version:010d}.json") or b""
                key = f"models/fraud-{number}/versions/{version:010d}.json"
                self.store.write(key, record)

    @property
    def clock(self) -> Clock:
        return Clock(
            now=lambda: self.time.seconds,
            sleep=self.time.sleep,
            jitter=lambda: 0.5,
            date=lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time.seconds),
        )

    def client(self, _: str) -> Any:
        return _Dispatcher(self.fakes)

    def name(self, function: int, alias: str, version: int) -> None:
        self.registry.set_alias(f"fraud-{function}", alias, version)

    def release_all(self, version: int = 2) -> None:
        for function in range(self.functions):
            for alias in ("prod", "staging"):
                self.name(function, alias, version)
        while "released" in self.outcomes(self.sweep()):
            pass

    def sweep(self) -> list[dict[str, Any]]:
        """Invoke the releaser at its next scheduled time; return the results."""
        start = self.time.seconds
        self.time.seconds += -start % _SWEEP_SECONDS or _SWEEP_SECONDS
        answer = releaser.handler({"sweep": True}, Context(seconds=900))
        return list(answer["results"])

    def cost(self, sweep: Callable[[], object]) -> tuple[Counter[str], list[tuple[float, str]]]:
        """Return the requests to S3 and the calls to Lambda of a sweep."""
        self.store.requests.clear()
        self.calls.clear()
        sweep()
        return self.store.requests.copy(), list(self.calls)

    @staticmethod
    def outcomes(results: list[dict[str, Any]]) -> set[str]:
        return {result["outcome"] for result in results}

    def _called(self, operation: str) -> None:
        self.calls.append((self.time.seconds, operation))
        self.time.seconds += _LAMBDA_SECONDS


class _Dispatcher:
    """A Lambda client of an account with several functions."""

    def __init__(self, fakes: dict[str, FakeLambda]) -> None:
        self._fakes = fakes

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **request: getattr(self._fakes[request["FunctionName"]].client, operation)(
            **request
        )


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Account]:
    def of(functions: int) -> Account:
        account = Account(functions)
        monkeypatch.setenv("SHEARLING_REGISTRY", account.store.uri)
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "acme_releaser")
        monkeypatch.setattr(releaser, "_store", lambda _: account.store)
        monkeypatch.setattr(releaser, "_client", account.client)
        monkeypatch.setattr(releaser, "_CLOCK", account.clock)
        monkeypatch.setattr(releaser, "_KNOWN_RELEASES", {})
        return account

    return of


def start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the sandbox by one that remembers nothing."""
    monkeypatch.setattr(releaser, "_KNOWN_RELEASES", {})


def let_nothing_be_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Schedule, "is_due", lambda *_: False)


def test_an_unchanged_alias_costs_two_small_requests_and_no_call_to_lambda(
    account: Callable[[int], Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = account(3)
    ours.release_all()
    let_nothing_be_due(monkeypatch)
    ours.sweep()
    requests, calls = ours.cost(ours.sweep)
    assert calls == []
    # The deployments are listed once and read once each.
    assert requests == {"LIST": 1, "GET": 3, "HEAD": 2 * 6}
    start_again(monkeypatch)
    requests, calls = ours.cost(ours.sweep)
    assert calls == []
    assert requests == {"LIST": 1 + 6, "GET": 3 + 6, "HEAD": 2 * 6}


def test_an_alias_that_was_never_set_costs_no_call_to_lambda(
    account: Callable[[int], Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = account(1)
    let_nothing_be_due(monkeypatch)
    requests, calls = ours.cost(ours.sweep)
    assert calls == []
    assert requests == {"LIST": 1 + 2, "GET": 1, "HEAD": 2 * 2}


@pytest.mark.parametrize("releases", [999, 1000, 1001, 2500])
@pytest.mark.parametrize("is_warm", [True, False])
def test_more_than_a_page_of_history_costs_no_more_than_one(
    account: Callable[[int], Account],
    monkeypatch: pytest.MonkeyPatch,
    releases: int,
    *,
    is_warm: bool,
) -> None:
    ours = account(1)
    ours.release_all()
    write_history(ours, releases)
    let_nothing_be_due(monkeypatch)
    assert ours.outcomes(ours.sweep()) == {"unchanged"}
    if not is_warm:
        start_again(monkeypatch)
    requests, calls = ours.cost(ours.sweep)
    assert calls == []
    assert requests["LIST"] <= 1 + 2
    assert requests["GET"] <= 1 + 2
    # A HEAD costs a twelfth of a LIST.
    assert requests["HEAD"] <= (2 * 2 if is_warm else 2 * 5)


def write_history(ours: Account, releases: int) -> None:
    """Give both aliases this many entries, each with its release."""
    [deployment] = ours.registry.release_log.deployments()
    for alias in ("prod", "staging"):
        first = ours.store.read(f"releases/{deployment.key}/{alias}/0000000001.json") or b""
        entry = ours.store.read(f"models/fraud-0/aliases/{alias}/0000000001.json") or b""
        for number in range(2, releases + 1):
            release = {**json.loads(first), "entry": number, "success": number - 1}
            key = f"{alias}/{number:010d}.json"
            ours.store.write(f"releases/{deployment.key}/{key}", canonical_json(release))
            ours.store.write(f"models/fraud-0/aliases/{key}", entry)


def test_a_changed_alias_is_released_by_the_next_reconciliation(
    account: Callable[[int], Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = account(2)
    ours.release_all()
    let_nothing_be_due(monkeypatch)
    for is_warm in (True, False):
        ours.name(1, "staging", 1 + is_warm)
        if not is_warm:
            start_again(monkeypatch)
        ours.name(1, "staging", 3 - is_warm)
        assert sorted(it["outcome"] for it in ours.sweep()) == [
            "released",
            *["unchanged"] * 3,
        ]
        assert ours.fakes["acme-1"].shown("staging").startswith(f"fraud-1:{3 - is_warm}@")


def test_an_invalid_entry_costs_no_call_to_lambda(
    account: Callable[[int], Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = account(1)
    ours.release_all()
    ours.store.write("models/fraud-0/aliases/prod/0000000002.json", b"{}")
    ours.store.write("models/fraud-0/aliases/prod/0000000009.json", b"{}")
    let_nothing_be_due(monkeypatch)
    _, calls = ours.cost(ours.sweep)
    assert calls == []


def test_every_alias_is_compared_with_lambda_once_an_hour(
    account: Callable[[int], Account],
) -> None:
    ours = account(30)
    ours.release_all()
    per_sweep = []
    for _ in range(12):
        _, calls = ours.cost(ours.sweep)
        per_sweep.append([operation for _, operation in calls].count("GetAlias"))
    # A fifth more than once each, because an event may be late.
    assert 60 <= sum(per_sweep) <= 60 * 1.5
    assert max(per_sweep) <= 20


@pytest.mark.parametrize("delays", [(0, 0, 0), (59, 0, 30), (0, 59, 0)])
def test_late_events_leave_no_alias_out(delays: tuple[int, ...]) -> None:
    schedule = Schedule(interval_seconds=300, full_interval_seconds=3600)
    deployment = deploy(memory_registry())
    start = datetime(2026, 1, 1, 0, 3, 59, tzinfo=UTC)
    times = [start + timedelta(seconds=300 * number + delays[number % 3]) for number in range(13)]
    for alias in (f"a{number}" for number in range(2000)):
        assert any(schedule.is_due(deployment, alias, time) for time in times)


def drift(ours: Account) -> None:
    """Move an alias by hand to the empty version."""
    ours.fakes["acme-0"].aliases["prod"]["FunctionVersion"] = "1"


def test_an_alias_that_was_moved_by_hand_is_brought_back_within_the_hour(
    account: Callable[[int], Account],
) -> None:
    ours = account(3)
    ours.release_all()
    drift(ours)
    for _ in range(12):
        ours.sweep()
    assert ours.fakes["acme-0"].shown("prod").startswith("fraud-0:2@")


def test_terraform_says_how_often_aliases_are_compared(
    account: Callable[[int], Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = account(3)
    ours.release_all()
    drift(ours)
    monkeypatch.setenv("SHEARLING_FULL_RECONCILE_MINUTES", "5")
    ours.sweep()
    assert ours.fakes["acme-0"].shown("prod").startswith("fraud-0:2@")


@pytest.mark.parametrize("minutes", [None, "", "0", "-5", "an hour"])
def test_without_valid_intervals_aliases_are_compared_once_an_hour(minutes: str | None) -> None:
    environment = {} if minutes is None else {"SHEARLING_FULL_RECONCILE_MINUTES": minutes}
    assert Schedule.read(environment) == Schedule(interval_seconds=300, full_interval_seconds=3600)


def test_the_intervals_are_read_from_the_environment() -> None:
    minutes = {"SHEARLING_RECONCILE_MINUTES": "1", "SHEARLING_FULL_RECONCILE_MINUTES": "30"}
    assert Schedule.read(minutes) == Schedule(interval_seconds=60, full_interval_seconds=1800)


@pytest.mark.slow
def test_a_reconciliation_of_a_thousand_aliases_fits_the_time_and_the_rates_of_lambda(
    account: Callable[[int], Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = account(500)
    ours.release_all()
    start_again(monkeypatch)
    for _ in range(3):
        began = ours.time.seconds
        results = ours.sweep()
        assert len(results) == 1000
        began += -began % _SWEEP_SECONDS or _SWEEP_SECONDS
        assert ours.time.seconds - began < 400
        assert busiest_second(ours) <= 6
    assert ours.calls


def busiest_second(ours: Account) -> int:
    return max(Counter(int(time) for time, _ in ours.calls).values(), default=0)


def test_a_recorded_refusal_is_neither_checked_nor_reported_again(
    account: Callable[[int], Account],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ours = account(1)
    ours.release_all()
    fake = ours.fakes["acme-0"]
    fake.check = lambda it: {**passing(it), "passed": False}
    ours.name(0, "prod", 3)
    event = s3_event("models/fraud-0/aliases/prod/0000000002.json")
    capfd.readouterr()
    let_nothing_be_due(monkeypatch)
    checks = len(fake.checked)
    for _ in range(3):  # as often as Lambda tries an event that fails
        [result] = releaser.handler(event, Context())["results"]
        assert result["outcome"] == "failed"
    assert len(fake.checked) == checks + 1
    _, calls = ours.cost(ours.sweep)
    assert calls == []
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [it.get("ReleaseFailed") for it in lines] == [1.0, 1.0, 1.0, None]


def test_an_event_whose_release_is_undecided_fails_so_that_lambda_retries_it(
    account: Callable[[int], Account],
) -> None:
    ours = account(1)
    ours.release_all()
    fake = ours.fakes["acme-0"]
    fake.refusals["PublishVersion"] = [refusal("TooManyRequestsException")] * 10_000
    ours.name(0, "prod", 3)
    event = s3_event("models/fraud-0/aliases/prod/0000000002.json")
    with pytest.raises(ReleaseError, match="acme-0:prod: "):
        releaser.handler(event, Context())
    fake.refusals.clear()
    [result] = releaser.handler(event, Context())["results"]
    assert result["outcome"] == "released"


def test_a_failure_that_may_pass_is_tried_again_by_every_reconciliation(
    account: Callable[[int], Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = account(1)
    ours.release_all()
    fake = ours.fakes["acme-0"]
    fake.refusals["PublishVersion"] = [refusal("AccessDeniedException")] * 1000
    ours.name(0, "prod", 3)
    let_nothing_be_due(monkeypatch)
    assert ours.outcomes(ours.sweep()) == {"failed", "unchanged"}
    fake.refusals.clear()
    assert ours.outcomes(ours.sweep()) == {"released", "unchanged"}


def test_an_alias_whose_records_cannot_be_read_is_compared_with_lambda(
    account: Callable[[int], Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = account(1)
    ours.release_all()
    let_nothing_be_due(monkeypatch)

    def deny(key: str) -> int:
        raise StoreError(f"cannot read {key}: access denied", denied=True)

    monkeypatch.setattr(ours.store, "size", deny)
    drift(ours)
    ours.sweep()
    assert ours.fakes["acme-0"].shown("prod").startswith("fraud-0:2@")


def test_what_there_is_no_time_for_is_left_to_the_next_reconciliation(
    account: Callable[[int], Account], capfd: pytest.CaptureFixture[str]
) -> None:
    ours = account(1)
    ours.name(0, "prod", 2)
    assert releaser.handler({"sweep": True}, Context(seconds=65)) == {"results": []}
    [line] = map(json.loads, capfd.readouterr().out.splitlines())
    assert (line["aliases"], line["aliases_left"]) == (0, 2)
    ours.sweep()
    assert ours.fakes["acme-0"].shown("prod").startswith("fraud-0:2@")


def test_a_reconciliation_reports_that_it_ran(
    account: Callable[[int], Account], capfd: pytest.CaptureFixture[str]
) -> None:
    account(1).sweep()
    line = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert (line["function_name"], line["alias"], line["Reconciled"]) == (
        "acme_releaser",
        "none",
        1,
    )
    [metrics] = line["_aws"]["CloudWatchMetrics"]
    assert metrics["Metrics"] == [{"Name": "Reconciled", "Unit": "Count"}]
