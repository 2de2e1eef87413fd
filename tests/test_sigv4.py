"""Requests are signed as botocore signs them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from hypothesis import given
from hypothesis import strategies as st

from shearling.sigv4 import Credentials, sign

TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


def signature_of_botocore(
    url: str, headers: dict[str, str], body: bytes, keys: Credentials, moment: str
) -> str:
    request = AWSRequest("POST", url, data=body, headers={**headers, "X-Amz-Date": moment})
    if keys.token:
        request.headers["X-Amz-Security-Token"] = keys.token
    request.context["timestamp"] = moment
    signer = SigV4Auth(Keys(keys.access_key, keys.secret_key), "sagemaker", "eu-west-1")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return str(signer.signature(text, request))


@given(
    host=st.sampled_from(
        ["https://runtime.sagemaker.eu-west-1.amazonaws.com", "http://[::1]:8080"]
    ),
    path=st.sampled_from(["", "/", "/endpoints/Fraud-1/invocations", "/a%20b/~c"]),
    headers=st.dictionaries(
        st.sampled_from(["Content-Type", "Accept", "X-Amzn-Trace"]),
        st.sampled_from(["text/csv", "a  b   c", "application/x;json-header-size=12"]),
    ),
    body=st.binary(),
    keys=st.builds(Credentials, TEXT, TEXT, st.none() | TEXT),
)
def test_the_signature_is_that_of_botocore(
    host: str, path: str, headers: dict[str, str], body: bytes, keys: Credentials
) -> None:
    now = datetime(2026, 11, 27, 9, 5, 3, tzinfo=UTC)
    sent = sign(
        "POST",
        host + path,
        headers,
        body,
        service="sagemaker",
        region="eu-west-1",
        credentials=keys,
        now=now,
    )
    assert sent.items() >= headers.items()
    expected = signature_of_botocore(host + path, headers, body, keys, "20261127T090503Z")
    assert sent["Authorization"].endswith(f"Signature={expected}")


@pytest.mark.parametrize("token", [None, "token"])
def test_only_a_session_sends_a_token(token: str | None) -> None:
    keys = Credentials("AKID", "secret", token)
    sent = sign("POST", "https://h/p", {}, b"", service="s", region="r", credentials=keys)
    assert sent.get("X-Amz-Security-Token") == token
