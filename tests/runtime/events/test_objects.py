"""Score requests in the messages of a queue and by direct invocation, on the embedded AWS."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from shearling.errors import PredictionError, StoreError
from shearling.registry.registry import Registry
from shearling_runtime.events import objects
from shearling_runtime.events.dispatch import respond
from tests.runtime.test_runtime import Call, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from shearling_runtime.serving.model_server import ModelServer
    from tests.embedded_aws import EmbeddedAws

#: Of recorded messages: what else a message of a queue has.
MESSAGE = {
    "receiptHandle": "AQEB",
    "attributes": {"ApproximateReceiveCount": "1"},
    "messageAttributes": {},
    "eventSource": "aws:sqs",
    "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:acme-fraud-incoming",
    "awsRegion": "eu-central-1",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> ModelServer:
    """A model that doubles the two numbers of a row."""
    return serve(Registry(f"memory://{uuid.uuid4().hex}"), tmp_path_factory.mktemp("s")).server()


@pytest.fixture
def s3(embedded_aws: EmbeddedAws, aws_environment: dict[str, str]) -> Iterator[S3Client]:
    del aws_environment
    objects._bucket.cache_clear()
    client = embedded_aws.client("s3")
    yield client
    client.close()


def request(bucket: str, key: str, **fields: Any) -> dict[str, Any]:
    return {
        "shearling": "score",
        "event": "incoming",
        "source": {"bucket": bucket, "key": key},
        "output": {"bucket": bucket, "prefix": "scored/"},
        "options": {"source_prefix": "in/"},
        **fields,
    }


def messages(*bodies: object) -> dict[str, Any]:
    """The event of a queue with a message for each body; a text is one that is no JSON."""
    return {
        "Records": [
            {
                **MESSAGE,
                "messageId": f"m{i}",
                "body": each if isinstance(each, str) else json.dumps(each),
            }
            for i, each in enumerate(bodies)
        ]
    }


def failed(answer: dict[str, Any]) -> list[str]:
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def read(s3: S3Client, bucket: str, key: str) -> bytes:
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    return [line for line in found if line["event"] == "object"]


@pytest.mark.parametrize("name", ["a b.csv", "a+b%20.csv", "ü/ö.csv", "a//b.csv"])
def test_the_object_that_a_message_names_is_scored(
    server: ModelServer, s3: S3Client, bucket: str, name: str
) -> None:
    key = f"in/{name}"
    s3.put_object(Bucket=bucket, Key=key, Body=b"1,2\n3,4\n")

    answer = respond(messages(request(bucket, key)), Call(), server)

    assert answer == {"batchItemFailures": []}
    assert read(s3, bucket, f"scored/{name}") == b"Y[0],Y[1]\r\n2.0,4.0\r\n6.0,8.0\r\n"
    manifest = json.loads(read(s3, bucket, f"scored/{name}.manifest.json"))
    head = s3.head_object(Bucket=bucket, Key=f"scored/{name}")
    assert manifest["output"]["etag"] == head["ETag"].strip('"')
    assert manifest["model"] == server.name


def test_the_same_message_three_times_is_scored_once(
    server: ModelServer, s3: S3Client, bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    s3.put_object(Bucket=bucket, Key="in/thrice.csv", Body=b"1,2\n")
    message = messages(*[request(bucket, "in/thrice.csv")] * 3)
    server.ready()
    capfd.readouterr()

    assert respond(message, Call(), server) == {"batchItemFailures": []}

    logged = lines(capfd)
    assert [line["outcome"] for line in logged] == ["scored", "unchanged", "unchanged"]
    assert [(line["Objects"], line["Rows"]) for line in logged] == [(1, 1), (0, 0), (0, 0)]


def test_an_invalid_object_is_a_result_and_no_failure(
    server: ModelServer, s3: S3Client, bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    s3.put_object(Bucket=bucket, Key="in/bad.csv", Body=b"1,2\n3,x\n")

    answer = respond(messages(request(bucket, "in/bad.csv")), Call(), server)

    assert answer == {"batchItemFailures": []}
    error = json.loads(read(s3, bucket, "scored/bad.csv.error.json"))["error"]
    assert (error["row"], error["column"], error["value"]) == (2, "1", "'x'")
    (line,) = lines(capfd)
    assert (line["FailedObjects"], line["Objects"], line["outcome"]) == (1, 0, "failed")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("not json", "message: not JSON"),
        ("", "message: not JSON"),
        ({"hello": 1}, "message: not a score request"),
        ({"shearling": "score"}, "source.bucket"),
        ({"shearling": "score", "sauce": 1}, "'sauce': unknown field; did you mean 'source'?"),
    ],
)
def test_a_poison_message_fails_so_that_it_reaches_the_dead_letter_queue(
    server: ModelServer, capfd: pytest.CaptureFixture[str], body: object, reason: str
) -> None:
    assert failed(respond(messages(body), Call(), server)) == ["m0"]

    (line,) = lines(capfd)
    assert reason in line["error"]
    assert line["ObjectErrors"] == 1


def test_only_the_message_that_fails_is_delivered_again(
    server: ModelServer, s3: S3Client, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="in/one.csv", Body=b"1,2\n")
    event = messages(request(bucket, "in/one.csv"), "poison", request("no-such-bucket", "x.csv"))

    assert failed(respond(event, Call(), server)) == ["m1"]


def test_an_output_bucket_that_does_not_exist_is_a_failure(
    server: ModelServer, s3: S3Client, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="in/two.csv", Body=b"1,2\n")
    event = messages(request(bucket, "in/two.csv", output={"bucket": "no-such-bucket"}))

    assert failed(respond(event, Call(), server)) == ["m0"]


def test_a_function_without_a_model_fails_so_that_the_message_comes_again(
    server: ModelServer, tmp_path: Path
) -> None:
    del server
    empty = serve(Registry(f"memory://{uuid.uuid4().hex}"), tmp_path).server(pin=None)

    assert failed(respond(messages(request("b", "a.csv")), Call(), empty)) == ["m0"]


def test_an_invocation_without_an_alias_fails(tmp_path: Path) -> None:
    served = serve(Registry(f"memory://{uuid.uuid4().hex}"), tmp_path)
    latest = served.server(is_unpublished=True)

    assert failed(respond(messages(request("b", "a.csv")), Call(), latest)) == ["m0"]


def test_an_object_that_is_gone_is_done(
    server: ModelServer, s3: S3Client, bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    del s3
    assert failed(respond(messages(request(bucket, "in/gone.csv")), Call(), server)) == []

    (line,) = lines(capfd)
    assert line["outcome"] == "gone"


def test_a_direct_invocation_returns_the_outcome(
    server: ModelServer, s3: S3Client, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="in/direct.csv", Body=b"1,2\n")

    answer = respond(request(bucket, "in/direct.csv"), Call(), server)

    assert (answer["shearling"], answer["rows"], answer["rejected"]) == ("scored", 1, 0)
    assert answer["output"]["key"] == "scored/direct.csv"


def test_a_direct_invocation_that_is_invalid_is_answered_with_the_reason(
    server: ModelServer,
) -> None:
    answer = respond({"shearling": "score", "source": {}}, Call(), server)

    assert answer == {"error": "source.bucket: null is not a text", "status": 400}


def test_a_direct_invocation_that_may_be_repeated_fails(
    server: ModelServer, s3: S3Client, bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    s3.put_object(Bucket=bucket, Key="in/three.csv", Body=b"1,2\n")

    with pytest.raises(StoreError, match="cannot write s3://no-such-bucket/"):
        respond(
            request(bucket, "in/three.csv", output={"bucket": "no-such-bucket"}), Call(), server
        )

    assert lines(capfd)[-1]["ObjectErrors"] == 1


def test_a_direct_invocation_fails_without_a_word_of_the_functions_own(
    server: ModelServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("wool")

    monkeypatch.setattr(objects, "score", broken)
    with pytest.raises(
        PredictionError, match=r"^internal error; see request \S+ in the log$"
    ) as it:
        respond(request(bucket, "in/three.csv"), Call(), server)
    assert it.value.__cause__ is None


def test_a_message_for_which_no_time_is_left_is_refused_early(
    server: ModelServer, s3: S3Client, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="in/late.csv", Body=b"1,2\n" * 500_000)

    respond(messages(request(bucket, "in/late.csv")), Call(seconds_left=2.0), server)

    error = json.loads(read(s3, bucket, "scored/late.csv.error.json"))["error"]
    assert "the object has 2 MB and would take" in error["message"]
    assert "Split the object" in error["message"]


def test_a_message_for_which_half_of_the_time_is_gone_comes_again(
    server: ModelServer, s3: S3Client, bucket: str
) -> None:
    class Draining(Call):
        """A call of which each look at the time takes three seconds."""

        def get_remaining_time_in_millis(self) -> int:
            self.seconds_left -= 3
            return round(self.seconds_left * 1000)

    keys = ["in/first.csv", "in/second.csv"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"1,2\n")
    event = messages(*[request(bucket, key) for key in keys])

    assert failed(respond(event, Draining(seconds_left=20.0), server)) == ["m1"]


def test_a_large_output_is_uploaded_in_parts_and_appears_whole(
    server: ModelServer, s3: S3Client, bucket: str
) -> None:
    rows = b"".join(b"%d,%d\n" % (i, i + 1) for i in range(700_000))
    s3.put_object(Bucket=bucket, Key="in/large.csv", Body=rows)

    options = {"source_prefix": "in/", "header": "absent"}
    large = request(bucket, "in/large.csv", options=options)
    answer = respond(large, Call(seconds_left=300.0), server)

    assert answer["rows"] == 700_000
    assert answer["output"]["etag"].endswith("-2")
    scored = read(s3, bucket, "scored/large.csv")
    assert scored.splitlines()[-1] == b"1399998.0,1400000.0"
    assert scored.count(b"\n") == 700_001
    assert s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_an_encrypted_output_names_its_key(
    server: ModelServer, s3: S3Client, bucket: str, embedded_aws: EmbeddedAws
) -> None:
    kms = embedded_aws.client("kms")
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    kms.close()
    s3.put_object(Bucket=bucket, Key="in/secret.csv", Body=b"1,2\n")
    output = {"bucket": bucket, "prefix": "scored/", "kms_key_arn": arn}

    respond(messages(request(bucket, "in/secret.csv", output=output)), Call(), server)

    for name in ("scored/secret.csv", "scored/secret.csv.manifest.json"):
        head = s3.head_object(Bucket=bucket, Key=name)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", arn)


def arrival(bucket: str, key: str, **fields: Any) -> dict[str, Any]:
    """The message that the target of an event's rule makes of an S3 event."""
    detail = {
        "version": "0",
        "bucket": {"name": bucket},
        "object": {"key": key, "size": 8, "etag": "5d41402abc4b2a76b9719d911017c592"},
        "request-id": "C3D13FE58DE4C810",
        "requester": "123456789012",
        "source-ip-address": "198.51.100.7",
        "reason": "PutObject",
    }
    without = {k: v for k, v in request(bucket, key).items() if k != "source"}
    return {**without, "detail": detail, "source": {}, **fields}


@pytest.mark.parametrize("name", ['a "quoted".csv', "a'b\\c.csv", "a<detail>.csv"])
def test_the_object_that_an_s3_event_announces_is_scored(
    server: ModelServer, s3: S3Client, bucket: str, name: str
) -> None:
    s3.put_object(Bucket=bucket, Key=f"in/{name}", Body=b"1,2\n")

    answer = respond(messages(arrival(bucket, f"in/{name}")), Call(), server)

    assert answer == {"batchItemFailures": []}
    assert read(s3, bucket, f"scored/{name}") == b"Y[0],Y[1]\r\n2.0,4.0\r\n"


def test_an_event_may_say_the_format_of_its_sources(
    server: ModelServer, s3: S3Client, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="in/rows.txt", Body=b"1,2\n")

    message = arrival(bucket, "in/rows.txt", source={"format": "csv"})

    assert respond(messages(message), Call(), server) == {"batchItemFailures": []}
    assert read(s3, bucket, "scored/rows.txt") == b"Y[0],Y[1]\r\n2.0,4.0\r\n"


@pytest.mark.parametrize(
    "name", ["x.csv.manifest.json", "x.csv.error.json", "x.csv.rejected.jsonl", "folder/"]
)
def test_files_beside_a_result_and_folders_are_not_scored(
    server: ModelServer, s3: S3Client, bucket: str, name: str
) -> None:
    s3.put_object(Bucket=bucket, Key=f"in/{name}", Body=b"{}")

    answer = respond(messages(arrival(bucket, f"in/{name}")), Call(), server)

    assert answer == {"batchItemFailures": []}
    found = s3.list_objects_v2(Bucket=bucket, Prefix="scored/").get("Contents", [])
    assert [each for each in found if name in each["Key"]] == []


@pytest.mark.parametrize("detail", [{}, {"bucket": "b", "object": []}, {"object": {"key": 3}}])
def test_an_s3_event_without_an_object_reaches_the_dead_letter_queue(
    server: ModelServer, bucket: str, detail: dict[str, Any]
) -> None:
    message = arrival(bucket, "in/x.csv", detail=detail)
    assert failed(respond(messages(message), Call(), server)) == ["m0"]
