"""examples/events, applied once and used, from the first file to the destroy.

The emulator enforces neither what EventBridge may send nor what the mapping may receive: the tests
of the modules assert the policies. The tests run in order.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import shearling as sdk
from examples.events.train_and_push import customers, features, fit
from shearling.cli import main as shearling
from tests.support.packages import built_package, function_python
from tests.support.terraform_cli import (
    REPOSITORY,
    TerraformStack,
    working_copy,
    write_emulator_override,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aws_environment", "registry_variable")]

#: Seconds for a file to be scored, twice: each function starts, and the queues are polled.
_WAIT_SECONDS = 90.0

AWKWARD = [
    "a b.csv",
    "a+b%20.csv",
    "Größe/täglich.csv",
    "a \"quoted\" 'name'.csv",
    "back\\slash.csv",
    "<detail>.csv",
]


class EventStack:
    """The stack of examples/events on the embedded AWS."""

    def __init__(self, aws: EmbeddedAws, directory: Path) -> None:
        copy = working_copy(REPOSITORY / "examples" / "events", directory)
        write_emulator_override(copy, aws.url)
        self.terraform = TerraformStack(
            copy,
            environment=aws.process_environment(),
            variables={
                "name": "scoring",
                "python": function_python(),
                "timeout_seconds": 60,
                "max_attempts": 1,
                "packages": {kind: str(built_package(kind)) for kind in ("runtime", "control")},
            },
        )
        self.terraform.init()
        self.terraform.apply()
        self.outputs = self.terraform.outputs()
        self.bucket = self.outputs["bucket"]
        self.s3 = aws.client("s3")
        self.sqs = aws.client("sqs")
        self.prepare, self.score = fit(customers(400))

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def keys(self, prefix: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [each["Key"] for each in found]

    def read(self, key: str) -> bytes:
        """Return an object, once it is there."""
        wait_until(lambda: key in self.keys(key))
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def manifest(self, output: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.read(f"{output}.manifest.json"))
        return document

    def url(self, queue: str) -> str:
        url: str = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        return url

    def expected(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return what the local models answer."""
        values = features(self.prepare, table)
        names = [f"probabilities[{name}]" for name in ("false", "true")]
        return pd.DataFrame(self.score.predict_proba(values), columns=names)


def wait_until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    while not is_true():
        assert time.monotonic() < end, "never happened"
        time.sleep(0.5)


def csv_of(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False).encode()


@pytest.fixture(scope="module")
def stack(
    embedded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EventStack]:
    directory = tmp_path_factory.mktemp("events")
    yield EventStack(embedded_aws, directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def registry_variable(stack: EventStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLING_REGISTRY", stack.outputs["registry_uri"])


def push(stack: EventStack) -> None:
    """Push the stack's two models, and wait until they are served."""
    table = customers(5)
    sdk.push_model(stack.prepare, "prepare", example=table, alias="prod", wait=True)
    sdk.push_model(
        stack.score, "score", example=features(stack.prepare, table), alias="prod", wait=True
    )


def test_a_second_plan_has_nothing_to_change(stack: EventStack) -> None:
    assert stack.terraform.changes() == {}


def test_a_file_goes_through_both_models_and_equals_the_local_answers(stack: EventStack) -> None:
    push(stack)
    table = customers(50, seed=1)
    stack.put("incoming/day.csv", csv_of(table))
    manifest = stack.manifest("scored/day.csv")
    assert (manifest["rows"], manifest["rejected"]) == (50, 0)
    assert manifest["source"]["key"] == "prepared/day.csv"
    found = pd.read_csv(f"{_file(stack, 'scored/day.csv')}")
    expected = stack.expected(table)
    np.testing.assert_allclose(found[expected.columns], expected, rtol=1e-3, atol=1e-4)


def _file(stack: EventStack, key: str) -> str:
    path = stack.terraform.directory / f"{uuid.uuid4().hex}.csv"
    path.write_bytes(stack.read(key))
    return str(path)


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_keys_arrive_as_they_are(stack: EventStack, name: str) -> None:
    stack.put(f"incoming/{name}", csv_of(customers(2)))
    assert stack.manifest(f"scored/{name}")["rows"] == 2


def test_files_of_results_are_not_scored(stack: EventStack) -> None:
    scored = stack.keys("scored/")
    assert scored
    assert not [key for key in scored if ".manifest.json." in key]
    assert all(key.endswith((".csv", ".csv.manifest.json")) for key in scored)


def test_an_invalid_row_is_rejected_and_an_invalid_file_says_why(stack: EventStack) -> None:
    stack.put("incoming/rows.csv", b"amount,age,country\n1,2,de\n3,x,fr\n5,6,it\n")
    manifest = stack.manifest("scored/rows.csv")
    assert manifest["rows"] == 2
    rejected = json.loads(stack.read("prepared/rows.csv.rejected.jsonl").splitlines()[0])
    assert "'x'" in json.dumps(rejected)

    stack.put("incoming/wrong.csv", b"amount,agee,country\n1,2,de\n")
    error = json.loads(stack.read("prepared/wrong.csv.error.json"))
    assert "age" in error["error"]["message"]
    assert stack.keys("prepared/wrong.csv") == ["prepared/wrong.csv.error.json"]


def test_the_same_event_three_times_writes_one_result(stack: EventStack) -> None:
    before = stack.manifest("scored/day.csv")
    source = stack.s3.head_object(Bucket=stack.bucket, Key="prepared/day.csv")
    message = {
        "shearling": "score",
        "event": "prepared",
        "detail": {
            "bucket": {"name": stack.bucket},
            "object": {"key": "prepared/day.csv", "etag": source["ETag"].strip('"')},
        },
        "output": {"bucket": stack.bucket, "prefix": "scored/"},
        "options": {"source_prefix": "prepared/"},
    }
    queue = stack.url("scoring-score_prepared")
    for _ in range(3):
        stack.sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(message))
    wait_until(lambda: counts(stack, "scoring-score_prepared") == 0)
    assert stack.manifest("scored/day.csv") == before


def counts(stack: EventStack, queue: str) -> int:
    """Return how many messages a queue has, those in work included."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = stack.sqs.get_queue_attributes(QueueUrl=stack.url(queue), AttributeNames=names)
    return sum(int(number) for number in found["Attributes"].values())


def test_a_poison_message_reaches_the_dead_letter_queue_and_is_redriven(
    stack: EventStack, capsys: pytest.CaptureFixture[str]
) -> None:
    queue, failures = "scoring-score_prepared", "scoring-score_prepared_failures"
    # A minute after the function's timeout is too long for a test.
    stack.sqs.set_queue_attributes(QueueUrl=stack.url(queue), Attributes={"VisibilityTimeout": "2"})
    stack.sqs.send_message(QueueUrl=stack.url(queue), MessageBody="poison")
    wait_until(lambda: counts(stack, failures) == 1)

    capsys.readouterr()
    assert shearling(["events", "redrive", "score", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["redriven"] == 1
    wait_until(lambda: counts(stack, failures) == 1)  # it is poison still

    stack.sqs.purge_queue(QueueUrl=stack.url(failures))
    stack.sqs.set_queue_attributes(
        QueueUrl=stack.url(queue), Attributes={"VisibilityTimeout": "120"}
    )


def test_after_a_promotion_the_next_file_is_answered_by_the_new_version(stack: EventStack) -> None:
    stack.prepare, stack.score = fit(customers(400), regularisation=0.01)
    push(stack)
    table = customers(20, seed=2)
    stack.put("incoming/next.csv", csv_of(table))
    assert stack.manifest("scored/next.csv")["model"].startswith("score:2@")
    found = pd.read_csv(_file(stack, "scored/next.csv"))
    expected = stack.expected(table)
    np.testing.assert_allclose(found[expected.columns], expected, rtol=1e-3, atol=1e-4)


def test_everything_is_destroyed(stack: EventStack) -> None:
    # The provider empties a bucket in rounds that never end if a key has `+` and `%`.
    for key in [key for key in stack.keys("") if "%" in key]:
        stack.s3.delete_object(Bucket=stack.bucket, Key=key)
    stack.terraform.destroy()
    assert not [url for url in stack.sqs.list_queues().get("QueueUrls", []) if "/scoring-" in url]
