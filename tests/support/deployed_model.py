"""Call a deployed model by alias, through the Lambda API, and through the HTTP API, signed."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from shearling.protocol.requests import request_document
from shearling.protocol.responses import read_answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.embedded_aws import EmbeddedAws


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of either API; `version` and `outputs` are empty if it is an error."""

    status: int
    document: dict[str, Any]

    @property
    def version(self) -> str:
        return str(self.document.get("model_version", ""))

    @property
    def outputs(self) -> dict[str, NDArray[Any]]:
        return read_answer(self.document)


class DeployedModel:
    """One model of one stack, called through the Lambda API or the HTTP API."""

    def __init__(self, aws: EmbeddedAws, function: str, api_id: str, model: str) -> None:
        self._lambda = aws.client("lambda")
        self._function = function
        self._model = model
        # On AWS this is the output `api_url`; the emulator serves each API below its own path.
        self.api = aws.http_api_url(api_id)

    def by_alias(self, alias: str, rows: NDArray[Any]) -> Answer:
        """Invoke the function by alias."""
        answer = self._lambda.invoke(
            FunctionName=f"{self._function}:{alias}",
            Payload=json.dumps(request_document({"X": rows})),
        )
        document = json.load(answer["Payload"])
        return Answer(document.get("status", 200), document)

    def over_http(self, alias: str | None, rows: NDArray[Any]) -> Answer:
        """POST to the API: to a version's path, or to the default alias."""
        path = f"/versions/{alias}" if alias else ""
        body = json.dumps(request_document({"X": rows})).encode()
        return self.request("POST", f"/v2/models/{self._model}{path}/infer", body)

    def request(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """Send a request, signed for `AWS_IAM` with the environment's credentials."""
        url = f"{self.api}{path}"
        signed = AWSRequest(method, url, data=body, headers={"content-type": "application/json"})
        session = boto3.Session()
        credentials: Any = session.get_credentials()
        SigV4Auth(credentials, "execute-api", session.region_name).add_auth(signed)
        request = urllib.request.Request(url, body, dict(signed.headers), method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.load(error))
