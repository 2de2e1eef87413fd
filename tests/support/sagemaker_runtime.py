"""A process that speaks SageMaker's InvokeEndpoint, with endpoints that answer and that fail.

The name of an endpoint tells what it does: see `FAILURES` and `WRONG`; `container-<port>` forwards
to a container on this machine, and all others double the input. Requests must be signed, which
botocore's own signer checks.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.protocol.constants import BINARY_TYPE
from tests.embedded_aws.install import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
    "AWS_SESSION_TOKEN": "session/token==",
    "AWS_REGION": "eu-central-1",
}


def _model_error(status: int, message: str) -> tuple[int, str, dict[str, Any]]:
    text = f"Received server error ({status}) from primary with message {message!r}"
    body = {"Message": text, "OriginalStatusCode": status, "OriginalMessage": message}
    return 424, "ModelError", body


#: Endpoint -> status, error type and body of its answer.
FAILURES: dict[str, tuple[int, str, dict[str, Any]]] = {
    "throttled": (400, "ThrottlingException", {"message": "Rate exceeded"}),
    "unavailable": (503, "ServiceUnavailable", {"message": "No capacity"}),
    "starting": (429, "ModelNotReadyException", {"message": "Model is not ready"}),
    "internal": (500, "InternalFailure", {"message": "Try again"}),
    "missing": (400, "ValidationError", {"message": "Endpoint missing of account 1 not found."}),
    "denied": (403, "AccessDeniedException", {"message": "User is not authorized"}),
    "limited": (
        400,
        "ValidationError",
        {
            "message": "1 validation error detected: Value at 'body' failed to satisfy "
            "constraint: Member must have length less than or equal to 6291456"
        },
    ),
    "small": (413, "", {"message": "Payload too large"}),
    "refusing": _model_error(400, '{"error": "inputs: X is too large"}'),
    "too-large": _model_error(413, "Payload too large"),
    "crashing": _model_error(500, "Traceback: division by zero"),
    "overloaded": _model_error(503, "too many requests"),
    "container-timeout": _model_error(0, "Your invocation timed out while waiting"),
    "gateway-timeout": _model_error(504, "upstream"),
    "own-refusal": _model_error(400, '{"error": "inputs: X is too large"}'),
    "own-failure": _model_error(
        500, '{"error": "the model failed with ValueError; see request 7 in the log"}'
    ),
    "own-overload": _model_error(503, '{"error": "the model is being loaded"}'),
    "odd": (418, "", {}),
}

#: Endpoint -> content type and body of an answer with status 200 that does not fit.
WRONG: dict[str, tuple[str, bytes]] = {
    "no-json": ("application/json", b"<html>"),
    "no-type": ("", b"1"),
    "no-outputs": ("application/json", b'{"predictions": [1]}'),
    "no-object": ("application/json", b"[1]"),
    "other-output": (
        "application/json",
        b'{"outputs": [{"name": "Z", "datatype": "FP32", "shape": [1], "data": [1]}]}',
    ),
    "other-type": (
        "application/json",
        b'{"outputs": [{"name": "Y", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]}',
    ),
    "other-shape": (
        "application/json",
        b'{"outputs": [{"name": "Y", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}',
    ),
    "more-rows": (
        "application/json",
        b'{"outputs": [{"name": "Y", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]}]}',
    ),
    "short-tail": (
        "application/vnd.sagemaker-triton.binary+json;json-header-size=92",
        b'{"outputs":[{"name":"Y","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}}]}12',
    ),
    "long-header": ("application/x;json-header-size=999999999999", b"{}"),
}


@contextmanager
def sagemaker_runtime() -> Iterator[str]:
    """Run the process while the block runs, and yield its URL."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.sagemaker_runtime"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.kill()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body waits 40 ms for the headers' receipt

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        match = re.fullmatch(r"/endpoints/([A-Za-z0-9-]+)/(async-)?invocations", self.path)
        assert match, self.path
        name = match[1]
        if not _is_signed(self, body):
            self._answer(403, {"x-amzn-errortype": "InvalidSignatureException"}, b"{}")
        elif match[2]:
            self._answer(*_asynchronous_answer(name, dict(self.headers.items())))
        elif name in FAILURES:
            status, kind, document = FAILURES[name]
            self._answer(status, {"x-amzn-errortype": kind}, json.dumps(document).encode())
        elif name in WRONG:
            kind, answer = WRONG[name]
            self._answer(200, {"content-type": kind}, answer)
        elif name.startswith("container-"):
            headers = {name.lower(): value for name, value in self.headers.items()}
            port = int(name.removeprefix("container-"))
            self._answer(*container_answer(port, headers, body))
        else:
            if name == "slow":
                time.sleep(30)
            answer, kind = _doubled(body, self.headers["content-type"])
            self._answer(200, {"content-type": kind}, answer)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


def _asynchronous_answer(
    name: str, headers: Mapping[str, str]
) -> tuple[int, dict[str, str], bytes]:
    """Answer an asynchronous call before it is accepted, with files instead of objects in S3.

    The name of an endpoint tells what it does: `silent` never answers, `failing` cannot read the
    request, and others do as they do for synchronous calls.
    """
    if name == "missing":
        status, kind, document = FAILURES[name]
        return status, {"x-amzn-errortype": kind}, json.dumps(document).encode()
    given = Path(headers["x-amzn-sagemaker-inputlocation"].removeprefix("file://"))
    folder, call = given.parents[2], uuid.uuid4().hex
    answer, failure = folder / "answers" / f"{call}.out", folder / "failures" / f"{call}-error.out"
    types = {it: headers[f"x-amzn-sagemaker-{it}"] for it in ("content-type", "accept")}
    answer.parent.mkdir(exist_ok=True)
    failure.parent.mkdir(exist_ok=True)
    if name == "failing":
        failure.write_text("Error: could not download the request")
    elif name.startswith("container-"):
        port = int(name.removeprefix("container-"))
        status, _, content = container_answer(port, types, given.read_bytes())
        if status == HTTPStatus.OK:
            answer.write_bytes(content)
        else:
            error = json.loads(content)
            kind, original = error["OriginalStatusCode"], error["OriginalMessage"]
            failure.write_text(
                f'Received client error ({kind}) from primary with message "{original}".'
            )
    locations = {"outputlocation": answer, "failurelocation": failure}
    named = {f"x-amzn-sagemaker-{key}": f"file://{path}" for key, path in locations.items()}
    return 202, named, json.dumps({"InferenceId": call}).encode()


def _is_signed(request: BaseHTTPRequestHandler, body: bytes) -> bool:
    """Return whether botocore signs the same request in the same way."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    given = request.headers["authorization"] or ""
    named = re.search(r"SignedHeaders=([^,]*)", given)
    if not named:
        return False
    signed = {name: request.headers[name] for name in named[1].split(";")}
    url = f"http://{request.headers['host']}{request.path}"
    again = AWSRequest(request.command, url, data=body, headers=signed)
    again.context["timestamp"] = signed["x-amz-date"]
    keys = Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"])
    signer = SigV4Auth(keys, "sagemaker", KEYS["AWS_REGION"])
    text = signer.string_to_sign(again, signer.canonical_request(again))
    has_token = signed["x-amz-security-token"] == KEYS["AWS_SESSION_TOKEN"]
    return has_token and given.endswith(f"Signature={signer.signature(text, again)}")


def container_answer(
    port: int, headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    """Return a container's answer, without the headers that SageMaker does not know."""
    known = {name: headers[name] for name in ("content-type", "accept")}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/invocations", body, known)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status == HTTPStatus.OK:
        return 200, {"content-type": answer.headers["content-type"]}, content
    status, kind, document = _model_error(answer.status, content.decode())
    return status, {"x-amzn-errortype": kind}, json.dumps(document).encode()


def _doubled(body: bytes, kind: str) -> tuple[bytes, str]:
    """Return twice the input in the form of the request."""
    import numpy as np

    if kind == "text/csv":
        rows = [[float(cell) for cell in line.split(",")] for line in body.decode().splitlines()]
        # As XGBoost's container: a score for each row, in one line.
        return ",".join(str(2 * sum(row)) for row in rows).encode(), "text/csv; charset=utf-8"
    if kind.startswith(BINARY_TYPE):
        end = int(kind.removeprefix(BINARY_TYPE))
        (tensor,) = json.loads(body[:end])["inputs"]
        data = (2 * np.frombuffer(body[end:], "<f4")).astype("<f4").tobytes()
        output = {"name": "Y", "datatype": "FP32", "shape": tensor["shape"]}
        output["parameters"] = {"binary_data_size": len(data)}
        text = json.dumps({"model_name": "m", "outputs": [output]}).encode()
        return text + data, f"{BINARY_TYPE}{len(text)}"
    (tensor,) = json.loads(body)["inputs"]
    values = [None if value is None else 2 * value for value in tensor["data"]]
    output = {"name": "Y", "datatype": "FP32", "shape": tensor["shape"], "data": values}
    return json.dumps({"model_name": "m", "outputs": [output]}).encode(), "application/json"


def main() -> None:
    """Serve on a free port, and print the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)  # noqa: T201
    server.serve_forever()


if __name__ == "__main__":
    main()
