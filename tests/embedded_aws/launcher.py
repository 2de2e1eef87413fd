"""Runs the emulator with a Lambda that is closer to AWS's; executed in the emulator's environment.

It replaces private functions of ministack, so the version is pinned. What AWS does there is said
at each of them.
"""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import io
import json
import os
import random
import secrets
import shlex
import shutil
import signal
import sys
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import ministack.app as gateway
from ministack.core import lambda_runtime
from ministack.core.lambda_runtime import ProvidedRuntimeError, ProvidedWorker
from ministack.services import apigateway_v1, cloudwatch, efs, eventbridge
from ministack.services import lambda_svc as service

from tests.embedded_aws import permissions, state_machines
from tests.embedded_aws.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The names of the emulator's own data: dictionaries as the API shows them.
Record = dict[str, Any]
Response = tuple[int, Any, Any]

STATE = Path(os.environ["SHEARLING_EMULATOR_STATE"])
PYTHONS: dict[str, str] = json.loads(os.environ["SHEARLING_FUNCTION_PYTHONS"])
ENDPOINT = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"

#: Variables of every function that starts, as a test asks for them.
FUNCTION_VARIABLES = STATE / "function-variables.json"


# -- Functions run on AWS's runtime client, in an interpreter and a root directory of their own


class SandboxWorker(ProvidedWorker):  # type: ignore[misc]
    """An execution environment for `python*`: a custom runtime whose bootstrap enters a sandbox."""

    def __init__(self, name: str, config: Record, code_zip: bytes) -> None:
        super().__init__(name, config, code_zip)
        self._package = code_zip

    def _spawn(self, init_timeout: float | None = None) -> None:
        sandbox = _sandbox(self.config, self._package)
        variables = {**_variables(self.config), **sandbox.environment()}
        # The bootstrap is a package of its own, so that the function's holds only its files.
        self.code_zip = _bootstrap(
            sandbox.command("-m", "awslambdaric", self.config["Handler"]), variables
        )
        super()._spawn(init_timeout)

    def _build_handler_class(self, *arguments: Any) -> Any:
        handler = super()._build_handler_class(*arguments)
        # It writes head and body apart: each event would wait 40 ms for an acknowledgement.
        handler.disable_nagle_algorithm = True
        return handler

    def _drain_stderr_bounded(self, first_line_wait: float = 0.01, **waits: float) -> str:
        # Output is there when the answer is; the emulator waits 50 ms for what is never printed.
        log: str = super()._drain_stderr_bounded(first_line_wait=first_line_wait, **waits)
        return log

    def invoke(self, *arguments: Any, **options: Any) -> Record:
        try:
            result: Record = super().invoke(*arguments, **options)
        except ProvidedRuntimeError:
            raise
        except RuntimeError:
            # AWS answers with what the runtime reported; the emulator wraps it in a message.
            payload = self._init_error
            if not isinstance(payload, dict):
                raise
            log = self._drain_stderr()
            return {"status": "error", "error_payload": payload, "cold_start": True, "log": log}
        return result


def _sandbox(config: Record, package: bytes) -> Sandbox:
    scratch = STATE / "scratch"
    scratch.mkdir(exist_ok=True)
    return Sandbox(
        python=_python(config["Runtime"]),
        task=Path(service._provided_runtime_code_dir(package)),
        scratch=scratch,
        mounts=dict(_mount(each) for each in config.get("FileSystemConfigs") or []),
        tmp_mb=config["EphemeralStorage"]["Size"],
    )


def _python(runtime: str) -> Path:
    version = runtime.removeprefix("python")
    if version not in PYTHONS:
        have = ", ".join(f"python{each}" for each in PYTHONS)
        message = f"{runtime} cannot run here: this machine has only {have}"
        raise ProvidedRuntimeError(message, "Runtime.InvalidRuntime")
    return Path(PYTHONS[version])


def _mount(file_system: Record) -> tuple[str, Path]:
    """Where a function sees the directory that stands for an access point's root."""
    arn = file_system["Arn"]
    for point in efs._access_points.values():
        if point["AccessPointArn"] == arn:
            path = (point.get("RootDirectory") or {}).get("Path", "/").strip("/")
            source = STATE / "file-systems" / point["FileSystemId"] / path
            source.mkdir(parents=True, exist_ok=True)
            return file_system["LocalMountPath"], source
    raise ProvidedRuntimeError(f"no access point {arn}", "EFSMountFailureException")


def _variables(config: Record) -> dict[str, str]:
    """The environment of a function, complete: nothing of the emulator's own is inherited."""
    return {
        **service._runtime_env_vars(config),
        **_logging(config),
        **{key: value for key, value in service.execution_credentials(config).items() if value},
        "AWS_DEFAULT_REGION": service.get_region(),
        "AWS_ENDPOINT_URL": ENDPOINT,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config["MemorySize"]),
        "AWS_LAMBDA_FUNCTION_NAME": config["FunctionName"],
        "AWS_LAMBDA_FUNCTION_VERSION": config["Version"],
        "AWS_LAMBDA_INITIALIZATION_TYPE": _initialization(config),
        "AWS_REGION": service.get_region(),
        "_HANDLER": config["Handler"],
        **(json.loads(FUNCTION_VARIABLES.read_text()) if FUNCTION_VARIABLES.exists() else {}),
    }


def _logging(config: Record) -> dict[str, str]:
    logging = config.get("LoggingConfig") or {}
    today = dt.datetime.now(dt.UTC).strftime("%Y/%m/%d")
    variables = {
        "AWS_LAMBDA_LOG_GROUP_NAME": logging.get("LogGroup")
        or f"/aws/lambda/{config['FunctionName']}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"{today}/[{config['Version']}]{secrets.token_hex(16)}",
    }
    if logging.get("LogFormat") == "JSON":
        variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        variables["AWS_LAMBDA_LOG_LEVEL"] = logging.get("ApplicationLogLevel") or "INFO"
    return variables


def _initialization(config: Record) -> str:
    snap_start = (config.get("SnapStart") or {}).get("OptimizationStatus") == "On"
    return "snap-start" if snap_start and config["Version"] != "$LATEST" else "on-demand"


def _bootstrap(command: list[str], variables: Mapping[str, str]) -> bytes:
    """A zip with one script; only the address of the Runtime API is not known before it runs."""
    assignments = [f"{key}={value}" for key, value in variables.items()]
    api = '"AWS_LAMBDA_RUNTIME_API=$AWS_LAMBDA_RUNTIME_API"'
    script = f"#!/bin/sh\nexec env -i {api} {shlex.join([*assignments, *command])}\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("bootstrap", script)
    return buffer.getvalue()


def _is_python(config: Record) -> bool:
    return str(config.get("Runtime", "")).startswith("python")


def worker_class(config: Record, *, stock: Callable[..., Any]) -> Any:
    return SandboxWorker if _is_python(config) else stock(config)


def execute_warm(
    function: Record, event: Any, request_id: str, *, stock: Callable[..., Any]
) -> Any:
    """Python functions go the way of custom runtimes: the Runtime API over HTTP."""
    if _is_python(function.get("config") or function):
        return service._execute_function_provided_warm(function, event, request_id)
    return stock(function, event, request_id)


# -- Asynchronous invocations

_is_asynchronous: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "is_asynchronous", default=False
)


def invoke_asynchronously(function: Record, event: Any, *, stock: Callable[..., Any]) -> None:
    """Mark what the emulator runs from here, in a thread that takes this context along."""
    token = _is_asynchronous.set(True)
    try:
        stock(function, event)
    finally:
        _is_asynchronous.reset(token)


def execute_function(function: Record, event: Any, *, stock: Callable[..., Any]) -> Any:
    """AWS takes the answer of an asynchronous invocation to the destination of success."""
    result = stock(function, event)
    settings = function.get("event_invoke_config") or (
        function.get("event_invoke_configs") or {}
    ).get("$LATEST", {})
    destinations = settings.get("DestinationConfig") or {}
    target = (destinations.get("OnSuccess") or {}).get("Destination")
    if _is_asynchronous.get() and target and not result.get("error"):
        body = result.get("body")
        record = {
            "requestContext": {
                "functionArn": f"{function['config']['FunctionArn']}:$LATEST",
                "condition": "Success",
                "approximateInvokeCount": 1,
            },
            "requestPayload": event,
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
            "responsePayload": json.loads(body) if isinstance(body, str | bytes) else body,
        }
        destination, _, _ = service._get_func_record_for_ref(target)
        service.invoke_async_with_retry(destination, record)
    return result


# -- Versions and aliases

_executed: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar(
    "executed", default=None
)


def effective_record(
    function: Record | None, qualifier: str | None, *, stock: Callable[..., Any]
) -> Any:
    """AWS puts the qualifier that the caller used into `invoked_function_arn` of all sources."""
    record, config = stock(function, qualifier)
    if function is None or config is None or qualifier in {None, "$LATEST"}:
        return record, config
    config = {**config, "FunctionArn": f"{function['config']['FunctionArn']}:{qualifier}"}
    return {**record, "config": config}, config


def execute(
    function: Record,
    config: Record,
    event: Any,
    *rest: Any,
    stock: Callable[..., Any],
) -> Any:
    """AWS sends a share of an alias's invocations to its additional version."""
    version = _drawn_version(config["FunctionArn"])
    if version is not None:
        config = {**version["config"], "FunctionArn": config["FunctionArn"]}
        function = {**version, "config": config}
    executed = _executed.get()
    if executed is not None:
        executed.append(config["Version"])
    return stock(function, config, event, *rest)


def _drawn_version(arn: str) -> Record | None:
    """A version other than the alias's own, if chance says so."""
    _, _, _, region, account, _, name, *qualifier = arn.split(":")
    function = service._functions.get_scoped(account, region, name)
    if function is None or not qualifier:
        return None
    alias = function["aliases"].get(qualifier[0], {})
    weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    chance = random.random()
    for number, weight in weights.items():
        if chance < weight:
            drawn: Record | None = function["versions"].get(number)
            return drawn
        chance -= weight
    return None


async def invoke(*arguments: Any, stock: Callable[..., Any], **options: Any) -> Response:
    """`X-Amz-Executed-Version` names the version that ran, not the alias's first one."""
    executed: list[str] = []
    _executed.set(executed)
    status, headers, body = await stock(*arguments, **options)
    if executed:
        headers["X-Amz-Executed-Version"] = executed[-1]
    return status, headers, body


def publish_version(name: str, data: Record, *, stock: Callable[..., Any]) -> Response:
    """AWS refuses to publish what is not what the caller has seen, or is still changing."""
    function = service._functions.get(name)
    error = function and _publish_refusal(function["config"], data)
    return error or stock(name, data)


def _publish_refusal(latest: Record, data: Record) -> Response | None:
    expected, actual = data.get("CodeSha256"), latest["CodeSha256"]
    if latest.get("LastUpdateStatus") == "InProgress":
        code, status = "ResourceConflictException", 409
        message = f"An update is in progress for resource: {latest['FunctionArn']}"
    elif expected and expected != actual:
        code, status = "InvalidParameterValueException", 400
        message = f"CodeSHA256 ({expected}) is different from current CodeSHA256 in $LATEST"
        message += f" ({actual}). Please try again with the CodeSHA256 in $LATEST."
    elif data.get("RevisionId") and data["RevisionId"] != latest["RevisionId"]:
        code, status = "PreconditionFailedException", 412
        message = "The Revision Id provided does not match the latest Revision Id."
    else:
        return None
    refusal: Response = service.error_response_json(code, message, status)
    return refusal


def write_alias(name: str, *rest: Any, stock: Callable[..., Any]) -> Response:
    """AWS knows no alias of a version that does not exist."""
    data: Record = rest[-1]
    versions = (service._functions.get(name) or {}).get("versions", {})
    weights = (data.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    for version in (data.get("FunctionVersion", "$LATEST"), *weights):
        if version != "$LATEST" and version not in versions:
            message = f"Function not found: {service._func_arn(name)}:{version}"
            refusal: Response = service.error_response_json(
                "ResourceNotFoundException", message, 404
            )
            return refusal
    written: Response = stock(name, *rest)
    return written


# -- Alarms: the emulator's answer leaves out most fields, and Terraform would plan to add them

_ALARM_FIELDS = (
    *("AlarmName", "AlarmArn", "AlarmDescription", "AlarmRule", "ActionsEnabled", "StateValue"),
    *("StateReason", "MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Unit"),
    *("EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator"),
    *("TreatMissingData", "EvaluateLowSampleCountPercentile"),
)
_ALARM_LISTS = ("AlarmActions", "OKActions", "InsufficientDataActions")


def describe_alarms(
    parameters: Any, cbor: Any, *protocol: bool, stock: Callable[..., Any]
) -> Response:
    """The query protocol's answer, which the provider reads, from the protocol's that is whole."""
    if any(protocol):
        answer: Response = stock(parameters, cbor, *protocol)
    else:
        is_cbor, is_json = False, True
        found = json.loads(stock(None, _alarm_query(parameters), is_cbor, is_json)[2])
        answer = cloudwatch._xml(200, "DescribeAlarmsResponse", _alarms_xml(found))
    return answer


def _alarms_xml(found: Record) -> str:
    result = _element("NextToken", found.get("NextToken"))
    for kind in ("MetricAlarms", "CompositeAlarms"):
        members = "".join(_alarm_xml(alarm) for alarm in found[kind])
        result += f"<{kind}>{members}</{kind}>"
    return f"<DescribeAlarmsResult>{result}</DescribeAlarmsResult>"


def _alarm_query(parameters: Any) -> Record:
    def member(name: str) -> list[str]:
        values = (cloudwatch._p(parameters, f"{name}.member.{i}") for i in range(1, 101))
        return [value for value in values if value]

    scalars = ("AlarmNamePrefix", "StateValue", "MaxRecords", "NextToken")
    query: Record = {name: cloudwatch._p(parameters, name) or None for name in scalars}
    return query | {name: member(name) for name in ("AlarmNames", "AlarmTypes")}


def _alarm_xml(alarm: Record) -> str:
    text = "".join(_element(name, alarm.get(name)) for name in _ALARM_FIELDS)
    for name in _ALARM_LISTS:
        members = "".join(_element("member", action) for action in alarm.get(name) or [])
        text += f"<{name}>{members}</{name}>"
    dimensions = "".join(
        f"<member>{_element('Name', each['Name'])}{_element('Value', each['Value'])}</member>"
        for each in alarm.get("Dimensions") or []
    )
    return f"<member>{text}<Dimensions>{dimensions}</Dimensions></member>"


def _element(name: str, value: Any) -> str:
    if value is None or value == "":
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(text)}</{name}>"


# -- REST APIs as Terraform makes them: their routes as OpenAPI, and keys without a value


async def rest_api_request(
    method: str, path: str, headers: Any, body: Any, *rest: Any, stock: Callable[..., Any]
) -> Response:
    """AWS has PutRestApi, which replaces an API's routes by those of a document."""
    kind, _, api_id = path.strip("/").partition("/")
    if (method, kind) == ("PUT", "restapis") and api_id in apigateway_v1._rest_apis:
        _put_rest_api(api_id, json.loads(body))
        method, body = "GET", b""
    answer: Response = await stock(method, path, headers, body, *rest)
    return answer


def _put_rest_api(api_id: str, document: Record) -> None:
    binary_types = document.get("x-amazon-apigateway-binary-media-types", [])
    apigateway_v1._rest_apis[api_id]["binaryMediaTypes"] = binary_types
    resources = apigateway_v1._resources[api_id]
    root = next(each for each in resources.values() if each["path"] == "/")
    root["resourceMethods"] = {}
    resources.clear()
    resources[root["id"]] = root
    schemes = apigateway_v1._import_security_schemes(api_id, document)
    for path, methods in document["paths"].items():
        for name, operation in methods.items():
            method = "any" if name == "x-amazon-apigateway-any-method" else name
            apigateway_v1._import_path_item(api_id, path, {method: operation}, schemes)


def update_rest_api(api_id: str, data: Record, *, stock: Callable[..., Any]) -> Response:
    """AWS lets a document's binary media types be added once more, as Terraform does."""
    operations = data["patchOperations"]
    others = [each for each in operations if not each["path"].startswith("/binaryMediaTypes/")]
    updated: Response = stock(api_id, {"patchOperations": others})
    return updated


def create_usage_plan(data: Record, *, stock: Callable[..., Any]) -> Response:
    """AWS shows no quota where there is none."""
    created: Response = stock({"quota": None, **data})
    return created


def create_api_key(data: Record, *, stock: Callable[..., Any]) -> Response:
    """AWS makes a value where an empty one is sent."""
    created: Response = stock({name: value for name, value in data.items() if value != ""})
    return created


# -- Events of SageMaker, which runs beside the emulator


def put_events(data: Record, *, stock: Callable[..., Any], allow_aws_source: bool = False) -> Any:
    """AWS lets nobody send events in its services' names; here the tests' SageMaker must."""
    is_sagemaker = {entry.get("Source") for entry in data["Entries"]} == {"aws.sagemaker"}
    return stock(data, allow_aws_source=allow_aws_source or is_sagemaker)


# -- An answer comes when the request has been sent

#: Longer than a busy machine keeps a process from going on.
_SENT_SECONDS = 0.025


def unhurried(app: Callable[..., Any]) -> Callable[..., Any]:
    """Answer Terraform's provider no sooner than it can have done with its request.

    Its SDK closes a request's body when the answer begins, and with it the connection if its writer
    has sent all but not returned yet: the call is then made a second time, and refused. No AWS is
    near enough for that; a loopback beside other tests is.
    """

    async def application(scope: Record, receive: Any, send: Any) -> None:
        async def send_late(message: Record) -> None:
            if message["type"] == "http.response.start":
                await asyncio.sleep(_SENT_SECONDS)
            await send(message)

        agents = [value for name, value in scope.get("headers", ()) if name == b"user-agent"]
        is_go = any(b"aws-sdk-go" in agent for agent in agents)
        await app(scope, receive, send_late if is_go else send)

    return application


# -- Assembly

_REPLACEMENTS: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (lambda_runtime, "_worker_class_for", worker_class),
    (service, "_execute_function_warm", execute_warm),
    (service, "_execute_function", execute_function),
    (service, "invoke_async_with_retry", invoke_asynchronously),
    (service, "_effective_func_record_for_qualifier", effective_record),
    (service, "_execute_function_dispatch", execute),
    (service, "_invoke", invoke),
    (service, "_publish_version", publish_version),
    (service, "_create_alias", write_alias),
    (service, "_update_alias", write_alias),
    (cloudwatch, "_describe_alarms", describe_alarms),
    (eventbridge, "_put_events", put_events),
    (apigateway_v1, "handle_request", rest_api_request),
    (apigateway_v1, "_update_rest_api", update_rest_api),
    (apigateway_v1, "_create_usage_plan", create_usage_plan),
    (apigateway_v1, "_create_api_key", create_api_key),
    *permissions.REPLACEMENTS,
    *state_machines.REPLACEMENTS,
)


def replace() -> None:
    """Put our functions in place of the emulator's, each knowing the one it replaces."""
    for module, name, replacement in _REPLACEMENTS:
        setattr(module, name, _around(replacement, getattr(module, name)))
    apigateway_v1._OPENAPI_HTTP_METHODS.add("any")
    gateway.app = unhurried(permissions.over_https(gateway.app))


def _around(replacement: Callable[..., Any], stock: Callable[..., Any]) -> Callable[..., Any]:
    def replaced(*arguments: Any, **options: Any) -> Any:
        return replacement(*arguments, stock=stock, **options)

    return replaced


def die_with_parent(*, remove_state: bool) -> None:
    """End the whole process group when whoever holds our standard input is gone."""

    def watch() -> None:
        sys.stdin.buffer.read()
        if remove_state:
            shutil.rmtree(STATE, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    # The emulator reads the rest of the command line itself.
    options, sys.argv[1:] = sys.argv[1:], []
    if "--die-with-parent" in options:
        die_with_parent(remove_state="--remove-state" in options)
    replace()
    gateway.main()
