"""`shearling open`: a model's page on loopback, for one user alone."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from shearling.cli import main as shearling
from shearling.cli.proxy import HttpUpstream, LambdaUpstream, serving
from shearling.client.auth import Auth, Authorization
from shearling.connections import Answer
from tests.support.bundles import scaling_bundle
from tests.support.http_server import http_api
from tests.support.lambda_server import Handler, LocalLambda, served
from tests.support.webdriver import chromium
from tests.system.test_page import SCREENSHOTS, in_a_browser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BODY = json.dumps(
    {"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
).encode()
PAGE = "/v2/models/fraud/versions/prod/docs"


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Handler:
    directory = tmp_path_factory.mktemp("open")
    registry = str(directory / "registry")
    version = scaling_bundle(directory).publish(registry)
    return served(registry, str(version.pin), directory)


@pytest.fixture
def url(function: Handler) -> Iterator[str]:
    client = LocalLambda({"acme-fraud:prod": function}).client
    connection = {"function": "acme-fraud:prod"}
    with serving(LambdaUpstream("acme-fraud:prod", client), PAGE, connection) as served_at:
        yield served_at


def ask(url: str, method: str = "GET", body: bytes = b"", **headers: str) -> tuple[int, str, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, parts.path, body, sent)
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-security-policy", ""), answer.read()
    finally:
        connection.close()


def led_to(file: str) -> str:
    """Where a page that the browser was given leads."""
    page = Path(urlsplit(file).path).read_text()
    found = re.search(r'content="0; url=(http://127\.0\.0\.1:\d+/\S+/docs)"', page)
    assert found, page
    return found[1]


def test_the_page_is_the_models_own_and_holds_the_connection(url: str) -> None:
    status, policy, page = ask(url)
    assert status == 200
    assert "default-src 'none'" in policy
    assert b'id="connection">{"function": "acme-fraud:prod"}</script>' in page


def test_requests_of_the_page_are_answered_by_the_alias(url: str) -> None:
    status, _, body = ask(url.replace("/docs", "/infer"), "POST", BODY)
    assert status == 200
    assert json.loads(body)["outputs"][0]["data"] == [2.0, 4.0]


def test_an_error_keeps_its_status_and_message(url: str) -> None:
    status, _, body = ask(url.replace("/docs", "/infer"), "POST", b"{}")
    assert status == 400
    assert "error" in json.loads(body)


def test_without_the_secret_nothing_is_served(url: str) -> None:
    secret = urlsplit(url).path.split("/")[1]
    assert len(secret) >= 32
    for path in (PAGE, f"/x{PAGE}", f"//{PAGE}", "/"):
        parts = urlsplit(url)
        assert ask(f"http://{parts.netloc}{path}")[0] == 404
    assert ask(url.replace(secret, secret[:-1]))[0] == 404


def test_a_request_with_another_host_name_is_refused(url: str) -> None:
    for name in ("evil.example", f"evil.example:{urlsplit(url).port}", "127.0.0.1"):
        assert ask(url, Host=name)[0] == 403


def test_a_request_of_another_sites_page_is_refused(url: str) -> None:
    infer = url.replace("/docs", "/infer")
    assert ask(infer, "POST", BODY, Origin="https://evil.example")[0] == 403
    assert ask(infer, "POST", BODY, Origin="null")[0] == 403
    assert ask(infer, "POST", BODY, Origin=f"http://{urlsplit(url).netloc}")[0] == 200


def test_a_body_above_lambdas_limit_is_not_read(url: str) -> None:
    assert ask(url, "POST", Content_Length=str(7 * 1024 * 1024))[0] == 413


def test_a_function_that_cannot_be_invoked_is_a_502_with_a_message(function: Handler) -> None:
    client = LocalLambda({"acme-fraud:prod": function}).client
    with serving(LambdaUpstream("acme-fraud:gone", client), PAGE, {}) as url:
        status, _, body = ask(url)
    assert status == 502
    assert "acme-fraud:gone" in json.loads(body)["error"]


def test_an_api_that_is_down_is_a_502_with_a_message() -> None:
    with serving(HttpUpstream("http://127.0.0.1:1", Authorization()), PAGE, {}) as url:
        status, _, body = ask(url)
    assert status == 502
    assert "cannot reach" in json.loads(body)["error"]


def test_requests_to_an_api_are_signed_with_the_callers_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert (
        "/eu-west-1/execute-api/aws4_request" in _sent_headers(region="eu-west-1")["authorization"]
    )


def test_requests_to_an_api_have_the_callers_token() -> None:
    assert _sent_headers(token="abc")["authorization"] == "Bearer abc"


def test_requests_to_an_api_have_the_callers_key() -> None:
    assert _sent_headers(api_key="k")["x-api-key"] == "k"
    assert "authorization" not in _sent_headers(api_key="k")


def _sent_headers(
    region: str | None = None, token: str | None = None, api_key: str | None = None
) -> dict[str, str]:
    seen: list[dict[str, str]] = []

    def api(event: dict[str, dict[str, str]]) -> dict[str, object]:
        seen.append(event["headers"])
        return {"statusCode": 200, "headers": {}, "body": "{}", "isBase64Encoded": False}

    with http_api(api) as there:
        auth: Auth = "iam" if region else "auto"
        authorization = Authorization.choose("", auth, region=region, token=token, api_key=api_key)
        upstream = HttpUpstream(there, authorization)
        answer = upstream("POST", "/v2", {}, b"{}")
    assert isinstance(answer, Answer)
    return seen[0]


def test_the_command_opens_the_page_and_ends_with_ctrl_c(
    function: Handler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[int] = []

    def browser(file: str) -> None:
        opened.append(ask(led_to(file))[0])
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", browser)
    local_lambda = LocalLambda({"acme-fraud:prod": function})
    assert shearling(["open", "acme-fraud:prod"], lambda_client=local_lambda.in_region) == 0
    assert opened == [200]
    assert re.search(r"http://127\.0\.0\.1:\d+/\S+/docs", capsys.readouterr().out)


#: A browser that writes down how it was started, and what it was given to show.
BROWSER = """#!/bin/sh
printf '%s\\n' "$0" "$@" > {directory}/line
page="${{1#file://}}"
stat -c %a "$page" "$(dirname "$page")" > {directory}/modes
cp "$page" {directory}/shown
: > {directory}/done
"""


@pytest.mark.slow
def test_no_command_line_has_the_secret_and_what_has_it_is_gone_in_the_end(
    function: Handler, tmp_path: Path
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(BROWSER.format(directory=tmp_path))
    browser.chmod(0o700)
    program = "import sys; from shearling.cli import main; sys.exit(main(sys.argv[1:]))"
    with http_api(function) as api:
        process = subprocess.Popen(
            [sys.executable, "-c", program, "open", api, "--model", "fraud"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"BROWSER": str(browser), "TMPDIR": str(tmp_path)},
        )
        assert process.stdout
        url = process.stdout.readline().strip()
        until((tmp_path / "done").exists)
        started, file = (tmp_path / "line").read_text().split()
        assert started == str(browser)
        assert urlsplit(url).path.split("/")[1] not in file
        assert (tmp_path / "modes").read_text().split() == ["600", "700"]
        assert led_to(str(tmp_path / "shown")) == url
        assert ask(url)[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
        process.communicate()
    assert not Path(urlsplit(file).path).parent.exists()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it never came true")


def test_the_command_sends_the_key_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []

    def api(event: dict[str, dict[str, str]]) -> dict[str, object]:
        seen.append(event["headers"]["x-api-key"])
        body = '{"inputs": []}'
        return {"statusCode": 200, "headers": {}, "body": body, "isBase64Encoded": False}

    def browser(file: str) -> None:
        ask(led_to(file))
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", browser)
    monkeypatch.setenv("SHEARLING_API_KEY", "k")
    with http_api(api) as there:
        assert shearling(["open", there, "--model", "fraud"]) == 0
    assert seen == ["k", "k"]  # once to check the target, once for the page


@pytest.mark.parametrize(
    ("token", "api_key", "region", "signed_for"),
    [
        (None, None, None, "eu-west-3"),
        (None, "k", None, None),
        (None, "k", "eu-west-3", "eu-west-3"),
        ("t", None, "eu-west-3", None),
    ],
)
def test_requests_with_a_key_are_signed_only_for_a_given_region_and_with_a_token_never(
    token: str | None, api_key: str | None, region: str | None, signed_for: str | None
) -> None:
    host = "abc.execute-api.eu-west-3.amazonaws.com"
    auth: Auth = "iam" if region else "auto"
    authorization = Authorization.choose(host, auth, region=region, token=token, api_key=api_key)
    assert authorization.signed_region == signed_for


def test_a_wrong_target_is_reported_before_the_page_opens(
    function: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    local_lambda = LocalLambda({})
    assert shearling(["open", "acme-fraud:prod"], lambda_client=local_lambda.in_region) == 1
    assert "acme-fraud:prod" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        shearling(["open", "https://api.example"])
    assert "--model" in capsys.readouterr().err
    with http_api(function) as there:
        assert shearling(["open", there, "--model", "nope"]) == 1
    assert "model 'nope' is not served here; 'fraud' is" in capsys.readouterr().err


@in_a_browser
def test_the_page_works_in_a_browser_without_credentials_of_its_own(
    url: str, tmp_path: Path
) -> None:
    assert tmp_path
    with chromium() as window:
        window.open(url)
        window.click("#send")
        window.wait_for("return document.querySelector('#answer td')")
        assert "aws lambda invoke --function-name 'acme-fraud:prod'" in window.text("#shell")
        assert 'sdk.connect("acme-fraud:prod")' in window.text("#python")
        window.screenshot(SCREENSHOTS / "open.png")
