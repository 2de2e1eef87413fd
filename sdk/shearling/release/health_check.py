"""Whether a published version may be shown: the verdict over its answer to `check`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shearling.errors import ReleaseError
from shearling.lambda_api import failure_message

if TYPE_CHECKING:
    from shearling.release.function_configuration import FunctionConfiguration

_REQUEST_ID = re.compile(r"RequestId: \S+ (Error: )?")


class CheckFailedError(ReleaseError):
    """What the entry names must not be shown by this code and configuration."""


def rejection_reason(answer: Any, failure: str, pin: str, version: FunctionConfiguration) -> str:
    """Return why a version must not be shown, and what to do about it; empty if it may be.

    Args:
        answer: what the function said.
        failure: the kind of failure that Lambda saw; empty if it saw none.
        pin: the model that it should have loaded.
        version: which was asked.
    """
    if failure or not isinstance(answer, Mapping):
        return _crash(answer, version)
    if answer.get("shearling") != "check":
        said = answer.get("error") or f"something else: {str(answer)[:200]}"
        return f"the function could not check the model: {said}"
    if answer.get("model") != pin:
        return f"the function loaded {answer.get('model')!r}, not {pin!r}"
    if answer.get("passed") is not True:
        return _difference(answer)
    peak, memory = answer.get("peak_memory_mb"), answer.get("memory_mb") or version.memory_mb
    if isinstance(peak, int | float) and memory and peak >= memory:
        return f"the model needs {peak:.0f} MB and the function has {memory}: raise memory_mb"
    return ""


def is_denied(reason: str) -> bool:
    """Say whether an rejection_reason is that the function's own rights do not hold (yet)."""
    return bool(re.search(r"access ?denied", reason, re.IGNORECASE))


def _difference(answer: Mapping[str, Any]) -> str:
    reason = answer.get("reason") or "its answers to the example differ from those when pushed"
    worst = answer.get("worst_difference")
    # A model that did not load is no number away from its answers.
    tells_more = worst not in (None, "", "0", "inf", "nan") and str(worst) not in reason
    shown = f" (worst difference {worst})" if tells_more else ""
    return f"the model did not pass its check: {reason}{shown}"


def _crash(answer: Any, version: FunctionConfiguration) -> str:
    # The request's id differs each time; without it the same failure reads the same.
    text = _REQUEST_ID.sub("", failure_message(answer))[:500]
    kind = answer.get("errorType", "") if isinstance(answer, Mapping) else ""
    if "timed out" in text:
        return (
            f"the check did not finish in the function's {version.timeout_seconds} s: raise "
            f"timeout_seconds, or memory_mb (now {version.memory_mb}), which also buys processor"
        )
    if "signal: killed" in text or "OutOfMemory" in kind or kind == "MemoryError":
        return f"the model does not fit into memory: raise memory_mb (now {version.memory_mb})"
    return f"the check crashed: {f'{kind}: ' if kind else ''}{text}"
