"""The commands about events, on queues of the embedded AWS."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.embedded_aws import REGION
from tests.support.cli import error, output, run
from tests.support.releases import deploy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_sqs import SQSClient

    from shearling.registry.registry import Registry
    from tests.embedded_aws import EmbeddedAws


@pytest.fixture
def sqs(embedded_aws: EmbeddedAws, aws_environment: dict[str, str]) -> Iterator[SQSClient]:
    del aws_environment
    client = embedded_aws.client("sqs")
    yield client
    client.close()


@pytest.fixture
def function(registry: Registry, sqs: SQSClient) -> str:
    """A function that scores the objects of two events, whose queues exist."""
    name = f"acme-{uuid.uuid4().hex[:8]}"
    deploy(registry, name, region=REGION, events=["incoming", "nightly"])
    for event in ("incoming", "nightly"):
        sqs.create_queue(QueueName=f"{name}_{event}")
        sqs.create_queue(QueueName=f"{name}_{event}_failures")
    return name


def send(sqs: SQSClient, queue: str, *bodies: str) -> None:
    for body in bodies:
        sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"], MessageBody=body)


def received(sqs: SQSClient, queue: str) -> set[str]:
    url, bodies = sqs.get_queue_url(QueueName=queue)["QueueUrl"], set()
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        bodies |= {message["Body"] for message in found}
    return bodies


def test_the_objects_of_each_event_are_counted(
    sqs: SQSClient, function: str, capsys: pytest.CaptureFixture[str]
) -> None:
    send(sqs, f"{function}_incoming", "a", "b")
    send(sqs, f"{function}_incoming_failures", "c")
    assert run("events", "status", "fraud", "--json") == 0
    counts = {
        "model": "fraud",
        "function": function,
        "in_work": 0,
        "bucket": "",
        "eventbridge": "unknown",
    }
    assert json.loads(output(capsys)) == [
        {**counts, "event": "incoming", "waiting": 2, "failed": 1},
        {**counts, "event": "nightly", "waiting": 0, "failed": 0},
    ]


@pytest.mark.parametrize(
    ("configuration", "delivery"), [({}, "off"), ({"EventBridgeConfiguration": {}}, "on")]
)
def test_a_bucket_that_sends_nothing_to_eventbridge_is_shown(
    embedded_aws: EmbeddedAws,
    function: str,
    capsys: pytest.CaptureFixture[str],
    configuration: dict[str, Any],
    delivery: str,
) -> None:
    bucket = f"{function}-{delivery}"
    s3, events = embedded_aws.client("s3"), embedded_aws.client("events")
    place = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}}}
    for event in ("incoming", "nightly"):
        events.put_rule(Name=f"{function}_{event}", EventPattern=json.dumps(pattern))
    assert run("events", "status", "fraud") == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[1].split()[-2:] == [bucket, delivery]
    message = f"bucket {bucket} sends no events to EventBridge, so no object arrives. Set"
    assert (message in " ".join(shown.err.split())) is (delivery == "off")


def test_what_failed_is_sent_to_the_queue_again(
    sqs: SQSClient, function: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = [f'{{"key": "a {n}"}}' for n in range(23)]
    send(sqs, f"{function}_incoming_failures", *bodies)
    assert run("events", "redrive", "fraud", "--json") == 0
    assert [row["redriven"] for row in json.loads(output(capsys))] == [23, 0]
    assert received(sqs, f"{function}_incoming") == set(bodies)
    assert received(sqs, f"{function}_incoming_failures") == set()


def test_only_the_named_event_is_redriven(
    sqs: SQSClient, function: str, capsys: pytest.CaptureFixture[str]
) -> None:
    send(sqs, f"{function}_incoming_failures", "a")
    assert run("events", "redrive", "fraud", "--event", "nightly") == 0
    assert output(capsys).splitlines()[1].split() == ["fraud", "nightly", function, "0"]
    assert received(sqs, f"{function}_incoming_failures") == {"a"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fraud", "--event", "daily"), "no event 'daily'; its events are incoming, nightly"),
        (("churn",), "model 'churn' is not deployed"),
        (("plain",), "model 'plain' has no events"),
    ],
)
@pytest.mark.usefixtures("function")
def test_an_event_that_does_not_exist_is_named(
    registry: Registry,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    deploy(registry, "acme-plain", model="plain")
    assert run("events", "redrive", *arguments) == 1
    assert message in error(capsys)


def test_a_queue_that_does_not_exist_says_which_rights_are_needed(
    registry: Registry, sqs: SQSClient, capsys: pytest.CaptureFixture[str]
) -> None:
    del sqs
    deploy(registry, "acme-gone", region=REGION, events=["incoming"])
    assert run("events", "status", "fraud") == 1
    assert f"queue acme-gone_incoming in {REGION}" in error(capsys)


def test_a_registry_without_events_says_so(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(registry)
    assert run("events", "status") == 0
    assert "no model has events" in error(capsys)
