"""Run threads one at a time, in an order that the test chooses."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HANG_SECONDS = 20


class StoppedError(BaseException):
    """The test is over, or the task was killed; not an Exception, so that no code catches it."""


@dataclass
class _Task:
    name: str
    run: Callable[[], object]
    lives: int | None
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    done: bool = False
    error: BaseException | None = None


class Scheduler:
    """Runs tasks step by step; a step ends where the task calls `step`.

    Args:
        choices: index of the task to run next among the unfinished ones; round robin at the end.
        limit: maximum number of steps.
    """

    def __init__(self, choices: Iterator[int], limit: int = 20_000) -> None:
        self._choices = choices
        self._limit = limit
        self._tasks: list[_Task] = []
        self._yielded = threading.Semaphore(0)
        self._current: _Task | None = None
        self._stopped = False
        self.trace: list[str] = []

    def add(self, name: str, run: Callable[[], object], *, dies_after: int | None = None) -> None:
        """Add a task; it can be killed after a number of steps."""
        self._tasks.append(_Task(name, run, dies_after))

    def step(self, what: str = "") -> None:
        """End the step of the running task; does nothing outside of `run`."""
        task = self._current
        if task is None:
            return
        self.trace.append(f"{task.name}: {what}")
        self._yielded.release()
        task.go.acquire()
        if self._stopped:
            raise StoppedError
        if task.lives is not None:
            task.lives -= 1
            if task.lives < 0:
                raise StoppedError

    def run(self) -> None:
        """Run all tasks to their end; raise the first error of a task."""
        threads = [
            threading.Thread(target=self._begin, args=(task,), daemon=True) for task in self._tasks
        ]
        for thread in threads:
            thread.start()
        try:
            self._take_turns()
        finally:
            self._stopped = True
            for task in self._tasks:
                task.go.release()
            for thread in threads:
                thread.join(_HANG_SECONDS)
            self._current = None

    def _take_turns(self) -> None:
        turn = 0
        while waiting := [task for task in self._tasks if not task.done]:
            turn += 1
            assert turn < self._limit, "it does not come to an end"
            task = waiting[next(self._choices, turn) % len(waiting)]
            self._current = task
            task.go.release()
            assert self._yielded.acquire(timeout=_HANG_SECONDS), f"{task.name} hangs"
            if task.error:
                raise task.error

    def _begin(self, task: _Task) -> None:
        task.go.acquire()
        try:
            if not self._stopped:
                task.run()
        except StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by `run`
            task.error = error
        task.done = True
        self._yielded.release()
