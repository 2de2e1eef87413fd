from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from shearling.storage import bucket_region
from shearling.storage.bucket_region import REGION_VARIABLE, asked_region
from shearling.storage.s3 import s3_configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What S3 answers about a bucket of another region and about one that others may not read.
ANSWERS = {"/elsewhere": (301, "eu-west-1"), "/private": (403, "eu-west-1"), "/none": (404, "")}


class S3(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        assert "Authorization" not in self.headers
        status, region = ANSWERS[self.path.split("?")[0]]
        self.send_response(status)
        if region:
            self.send_header("x-amz-bucket-region", region)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), S3) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def laptop(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Keys and another default region than the bucket's."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-2")
    return monkeypatch


@pytest.mark.parametrize(
    ("bucket", "region"),
    [("elsewhere", "eu-west-1"), ("private", "eu-west-1"), ("none", "us-east-2")],
)
def test_s3_names_the_region_of_a_bucket_whoever_asks(
    endpoint: str, bucket: str, region: str
) -> None:
    assert asked_region(bucket, "us-east-2", endpoint) == region


def test_without_an_answer_the_default_region_is_used() -> None:
    assert asked_region("bucket", "us-east-2", "http://127.0.0.1:9") == "us-east-2"


def test_a_laptop_uses_the_region_of_the_bucket(laptop: pytest.MonkeyPatch, endpoint: str) -> None:
    ask = asked_region
    laptop.setattr(
        bucket_region, "asked_region", lambda bucket, default: ask(bucket, default, endpoint)
    )
    assert s3_configuration("elsewhere")[0]["region"] == "eu-west-1"


def test_a_laptop_falls_back_to_its_own_region(laptop: pytest.MonkeyPatch, endpoint: str) -> None:
    ask = asked_region
    laptop.setattr(
        bucket_region, "asked_region", lambda bucket, default: ask(bucket, default, endpoint)
    )
    assert s3_configuration("none")[0]["region"] == "us-east-2"


def test_a_function_uses_the_region_that_terraform_names_and_asks_nobody(
    laptop: pytest.MonkeyPatch,
) -> None:
    laptop.setenv("AWS_LAMBDA_FUNCTION_NAME", "acme-fraud")
    laptop.setattr(bucket_region, "asked_region", None)
    assert s3_configuration("elsewhere")[0]["region"] == "us-east-2"
    laptop.setenv(REGION_VARIABLE, "eu-west-1")
    assert s3_configuration("elsewhere")[0]["region"] == "eu-west-1"


def test_an_endpoint_of_ones_own_is_asked_nothing(laptop: pytest.MonkeyPatch) -> None:
    laptop.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert s3_configuration("bucket")[0]["region"] == "us-east-2"
