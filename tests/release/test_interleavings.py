"""Two releasers, two new entries and a Terraform change, interleaved at every call.

One of the releasers may die at any call.

These rules must hold in any order of the calls:

- A move sets an alias to the pin of an entry that was the newest at some moment since the previous
  move of the alias. So no desired state is older than the revision that it moves. If the newest
  entry was recorded as failed at such a moment, the pin may also be the one that the alias serves
  already. If a check has judged wrong what the alias serves, or if Terraform has just created the
  alias, the pin may also be one that the alias served before, or none.
- A move goes only to versions that are Active, and that have answered their check if they have a
  model.
- A version that an alias names is never deleted. No releaser tries to delete a version that was
  named before it read the aliases.
- When all processes are finished, every alias serves its newest entry under the newest code and
  configuration, says which registry it is from, and all variables that Terraform set are present.
- No release record is about an older entry than the previous record, unless an apply preserved that
  entry. No record says that an entry failed after a record that it was released, unless the alias
  has left that version since.
- When a release of an alias has ended, and no other one of it runs, the alias serves no model or
  versions that passed their last check for this alias, although Terraform creates aliases at any
  version. A verdict of a releaser that died before it wrote its record does not count.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from contextlib import contextmanager
from functools import partial
from itertools import chain, count, pairwise, repeat
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from shearling.release.reconcile import release_alias
from shearling.release.trigger import Trigger
from shearling.storage.store import Store
from tests.support.attack import attack
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

    def size(self, key: str) -> int | None:
        self._step(f"head {key}")
        return super().size(key)

    def names(self, prefix: str) -> list[str]:
        self._step(f"list {prefix}")
        return super().names(prefix)


class World:
    """A deployed model with two aliases at version 1, and the rules that must hold."""

    def __init__(
        self,
        first_choices: list[int],
        seed: int,
        settle: int,
        age_seconds: int = 0,
        aliases: tuple[str, ...] = ("prod", "staging"),
    ) -> None:
        self.scheduler = Scheduler(chain(first_choices, bursts(random.Random(seed))))
        self.store = SteppedStore(self.scheduler.step)
        self.registry: Registry = memory_registry(4, store=self.store)
        self.deployment = deploy(self.registry, aliases=list(aliases))
        self.fake = FakeLambda(settle=settle, before=self.scheduler.step)
        self.fake.time.on_sleep = partial(self.scheduler.step, "sleep")
        self.named: dict[str, tuple[str, ...]] = dict.fromkeys(aliases, ("",))
        self.allowed = {alias: {pins} for alias, pins in self.named.items()}
        self.shown = dict(self.named)
        #: What moves have set an alias to, and the aliases that Terraform has created since.
        self.were_shown: dict[str, set[tuple[str, ...]]] = {alias: {("",)} for alias in aliases}
        self.created: set[str] = set()
        self.verdicts = Verdicts()
        self.under_way: Counter[str] = Counter()
        #: Numbers of the newest entry, and of the newest entry that is recorded as failed.
        self.newest, self.failed = dict.fromkeys(self.named, 0), dict.fromkeys(self.named, 0)
        self.store.on_create = self._written
        self.fake.on_move = self._alias_moved
        self.fake.on_verdict = self.verdicts.add
        self.fake.publish_version()
        self.fake.functions["1"]["State"] = "Active"
        for alias in ("prod", "staging"):
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

    def release(self, alias: str, *, trigger: Trigger = Trigger.REQUEST, **options: Any) -> str:
        self.under_way[alias] += 1
        try:
            with self.verdicts.of(alias):
                outcome = release_alias(
                    self.fake.client,
                    self.registry,
                    self.deployment,
                    alias,
                    trigger=trigger,
                    clock=self.fake.time.clock,
                    **options,
                )
        finally:
            self.under_way[alias] -= 1
        is_undecided = outcome.outcome == "failed" and outcome.version is None
        if not is_undecided and outcome.is_compared and not self.under_way[alias]:
            self._assert_passed(alias)
        return outcome.outcome if outcome.outcome != "unchanged" else "released"

    def create_alias(self, alias: str) -> None:
        """Create an alias as Terraform does: at the newest version, whatever model it has."""
        self.scheduler.step("Terraform")
        newest = self.fake.published[-1]
        self.fake.create_alias(alias, newest)
        self.created.add(alias)
        self.shown[alias] = (self.fake.pin(newest),)

    def _shown_versions(self, alias: str) -> list[str]:
        return [self.fake.aliases[alias]["FunctionVersion"], *self.fake.weights(alias)]

    def _assert_passed(self, alias: str) -> None:
        for number in self._shown_versions(alias):
            assert not self.fake.pin(number) or self.verdicts.last(alias, number)

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
        if move.alias in self.created or self.verdicts.wrong.intersection(move.left):
            main = self.shown[move.alias][:1]  # without a canary that failed
            self.allowed[move.alias] |= {main, *self.were_shown[move.alias]}
        self.created.discard(move.alias)
        self.were_shown[move.alias].add(move.pins)
        assert move.pins in self.allowed[move.alias], "the log did not name it"
        assert set(move.states) == {"Active"}
        models = {number for number in move.versions if self.fake.pin(number)}
        assert models <= set(self.fake.checked), "shown without a check"
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
            mark = self.fake.aliases[alias]["Description"]
            assert mark == f"Released by Shearling from {self.registry.store.uri}"
            last = self.registry.release_log.last(self.deployment, alias)
            assert last
            outcome = "failed" if is_failed else "released"
            assert (last.outcome, pin(last.version or 0)) == (outcome, named[0])
            success = next(self.registry.release_log.successes(self.deployment, alias))
            assert success.lambda_version == served["Version"]


class Verdicts:
    """The results of checks, by alias that was being released and Lambda version."""

    def __init__(self) -> None:
        self._run = threading.local()
        self._count = count()
        self._last: dict[tuple[str, str], tuple[int, bool]] = {}
        #: Versions whose last check, for whatever alias, judged them wrong.
        self.wrong: set[str] = set()

    @contextmanager
    def of(self, alias: str) -> Iterator[None]:
        """Collect the results of the release of an alias in this thread."""
        found: list[tuple[str, int, bool]] = []
        self._run.found = found
        is_dead = True
        try:
            yield
            is_dead = False
        finally:
            for number, when, passed in found:
                before = self._last.get((alias, number), (-1, False))
                if passed or not is_dead:
                    self._last[alias, number] = max(before, (when, passed))

    def add(self, number: str, passed: bool) -> None:  # noqa: FBT001 - a callback
        self._run.found.append((number, next(self._count), passed))
        (self.wrong.discard if passed else self.wrong.add)(number)

    def last(self, alias: str, number: str) -> bool:
        """Return whether the last check passed; False if there was none."""
        return self._last.get((alias, number), (-1, False))[1]


def bursts(dice: random.Random) -> Iterator[int]:
    """Yield the number of the process that runs next, in bursts.

    A release takes more than a hundred steps. Hypothesis alone would mostly try short lists, and a
    random choice for every step would let all processes advance at the same pace.
    """
    while True:
        yield from repeat(dice.randrange(60), dice.choice((1, 2, 5, 15, 40)))


@settings(max_examples=attack(500), deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


@settings(max_examples=attack(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


@settings(max_examples=attack(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
            has_left = before.lambda_version != after.lambda_version
            assert after.outcome == "released" or has_left


@settings(max_examples=attack(400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first_choices=st.lists(st.integers(0, 4), max_size=60),
    seed=st.integers(0, 2**32),
    settle=st.integers(0, 1),
    wrong=st.sets(st.sampled_from([2, 3]), max_size=2),
    goes_bad=st.sampled_from([0, 1, 2, 3, 4]),
    prod_versions=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    new_version=st.integers(1, 3),
    canary=st.sampled_from([0, 2, 4]),
    created=st.sampled_from([("new",), ("new", "prod"), ("prod", "staging")]),
    dies_after=st.none() | st.integers(0, 120),
)
def test_whatever_the_order_no_alias_stays_on_a_model_that_failed_its_check(
    *,
    first_choices: list[int],
    seed: int,
    settle: int,
    wrong: set[int],
    goes_bad: int,
    prod_versions: list[int],
    new_version: int,
    canary: int,
    created: tuple[str, ...],
    dies_after: int | None,
) -> None:
    world = World(first_choices, seed, settle, aliases=("prod", "staging", "new"))
    bad = {pin(number) for number in wrong}
    world.fake.check = lambda it: {
        **passing(it),
        "passed": it["Environment"]["Variables"][PIN] not in bad,
    }
    terraform = Terraform(world.fake)

    def apply() -> None:
        for alias in created:
            world.create_alias(alias)
            world.release(alias, trigger=Trigger.APPLY)
        terraform.apply(code_sha256="code-2", memory_mb=1024, variables={"COLOUR": "blue"})
        world.release("prod", trigger=Trigger.APPLY)

    def notebook() -> None:
        for number, version in enumerate(prod_versions):
            world.name("prod", version, canary if number and canary != version else 0)
            if goes_bad and number == 1:
                bad.add(pin(goes_bad))

    def release_both() -> None:
        world.release("prod")
        if "new" in world.fake.aliases:
            world.release("new")

    world.scheduler.add("releaser 1", lambda: world.release("prod"), dies_after=dies_after)
    world.scheduler.add("releaser 2", release_both)
    world.scheduler.add("apply", apply)
    world.scheduler.add("notebook 1", notebook)
    world.scheduler.add("notebook 2", lambda: world.name("new", new_version))
    world.run()
    for alias in world.fake.aliases:
        world.release(alias, trigger=Trigger.SCHEDULE)
        world.release(alias)
