"""Rollbacks under any sequence of moves, releases, failures and other rollbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shearling.aliases.rollback import rollback
from shearling.aliases.set_alias import set_alias
from shearling.errors import ReleaseError
from tests.support.attack import attack
from tests.support.releases import deploy, memory_registry, record

if TYPE_CHECKING:
    from shearling.registry.records import AliasEntry, Deployment

VERSIONS = st.integers(1, 4)


class Rollbacks(RuleBasedStateMachine):
    """An alias, what is served of it, and what its users rolled back from."""

    @initialize(functions=st.integers(0, 2))
    def start(self, functions: int) -> None:
        self.registry = memory_registry(4)
        names = ["acme-fraud", "eu-fraud"][:functions]
        self.deployments: list[Deployment] = [deploy(self.registry, name) for name in names]
        self.newest: AliasEntry | None = None
        self.named: set[int] = set()
        self.left: set[int] = set()

    @rule(version=VERSIONS, canary=st.none() | VERSIONS)
    def move(self, version: int, canary: int | None) -> None:
        share = {"version": canary, "percent": 10} if canary not in (None, version) else None
        self._is_newest(set_alias("fraud", "prod", version, canary=share, registry=self.registry))
        assert self.newest
        self.left.difference_update(self.newest.versions)

    @precondition(lambda self: self.newest)
    @rule()
    def end_the_alias(self) -> None:
        self._is_newest(self.registry.set_alias("fraud", "prod", None))

    @precondition(lambda self: self.newest and self.deployments)
    @rule(outcome=st.sampled_from(["released", "released", "failed", "staging"]), data=st.data())
    def release(self, outcome: str, data: st.DataObject) -> None:
        assert self.newest
        deployment = data.draw(st.sampled_from(self.deployments))
        number, version = self.newest.number, self.newest.version
        record(self.registry, deployment, "prod", number, version, outcome=outcome)

    @precondition(lambda self: self.newest)
    @rule()
    def roll_back(self) -> None:
        assert self.newest
        before = self.newest
        try:
            entry = rollback("fraud", "prod", registry=self.registry)
        except ReleaseError:
            return
        assert entry.version is not None
        assert entry.canary is None
        assert entry.version in self.named, "no version that the alias was never set to"
        assert entry.version not in self.left, "no version that was rolled back from"
        self._is_newest(entry)
        self.left.update(number for number in before.versions if number != entry.version)

    @precondition(lambda self: self.newest and self.deployments)
    @rule()
    def roll_back_to_the_end(self) -> None:
        for _ in range(10):
            try:
                entry = rollback("fraud", "prod", registry=self.registry)
            except ReleaseError:
                return
            self._is_newest(entry)
            assert entry.version not in self.left
            for deployment in self.deployments:
                record(self.registry, deployment, "prod", entry.number, entry.version)
        raise AssertionError("rollbacks that are released never end")

    @invariant()
    def the_entries_remember_what_was_rolled_back_from(self) -> None:
        if getattr(self, "newest", None):
            assert self.newest
            assert self.left <= set(self.newest.rolled_back or ())

    def _is_newest(self, entry: AliasEntry) -> None:
        self.newest = entry
        self.named.update(entry.versions)


Rollbacks.TestCase.settings = settings(max_examples=attack(100), stateful_step_count=25)
TestRollbacks = Rollbacks.TestCase
