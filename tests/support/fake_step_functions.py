"""A client of Step Functions whose executions plan, score and finish a run, in this process.

It has what a client of boto3 answers. The emulated AWS runs the real definition in the tests of the
system; this one shows the states that the emulator does not: stopped, refused, long over.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shearling.batches.finisher import finish
from shearling.batches.places import Places
from shearling.batches.planner import plan, read_plan
from shearling.batches.run_document import RunDocument
from shearling.batches.run_files import RunFiles
from shearling.errors import ShearlingError
from shearling.scoring.engine import score

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.registry.registry import Registry
    from shearling.scoring.blocks import Scorer

MACHINE = "arn:aws:states:eu-west-1:000000000000:stateMachine:acme_batch"
FUNCTION = "arn:aws:lambda:eu-west-1:000000000000:function:acme-fraud:7"


class FakeStepFunctions:
    """Executions by name; each is over before it is answered, unless they are held.

    Args:
        registry: the registry with the model.
        scorer_of: loads the model of a pin.
    """

    def __init__(self, registry: Registry, scorer_of: Callable[[str], Scorer]) -> None:
        self._registry = registry
        self._scorer_of = scorer_of
        self._executions: dict[str, dict[str, Any]] = {}
        self.is_held = False
        self.denied: str | None = None

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, Any]:  # noqa: A002, N803
        self._check("StartExecution", stateMachineArn)
        execution = self._executions[name] = {
            "name": name,
            "status": "RUNNING",
            "input": input,
            "startDate": datetime.now(UTC) + timedelta(seconds=len(self._executions)),
        }
        if not self.is_held:
            self._finish(execution, RunDocument.from_document(json.loads(input)))
        return {"executionArn": self._arn(name), "startDate": execution["startDate"]}

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:  # noqa: N803
        self._check("DescribeExecution", executionArn.replace(":execution:", ":stateMachine:"))
        name = executionArn.rpartition(":")[2]
        if name not in self._executions:
            raise _error("ExecutionDoesNotExist", "DescribeExecution")
        return self._executions[name]

    def stop_execution(self, *, executionArn: str) -> dict[str, Any]:  # noqa: N803
        execution = self.describe_execution(executionArn=executionArn)
        execution |= {"status": "ABORTED", "stopDate": datetime.now(UTC)}
        return {"stopDate": execution["stopDate"]}

    def list_executions(self, *, stateMachineArn: str, nextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        self._check("ListExecutions", stateMachineArn)
        newest = [*self._executions.values()][::-1]
        at = int(nextToken)
        page = [{key: each[key] for key in each if key != "input"} for each in newest[at : at + 2]]
        more = {"nextToken": str(at + 2)} if at + 2 < len(newest) else {}
        return {"executions": page, **more}

    def _finish(self, execution: dict[str, Any], run: RunDocument) -> None:
        places = Places()
        try:
            found = read_plan(run, places)
            pin = found.pin if found else str(self._registry.resolve(f"{run.model}:{run.alias}"))
            plan(run, places, pin=pin, function=FUNCTION, memory_mb=1024)
            for request in RunFiles.of(run, places).requests():
                source = places.objects(request.source.bucket)
                output = places.objects(request.output.bucket)
                score(request, source, output, self._scorer_of(pin), seconds_left=lambda: 60.0)
            result = finish(run, places)
        except ShearlingError as error:
            cause = json.dumps({"errorMessage": str(error), "errorType": type(error).__name__})
            execution |= {"status": "FAILED", "error": "Lambda", "cause": cause}
        else:
            execution["status"] = "SUCCEEDED" if result.status == "succeeded" else "FAILED"
        execution["stopDate"] = datetime.now(UTC)

    def _check(self, operation: str, arn: str) -> None:
        if self.denied:
            raise _error(self.denied, operation)
        assert arn.startswith(MACHINE)

    def _arn(self, name: str) -> str:
        return f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"


def _error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, operation)
