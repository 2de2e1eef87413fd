"""Decide from a version's answer to `check` whether the alias may serve it."""

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
    """The version did not pass its check under the current code and configuration."""


class CheckNotRunError(CheckFailedError):
    """The check could not run, so it says nothing about the model."""


def rejection_reason(answer: Any, failure: str, pin: str, version: FunctionConfiguration) -> str:
    """Return why a version must not be served, and what to do; empty if it passed its check.

    Args:
        answer: the function's answer to `check`.
        failure: Lambda's kind of failure, such as "Unhandled"; empty if there was none.
        pin: the model that the function must have loaded.
        version: configuration of the version that was checked.
    """
    if failure or not isinstance(answer, Mapping):
        return _crash_reason(answer, version)
    if answer.get("shearling") != "check":
        problem = answer.get("error") or f"unexpected answer: {str(answer)[:200]}"
        return f"the function could not check the model: {problem}"
    if answer.get("model") != pin:
        return f"the function loaded {answer.get('model')!r}, expected {pin!r}"
    if answer.get("passed") is not True:
        return _difference_reason(answer)
    peak, memory = answer.get("peak_memory_mb"), answer.get("memory_mb") or version.memory_mb
    if isinstance(peak, int | float) and memory and peak >= memory:
        return (
            f"the model needs {peak:.0f} MB of memory, but the function has {memory} MB: "
            "raise memory_mb"
        )
    return ""


def is_denied(reason: str) -> bool:
    """Return whether the function's role lacks a permission, or does not have it yet."""
    return bool(re.search(r"access ?denied", reason, re.IGNORECASE))


def _difference_reason(answer: Mapping[str, Any]) -> str:
    reason = answer.get("reason") or "its answers to the example differ from those at push"
    worst = answer.get("worst_difference")
    # A model that could not be loaded has no finite difference.
    is_useful = worst not in (None, "", "0", "inf", "nan") and str(worst) not in reason
    difference = f" (worst difference {worst})" if is_useful else ""
    return f"the model did not pass its check: {reason}{difference}"


def _crash_reason(answer: Any, version: FunctionConfiguration) -> str:
    # Remove the request id, so that the same failure always has the same reason.
    text = _REQUEST_ID.sub("", failure_message(answer))[:500]
    kind = answer.get("errorType", "") if isinstance(answer, Mapping) else ""
    if "timed out" in text:
        return (
            f"the check did not finish within the function's timeout of {version.timeout_seconds} "
            f"s: raise timeout_seconds, or memory_mb (now {version.memory_mb}), which also gives "
            "more CPU"
        )
    if "signal: killed" in text or "OutOfMemory" in kind or kind == "MemoryError":
        return f"the model does not fit into memory: raise memory_mb (now {version.memory_mb})"
    return f"the check crashed: {f'{kind}: ' if kind else ''}{text}"
