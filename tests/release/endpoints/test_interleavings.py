"""Releases, removals of endpoints and promotions in any order, with processes that are stopped.

- An alias never moves to a Lambda version whose endpoint is not in service.
- No endpoint is deleted that an alias names.
- In the end every alias serves what the registry names, and nothing else is left in SageMaker.
"""

from __future__ import annotations

import random
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from shearling.registry.records import FAILED
from shearling.release.trigger import Trigger
from tests.release.test_interleavings import SteppedStore, bursts
from tests.support.attack import attack
from tests.support.endpoints import ASYNCHRONOUS, EndpointStage
from tests.support.fake_lambda import PIN, FakeLambda
from tests.support.fake_sagemaker import FakeSageMaker
from tests.support.releases import memory_registry, pin
from tests.support.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from tests.support.fake_lambda import Move

_ALIASES = ("prod", "staging")


class World:
    """A function with endpoints: prod left version 1 so long ago that its endpoint may go."""

    def __init__(
        self,
        choices: Iterator[int],
        settle: int,
        *,
        bad: Iterable[int] = (),
        broken: Iterable[int] = (),
        is_new_code: bool = False,
        is_asynchronous: bool = False,
    ) -> None:
        self.scheduler = Scheduler(choices)
        self.stage = EndpointStage(
            fake=FakeLambda(settle=settle, before=self._step),
            registry=memory_registry(4, store=SteppedStore(self._step)),
            sagemaker=FakeSageMaker(settle=1, before=self._step, on_deletion=self._deleted),
        )
        self.stage.fake.time.on_sleep = partial(self._step, "sleep")
        self.stage.fake.on_move = self._moved
        if is_asynchronous:
            self.stage.configure(**ASYNCHRONOUS)
        for version, alias in ((1, "prod"), (2, "staging"), (2, "prod")):
            self.stage.serve(version, alias)
        self.stage.sweep()
        self.stage.fake.time.seconds += 31 * 60
        if is_new_code:  # so that the endpoints need other versions of the function
            self.stage.change_code("code-2")
        if is_asynchronous:  # nobody has called for a while
            for endpoint in self.stage.sagemaker.endpoints.values():
                endpoint["instances"] = 0
        self.stage.sagemaker.failure = lambda it: "It crashed." if it in map(pin, broken) else ""
        check, wrong = self.stage.fake.check, {pin(number) for number in bad}

        def judged(configuration: dict[str, Any]) -> dict[str, Any] | bytes:
            is_wrong = configuration["Environment"]["Variables"].get(PIN) in wrong
            answer = check(configuration)
            return {**answer, "passed": False} if is_wrong and isinstance(answer, dict) else answer

        self.stage.fake.check = judged

    def run(self) -> None:
        """Run the tasks; time stands still, as no releaser runs for longer than a mark counts."""
        try:
            self.scheduler.run()
        finally:
            note("\n".join(self.scheduler.trace))

    def release(self, *aliases: str, trigger: Trigger = Trigger.REQUEST) -> None:
        for alias in aliases:
            self.stage.release(alias, trigger=trigger)

    def settle(self) -> None:
        """Let the schedule run for some hours."""
        for _ in range(8):
            self.release(*_ALIASES, trigger=Trigger.SCHEDULE)
            self.stage.sweep(minutes=31)

    def assert_settled(self) -> None:
        for alias in _ALIASES:
            entry = self.stage.registry.alias_entry("fraud", alias)
            last = self.stage.registry.release_log.last(self.stage.deployment, alias)
            assert entry
            assert last
            assert last.entry == entry.number
            if last.outcome != FAILED:
                canary = [entry.canary["version"]] if entry.canary else []
                shown = [self.stage.fake.pin(number) for number in self._shown(alias)]
                assert shown == [pin(number) for number in (entry.version or 0, *canary)]
        named = {self.stage.endpoint_of(it) for alias in _ALIASES for it in self._shown(alias)}
        assert self.stage.sagemaker.names == named - {""}
        assert {it.removesuffix("-start") for it in self.stage.sagemaker.alarms} <= named

    def _step(self, what: str) -> None:
        self.scheduler.step(what)

    def _shown(self, alias: str) -> list[str]:
        fake = self.stage.fake
        return [fake.aliases[alias]["FunctionVersion"], *fake.weights(alias)]

    def _moved(self, move: Move) -> None:
        for number in move.versions:
            if name := self.stage.endpoint_of(number):
                assert self.stage.sagemaker.status(name) == "InService", "moved to one that is gone"

    def _deleted(self, name: str) -> None:
        named = {self.stage.endpoint_of(it) for alias in _ALIASES for it in self._shown(alias)}
        assert name not in named, "deleted while an alias names it"


@pytest.mark.slow
@settings(max_examples=attack(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first_choices=st.lists(st.integers(0, 5), max_size=60),
    seed=st.integers(0, 2**32),
    settle=st.integers(0, 1),
    first=st.sampled_from([1, 3]),
    second=st.sampled_from([1, 2, 3]),
    canary=st.sampled_from([0, 1, 4]),
    bad=st.sets(st.sampled_from([3, 4]), max_size=1),
    broken=st.sets(st.sampled_from([3, 4]), max_size=1),
    is_new_code=st.booleans(),
    is_asynchronous=st.booleans(),
    terraform=st.sampled_from(["", "image", "off"]),
    releaser_dies_after=st.none() | st.integers(0, 120),
    sweep_dies_after=st.none() | st.integers(0, 60),
)
def test_in_any_order_no_alias_names_an_endpoint_that_is_gone_and_none_is_left(
    *,
    first_choices: list[int],
    seed: int,
    settle: int,
    first: int,
    second: int,
    canary: int,
    bad: set[int],
    broken: set[int],
    is_new_code: bool,
    is_asynchronous: bool,
    terraform: str,
    releaser_dies_after: int | None,
    sweep_dies_after: int | None,
) -> None:
    choices = chain(first_choices, bursts(random.Random(seed)))
    world = World(
        choices,
        settle,
        bad=bad,
        broken=broken,
        is_new_code=is_new_code,
        is_asynchronous=is_asynchronous,
    )
    stage = world.stage

    more = ASYNCHRONOUS if is_asynchronous else {}

    def change() -> None:
        if terraform:
            world.scheduler.step("terraform")
            stage.configure(
                image_uri="another", **more
            ) if terraform == "image" else stage.turn_off()
            world.release(*_ALIASES, trigger=Trigger.APPLY)

    def sweep_thrice() -> None:
        for _ in range(3):
            stage.sweep_now()

    def promote() -> None:
        stage.name(first)
        share = {"version": canary, "percent": 10} if canary else None
        stage.name(second, canary=share)

    add = world.scheduler.add
    add("releaser 1", lambda: world.release(*["prod"] * 3), dies_after=releaser_dies_after)
    add("releaser 2", lambda: world.release(*_ALIASES * 3))
    add("sweep 1", stage.sweep_now, dies_after=sweep_dies_after)
    add("sweep 2", sweep_thrice)
    add("notebook", promote)
    add("terraform", change)
    world.run()
    world.settle()
    world.assert_settled()


@pytest.mark.slow
@settings(max_examples=attack(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    turns=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 60)), max_size=5),
    is_new_code=st.booleans(),
    is_forgotten=st.booleans(),
    releaser_dies_after=st.none() | st.integers(0, 90),
    sweep_dies_after=st.none() | st.integers(0, 40),
)
def test_an_alias_returns_to_an_endpoint_at_any_step_of_its_removal(
    *,
    turns: list[tuple[int, int]],
    is_new_code: bool,
    is_forgotten: bool,
    releaser_dies_after: int | None,
    sweep_dies_after: int | None,
) -> None:
    choices = chain.from_iterable(repeat(task, steps) for task, steps in turns)
    world = World(chain(choices, repeat(0)), 0, is_new_code=is_new_code)
    stage = world.stage

    def promote() -> None:
        stage.name(1)
        world.release(*["prod"] * 3)

    world.scheduler.add("sweep", stage.sweep_now, dies_after=sweep_dies_after)
    world.scheduler.add("releaser", promote, dies_after=releaser_dies_after)
    if is_forgotten:
        world.scheduler.add("notebook", lambda: stage.name(2))
    world.run()
    world.settle()
    world.assert_settled()
