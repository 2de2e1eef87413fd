"""Two releasers, two new entries and a Terraform change, interleaved at every call.

One of the releasers may die at any call.

These rules must hold in any order of the calls:

- A move sets an alias to the pin of an entry that was the newest at some moment since the previous
  move of the alias. So no desired state is older than the revision that it moves. If the newest
  entry was recorded as failed at such a moment, the pin may also be the one that the alias serves
  already.
- A move goes only to versions that are Active, and that have answered their check if they have a
  model.
- A version that an alias names is never deleted. No releaser tries to delete a version that was
  named before it read the aliases.
- When all processes are finished, every alias serves its newest entry under the newest code and
  configuration, and all variables that Terraform set are present.
- No release record is about an older entry than the previous record, unless an apply preserved that
  entry. No record says that an entry failed after a record that it was released.
"""

from __future__ import annotations

import json
import random
from functools import partial
from itertools import chain, pairwise, repeat
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from shearling.release.reconcile import release_alias
from shearling.release.trigger import Trigger
from shearling.storage.store import Store
from tests.support.fake_lambda import PIN, FakeLambda, Move, Terraform, passing
from tests.support.releases import deploy, memory_registry, pin
from tests.support.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shearling.registry.registry import Registry

_HOUR = 3600


class SteppedStore(Store):
    """An in-memory store in which every call is a step."""

    def __init__(self, step: Callable[[str], None]) -> None:
        super().__init__(MemoryStore(), "memory://stepped")
        self._step = step
        self.on_create: Callable[[str], object] = len

    def read(self, key: str, *, limit: int | None = None) -> bytes | None:
        self._step(f"read {key}")
        return super().read(key, limit=limit)

    def create(self, key: str, data: bytes) -> bool:
        self._step(f"create {key}")
        created = super().create(key, data)
        if created:
            self.on_create(key)
        return created

    def names(self, prefix: str) -> list[str]:
        self._step(f"list {prefix}")
        return super().names(prefix)


class World:
    """A deployed model with two aliases at version 1, and the rules that must hold."""

    def __init__(
        self, first_choices: list[int], seed: int, settle: int, age_seconds: int = 0
    ) -> None:
        self.scheduler = Scheduler(chain(first_choices, _bursts(random.Random(seed))))
        self.store = SteppedStore(self.scheduler.step)
        self.registry: Registry = memory_registry(4, store=self.store)
        self.deployment = deploy(self.registry)
        self.fake = FakeLambda(settle=settle, before=self.scheduler.step)
        self.fake.time.on_sleep = partial(self.scheduler.step, "sleep")
        self.named: dict[str, tuple[str, ...]] = {"prod": ("",), "staging": ("",)}
        self.allowed = {alias: {pins} for alias, pins in self.named.items()}
        self.shown = dict(self.named)
        #: Numbers of the newest entry, and of the newest entry that is recorded as failed.
        self.newest, self.failed = dict.fromkeys(self.named, 0), dict.fromkeys(self.named, 0)
        self.store.on_create = self._written
        self.fake.on_move = self._alias_moved
        self.fake.publish_version()
        self.fake.functions["1"]["State"] = "Active"
        for alias in self.named:
            self.fake.create_alias(alias, "1")
            self.name(alias, 1)
            assert self.release(alias) == "released"
        # A version for a rollback to return to, or for retention to delete.
        self.name("prod", 4)
        self.release("prod")
        self.name("prod", 1)
        self.release("prod")
        self.fake.time.seconds += age_seconds

    def run(self) -> None:
        try:
            self.scheduler.run()
        finally:
            note("\n".join(self.scheduler.trace))

    def name(self, alias: str, version: int, canary: int = 0) -> None:
        share = {"version": canary, "percent": 10} if canary else None
        self.registry.set_alias("fraud", alias, version, canary=share)

    def release(self, alias: str, *, trigger: Trigger = Trigger.REQUEST) -> str:
        outcome = release_alias(
            self.fake.client,
            self.registry,
            self.deployment,
            alias,
            trigger=trigger,
            clock=self.fake.time.clock,
        )
        return outcome.outcome if outcome.outcome != "unchanged" else "released"

    def _written(self, key: str) -> None:
        # Read the record without a step, because this read is the test's own.
        record = json.loads(Store.read(self.store, key) or b"{}")
        alias = key.split("/")[-2]
        if key.startswith("releases/") and record["outcome"] == "failed":
            self.failed[alias] = max(self.failed[alias], record["entry"])
            self._allow_shown(alias)
        if "/aliases/" not in key:
            return
        self.newest[alias] += 1
        canary = (pin(record["canary"]["version"]),) if record["canary"] else ()
        self.named[alias] = (pin(record["version"]), *canary)
        self.allowed[alias].add(self.named[alias])

    def _allow_shown(self, alias: str) -> None:
        if self.failed[alias] == self.newest[alias]:
            self.allowed[alias].add(self.shown[alias])

    def _alias_moved(self, move: Move) -> None:
        assert move.pins in self.allowed[move.alias], "the log did not name it"
        assert set(move.states) == {"Active"}
        assert set(move.versions) <= {*self.fake.checked, "1"}, "shown without a check"
        self.allowed[move.alias] = {self.named[move.alias]}
        self.shown[move.alias] = move.pins
        self._allow_shown(move.alias)

    def assert_settled(self, code_sha256: str, memory_mb: int) -> None:
        assert self.fake.rash_deletions == []
        for alias, named in self.named.items():
            is_failed = self.failed[alias] == self.newest[alias]
            pins = self.shown[alias] if is_failed else named
            number = self.fake.aliases[alias]["FunctionVersion"]
            shown = [self.fake.pin(it) for it in (number, *self.fake.weights(alias))]
            assert tuple(shown) == pins
            served = self.fake.functions[number]
            assert (served["CodeSha256"], served["MemorySize"]) == (code_sha256, memory_mb)
            assert served["Environment"]["Variables"]["COLOUR"] == "blue"
            last = self.registry.release_log.last(self.deployment, alias)
            assert last
            outcome = "failed" if is_failed else "released"
            assert (last.outcome, pin(last.version or 0)) == (outcome, named[0])
            success = next(self.registry.release_log.successes(self.deployment, alias))
            assert success.lambda_version == served["Version"]


def _bursts(dice: random.Random) -> Iterator[int]:
    """Yield the number of the process that runs next, in bursts.

    A release takes more than a hundred steps. Hypothesis alone would mostly try short lists, and a
    random choice for every step would let all processes advance at the same pace.
    """
    while True:
        yield from repeat(dice.randrange(60), dice.choice((1, 2, 5, 15, 40)))


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first_choices=st.lists(st.integers(0, 4), max_size=60),
    seed=st.integers(0, 2**32),
    settle=st.integers(0, 2),
    second_alias=st.sampled_from(["prod", "staging"]),
    second_version=st.sampled_from([1, 2]),
    age_seconds=st.sampled_from([0, 2 * _HOUR]),
    canary=st.sampled_from([0, 3, 4]),
    dies_after=st.none() | st.integers(0, 80),
)
def test_in_any_order_an_alias_serves_what_its_log_names(
    *,
    first_choices: list[int],
    seed: int,
    settle: int,
    second_alias: str,
    second_version: int,
    age_seconds: int,
    canary: int,
    dies_after: int | None,
) -> None:
    world = World(first_choices, seed, settle, age_seconds)
    terraform = Terraform(world.fake)
    change = partial(
        terraform.apply, code_sha256="code-2", memory_mb=1024, variables={"COLOUR": "blue"}
    )
    world.scheduler.add("releaser 1", lambda: world.release("prod"), dies_after=dies_after)
    world.scheduler.add("releaser 2", lambda: [world.release(it) for it in ("prod", "staging")])
    world.scheduler.add("notebook 1", lambda: world.name("prod", 2))
    world.scheduler.add("notebook 2", lambda: world.name(second_alias, second_version, canary))
    world.scheduler.add("terraform", change)
    world.run()
    for alias in world.named:
        assert world.release(alias, trigger=Trigger.SCHEDULE) == "released"
    world.assert_settled("code-2", 1024)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first_choices=st.lists(st.integers(0, 3), max_size=60),
    seed=st.integers(0, 2**32),
    settle=st.integers(0, 2),
    next_version=st.sampled_from([1, 2, 3]),
    canary=st.sampled_from([0, 4]),
    dies_after=st.none() | st.integers(0, 120),
)
def test_in_any_order_a_failed_entry_never_changes_what_an_apply_preserves(
    *,
    first_choices: list[int],
    seed: int,
    settle: int,
    next_version: int,
    canary: int,
    dies_after: int | None,
) -> None:
    world = World(first_choices, seed, settle)
    world.name("prod", 1, canary)
    world.release("prod")
    world.fake.check = lambda it: {
        **passing(it),
        "passed": it["Environment"]["Variables"][PIN] != pin(2),
    }
    world.name("prod", 2)
    assert world.release("prod") == "failed"
    terraform = Terraform(world.fake)

    def apply() -> None:
        terraform.apply(code_sha256="code-2", memory_mb=1024, variables={"COLOUR": "blue"})
        world.release("prod", trigger=Trigger.APPLY)

    world.scheduler.add("apply 1", apply, dies_after=dies_after)
    world.scheduler.add("apply 2", apply)
    world.scheduler.add("releaser", lambda: [world.release("prod") for _ in range(2)])
    world.scheduler.add("notebook", lambda: world.name("prod", next_version))
    world.run()
    for alias in world.named:
        # This apply records the failure if an earlier one died before it could.
        assert world.release(alias, trigger=Trigger.APPLY) in {"failed", "released"}
        assert world.release(alias, trigger=Trigger.APPLY) == "released"
    world.assert_settled("code-2", 1024)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first_choices=st.lists(st.integers(0, 3), max_size=60),
    seed=st.integers(0, 2**32),
    settle=st.integers(0, 1),
    dies_after=st.none() | st.integers(0, 80),
)
def test_in_any_order_and_with_random_checks_no_record_overtakes_another(
    *, first_choices: list[int], seed: int, settle: int, dies_after: int | None
) -> None:
    world = World(first_choices, seed, settle)
    luck = random.Random(seed)
    world.fake.check = lambda it: {**passing(it), "passed": luck.random() < 0.5}
    world.scheduler.add("releaser 1", lambda: world.release("prod"), dies_after=dies_after)
    world.scheduler.add("releaser 2", lambda: world.release("prod"))
    world.scheduler.add("notebook 1", lambda: world.name("prod", 2))
    world.scheduler.add("notebook 2", lambda: world.name("prod", 3))
    world.run()
    for before, after in pairwise(world.registry.release_log.entries(world.deployment, "prod")):
        assert before.entry <= after.entry
        if before.entry == after.entry and before.outcome == "released":
            assert after.outcome == "released"
