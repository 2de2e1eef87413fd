"""Requests are signed as botocore signs them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from shearling.sigv4 import Keys, encoded_path, encoded_query, signed_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = "s3.eu-central-1.amazonaws.com"
NOW = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)


KEYS = Keys("AKIDEXAMPLE", "secret/+key", "token")

#: Service -> botocore's class of its signatures.
SIGNERS = {"s3": S3SigV4Auth, "sagemaker": SigV4Auth}


def expected(service: str, target: str, headers: Mapping[str, str], body: bytes, keys: Keys) -> str:
    """The signature of botocore for the same request at the same time."""
    request = AWSRequest("PUT", f"https://{HOST}{target}", headers=dict(headers), data=body)
    credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.token or None)
    auth = SIGNERS[service](credentials, service, "eu-central-1")
    request.context["payload_signing_enabled"] = True
    request.context["timestamp"] = NOW.strftime("%Y%m%dT%H%M%SZ")
    for name, value in (
        ("x-amz-date", request.context["timestamp"]),
        ("X-Amz-Content-SHA256", auth.payload(request)),
        *([("X-Amz-Security-Token", keys.token)] if keys.token else []),
    ):
        request.headers[name] = value
    canonical = auth.canonical_request(request)
    return str(auth.signature(auth.string_to_sign(request, canonical), request))


@given(
    st.sampled_from([*SIGNERS]),
    st.text(min_size=1, max_size=20),
    st.dictionaries(st.sampled_from(["uploads", "uploadId", "partNumber"]), st.text(max_size=9)),
    st.sampled_from([{}, {"range": "bytes=0-1"}, {"if-match": '"e"', "x-amz-meta-a": "a  b"}]),
    st.sampled_from(["", "token"]),
)
def test_a_request_has_the_signature_that_botocore_gives_it(
    service: str, key: str, query: dict[str, str], headers: dict[str, str], token: str
) -> None:
    # Only S3 has paths with empty segments or dots, which botocore normalises for the others.
    path = encoded_path(f"/bucket/{key if service == 's3' else key.strip('/.')}")
    body, keys, text = key.encode(), replace(KEYS, token=token), encoded_query(query)
    sent = {"host": HOST, **headers}

    signed = signed_headers(
        "PUT",
        path,
        text,
        sent,
        body,
        keys=keys,
        region="eu-central-1",
        service=service,
        now=NOW,
    )

    found = signed["authorization"].rpartition("Signature=")[2]
    target = f"{path}?{text}" if text else path
    assert signed.items() >= sent.items()
    assert found == expected(service, target, sent, body, keys)


@pytest.mark.parametrize("token", ["", "token"])
def test_only_a_session_sends_a_token(token: str) -> None:
    keys = replace(KEYS, token=token)

    signed = signed_headers(
        "GET", "/", "", {"host": HOST}, b"", keys=keys, region="r", service="s3", now=NOW
    )

    assert signed.get("x-amz-security-token", "") == token
