"""What AWS does in a Distributed Map and the emulator does not: paths, an end, and Lambda's faults.

It replaces functions of ministack, as the launcher does.
"""

from __future__ import annotations

import fnmatch
import json
import os
import threading
from collections import Counter
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ministack.services import s3, stepfunctions

if TYPE_CHECKING:
    from collections.abc import Callable

Record = dict[str, Any]

#: Errors of Lambda for a test to ask for: a list of `{key, error, times}`, where `key` is a pattern
#: of the sources of score requests, and `times` how often each of them fails.
FAULTS = Path(os.environ["SHEARLING_EMULATOR_STATE"]) / "lambda-faults.json"

_failed: Counter[tuple[str, str]] = Counter()
_lock = threading.Lock()


def run_distributed_map(
    state: Record, raw_input: Any, effective: Any, *rest: Any, stock: Any
) -> Any:
    """AWS takes the limits of a map from its input, where paths name them."""
    values = {
        name: stepfunctions._resolve_path_or_ctx(state[f"{name}Path"], effective, {})
        for name in ("MaxConcurrency", "ToleratedFailurePercentage")
        if f"{name}Path" in state
    }
    return stock({**state, **values}, raw_input, effective, *rest)


def run_sub_machine(
    states: Record, start_at: str, data: Any, execution: Record, context: Record, *, stock: Any
) -> Any:
    """AWS begins no part of an execution that has been stopped."""
    run = stepfunctions._map_runs.get(execution.get("mapRunArn"))
    if run and stepfunctions._executions[run["executionArn"]]["status"] != "RUNNING":
        raise stepfunctions._ExecutionError("States.Aborted", "the execution was stopped")
    return stock(states, start_at, data, execution, context)


def fail_execution(execution: Record, error: str, cause: str, *, stock: Callable[..., Any]) -> None:
    """An execution that was stopped stays so, whatever becomes of the parts that were running."""
    if execution["status"] == "RUNNING":
        stock(execution, error, cause)


def call_lambda(function: str, event: Any, *, stock: Callable[..., Any]) -> Any:
    """Lambda throttles, and ends functions that need too much: here it does where a test says."""
    key = str(((event.get("source") or {}) if isinstance(event, dict) else {}).get("key", ""))
    for fault in json.loads(FAULTS.read_text()) if key and FAULTS.exists() else []:
        place = (fault["key"], json.dumps(event.get("source"), sort_keys=True))
        with _lock:
            is_due = fnmatch.fnmatchcase(key, fault["key"]) and _failed[place] < fault["times"]
            _failed[place] += is_due
        if is_due:
            raise stepfunctions._ExecutionError(fault["error"], "as a test asked")
    return stock(function, event)


def call_service(resource: str, request: Record, *, stock: Callable[..., Any]) -> Any:
    """AWS writes what is no text as JSON; the emulator knows no put."""
    if not resource.endswith(":aws-sdk:s3:putObject"):
        return stock(resource, request)
    body = request["Body"] if isinstance(request["Body"], str) else json.dumps(request["Body"])
    headers = {"content-type": request.get("ContentType", "binary/octet-stream")}
    status, *_ = s3._put_object(request["Bucket"], request["Key"], body.encode(), headers)
    if status != HTTPStatus.OK:
        raise stepfunctions._ExecutionError("S3.S3Exception", f"status {status}")
    return {}


REPLACEMENTS: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (stepfunctions, "_run_distributed_map", run_distributed_map),
    (stepfunctions, "_run_sub_machine", run_sub_machine),
    (stepfunctions, "_fail_execution", fail_execution),
    (stepfunctions, "_call_lambda", call_lambda),
    (stepfunctions, "_invoke_aws_sdk_integration", call_service),
)
