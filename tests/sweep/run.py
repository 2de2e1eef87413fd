"""Run one case of the sweep, within a time limit."""

from __future__ import annotations

import contextlib
import io
import signal
import time
from typing import Any

from tests.sweep.cases import Case, all_cases
from tests.sweep.outcome import WRONG, outcome_of
from tests.sweep.table import UNFITTED

_CASE_SECONDS = 120

_CASES: dict[str, Case] = {}


def run_by_name(name: str) -> dict[str, Any]:
    """Return the outcome of the case with a name."""
    if not _CASES:
        _CASES.update({case.name: case for case in all_cases()})
    started = time.monotonic()
    signal.signal(signal.SIGALRM, _expire)
    signal.alarm(_CASE_SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the runtime's log
            word, reason = _run(_CASES[name])
    except TimeoutError:
        word, reason = WRONG, f"not finished after {_CASE_SECONDS} s"
    finally:
        signal.alarm(0)
    seconds = round(time.monotonic() - started, 2)
    return {"name": name, "word": word, "reason": reason, "seconds": seconds}


def _run(case: Case) -> tuple[str, str]:
    try:
        model, given = case.fit()
    except TimeoutError:
        raise
    except Exception as error:  # noqa: BLE001 - the estimator does not accept such data
        return UNFITTED, f"{type(error).__name__}: {error}"
    outcome = outcome_of(model, given)
    return outcome.word, outcome.reason


def _expire(*_: object) -> None:
    raise TimeoutError
