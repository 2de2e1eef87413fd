"""Scheduled reconciliations, repeated events and moved registries, interleaved with releases.

The rules of `test_interleavings` hold here too. In addition:

- A reconciliation that reads only the registry leaves no alias behind its newest entry.
- Neither it nor a repeated event runs a check again whose failure is recorded.
- A releaser whose registry has no entry for a marked alias changes nothing.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shearling.release.reconcile import release_alias
from shearling.release.recorded_outcomes import RecordedOutcomes
from shearling.release.trigger import Trigger
from tests.release.test_interleavings import World
from tests.support.attack import attack
from tests.support.fake_lambda import PIN, passing
from tests.support.releases import deploy, memory_registry, pin

if TYPE_CHECKING:
    from shearling.release.recorded_outcomes import KnownReleases

_CHOICES = st.lists(st.integers(0, 4), max_size=60)
_SEED = st.integers(0, 2**32)


def reconcile(world: World, known: KnownReleases) -> None:
    """Run a scheduled reconciliation that compares no alias with Lambda without a reason."""
    records = RecordedOutcomes(world.registry, known)
    for alias in world.named:
        world.release(alias, trigger=Trigger.SCHEDULE, records=records)


def unmark(world: World) -> None:
    """Leave the aliases as releasers of earlier versions did."""
    for alias in world.fake.aliases.values():
        alias["Description"] = "Moved by the releaser."


@settings(max_examples=attack(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first_choices=_CHOICES,
    seed=_SEED,
    settle=st.integers(0, 1),
    wrong=st.sets(st.sampled_from([2, 3]), max_size=2),
    canary=st.sampled_from([0, 4]),
    is_unmarked=st.booleans(),
    is_warm=st.booleans(),
    dies_after=st.none() | st.integers(0, 80),
)
def test_in_any_order_a_reconciliation_from_the_registry_leaves_no_alias_behind(
    *,
    first_choices: list[int],
    seed: int,
    settle: int,
    wrong: set[int],
    canary: int,
    is_unmarked: bool,
    is_warm: bool,
    dies_after: int | None,
) -> None:
    world = World(first_choices, seed, settle)
    if is_unmarked:
        unmark(world)
    bad = {pin(number) for number in wrong}
    world.fake.check = lambda it: {
        **passing(it),
        "passed": it["Environment"]["Variables"][PIN] not in bad,
    }
    known: KnownReleases = {}

    def name_both() -> None:
        for alias in ("prod", "staging"):
            world.name(alias, 3)

    def reconcile_twice() -> None:
        for _ in range(2):
            reconcile(world, known)

    world.scheduler.add(
        "event", lambda: world.release("prod", trigger=Trigger.ENTRY), dies_after=dies_after
    )
    world.scheduler.add("schedule 1", lambda: reconcile(world, known))
    world.scheduler.add("schedule 2", reconcile_twice)
    world.scheduler.add("notebook 1", lambda: world.name("prod", 2, canary))
    world.scheduler.add("notebook 2", name_both)
    world.run()
    reconcile(world, known if is_warm else {})
    checks = len(world.fake.checked)
    for alias, named in world.named.items():
        last = world.registry.release_log.last(world.deployment, alias)
        assert last
        assert last.entry == world.newest[alias]
        is_bad = not bad.isdisjoint(named)
        assert last.outcome == ("failed" if is_bad else "released")
        if not is_bad:
            assert world.shown[alias] == named
        # Neither of these checks again what has failed.
        for trigger in (Trigger.ENTRY, Trigger.SCHEDULE):
            assert world.release(alias, trigger=trigger) == last.outcome
    calls = len(world.fake.calls)
    reconcile(world, known if is_warm else {})
    assert (len(world.fake.checked), len(world.fake.calls)) == (checks, calls)


@settings(max_examples=attack(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first_choices=_CHOICES,
    seed=_SEED,
    settle=st.integers(0, 1),
    trigger=st.sampled_from(list(Trigger)),
    dies_after=st.none() | st.integers(0, 80),
)
def test_in_any_order_a_moved_registry_changes_nothing(
    *, first_choices: list[int], seed: int, settle: int, trigger: Trigger, dies_after: int | None
) -> None:
    world = World(first_choices, seed, settle)
    moved = memory_registry(4)
    deployment = deploy(moved)

    def release_from_the_moved_registry() -> None:
        for alias in world.named:
            clock = world.fake.time.clock
            outcome = release_alias(
                world.fake.client, moved, deployment, alias, trigger=trigger, clock=clock
            )
            assert outcome.outcome == "failed"
            assert world.registry.store.uri in outcome.reason

    world.scheduler.add("releaser 1", lambda: world.release("prod"), dies_after=dies_after)
    world.scheduler.add("releaser 2", lambda: [world.release(it) for it in world.named])
    world.scheduler.add("moved", release_from_the_moved_registry)
    world.scheduler.add("notebook", lambda: world.name("prod", 2))
    world.run()
    for alias, named in world.named.items():
        assert world.release(alias) == "released"
        assert world.shown[alias] == named
    assert moved.release_log.last(deployment, "prod") is None


@settings(max_examples=attack(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first_choices=_CHOICES,
    seed=_SEED,
    back=st.sampled_from([1, 4]),
    goes_bad=st.booleans(),
    dies_after=st.none() | st.integers(0, 80),
)
def test_in_any_order_only_what_no_check_judged_wrong_since_is_served_again_without_one(
    *, first_choices: list[int], seed: int, back: int, goes_bad: bool, dies_after: int | None
) -> None:
    """Versions 1 and 4 were released on `prod` before; version 4 may go bad meanwhile."""
    world = World(first_choices, seed, 0)
    luck = random.Random(seed)
    bad: set[str] = set()
    world.fake.check = lambda it: {
        **passing(it),
        "passed": it["Environment"]["Variables"][PIN] not in bad or luck.random() < 0.2,
    }

    def notebook() -> None:
        world.name("staging", 4)
        if goes_bad:
            bad.add(pin(4))
        world.name("prod", back)

    world.scheduler.add("releaser 1", lambda: world.release("prod"), dies_after=dies_after)
    world.scheduler.add("releaser 2", lambda: [world.release(it) for it in ("staging", "prod")])
    world.scheduler.add("releaser 3", lambda: world.release("staging"))
    world.scheduler.add("notebook", notebook)
    world.run()
    for alias in world.named:
        world.release(alias)
