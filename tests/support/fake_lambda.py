"""A Lambda control plane in memory that behaves like AWS where the emulator does not.

Updates take time and change the revision again when they finish. Versions are Pending before they
are Active. Version numbers are never reused. Concurrent changes are refused with 409 or 412.
Requests are validated against botocore's model of the API.
"""

from __future__ import annotations

import copy
import functools
import io
import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from shearling.release.clock import Clock

if TYPE_CHECKING:
    from botocore.model import ServiceModel
    from mypy_boto3_lambda import LambdaClient

PIN = "SHEARLING_MODEL"
_NOT_LISTED = ("State", "StateReason", "LastUpdateStatus", "LastUpdateStatusReason")
_OWN = ("Version", "RevisionId", "FunctionArn", "LastModified", *_NOT_LISTED)

Check = Callable[[dict[str, Any]], dict[str, Any] | bytes]


@functools.cache
def api_model(service: str) -> ServiceModel:
    """Return botocore's model of an API."""
    return botocore.session.get_session().get_service_model(service)


def check_request(service: str, operation: str, request: dict[str, Any]) -> None:
    """Require that boto3's client would accept a request."""
    shape = api_model(service).operation_model(operation).input_shape
    assert shape
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()


def refusal(code: str, message: str = "as AWS says it", status: int = 400) -> ClientError:
    answer = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(cast("Any", answer), "AnyOperation")


def passing(configuration: dict[str, Any]) -> dict[str, Any]:
    """Answer `check` as the runtime does when the check passes."""
    return {
        "shearling": "check",
        "model": configuration["Environment"]["Variables"].get(PIN),
        "passed": True,
        "reason": "",
        "worst_difference": "0",
        "timings": {"load": "0.010"},
        "peak_memory_mb": 150,
        "memory_mb": configuration["MemorySize"],
    }


@dataclass
class FakeTime:
    """A clock that advances only by sleeping."""

    seconds: float = 0.0
    #: Called at each sleep, before the clock advances.
    on_sleep: Callable[[], object] = int

    def sleep(self, seconds: float) -> None:
        self.on_sleep()
        self.seconds += seconds

    def date(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.seconds, sleep=self.sleep, jitter=lambda: 0.5, date=self.date)


@dataclass
class Move:
    """One update of an alias, with the pins of its versions: the main one and a canary.

    Attributes:
        left: numbers of the versions that the alias named before.
    """

    alias: str
    versions: tuple[str, ...]
    pins: tuple[str, ...]
    states: tuple[str, ...]
    left: frozenset[str]


@dataclass
class FakeLambda:
    """One function with its versions and aliases.

    Attributes:
        name: name of the function.
        settle: number of reads until an update or a new version is finished.
        check: returns a version's answer to `check`.
        stager: returns the answer of the function `acme_stager` to a synchronous request.
        started: asynchronous requests to `acme_stager`.
        provisioned: by alias with provisioned concurrency, number of reads after a move that still
            show a weight for the previous version.
        before: called with the name of each operation before it runs.
        refusals: errors to raise, one for each call, by the operation's name or "*".
    """

    settle: int = 0
    name: str = "acme-fraud"
    check: Check = passing
    stager: Check = field(default=lambda _: {"staged": True})
    started: list[dict[str, Any]] = field(default_factory=list)
    provisioned: dict[str, int] = field(default_factory=dict)
    before: Callable[[str], object] = len
    time: FakeTime = field(default_factory=FakeTime)
    refusals: dict[str, list[Exception]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    on_move: Callable[[Move], object] = repr
    #: Called with the number of a version that was checked, and whether it passed.
    on_verdict: Callable[[str, bool], object] = lambda *_: None
    page_size: int = 50
    #: Whether to ignore the preconditions of a publication, as the emulator does and AWS does not.
    is_lenient: bool = False
    #: Concurrency that the function reserves, and that the account has left for all others.
    reserved_concurrency: int | None = None
    unreserved_concurrency: int = 1000
    #: Versions that a caller tried to delete after it had seen that an alias names them.
    rash_deletions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._revisions = itertools.count(1)
        self._numbers = itertools.count(1)
        self._unsettled: dict[str, int] = {}
        self._shifting: dict[str, int] = {}
        self._seen_named: dict[int, set[str]] = {}
        self.aliases: dict[str, dict[str, Any]] = {}
        self.functions: dict[str, dict[str, Any]] = {
            "$LATEST": {
                "FunctionName": self.name,
                "FunctionArn": f"arn:aws:lambda:eu-west-1:000000000000:function:{self.name}",
                "Runtime": "python3.13",
                "MemorySize": 512,
                "Timeout": 30,
                "CodeSha256": "code-1",
                "CodeSize": 1000,
                "Environment": {"Variables": {"SHEARLING_REGISTRY": "memory://x"}},
                "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
                "Description": "",
                "Version": "$LATEST",
                "State": "Active",
                "LastUpdateStatus": "Successful",
                "LastModified": self._now(),
                "RevisionId": self._revision(),
            }
        }

    @property
    def client(self) -> LambdaClient:
        return cast("LambdaClient", _Client(self))

    # State for tests, and changes by Terraform

    @property
    def latest(self) -> dict[str, Any]:
        return self.functions["$LATEST"]

    @property
    def published(self) -> list[str]:
        return [number for number in self.functions if number != "$LATEST"]

    def pin(self, number: str) -> str:
        return str(self.functions[number]["Environment"].get("Variables", {}).get(PIN, ""))

    def shown(self, alias: str) -> str:
        """Return the pin of an alias's version."""
        return self.pin(self.aliases[alias]["FunctionVersion"])

    def weights(self, alias: str) -> dict[str, float]:
        routing = self.aliases[alias].get("RoutingConfig", {})
        return dict(routing.get("AdditionalVersionWeights", {}))

    def create_alias(self, alias: str, number: str) -> None:
        self.aliases[alias] = {
            "Name": alias,
            "FunctionVersion": number,
            "Description": "Moved by the releaser.",
            "RevisionId": self._revision(),
        }

    # Operations

    def get_alias(self, name: str) -> dict[str, Any]:
        answer = copy.deepcopy(self._alias(name))
        self._shift(name)
        return answer

    def list_aliases(self, marker: str) -> dict[str, Any]:
        named = {number for alias in self.aliases for number in self._named(alias)}
        self._seen_named[threading.get_ident()] = named
        return self._page("Aliases", list(self.aliases.values()), marker)

    def get_function_configuration(self, number: str = "$LATEST") -> dict[str, Any]:
        self._look(number)
        return copy.deepcopy(self._version(number))

    def list_versions_by_function(self, marker: str) -> dict[str, Any]:
        # As on AWS, lists have no fields about states.
        versions = [
            {k: v for k, v in one.items() if k not in _NOT_LISTED}
            for one in self.functions.values()
        ]
        return self._page("Versions", versions, marker)

    def update_function_configuration(
        self, changes: dict[str, Any], revision: str | None
    ) -> dict[str, Any]:
        self._refuse_in_progress()
        self._refuse_other_revision(self.latest, revision)
        self.latest.update(copy.deepcopy(changes))
        return self._begin_update()

    def update_function_code(self, code_sha256: str) -> dict[str, Any]:
        self._refuse_in_progress()
        self.latest["CodeSha256"] = code_sha256
        return self._begin_update()

    def publish_version(
        self, revision: str | None = None, code_sha256: str | None = None
    ) -> dict[str, Any]:
        self._refuse_in_progress()
        if self.is_lenient:
            revision = code_sha256 = None
        self._refuse_other_revision(self.latest, revision)
        if code_sha256 not in (None, self.latest["CodeSha256"]):
            raise refusal("PreconditionFailedException", "the code is another", 412)
        newest = next(reversed(self.published), None)
        if newest and _content(self.functions[newest]) == _content(self.latest):
            return copy.deepcopy(self.functions[newest])
        number = str(next(self._numbers))
        version = copy.deepcopy(self.latest)
        version.update(Version=number, RevisionId=self._revision(), LastModified=self._now())
        version["SnapStart"]["OptimizationStatus"] = "On"
        self.functions[number] = version
        if self.settle:
            version["State"] = "Pending"
            self._unsettled[number] = self.settle
        return copy.deepcopy(version)

    def invoke(self, number: str) -> dict[str, Any]:
        version = self._version(number)
        if version["State"] == "Pending":
            raise refusal("ResourceConflictException", "the function is Pending", 409)
        self.checked.append(number)
        said = self.check(copy.deepcopy(version))
        if isinstance(said, dict) and said.get("shearling") == "check":
            self.on_verdict(number, said["passed"])
        return _answer(said)

    def invoke_stager(self, request: dict[str, Any]) -> dict[str, Any]:
        payload = json.loads(request["Payload"])
        if request.get("InvocationType") == "Event":
            self.started.append(payload)
            return {"StatusCode": 202, "Payload": io.BytesIO()}
        return _answer(self.stager(payload))

    def update_alias(
        self,
        name: str,
        number: str,
        weights: dict[str, float],
        revision: str | None,
        description: str | None = None,
    ) -> dict[str, Any]:
        alias = self._alias(name)
        self._refuse_other_revision(alias, revision)
        if name in self.provisioned and (weights or name in self._shifting):
            message = "Alias with weights can not be used with Provisioned Concurrency"
            raise refusal("InvalidParameterValueException", message)
        versions = [self._version(one) for one in (number, *weights)]
        before, left = alias["FunctionVersion"], frozenset(self._named(name))
        is_moved = (before, self.weights(name)) != (number, weights)
        alias.update(FunctionVersion=number, RevisionId=self._revision())
        alias["RoutingConfig"] = {"AdditionalVersionWeights": dict(weights)}
        if description is not None:
            alias["Description"] = description
        if not is_moved:
            return copy.deepcopy(alias)
        move = Move(
            name,
            (number, *weights),
            tuple(self.pin(one["Version"]) for one in versions),
            tuple(one["State"] for one in versions),
            left,
        )
        if name in self.provisioned and number != before:
            self._shifting[name] = self.provisioned[name]
            alias["RoutingConfig"] = {"AdditionalVersionWeights": {before: 1.0}}
        self.moves.append(move)
        self.on_move(move)
        return copy.deepcopy(alias)

    def delete_function(self, number: str | None) -> None:
        assert number, "without a number the whole function would be gone"
        assert number != "$LATEST"
        if number in self._seen_named.get(threading.get_ident(), set()):
            self.rash_deletions.append(number)
        self._version(number)
        if any(number in self._named(alias) for alias in self.aliases):
            raise refusal("ResourceConflictException", "an alias names it", 409)
        self.deleted.append(number)
        del self.functions[number]

    # Internals

    def _named(self, alias: str) -> set[str]:
        return {self.aliases[alias]["FunctionVersion"], *self.weights(alias)}

    def _alias(self, name: str) -> dict[str, Any]:
        if name not in self.aliases:
            raise refusal("ResourceNotFoundException", f"no alias {name}", 404)
        return self.aliases[name]

    def _version(self, number: str) -> dict[str, Any]:
        if number not in self.functions:
            raise refusal("ResourceNotFoundException", f"no version {number}", 404)
        return self.functions[number]

    def _page(self, name: str, items: list[dict[str, Any]], marker: str) -> dict[str, Any]:
        start = int(marker or 0)
        page = {name: copy.deepcopy(items[start : start + self.page_size])}
        if start + self.page_size < len(items):
            page["NextMarker"] = cast("Any", str(start + self.page_size))
        return page

    def _begin_update(self) -> dict[str, Any]:
        self.latest.update(RevisionId=self._revision(), LastModified=self._now())
        if self.settle:
            self.latest["LastUpdateStatus"] = "InProgress"
            self._unsettled["$LATEST"] = self.settle
        return copy.deepcopy(self.latest)

    def _look(self, number: str) -> None:
        if number in self._unsettled:
            self._unsettled[number] -= 1
            if self._unsettled[number] < 0:
                del self._unsettled[number]
                done = {"LastUpdateStatus": "Successful", "State": "Active"}
                # The revision changes again when an update finishes.
                self.functions[number].update(done, RevisionId=self._revision())

    def _shift(self, alias: str) -> None:
        """Move weight from the old version, as AWS does with provisioned concurrency."""
        if alias not in self._shifting:
            return
        self._shifting[alias] -= 1
        share = self._shifting[alias] / self.provisioned[alias]
        old = next(iter(self.weights(alias)))
        self.aliases[alias]["RoutingConfig"] = {"AdditionalVersionWeights": {old: share}}
        if not share:
            del self._shifting[alias]
            self.aliases[alias]["RoutingConfig"] = {"AdditionalVersionWeights": {}}

    def _refuse_in_progress(self) -> None:
        if self.latest["LastUpdateStatus"] == "InProgress":
            raise refusal("ResourceConflictException", "an update is in progress", 409)

    def _refuse_other_revision(self, thing: dict[str, Any], revision: str | None) -> None:
        if revision not in (None, thing["RevisionId"]):
            raise refusal("PreconditionFailedException", "the revision is another", 412)

    def _revision(self) -> str:
        return f"revision-{next(self._revisions)}"

    def _now(self) -> str:
        return self.time.date().strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _content(version: dict[str, Any]) -> dict[str, Any]:
    content = {k: v for k, v in version.items() if k not in _OWN}
    return {**content, "SnapStart": version["SnapStart"]["ApplyOn"]}


def _answer(said: dict[str, Any] | bytes) -> dict[str, Any]:
    is_failure = isinstance(said, dict) and "errorMessage" in said
    payload = io.BytesIO(said if isinstance(said, bytes) else json.dumps(said).encode())
    failure = {"FunctionError": "Unhandled"} if is_failure else {}
    return {"StatusCode": 200, "Payload": payload, **failure}


class _Client:
    """The methods of boto3's client that `LambdaFunction` calls."""

    def __init__(self, fake: FakeLambda) -> None:
        self._fake = fake

    def get_alias(self, **request: Any) -> Any:
        self._begin("GetAlias", request)
        return self._fake.get_alias(request["Name"])

    def list_aliases(self, **request: Any) -> Any:
        self._begin("ListAliases", request)
        return self._fake.list_aliases(request.get("Marker", ""))

    def get_function_configuration(self, **request: Any) -> Any:
        self._begin("GetFunctionConfiguration", request)
        return self._fake.get_function_configuration(request.get("Qualifier", "$LATEST"))

    def list_versions_by_function(self, **request: Any) -> Any:
        self._begin("ListVersionsByFunction", request)
        return self._fake.list_versions_by_function(request.get("Marker", ""))

    def get_function_concurrency(self, **request: Any) -> Any:
        self._begin("GetFunctionConcurrency", request)
        reserved = self._fake.reserved_concurrency
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    def get_account_settings(self, **request: Any) -> Any:
        self._begin("GetAccountSettings", request)
        left = self._fake.unreserved_concurrency
        return {"AccountLimit": {"UnreservedConcurrentExecutions": left}}

    def update_function_configuration(self, **request: Any) -> Any:
        self._begin("UpdateFunctionConfiguration", request)
        changes = {k: v for k, v in request.items() if k not in ("FunctionName", "RevisionId")}
        return self._fake.update_function_configuration(changes, request.get("RevisionId"))

    def publish_version(self, **request: Any) -> Any:
        self._begin("PublishVersion", request)
        return self._fake.publish_version(request.get("RevisionId"), request.get("CodeSha256"))

    def invoke(self, **request: Any) -> Any:
        self._begin("Invoke", request)
        if request["FunctionName"].endswith("acme_stager"):
            return self._fake.invoke_stager(request)
        assert json.loads(request["Payload"]) == {"shearling": "check"}
        return self._fake.invoke(request["Qualifier"])

    def update_alias(self, **request: Any) -> Any:
        self._begin("UpdateAlias", request)
        return self._fake.update_alias(
            request["Name"],
            request["FunctionVersion"],
            request["RoutingConfig"]["AdditionalVersionWeights"],
            request.get("RevisionId"),
            request.get("Description"),
        )

    def delete_function(self, **request: Any) -> Any:
        self._begin("DeleteFunction", request)
        self._fake.delete_function(request.get("Qualifier"))

    def _begin(self, operation: str, request: dict[str, Any]) -> None:
        check_request("lambda", operation, request)
        name = request.get("FunctionName", self._fake.name).removeprefix(
            "arn:aws:lambda:eu-west-1:000000000000:function:"
        )
        assert name in {self._fake.name, "acme_stager"}
        self._fake.before(operation)
        self._fake.calls.append(operation)
        for name in (operation, "*"):
            if self._fake.refusals.get(name):
                raise self._fake.refusals[name].pop(0)


class Terraform:
    """Changes the function as `terraform apply` does: code, configuration, publish.

    The provider sends the whole environment, with the pin that it read when it refreshed.
    """

    def __init__(self, fake: FakeLambda) -> None:
        self._fake = fake

    def apply(self, *, code_sha256: str, memory_mb: int, variables: dict[str, str]) -> None:
        fake = self._fake
        fake.before("Terraform refresh")
        seen = fake.latest["Environment"]["Variables"].get(PIN)
        wanted = {**variables, **({PIN: seen} if seen else {})}
        environment = {"Variables": {"SHEARLING_REGISTRY": "memory://x", **wanted}}
        self._insist(lambda: fake.update_function_code(code_sha256))
        changes = {"MemorySize": memory_mb, "Environment": environment}
        self._insist(lambda: fake.update_function_configuration(changes, None))
        self._insist(fake.publish_version)

    def _insist(self, step: Callable[[], object]) -> None:
        while True:
            self._fake.before("Terraform")
            self._fake.get_function_configuration()
            try:
                step()
            except ClientError:
                continue
            return
