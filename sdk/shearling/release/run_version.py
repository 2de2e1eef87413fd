"""The Lambda version that answers all parts of a batch run, and how many it answers at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from shearling.errors import ReleaseError
from shearling.lambda_api import failure_message
from shearling.release.api_calls import DeniedError, ResourceMissingError, RetryLaterError
from shearling.release.republish import PUBLISH

if TYPE_CHECKING:
    from shearling.refs import Pin
    from shearling.release.function_configuration import FunctionConfiguration
    from shearling.release.lambda_function import LambdaFunction

#: Share of a function's concurrency that runs leave to other callers.
_SHARE_OF_OTHERS = 0.1

#: Errors of the releaser after which another request may succeed.
_WAITING = frozenset({"BeingStagedError", "RetryLaterError", "StoreError"})


def served_version(function: LambdaFunction, alias: str) -> FunctionConfiguration:
    """Return the Lambda version that an alias serves; without the canary's, which gets a share.

    Raises:
        ReleaseError: the function has no such alias, or no model is released on it.
    """
    try:
        version = function.version(function.alias(alias).version)
    except ResourceMissingError as error:
        raise ReleaseError(
            f"alias: the function {function.name} has no alias {alias!r:.80}"
        ) from error
    if not version.pin:
        raise ReleaseError(
            f"alias: no model is released on {function.name}:{alias}: set the alias to a version"
        )
    return version


def pinned_version(
    function: LambdaFunction, releaser: LambdaFunction, pin: Pin, number: str = ""
) -> FunctionConfiguration:
    """Return a Lambda version that serves a pin, and let the releaser publish one if needed.

    Args:
        function: the function.
        releaser: the releaser of the function.
        pin: the model.
        number: number of the version to prefer; empty for the newest one.

    Raises:
        ReleaseError: the function cannot serve the model.
        RetryLaterError: another attempt may succeed.
    """
    found = [version.number for version in function.versions() if version.pin == str(pin)]
    if number not in found:
        number = found[0] if found else _published(function, releaser, pin)
    return function.version(number)


def concurrency_for_runs(function: LambdaFunction, asked: int) -> int:
    """Return how many parts may be scored at once, so that other callers are still answered.

    Args:
        function: the function.
        asked: number that the run asks for.
    """
    try:
        available = function.concurrency()
    except DeniedError:
        return asked  # a role that was given may lack the permission
    return max(1, min(asked, math.floor(available * (1 - _SHARE_OF_OTHERS))))


def _published(function: LambdaFunction, releaser: LambdaFunction, pin: Pin) -> str:
    request = {"shearling": PUBLISH, "function": function.name, "pin": str(pin)}
    answer, failure = releaser.ask(request)
    if failure or not isinstance(answer, dict):
        kind = answer.get("errorType") if isinstance(answer, dict) else None
        error = RetryLaterError if kind in _WAITING else ReleaseError
        raise error(f"{releaser.name} published no version for {pin}: {failure_message(answer)}")
    return str(answer["lambda_version"])
