"""Do runs by a state machine of Step Functions, each as an execution of the run's name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from shearling.batches.executions import Progress, State
from shearling.batches.run_document import RunDocument
from shearling.errors import BatchFailedError, InvalidRequestError, StoreError
from shearling.lambda_api import failure_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

#: Status of an execution -> state of its run.
_STATES: dict[str, State] = {
    "RUNNING": "running",
    "PENDING_REDRIVE": "failed",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "TIMED_OUT": "failed",
    "ABORTED": "stopped",
}

#: Stands before the number in the name of an execution that begins a run again; no ID has it.
_AGAIN = "_"

_RIGHTS = "the policy in Terraform's output `batch_policy` has the rights that this needs"

#: Error code -> text for the user.
_MEANINGS = {
    "AccessDeniedException": f"access denied: {_RIGHTS}",
    "StateMachineDoesNotExist": "the state machine does not exist: apply Terraform's `batch` again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """An execution of a state machine.

    Attributes:
        name: name of the execution.
        state: state of its run.
        reason: why it failed; empty otherwise.
        document: its input; empty in a listing.
        started: when it began.
        stopped: when it ended; None before.
    """

    name: str
    state: State
    reason: str = ""
    document: str = ""
    started: datetime
    stopped: datetime | None = None

    @property
    def run(self) -> str:
        """ID of the run."""
        return self.name.partition(_AGAIN)[0]

    def summary(self) -> dict[str, Any]:
        """Return the facts of a listing as a document for JSON."""
        return {
            "run": self.run,
            "execution": self.name,
            "state": self.state,
            "started": self.started.isoformat(),
            "stopped": self.stopped.isoformat() if self.stopped else None,
        }


class StateMachine:
    """Does runs on Step Functions; see `Executor`.

    Args:
        arn: ARN of the state machine.
        client: client of Step Functions in the region of the state machine.
    """

    is_here = False

    def __init__(self, arn: str, client: Any) -> None:
        self.arn = arn
        self._client = client

    def begin(self, run: RunDocument, *, again: bool) -> None:
        """See `Executor`."""
        name = run.run
        if again:
            last = self.last(run.run)
            if last is None:
                raise StoreError(f"{self.arn} has no execution {run.run}: it may be too old")
            if last.state == "running":
                raise BatchFailedError(f"run {run.run} is not over yet: wait, or stop it")
            number = int(last.name.partition(_AGAIN)[2] or 1)
            name = f"{run.run}{_AGAIN}{number + 1}"
        document = json.dumps(run.document())
        self._call("start_execution", stateMachineArn=self.arn, name=name, input=document)

    def progress(self, run: str) -> Progress:
        """See `Executor`."""
        last = self.last(run)
        if last is None:
            raise StoreError(f"{self.arn} has no execution {run}: it may be too old")
        return Progress(last.state, last.reason)

    def stop(self, run: str) -> None:
        """See `Executor`."""
        last = self.last(run)
        if last is not None and last.state == "running":
            self._call("stop_execution", executionArn=self._execution(last.name))

    def last(self, run: str) -> Execution | None:
        """Return the last execution of a run; None without one.

        Raises:
            StoreError: Step Functions refuses.
        """
        found = self._describe(run)
        for number in count(2):
            again = self._describe(f"{run}{_AGAIN}{number}") if found else None
            if again is None:
                break
            found = again
        return found

    def executions(self) -> Iterator[Execution]:
        """Yield the executions, newest first.

        Raises:
            StoreError: Step Functions refuses.
        """
        token: dict[str, Any] = {}
        while True:
            page = self._call("list_executions", stateMachineArn=self.arn, **token)
            yield from map(_execution, page["executions"])
            if "nextToken" not in page:
                return
            token = {"nextToken": page["nextToken"]}

    def _describe(self, name: str) -> Execution | None:
        found = self._call("describe_execution", executionArn=self._execution(name))
        return _execution(found) if found else None

    def _execution(self, name: str) -> str:
        return f"{self.arn.replace(':stateMachine:', ':execution:', 1)}:{name}"

    def _call(self, operation: str, **arguments: Any) -> Any:
        """Return the answer to a request; None if there is no such execution."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client, operation)(**arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ExecutionDoesNotExist":
                return None
            cause = _MEANINGS.get(code, str(error))
            denied = code == "AccessDeniedException"
            raise StoreError(f"state machine {self.arn}: {cause}", denied=denied) from error
        except BotoCoreError as error:
            raise StoreError(f"state machine {self.arn}: {error}") from error


def _execution(found: dict[str, Any]) -> Execution:
    return Execution(
        name=found["name"],
        state=_STATES.get(found["status"], "failed"),
        reason=_reason(found),
        document=found.get("input", ""),
        started=found["startDate"],
        stopped=found.get("stopDate"),
    )


def _reason(found: dict[str, Any]) -> str:
    """Return why an execution failed; the cause may be the JSON of a function's error."""
    cause = found.get("cause") or found.get("error") or ""
    try:
        document = json.loads(cause)
    except ValueError:
        return cause
    return failure_message(document) if isinstance(document, dict) else cause


def read_input(execution: Execution) -> RunDocument:
    """Return what an execution's run is asked for.

    Raises:
        StoreError: its input is no run.
    """
    try:
        return RunDocument.from_document(json.loads(execution.document))
    except (ValueError, InvalidRequestError) as error:
        raise StoreError(f"the input of execution {execution.name} is no run: {error}") from error


def newest(machines: list[StateMachine], most: int) -> list[Execution]:
    """Return the last executions of several state machines, newest first."""
    found = [each for machine in machines for each in islice(machine.executions(), most)]
    return sorted(found, key=lambda execution: execution.started, reverse=True)[:most]


def stepfunctions_client(region: str) -> Any:
    """Return a client of Step Functions.

    Args:
        region: AWS region.
    """
    import boto3

    clients: Callable[..., Any] = boto3.client
    return clients("stepfunctions", region_name=region)
