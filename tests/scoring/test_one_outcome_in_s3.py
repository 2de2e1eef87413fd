"""Exactly one outcome in a bucket: kills at every operation, then a redelivery."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from shearling.scoring import result_files
from shearling.scoring.engine import score
from shearling.scoring.request import ScoreRequest
from shearling.storage.s3_bucket import S3Bucket
from tests.scoring.interruptions import Interrupted, KillAfter, Killed
from tests.scoring.models import PIN, table_scorer

if TYPE_CHECKING:
    import pytest
    from mypy_boto3_s3 import S3Client

    from shearling.scoring.blocks import Scorer
    from shearling.scoring.outcome import Outcome
    from tests.embedded_aws import EmbeddedAws

NEXT_PIN = "fraud:2@sha256:" + "2" * 64
FACTORS = {PIN: 2.0, NEXT_PIN: 3.0}

#: More than one part of an upload.
ROWS = 600_000


def run(bucket: str, key: str, scorer: Scorer, moments: int = 10_000) -> Outcome:
    request = ScoreRequest.from_document(
        {
            "source": {"bucket": bucket, "key": key},
            "output": {"bucket": bucket, "prefix": "scored/"},
        }
    )
    objects = S3Bucket(bucket)
    output = Interrupted(objects, KillAfter(moments))
    return score(request, objects, output, scorer, seconds_left=lambda: 600.0)


def read(s3: S3Client, bucket: str, key: str) -> tuple[bytes, str]:
    answer = s3.get_object(Bucket=bucket, Key=key)
    return answer["Body"].read(), answer["ETag"].strip('"')


def test_kills_at_every_operation_end_with_one_output_and_its_manifest(
    embedded_aws: EmbeddedAws,
    aws_environment: dict[str, str],
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del aws_environment
    monkeypatch.setattr(result_files, "_GRACE_SECONDS", -100_000.0)  # the killed are gone
    s3 = embedded_aws.client("s3")
    key = f"{uuid.uuid4().hex}.csv"
    s3.put_object(Bucket=bucket, Key=key, Body=b"age,name\n" + b"7,a\n" * ROWS)
    old, new = table_scorer(), table_scorer(NEXT_PIN, factor=3.0)
    scored = f"scored/{key}"

    # The last three: after the completion, before and after the manifest.
    for moments, scorer in ((6, old), (10, new), (12, old), (13, new), (14, old)):
        with suppress(Killed):
            run(bucket, key, scorer, moments)
    outcome = run(bucket, key, new)

    manifest = json.loads(read(s3, bucket, f"{scored}.manifest.json")[0])
    data, etag = read(s3, bucket, scored)
    assert manifest["output"]["etag"] == etag
    assert manifest["model"] == outcome.model
    factor = FACTORS[manifest["model"]]
    assert data == b"label,scores[stays],scores[goes]\r\n" + b"1,1.0,%.1f\r\n" % (7 * factor) * ROWS
    assert run(bucket, key, old).status == "unchanged"
    assert read(s3, bucket, scored) == (data, etag)
    s3.close()
