"""The entries of one alias: the current one, the served one, and those a rollback may return to.

Every entry records the entry that a rollback from it returns to, so a rollback does not read the
whole log, and the versions that were rolled back from, so no rollback returns to them. Entries of
0.1 record neither; for them a bounded number of older entries is searched.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from shearling.errors import RegistryError
from shearling.refs import check_alias, check_model
from shearling.registry.append_log import Log
from shearling.registry.record_reader import read_alias_entry
from shearling.registry.records import FAILED
from shearling.text_table import CONTROLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from shearling.registry.records import AliasEntry, Deployment, Release
    from shearling.registry.release_log import ReleaseLog
    from shearling.storage.store import Store

#: Number of older records that are read for an entry of 0.1.
_SEARCHED = 100

#: Number of versions that an entry records as rolled back from, so that a record stays small.
_MOST_ROLLED_BACK = 1000

#: Characters that the reason of an entry may have.
_MOST_REASON = 1000

#: Reason of a rollback unless the caller gives one; in a log of 0.1 nothing else tells it.
ROLLBACK = "rollback"


def check_reason(reason: str) -> str:
    """Return the reason of an entry if it can be recorded.

    Raises:
        RegistryError: the reason is too long, or it has control characters.
    """
    if not isinstance(reason, str):
        raise RegistryError(f"reason {reason!r:.80}: expected a text")
    if len(reason) > _MOST_REASON:
        raise RegistryError(
            f"reason {reason[:20]!r}...: it has {len(reason):,} characters, but {_MOST_REASON:,} "
            "are allowed; link to a longer text"
        )
    if found := CONTROLS.search(reason.replace("\r\n", "\n")):
        raise RegistryError(
            f"reason {reason!r:.80}: remove the control character {found[0]!r}; only tabs and "
            "line breaks are allowed"
        )
    return reason


class AliasLog:
    """The log of one alias.

    Args:
        store: of the registry.
        model: the model's name.
        alias: the alias's name.
    """

    def __init__(self, store: Store, model: str, alias: str) -> None:
        self._store = store
        self._model = check_model(model)
        self._alias = check_alias(alias)
        self._deployments: list[Deployment] | None = None
        prefix = f"models/{model}/aliases/{alias}"
        self._log = Log(store, prefix, partial(read_alias_entry, model, alias))

    def newest(self) -> AliasEntry | None:
        """Return the current entry, or None if the alias was never set."""
        return self._log.newest()

    def at(self, number: int) -> AliasEntry | None:
        """Return the entry of a number, or None if there is no valid one."""
        return self._log.find(number) if number else None

    def has_after(self, number: int) -> bool:
        """Return whether there is a valid entry after an existing one, or any if that is 0."""
        if not self._log.exists(number + 1):
            return False
        newest = self._log.newest()
        return newest is not None and newest.number > number

    def down_from(self, number: int | None = None) -> Iterator[AliasEntry]:
        """Yield the entries from a number, or from the newest, down to 1."""
        yield from self._log.down_from(self._log.last() if number is None else number)

    def append(
        self,
        version: int | None,
        canary: Mapping[str, int] | None,
        *,
        reason: str,
        by: str,
        check: Callable[[AliasEntry | None], object] = bool,
    ) -> AliasEntry:
        """Write the next entry; other writers may append concurrently.

        Args:
            version: version that the alias names; None ends the alias.
            canary: version and percentage of a canary.
            reason: text for the entry.
            by: who writes it.
            check: called with the current entry before each attempt to write the next one; raises
                an error to write none.
        """
        check_reason(reason)
        fields = {"version": version, "canary": canary, "reason": reason, "by": by}
        named = {version, canary["version"] if canary else None}
        while True:
            last = self._log.last()
            current = next(self._log.down_from(last), None)
            check(current)
            before = self._before_next(version, current)
            if before > last:
                if self._log.last() > last:
                    continue  # an entry that was written meanwhile is served already
                before = 0  # the release names an entry that the log does not have
            rolled_back = (current.rolled_back or ()) if current else ()
            eligible = (number for number in rolled_back if number not in named)
            if entry := self._write(last + 1, fields, before, eligible):
                return entry

    def replace(
        self,
        current: AliasEntry,
        version: int,
        *,
        reason: str,
        before: int,
        by: str,
        force: bool = False,
        rolled_back: Iterable[int] = (),
    ) -> AliasEntry | None:
        """Write the next entry only if `current` is still the newest; return None if it is not."""
        check_reason(reason)
        last = self._log.last()
        newest = next(self._log.down_from(last), None)
        if newest is None or newest.number != current.number:
            return None
        fields: dict[str, object] = {"version": version, "canary": None, "reason": reason, "by": by}
        if force:
            fields["force"] = True
        return self._write(last + 1, fields, before, rolled_back)

    def served(self, newest: AliasEntry) -> AliasEntry | None:
        """Return the newest entry that was released on a function that serves the alias.

        Returns:
            `newest` if no function serves the alias; None if no entry was ever released.
        """
        if not self._serving:
            return newest
        successes = (next(self._successes(one), None) for one in self._serving)
        number = max((release.entry for release in successes if release), default=0)
        return newest if number == newest.number else self.at(number)

    def answering(self, newest: AliasEntry) -> AliasEntry | None:
        """Return the entry that callers know: the newest one, or the served one if that failed."""
        return self.served(newest) if self.has_failed(newest) else newest

    def before(self, entry: AliasEntry) -> int:
        """Return the number of the entry that a rollback from an entry returns to; 0 for none."""
        return self._searched(entry) if entry.before is None else entry.before

    def back_from(self, entry: AliasEntry) -> Iterator[AliasEntry]:
        """Yield the entries that rollbacks from an entry return to, one after the other."""
        while earlier := self.at(self.before(entry)):
            yield earlier
            entry = earlier

    def _before_next(self, version: int | None, current: AliasEntry | None) -> int:
        """Return the number that the entry to be written records as its rollback target."""
        if current is None:
            return 0
        served = self.served(current)
        if served is None and not self.has_failed(current):
            served = current  # nothing was released yet, and this release may be in progress
        if served is None:
            return 0
        return self.before(served) if served.version in (version, None) else served.number

    def _write(
        self, number: int, fields: Mapping[str, object], before: int, rolled_back: Iterable[int]
    ) -> AliasEntry | None:
        newest = [*dict.fromkeys(rolled_back)][-_MOST_ROLLED_BACK:]
        more = {"before": before or None, "rolled_back": newest}
        is_written = self._log.create(number, {**fields, **more})
        return self._log.read(number) if is_written else None

    def _searched(self, entry: AliasEntry) -> int:
        """Return what `before` returns for an entry of 0.1, from a bounded number of records."""
        if not self._serving:
            return _return_target(entry, islice(self._log.down_from(entry.number - 1), _SEARCHED))
        return max(_return_target(entry, self._served_below(entry, one)) for one in self._serving)

    def _served_below(self, entry: AliasEntry, deployment: Deployment) -> Iterator[AliasEntry]:
        for release in islice(self._successes(deployment), _SEARCHED):
            if release.entry < entry.number and (older := self.at(release.entry)):
                yield older

    def has_failed(self, entry: AliasEntry) -> bool:
        """Return whether the newest release on a serving function is a failure of an entry."""
        lasts = (self._releases.last(one, self._alias) for one in self._serving)
        return any(last and (last.entry, last.outcome) == (entry.number, FAILED) for last in lasts)

    def _successes(self, deployment: Deployment) -> Iterator[Release]:
        return self._releases.successes(deployment, self._alias)

    @property
    def _serving(self) -> list[Deployment]:
        """The functions that serve the alias, read once."""
        # Not `functools.cached_property`: up to Python 3.11 all threads wait for one lock of it.
        if self._deployments is None:
            deployments = self._releases.deployments(self._model)
            self._deployments = [one for one in deployments if self._alias in one.aliases]
        return self._deployments

    @property
    def _releases(self) -> ReleaseLog:
        from shearling.registry.release_log import ReleaseLog

        return ReleaseLog(self._store)


def _return_target(entry: AliasEntry, older: Iterable[AliasEntry]) -> int:
    """Return the number of the entry before one, without those that were rolled back from.

    Args:
        entry: entry of 0.1.
        older: the entries below it, newest first.
    """
    for each in older:
        if each.version == entry.version:
            entry = each  # if `entry` is a rollback, this is what it returned to
        elif entry.reason != ROLLBACK and each.version is not None:
            return each.number
    return 0
